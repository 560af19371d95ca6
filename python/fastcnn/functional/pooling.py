"""Max, average and adaptive pools."""

from __future__ import annotations

from typing import Any

from .. import _C
from ..autograd import Context, Function, RawTensor
from ..tensor import Tensor

_Size = int | tuple[int, ...]
_OutputSize = int | None | tuple[int | None, ...]
_Numbers = tuple[int, ...]


def _numbers(value: Any) -> Any:
    """A size as the kernels take it: a sequence of one number or two."""
    return value if isinstance(value, tuple | list) else (value,)


def _batched(raw: RawTensor) -> RawTensor:
    """(C, H, W) becomes a batch of one image."""
    if raw.ndim != 3:
        return raw
    return _C.to_layout(raw, "row_major").view_as((1, *raw.shape), "row_major")


def _shaped(raw: RawTensor, ndim: int) -> RawTensor:
    """The reverse of `_batched` for a result or gradient of an argument with `ndim` dimensions."""
    if ndim != 3:
        return raw
    plain = _C.to_layout(raw, "row_major").view_as(raw.shape[1:], "row_major")
    return _C.to_layout(plain, "channels_last")


class _MaxPool2d(Function):
    fresh_gradients = True

    @staticmethod
    def forward(
        ctx: Context,
        input: RawTensor,
        geometry: tuple[_Numbers, _Numbers, _Numbers, _Numbers, bool],
        return_indices: bool,
    ) -> Any:
        batch = _batched(input)
        codes: Any
        output, codes = _C.max_pool2d_forward(batch, *geometry, want_codes=ctx.needs_input_grad[0] or return_indices)
        ctx.save_for_backward(codes)
        ctx.conf = (batch.shape, geometry, input.ndim)
        if not return_indices:
            return _shaped(output, input.ndim)
        indices = _C.max_pool2d_indices(codes, batch.shape, *geometry)
        return _shaped(output, input.ndim), _shaped(indices, input.ndim)

    @staticmethod
    def backward(ctx: Context, grad_output: RawTensor, *_: Any) -> Any:
        (codes,) = ctx.saved_tensors
        shape, geometry, ndim = ctx.conf
        return _shaped(_C.max_pool2d_backward(_batched(grad_output), codes, shape, *geometry), ndim), None, None


class _AvgPool2d(Function):
    fresh_gradients = True

    @staticmethod
    def forward(
        ctx: Context, input: RawTensor, geometry: tuple[_Numbers, _Numbers, _Numbers, bool, bool, int | None]
    ) -> RawTensor:
        batch = _batched(input)
        ctx.conf = (batch.shape, geometry, input.ndim)
        return _shaped(_C.avg_pool2d_forward(batch, *geometry), input.ndim)

    @staticmethod
    def backward(ctx: Context, grad_output: RawTensor) -> Any:
        shape, geometry, ndim = ctx.conf
        return _shaped(_C.avg_pool2d_backward(_batched(grad_output), shape, *geometry), ndim), None


class _AdaptiveAvgPool2d(Function):
    fresh_gradients = True

    @staticmethod
    def forward(ctx: Context, input: RawTensor, output_size: Any) -> RawTensor:
        batch = _batched(input)
        ctx.conf = (batch.shape, output_size, input.ndim)
        return _shaped(_C.adaptive_avg_pool2d_forward(batch, output_size), input.ndim)

    @staticmethod
    def backward(ctx: Context, grad_output: RawTensor) -> Any:
        shape, output_size, ndim = ctx.conf
        return _shaped(_C.adaptive_avg_pool2d_backward(_batched(grad_output), shape, output_size), ndim), None


class _AdaptiveMaxPool2d(Function):
    fresh_gradients = True

    @staticmethod
    def forward(ctx: Context, input: RawTensor, output_size: Any, return_indices: bool) -> Any:
        batch = _batched(input)
        codes: Any
        output, codes = _C.adaptive_max_pool2d_forward(batch, output_size, ctx.needs_input_grad[0] or return_indices)
        ctx.save_for_backward(codes)
        ctx.conf = (batch.shape, output_size, input.ndim)
        if not return_indices:
            return _shaped(output, input.ndim)
        indices = _C.adaptive_max_pool2d_indices(codes, batch.shape, output_size)
        return _shaped(output, input.ndim), _shaped(indices, input.ndim)

    @staticmethod
    def backward(ctx: Context, grad_output: RawTensor, *_: Any) -> Any:
        (codes,) = ctx.saved_tensors
        shape, output_size, ndim = ctx.conf
        gradient = _C.adaptive_max_pool2d_backward(_batched(grad_output), codes, shape, output_size)
        return _shaped(gradient, ndim), None, None


