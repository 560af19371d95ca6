"""Functions behind the layers, with the names and arguments of `torch.nn.functional`."""

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
