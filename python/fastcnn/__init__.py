"""fastcnn: convolutional networks with hand-written CPU and CUDA kernels behind a thin, PyTorch-familiar API."""

from . import _C
from .autograd import enable_grad, is_grad_enabled, no_grad, set_grad_enabled
from .tensor import Tensor, bfloat16, bool_, device, dtype, float32, float64, from_numpy, int64, tensor, uint8

__version__: str = _C.version

__all__ = [
    "Tensor",
    "__version__",
    "bfloat16",
    "bool_",
    "device",
    "dtype",
    "enable_grad",
    "float32",
    "float64",
    "from_numpy",
    "int64",
    "is_grad_enabled",
    "no_grad",
    "set_grad_enabled",
    "tensor",
    "uint8",
]
