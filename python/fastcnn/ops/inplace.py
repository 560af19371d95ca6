"""Changes of a tensor in its memory. None of them is recorded for backward."""

from __future__ import annotations

from typing import Any

from .. import _C
from ..autograd import check_inplace, is_grad_enabled
from ..tensor import Tensor
from .elementwise import Number, Operand, _operand, _raw


def _overwrite(op: str, kernel: Any, input: Tensor, other: Operand, *constants: float) -> Tensor:
    check_inplace(input, op)
    value = _operand(op, "other", other)
    if isinstance(value, Tensor) and value.requires_grad and is_grad_enabled():
        raise RuntimeError(
            f"{op}: other requires a gradient, and in-place changes are not recorded; use the out-of-place op"
        )
    kernel(input._data, _raw(value), *constants, out=input._data)
    return input


def add_(input: Tensor, other: Operand, *, alpha: float = 1) -> Tensor:
    """Input += alpha * other, in its memory; not recorded for backward.

    Raises:
        RuntimeError: gradients are being recorded and an operand requires one.
        ValueError: the result does not have the input's shape.
        TypeError: the result does not fit into the input's dtype.
    """
    return _overwrite("add_", _C.add, input, other, float(alpha))


def sub_(input: Tensor, other: Operand, *, alpha: float = 1) -> Tensor:
    """Input -= alpha * other; see `add_`."""
    return _overwrite("sub_", _C.add, input, other, -float(alpha))


def mul_(input: Tensor, other: Operand) -> Tensor:
    """Input *= other; see `add_`."""
    return _overwrite("mul_", _C.mul, input, other)


def div_(input: Tensor, other: Operand) -> Tensor:
    """Input /= other; see `add_`."""
    return _overwrite("div_", _C.div, input, other)


def clamp_(input: Tensor, min: float | None = None, max: float | None = None) -> Tensor:
    """Limits the input to [min, max] in its memory; see `add_` and `clamp`."""
    check_inplace(input, "clamp_")
    low, high = (float("-inf") if min is None else float(min)), (float("inf") if max is None else float(max))
    _C.clamp(input._data, low, high, out=input._data)
    return input


def fill_(input: Tensor, value: Number) -> Tensor:
    """Sets every element; see `add_`."""
    check_inplace(input, "fill_")
    _C.fill_(input._data, _operand("fill_", "value", value))
    return input


def zero_(input: Tensor) -> Tensor:
    """Sets every element to zero; see `add_`."""
    return fill_(input, 0)


def copy_(input: Tensor, source: Tensor) -> Tensor:
    """Writes the values of `source` (broadcast, converted) into the input's memory; see `add_`."""
    check_inplace(input, "copy_")
    raw = _C.cast(source._data, input._data.dtype)
    if raw.shape != input.shape:
        raw = _C.expand(raw, input.shape)
    _C.copy_(input._data, _C.to_layout(raw, input._data.layout))
    return input
