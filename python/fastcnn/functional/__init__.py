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
from .conv import conv2d
from .linear import linear
from .loss import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    cross_entropy,
    huber_loss,
    l1_loss,
    mse_loss,
    nll_loss,
    smooth_l1_loss,
)
from .normalization import batch_norm
from .padding import pad
from .pooling import (
    adaptive_avg_pool2d,
    adaptive_max_pool2d,
    avg_pool2d,
    max_pool2d,
)
from .softmax import log_softmax, softmax

__all__ = [
    "adaptive_avg_pool2d",
    "adaptive_max_pool2d",
    "avg_pool2d",
    "batch_norm",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "conv2d",
    "cross_entropy",
    "huber_loss",
    "l1_loss",
    "linear",
    "log_softmax",
    "max_pool2d",
    "mse_loss",
    "nll_loss",
    "one_hot",
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
    "smooth_l1_loss",
    "softmax",
    "one_hot",
    "conv2d",
    "pad",
]
