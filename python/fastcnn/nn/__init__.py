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
from .module import Module
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
    "MaxPool2d",
    "Module",
    "ModuleDict",
    "ModuleList",
    "Parameter",
    "Sequential",
    "Unflatten",
]
