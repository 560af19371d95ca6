"""Functions behind the layers, with the names and arguments of `torch.nn.functional`."""

from ..ops.picking import one_hot
from .linear import linear
from .activation import (
    gelu,
    leaky_relu,
    prelu,
    relu,
    sigmoid,
    silu,
    tanh,
)
from .dropout import (
    dropout,
    dropout2d,
)
from .linear import (
    linear,
)
from .normalization import (
    batch_norm,
)
from .linear import linear
from .conv import conv2d
from .padding import pad
from .pooling import (
    adaptive_avg_pool2d,
    adaptive_max_pool2d,
    avg_pool2d,
    max_pool2d,
)

__all__ = [
    "adaptive_avg_pool2d",
    "adaptive_max_pool2d",
    "avg_pool2d",
    "batch_norm",
    "linear",
    "max_pool2d",
    "one_hot",
    "conv2d",
    "max_pool2d",
    "pad",
    "dropout",
    "dropout2d",
    "gelu",
    "leaky_relu",
    "linear",
    "max_pool2d",
    "prelu",
    "relu",
    "sigmoid",
    "silu",
    "tanh",
]
