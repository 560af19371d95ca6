"""softmax and log_softmax."""

from __future__ import annotations

import warnings
from typing import Any

from .. import _C
from ..autograd import Context, Function
from ..tensor import Tensor


class _Softmax(Function):
    @staticmethod
    def forward(ctx: Context, input: _C.Tensor, dim: int, log: bool) -> _C.Tensor:
        output = _C.softmax_forward(input, dim, log)
        ctx.save_for_backward(output)
        ctx.conf = (dim, log)
        return output

    @staticmethod
    def backward(ctx: Context, grad_output: _C.Tensor) -> tuple[Any, ...]:
        (output,) = ctx.saved_tensors
        return _C.softmax_backward(output, grad_output, *ctx.conf), None, None


def _implicit_dim(op: str, ndim: int) -> int:
    dim = 0 if ndim in (0, 1, 3) else 1
    warnings.warn(f"{op}: dim is not given; taking {dim} as torch does for {ndim} dimensions. Pass dim=", stacklevel=3)
    return dim


def softmax(input: Tensor, dim: int | None = None) -> Tensor:
    """Positive numbers that sum to 1 along `dim`: exp(x) / sum(exp(x)), stable for any finite input.

    For a classification loss pass the logits to `cross_entropy` instead.

    Args:
        input: logits of any shape, float32 or float64.
        dim: dimension of the classes (1 for (N, C) and (N, C, H, W)).

    Returns:
        A tensor of the input's shape. NaN along a line that holds NaN, +infinity or only -infinity.

    Raises:
        TypeError: `input` is not float32 or float64.
        ValueError: `dim` does not exist.

    Example:
        >>> import fastcnn as fc
        >>> import fastcnn.functional as F
        >>> F.softmax(fc.tensor([[0.0, 0.0]]), dim=1).numpy().tolist()
        [[0.5, 0.5]]
    """
    result: Tensor = _Softmax.apply(input, _implicit_dim("softmax", input.ndim) if dim is None else dim, False)
    return result


def log_softmax(input: Tensor, dim: int | None = None) -> Tensor:
    """Logarithm of `softmax`, accurate where the probability underflows: x - log(sum(exp(x))).

    Args:
        input: logits of any shape, float32 or float64.
        dim: dimension of the classes (1 for (N, C) and (N, C, H, W)).

    Raises:
        TypeError: `input` is not float32 or float64.
        ValueError: `dim` does not exist.

    Example:
        >>> import fastcnn as fc
        >>> import fastcnn.functional as F
        >>> F.log_softmax(fc.tensor([[1e4, 0.0]]), dim=1).numpy().tolist()
        [[0.0, -10000.0]]
    """
    result: Tensor = _Softmax.apply(input, _implicit_dim("log_softmax", input.ndim) if dim is None else dim, True)
    return result
