"""fastcnn: convolutional networks with hand-written CPU and CUDA kernels behind a thin, PyTorch-familiar API."""

from . import _C as _C
from . import _methods, cuda
from .autograd import enable_grad, is_grad_enabled, no_grad, set_grad_enabled
from .backends import get_num_threads, get_precision, set_num_threads, set_precision
from .gradcheck import grad_check_sparse, gradcheck
from .tensor import Tensor, bfloat16, bool_, device, dtype, float32, float64, from_numpy, int64, tensor, uint8

_methods.bind()

__version__: str = _C.version

__all__ = [
    "Tensor",
    "__version__",
    "bfloat16",
    "bool_",
    "cuda",
    "device",
    "dtype",
    "enable_grad",
    "float32",
    "float64",
    "from_numpy",
    "get_num_threads",
    "get_precision",
    "grad_check_sparse",
    "gradcheck",
    "int64",
    "is_grad_enabled",
    "no_grad",
    "set_grad_enabled",
    "set_num_threads",
    "set_precision",
    "tensor",
    "uint8",
]
