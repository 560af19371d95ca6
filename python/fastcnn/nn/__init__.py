"""Layers, losses and containers with the names, arguments and state_dict keys of `torch.nn`."""

from .batchnorm import (
    BatchNorm1d,
    BatchNorm2d,
)
from .container import ModuleDict, ModuleList, Sequential
from .flatten import (
    Flatten,
    Unflatten,
)
from .linear import Identity, Linear
from .module import Module
from .padding import CircularPad2d, ConstantPad2d, ReflectionPad2d, ReplicationPad2d, ZeroPad2d
from .parameter import Parameter
from .pooling import (
    AdaptiveAvgPool2d,
    AdaptiveMaxPool2d,
    AvgPool2d,
    MaxPool2d,
)

__all__ = [
    "AdaptiveAvgPool2d",
    "AdaptiveMaxPool2d",
    "AvgPool2d",
    "BatchNorm1d",
    "BatchNorm2d",
    "Flatten",
    "Identity",
    "Linear",
    "MaxPool2d",
    "CircularPad2d",
    "ConstantPad2d",
    "Module",
    "ModuleDict",
    "ModuleList",
    "Parameter",
    "ReflectionPad2d",
    "ReplicationPad2d",
    "Sequential",
    "Unflatten",
    "ZeroPad2d",
]
