"""Layers, losses and containers with the names, arguments and state_dict keys of `torch.nn`."""

from .batchnorm import (
    BatchNorm1d,
    BatchNorm2d,
)
from .container import ModuleDict, ModuleList, Sequential
from .flatten import (
    Flatten,
    Unflatten,
from .loss import (
    BCELoss,
    BCEWithLogitsLoss,
    CrossEntropyLoss,
    HuberLoss,
    L1Loss,
    MSELoss,
    NLLLoss,
    SmoothL1Loss,
)
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
    "MaxPool2d",
    "CircularPad2d",
    "ConstantPad2d",
from .softmax import LogSoftmax, Softmax

__all__ = [
    "BCELoss",
    "BCEWithLogitsLoss",
    "CrossEntropyLoss",
    "HuberLoss",
    "L1Loss",
    "LogSoftmax",
    "MSELoss",
    "Module",
    "ModuleDict",
    "ModuleList",
    "NLLLoss",
    "Parameter",
    "ReflectionPad2d",
    "ReplicationPad2d",
    "Sequential",
    "Unflatten",
    "ZeroPad2d",
    "SmoothL1Loss",
    "Softmax",
]
