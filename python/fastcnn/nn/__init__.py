"""Layers, losses and containers with the names, arguments and state_dict keys of `torch.nn`."""

from . import (
    init,
)
from .activation import (
    GELU,
    LeakyReLU,
    PReLU,
    ReLU,
    Sigmoid,
    SiLU,
    Tanh,
)
from .batchnorm import (
    BatchNorm1d,
    BatchNorm2d,
from .batchnorm import BatchNorm1d, BatchNorm2d
from .container import (
    ModuleDict,
    ModuleList,
    Sequential,
)
from .flatten import Flatten, Unflatten
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
from .linear import Identity, Linear
from .module import Module
from .padding import (
    CircularPad2d,
    ConstantPad2d,
    ReflectionPad2d,
    ReplicationPad2d,
    ZeroPad2d,
)
from .parameter import Parameter
from .container import (
    ModuleDict,
    ModuleList,
    Sequential,
)
from .dropout import (
    Dropout,
    Dropout2d,
)
from .module import (
    Module,
)
from .parameter import (
    Parameter,
)
from .pooling import (
    AdaptiveAvgPool2d,
    AdaptiveMaxPool2d,
    AvgPool2d,
    MaxPool2d,
)
from .softmax import LogSoftmax, Softmax

__all__ = [
    "GELU",
    "AdaptiveAvgPool2d",
    "AdaptiveMaxPool2d",
    "AvgPool2d",
    "BCELoss",
    "BCEWithLogitsLoss",
    "BatchNorm1d",
    "BatchNorm2d",
    "Flatten",
    "Dropout",
    "Dropout2d",
    "LeakyReLU",
    "Identity",
    "Linear",
    "MaxPool2d",
    "CircularPad2d",
    "ConstantPad2d",
    "CrossEntropyLoss",
    "Flatten",
    "HuberLoss",
    "L1Loss",
    "LogSoftmax",
    "MSELoss",
    "MaxPool2d",
    "Module",
    "ModuleDict",
    "ModuleList",
    "PReLU",
    "NLLLoss",
    "Parameter",
    "ReflectionPad2d",
    "ReplicationPad2d",
    "Sequential",
    "SmoothL1Loss",
    "Softmax",
    "Unflatten",
    "ZeroPad2d",
    "ReLU",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "Tanh",
    "init",
]
