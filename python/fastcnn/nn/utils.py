"""Clipping of gradients, as in `torch.nn.utils`. Pascanu et al., ICML 2013, arXiv 1211.5063.

The gradients of an optimizer's parameters lie side by side, so each of these is one pass over one piece of memory.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from .. import _C
from ..optim.arena import flat_gradients
from ..tensor import Tensor

__all__ = ["clip_grad_norm_", "clip_grad_value_"]


def _pieces(parameters: Tensor | Iterable[Tensor]) -> list[_C.Tensor]:
    return flat_gradients([parameters] if isinstance(parameters, Tensor) else parameters)


def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor], max_norm: float, norm_type: float = 2.0, error_if_nonfinite: bool = False
) -> Tensor:
    """Scales the gradients of all `parameters` together so that their norm is at most `max_norm`.

    Args:
        parameters: one tensor or several; those without a gradient do not count.
        max_norm: the largest norm, >= 0.
        norm_type: p of the p-norm, >= 0; infinity for the largest absolute value.
        error_if_nonfinite: raise if the norm is NaN or infinite, which waits for a GPU.

    Returns:
        The norm before scaling, shape (), on the device of the gradients.

    Raises:
        ValueError: gradients on several devices, or `norm_type` negative.
        RuntimeError: `error_if_nonfinite` and the norm is not finite; the gradients are as they were.

    Example:
        >>> import fastcnn as fc
        >>> p = fc.nn.Parameter(fc.tensor([0.0, 0.0]))
        >>> p.grad = fc.tensor([3.0, 4.0])
        >>> fc.nn.utils.clip_grad_norm_([p], max_norm=1.0).item()
        5.0
        >>> [round(value, 3) for value in p.grad.tolist()]
        [0.6, 0.8]
    """
    pieces = _pieces(parameters)
    if not pieces:
        return Tensor(_C.zeros((), _C.float32))
    norm = Tensor(_C.grad_norm(pieces, float(norm_type)))
    if error_if_nonfinite and not math.isfinite(norm.item()):
        raise RuntimeError(
            f"clip_grad_norm_: the norm of order {norm_type} of the gradients is {norm.item()}; to clip anyway, pass "
            f"error_if_nonfinite=False"
        )
    _C.scale_grads_(pieces, norm._data, float(max_norm))
    return norm


def clip_grad_value_(parameters: Tensor | Iterable[Tensor], clip_value: float) -> None:
    """Limits every element of the gradients of `parameters` to [-clip_value, clip_value]; NaN stays.

    Raises:
        ValueError: `clip_value` is negative.
    """
    pieces = _pieces(parameters)
    if pieces:
        _C.clamp_grads_(pieces, float(clip_value))
