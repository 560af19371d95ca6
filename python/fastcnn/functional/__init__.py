"""Functions behind the layers, with the names and arguments of `torch.nn.functional`."""

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
    "conv2d",
    "max_pool2d",
    "pad",
]