def max_pool2d(
    input: Tensor,
    kernel_size: _Size,
    stride: _Size | None = None,
    padding: _Size = 0,
    dilation: _Size = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The largest value of every window; a NaN in a window is its result.

    Args:
        input: images (N, C, H, W) or one image (C, H, W), float32 or float64. N may be 0.
        kernel_size: size of the window, one number or (height, width).
        stride: step between windows; None means `kernel_size`.
        padding: rows and columns of minus infinity on both sides, at most half of `kernel_size`.
        dilation: distance between the taps of a window.
        ceil_mode: keep a last window that reaches beyond the padded input, if it starts within the input or its left
            padding.
        return_indices: return also the positions of the maxima.

    Returns:
        (N, C, H_out, W_out) with H_out = floor((H + 2 padding - dilation (kernel_size - 1) - 1) / stride) + 1 (ceil
        instead of floor in ceil mode); with `return_indices` also the int64 positions h * W + w in the input. Of equal
        values the first wins.

    Raises:
        ValueError: sizes that do not fit together, e.g. a window larger than the padded input.
        TypeError: not a floating-point input.

    Example:
        >>> import fastcnn as fc
        >>> image = fc.tensor([[[[1.0, 1, 2, 4], [5, 6, 7, 8], [3, 2, 1, 0], [1, 2, 3, 4]]]])
        >>> fc.functional.max_pool2d(image, 2).numpy().tolist()
        [[[[6.0, 8.0], [3.0, 4.0]]]]
    """
    step = kernel_size if stride is None else stride
    geometry = (*map(_numbers, (kernel_size, step, padding, dilation)), ceil_mode)
    return _MaxPool2d.apply(input, geometry, return_indices)


def avg_pool2d(
    input: Tensor,
    kernel_size: _Size,
    stride: _Size | None = None,
    padding: _Size = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """The mean of every window.

    Args:
        input: images (N, C, H, W) or one image (C, H, W), float32 or float64. N may be 0.
        kernel_size: size of the window, one number or (height, width).
        stride: step between windows; None means `kernel_size`.
        padding: rows and columns of zeros on both sides, at most half of `kernel_size`.
        ceil_mode: as in `max_pool2d`. What lies beyond the padding is never counted.
        count_include_pad: divide by the taps inside the input and its padding; False: by those inside the input.
        divisor_override: divide by this number instead; not 0.

    Returns:
        (N, C, H_out, W_out), sizes as in `max_pool2d`.

    Raises:
        ValueError: sizes that do not fit together, or a zero divisor.
        TypeError: not a floating-point input.

    Example:
        >>> import fastcnn as fc
        >>> fc.functional.avg_pool2d(fc.tensor([[[[1.0, 2.0], [3.0, 6.0]]]]), 2).numpy().tolist()
        [[[[3.0]]]]
    """
    step = kernel_size if stride is None else stride
    geometry = (*map(_numbers, (kernel_size, step, padding)), ceil_mode, count_include_pad, divisor_override)
    result: Tensor = _AvgPool2d.apply(input, geometry)
    return result


def adaptive_avg_pool2d(input: Tensor, output_size: _OutputSize) -> Tensor:
    """Means over as many windows as asked for; `output_size=1` is the global average pool.

    Output i along an axis is the mean of the inputs floor(i in / out) to ceil((i + 1) in / out) - 1.

    Args:
        input: images (N, C, H, W) or one image (C, H, W), float32 or float64. N may be 0.
        output_size: one number or (height, width); None keeps the size of the input.

    Returns:
        (N, C, output height, output width).

    Raises:
        ValueError: a negative size, or an input without pixels.
        TypeError: not a floating-point input.

    Example:
        >>> import fastcnn as fc
        >>> fc.functional.adaptive_avg_pool2d(fc.tensor([[[[1.0, 2.0, 3.0]]]]), (1, 2)).numpy().tolist()
        [[[[1.5, 2.5]]]]
    """
    result: Tensor = _AdaptiveAvgPool2d.apply(input, _numbers(output_size))
    return result


def adaptive_max_pool2d(input: Tensor, output_size: _OutputSize, return_indices: bool = False) -> Any:
    """The largest values of as many windows as asked for; windows as in `adaptive_avg_pool2d`.

    Args:
        input: images (N, C, H, W) or one image (C, H, W), float32 or float64. N may be 0.
        output_size: one number or (height, width); None keeps the size of the input.
        return_indices: return also the int64 positions h * W + w of the maxima.

    Returns:
        (N, C, output height, output width), and the positions if asked for.

    Raises:
        ValueError: a negative size, or an input without pixels.
        TypeError: not a floating-point input.

    Example:
        >>> import fastcnn as fc
        >>> fc.functional.adaptive_max_pool2d(fc.tensor([[[[1.0, 5.0, 3.0]]]]), (1, 2)).numpy().tolist()
        [[[[5.0, 5.0]]]]
    """
    return _AdaptiveMaxPool2d.apply(input, _numbers(output_size), return_indices)
