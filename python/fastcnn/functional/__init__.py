"""Functions behind the layers, with the names and arguments of `torch.nn.functional`."""

from .linear import linear
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
    "linear",
    "max_pool2d",
]
