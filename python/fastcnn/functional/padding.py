"""Padding of tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .. import _C
from ..autograd import Context, Function, RawTensor
from ..tensor import Tensor

_MODES = ("constant", "reflect", "replicate", "circular")


class _Pad(Function):
    @staticmethod
    def forward(
        ctx: Context, input: RawTensor, before: tuple[int, ...], after: tuple[int, ...], mode: str, value: float
    ) -> RawTensor:
        ctx.conf = (input.shape, before, after, mode, input.layout)
        return _C.pad_forward(input, before, after, mode, value)

    @staticmethod
    def backward(ctx: Context, grad_output: RawTensor) -> Any:
        return _C.pad_backward(grad_output, *ctx.conf), None, None, None, None


def pad(input: Tensor, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Tensor:
    """Adds elements before and after the last dimensions of a tensor; negative amounts crop.

    Args:
        input: any shape and dtype; gradients need float32 or float64.
        pad: (before, after) of the last dimension, then of the one before it, and so on: (left, right, top, bottom)
            pads the H and W of images.
        mode: "constant", "reflect" (mirrors without repeating the edge), "replicate" (repeats the edge) or "circular".
        value: what "constant" fills with, 0 unless given.

    Returns:
        Tensor: each padded dimension grown by its two amounts.

    Raises:
        ValueError: an odd number of amounts, more than the tensor has dimensions for, an unknown mode, a value with
            another mode than "constant", or amounts larger than the mode can take from the input.

    Example:
        >>> import fastcnn as fc
        >>> from fastcnn import functional as F
        >>> F.pad(fc.tensor([[1.0, 2.0, 3.0]]), (2, 1), mode="reflect").numpy().tolist()
        [[3.0, 2.0, 1.0, 2.0, 3.0, 2.0]]
    """
    amounts = tuple(pad)
    shape = input.shape
    if len(amounts) % 2 or len(amounts) > 2 * len(shape):
        raise ValueError(
            f"pad: pad has {len(amounts)} amounts, but expected an even number of at most {2 * len(shape)}, two per "
            f"dimension from the last one backwards (input {tuple(shape)})"
        )
    if mode not in _MODES:
        raise ValueError(f"pad: mode is {mode!r}, but expected one of {', '.join(map(repr, _MODES))}")
    if value is not None and mode != "constant":
        raise ValueError(f"pad: value is {value}, but only mode='constant' takes one (mode is {mode!r})")
    rest = (0,) * (len(shape) - len(amounts) // 2)
    before, after = rest + amounts[-2::-2], rest + amounts[-1::-2]
    result: Tensor = _Pad.apply(input, before, after, mode, float(value or 0.0))
    return result
