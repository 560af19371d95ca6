"""fastcnn: convolutional networks with hand-written CPU and CUDA kernels behind a thin, PyTorch-familiar API."""

from . import _C as _C
from . import _methods, cuda
from .autograd import enable_grad, is_grad_enabled, no_grad, set_grad_enabled
from .backends import get_num_threads, get_precision, set_num_threads, set_precision
from .gradcheck import grad_check_sparse, gradcheck
from .ops.conversion import (
    from_dlpack,
)
from .ops.indexing import (
    masked_select,
    nonzero,
)
from .ops.joining import (
    cat,
    chunk,
    concat,
    narrow,
    select,
    split,
    stack,
    unbind,
)
from .ops.linalg import (
    bmm,
    dot,
    matmul,
    mm,
    mv,
    outer,
)
from .ops.picking import (
    gather,
    index_select,
)
from .ops.shape import (
    broadcast_to,
    expand,
    flatten,
    flip,
    movedim,
    permute,
    repeat,
    reshape,
    squeeze,
    t,
    tile,
    transpose,
    unflatten,
    unsqueeze,
)
from .tensor import Tensor, bfloat16, bool_, device, dtype, float32, float64, from_numpy, int64, tensor, uint8

_methods.bind()

__version__: str = _C.version

__all__ = [
    "outer",
    "mv",
    "mm",
    "matmul",
    "dot",
    "bmm",
    "Tensor",
    "__version__",
    "bfloat16",
    "bool_",
    "broadcast_to",
    "cat",
    "chunk",
    "concat",
    "cuda",
    "device",
    "dtype",
    "enable_grad",
    "expand",
    "flatten",
    "flip",
    "float32",
    "float64",
    "from_dlpack",
    "from_numpy",
    "gather",
    "get_num_threads",
    "get_precision",
    "grad_check_sparse",
    "gradcheck",
    "index_select",
    "int64",
    "is_grad_enabled",
    "masked_select",
    "movedim",
    "narrow",
    "no_grad",
    "nonzero",
    "permute",
    "repeat",
    "reshape",
    "select",
    "set_grad_enabled",
    "set_num_threads",
    "set_precision",
    "split",
    "squeeze",
    "stack",
    "t",
    "tensor",
    "tile",
    "transpose",
    "uint8",
    "unbind",
    "unflatten",
    "unsqueeze",
]
