"""Views of channels-last memory: depth slices as a batch of images, and back; gaps between slices."""

from __future__ import annotations

from typing import Any

from .. import _C
from ..autograd import Context, Function, RawTensor
from ..tensor import Tensor


class _View(Function):
    """The same channels-last memory under another shape."""

    @staticmethod
    def forward(ctx: Context, input: RawTensor, shape: tuple[int, ...]) -> RawTensor:
        ctx.conf = input.shape
        return _C.to_layout(input, "channels_last").view_as(shape, "channels_last")

    @staticmethod
    def backward(ctx: Context, grad_output: RawTensor) -> Any:
        return _C.to_layout(grad_output, "channels_last").view_as(ctx.conf, "channels_last"), None


def slices_as_batch(input: Tensor) -> Tensor:
    """(N, C, D, H, W) -> (N D, C, H, W), the slices of a volume as images; no copy."""
    n, c, d, h, w = input.shape
    result: Tensor = _View.apply(input, (n * d, c, h, w))
    return result


def batch_as_slices(input: Tensor, depth: int) -> Tensor:
    """(N D, C, H, W) -> (N, C, D, H, W); no copy."""
    nd, c, h, w = input.shape
    result: Tensor = _View.apply(input, (nd // depth if depth else 0, c, depth, h, w))
    return result


class _Spread(Function):
    """Positions start + step * i along dimension 2 of zeros of length `length` hold the input."""

    @staticmethod
    def forward(ctx: Context, input: RawTensor, start: int, step: int, length: int) -> RawTensor:
        rank = input.ndim
        shape = (*input.shape[:2], length, *input.shape[3:])
        starts, steps = [0] * rank, [1] * rank
        starts[2], steps[2] = start, step
        ctx.conf = (starts, steps, list(input.shape), list(range(rank)))
        return _C.slice_backward(input, shape, input.layout, *ctx.conf)

    @staticmethod
    def backward(ctx: Context, grad_output: RawTensor) -> Any:
        return _C.slice(grad_output, *ctx.conf), None, None, None


def spread(input: Tensor, start: int, step: int, length: int) -> Tensor:
    """Zeros (N, C, length, ...) with slice i of the input at position start + step * i."""
    result: Tensor = _Spread.apply(input, start, step, length)
    return result


def tuple_of(op: str, name: str, value: Any, count: int) -> tuple[int, ...]:
    """One number for all axes, or `count` numbers.

    Raises:
        ValueError: another count.
    """
    if isinstance(value, tuple | list):
        numbers = tuple(value) * count if len(value) == 1 else tuple(value)
    else:
        numbers = (value,) * count
    if len(numbers) != count:
        raise ValueError(f"{op}: {name} is {value}, but one number or {count} are expected")
    return numbers


def check_rank(op: str, input: Tensor, weight: Tensor | None, spatial: int, transposed: bool = False) -> None:
    """Raises ValueError unless input is (N, C, ...) or (C, ...) and weight has as many spatial dimensions."""
    sizes = ("L", "H, W", "D, H, W")[spatial - 1]
    kernel = ("k", "kH, kW", "kD, kH, kW")[spatial - 1]
    if input.ndim not in (spatial + 1, spatial + 2):
        raise ValueError(f"{op}: input has shape {input.shape}, but (N, C, {sizes}) or (C, {sizes}) is expected")
    if weight is not None and weight.ndim != spatial + 2:
        channels = "C_in, C_out / groups" if transposed else "C_out, C_in / groups"
        raise ValueError(f"{op}: weight has shape {weight.shape}, but ({channels}, {kernel}) is expected")
