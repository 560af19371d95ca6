"""Dropout. Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting", JMLR 2014."""

from __future__ import annotations

from typing import Any

from .. import _C
from ..autograd import Function
from ..ops.elementwise import mul
from ..random import default_state
from ..tensor import Tensor


class _Dropout(Function):
    @staticmethod
    def forward(ctx: Any, input: _C.Tensor, p: float) -> _C.Tensor:
        output, mask = _C.dropout(input, p, default_state(input.device))
        ctx.save_for_backward(mask)
        ctx.conf = (p, input.layout)
        return output

    @staticmethod
    def backward(ctx: Any, grad_output: _C.Tensor) -> tuple[Any, ...]:
        return _C.dropout_backward(grad_output, *ctx.saved_tensors, *ctx.conf), None


def _check_p(op: str, p: float) -> None:
    if not 0 <= p <= 1:
        raise ValueError(f"{op}: p is {p}, but a probability in [0, 1] is expected (p is the share that is dropped)")


def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Inverted dropout: elements become 0 with probability `p`, the others grow by 1 / (1 - p): the mean stays.

    Args:
        input: any shape, float32 or float64.
        p: probability of dropping an element (not of keeping it).
        training: False returns the input itself.
        inplace: accepted for compatibility with torch; the result is a new tensor.

    Returns:
        Shape of the input. Dropped elements are 0 whatever the input is, and receive no gradient.

    Raises:
        ValueError: `p` is not a probability.

    Example:
        >>> import fastcnn as fc
        >>> y = fc.functional.dropout(fc.ones(1000), p=0.5)
        >>> sorted(set(y.numpy().tolist()))
        [0.0, 2.0]
    """
    _check_p("dropout", p)
    if not training or p == 0:
        return input
    result: Tensor = _Dropout.apply(input, float(p))
    return result


def dropout2d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Drops whole channels of every sample with probability `p` (Tompson et al., CVPR 2015, "SpatialDropout").

    Args:
        input: (N, C, H, W) or (N, C, L).
        p: probability of dropping a channel.
        training: False returns the input itself.
        inplace: accepted for compatibility with torch; the result is a new tensor.

    Returns:
        Shape of the input.

    Raises:
        ValueError: `p` is not a probability, or the input has another rank.
    """
    _check_p("dropout2d", p)
    if input.ndim not in (3, 4):
        raise ValueError(f"dropout2d: input has shape {input.shape}, but (N, C, H, W) or (N, C, L) is expected")
    if not training or p == 0:
        return input
    ones = _C.full((*input.shape[:2], *(1,) * (input.ndim - 2)), 1.0, input.dtype, input.device, input._data.layout)
    noise, _ = _C.dropout(ones, float(p), default_state(input.device))
    return mul(input, Tensor(noise))
