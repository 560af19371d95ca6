"""Functions behind the layers, with the names and arguments of `torch.nn.functional`."""

from ..ops.picking import one_hot
from .linear import linear
from .normalization import (
    batch_norm,
)
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
    "pad",
]
