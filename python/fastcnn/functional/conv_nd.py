"""Convolutions in one and three dimensions, transposed convolutions, and filters of their own for every pixel."""

from __future__ import annotations

from typing import Any

from .. import _C
from ..autograd import Context, Function, RawTensor
from ..ops.elementwise import add
from ..ops.joining import stack
from ..ops.linalg import matmul
from ..ops.shape import permute, reshape, squeeze, unsqueeze
from ..tensor import Tensor
from .conv import _Geometry, _Size, conv2d
from .folding import batch_as_slices, check_rank, slices_as_batch, spread, tuple_of
from .padding import pad


def _check_channels(op: str, input: Tensor, weight: Tensor, groups: int, spatial: int) -> None:
    expected = weight.shape[1] * groups
    channels = input.shape[input.ndim - spatial - 1]
    if channels != expected:
        raise ValueError(
            f"{op}: input has {channels} channels, but weight {weight.shape} with groups={groups} expects {expected} "
            f"(input {input.shape})"
        )


def _same(op: str, padding: Any, stride: tuple[int, ...], kernel: tuple[int, ...], dilation: tuple[int, ...]) -> Any:
    """(before, after) of every axis."""
    if not isinstance(padding, str):
        return [(p, p) for p in tuple_of(op, "padding", padding, len(kernel))]
    if padding == "valid":
        return [(0, 0)] * len(kernel)
    if padding != "same":
        raise ValueError(f"{op}: padding is {padding!r}, but expected numbers, 'same' or 'valid'")
    if any(s != 1 for s in stride):
        raise ValueError(f"{op}: padding='same' needs stride 1, but stride is {stride}; give the padding in numbers")
    totals = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
    return [(total // 2, total - total // 2) for total in totals]


def conv1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: _Size = 1,
    padding: _Size | str = 0,
    dilation: _Size = 1,
    groups: int = 1,
) -> Tensor:
    """1-d convolution of sequences: `conv2d` of images of height 1, on the same memory.

    Args:
        input: sequences (N, C_in, L) or one (C_in, L), floating.
        weight: filters (C_out, C_in / groups, k), same dtype.
        bias: (C_out,) or None.
        stride: step between outputs, >= 1.
        padding: zeros on both sides, "valid" or "same".
        dilation: distance between the taps of a filter, >= 1.
        groups: groups of channels that do not see each other.

    Returns:
        (N, C_out, L_out) with L_out = floor((L + 2 padding - dilation (k - 1) - 1) / stride) + 1.

    Raises:
        ValueError: sizes that do not fit together.
        TypeError: dtypes differ or are not floating.

    Example:
        >>> import fastcnn as fc
        >>> fc.functional.conv1d(fc.zeros(2, 3, 10), fc.zeros(8, 3, 3), padding=1).shape
        (2, 8, 10)
    """
    check_rank("conv1d", input, weight, 1)
    _check_channels("conv1d", input, weight, groups, 1)
    (s,), (d,) = tuple_of("conv1d", "stride", stride, 1), tuple_of("conv1d", "dilation", dilation, 1)
    ((before, after),) = _same("conv1d", padding, (s,), weight.shape[2:], (d,))
    row = unsqueeze(input, -2)
    if before != after:
        row, before = pad(row, (before, after)), 0
    result = conv2d(row, unsqueeze(weight, 2), bias, (1, s), (0, before), (1, d), groups)
    return squeeze(result, -2)


def conv3d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: _Size = 1,
    padding: _Size | str = 0,
    dilation: _Size = 1,
    groups: int = 1,
) -> Tensor:
    """3-d convolution of volumes: the sum over the depth of the kernel of 2-d convolutions of slices.

    Args:
        input: volumes (N, C_in, D, H, W) or one (C_in, D, H, W), floating.
        weight: filters (C_out, C_in / groups, kD, kH, kW), same dtype.
        bias: (C_out,) or None.
        stride: step between outputs, one number or (sD, sH, sW).
        padding: zeros on both sides of each axis, one number or three, "valid" or "same".
        dilation: distance between the taps of a filter.
        groups: groups of channels that do not see each other.

    Returns:
        (N, C_out, D_out, H_out, W_out), sizes as in `conv2d`.

    Raises:
        ValueError: sizes that do not fit together.
        TypeError: dtypes differ or are not floating.

    Example:
        >>> import fastcnn as fc
        >>> fc.functional.conv3d(fc.zeros(1, 3, 8, 16, 16), fc.zeros(4, 3, 3, 3, 3), stride=2, padding=1).shape
        (1, 4, 4, 8, 8)
    """
    op = "conv3d"
    check_rank(op, input, weight, 3)
    _check_channels(op, input, weight, groups, 3)
    if input.ndim == 4:
        return squeeze(conv3d(unsqueeze(input, 0), weight, bias, stride, padding, dilation, groups), 0)
    strides, dilations = tuple_of(op, "stride", stride, 3), tuple_of(op, "dilation", dilation, 3)
    amounts = _same(op, padding, strides, weight.shape[2:], dilations)
    (front, back), (top, bottom), (left, right) = amounts
    if top != bottom or left != right:
        input = pad(input, (left, right, top, bottom, front, back))
        top = left = 0
    elif front or back:
        input = pad(input, (0, 0, 0, 0, front, back))
    depth, taps, step, gap = input.shape[2], weight.shape[2], strides[0], dilations[0]
    extent = gap * (taps - 1) + 1
    if step < 1 or gap < 1 or taps < 1 or extent > depth:
        raise ValueError(
            f"{op}: kernel covers {extent} slices of the depth (size {taps}, stride {step}, dilation {gap}), but the "
            f"padded input has {depth} (input {input.shape}, weight {weight.shape})"
        )
    out_depth = (depth - extent) // step + 1
    total = None
    for tap in range(taps):
        first = tap * gap
        slices = input if out_depth == depth else input[:, :, first : first + (out_depth - 1) * step + 1 : step]
        filters = weight[:, :, tap]
        part = conv2d(
            slices_as_batch(slices),
            filters,
            bias if tap == 0 else None,
            strides[1:],
            (top, left),
            dilations[1:],
            groups,
        )
        total = part if total is None else add(total, part)
    assert total is not None
    return batch_as_slices(total, out_depth)


class _ConvTranspose2d(Function):
    """The gradient of a convolution with respect to its input, as a forward."""

    @staticmethod
    def forward(
        ctx: Context, input: RawTensor, weight: RawTensor, size: tuple[int, ...], geometry: _Geometry
    ) -> RawTensor:
        ctx.save_for_backward(input, weight)
        ctx.conf = geometry
        return _C.conv2d_backward_input(input, weight, size, *geometry)

    @staticmethod
    def backward(ctx: Context, grad_output: RawTensor) -> Any:
        input, weight = ctx.saved_tensors
        geometry = ctx.conf
        grad_input = grad_weight = None
        if ctx.needs_input_grad[0]:
            grad_input = _C.conv2d_forward(grad_output, weight, None, *geometry)
        if ctx.needs_input_grad[1]:
            grad_weight = _C.conv2d_backward_weight(input, grad_output, weight.shape, *geometry)[0]
        return grad_input, grad_weight, None, None


def conv_transpose2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: _Size = 1,
    padding: _Size = 0,
    output_padding: _Size = 0,
    groups: int = 1,
    dilation: _Size = 1,
) -> Tensor:
    """Transposed convolution ("up-convolution"): the adjoint of `conv2d` with the same weight and geometry.

    Args:
        input: images (N, C_in, H, W) or one (C_in, H, W), floating.
        weight: filters (C_in, C_out / groups, kH, kW), same dtype.
        bias: (C_out,) or None.
        stride: step between the stamps that the inputs leave in the output.
        padding: rows and columns that are cut off on both sides.
        output_padding: rows and columns more at the bottom and on the right, below stride or dilation.
        groups: groups of channels that do not see each other.
        dilation: distance between the taps of a filter.

    Returns:
        (N, C_out, H_out, W_out) with H_out = (H - 1) stride - 2 padding + dilation (kH - 1) + output_padding + 1.

    Raises:
        ValueError: sizes that do not fit together.
        TypeError: dtypes differ or are not floating.

    Example:
        >>> import fastcnn as fc
        >>> fc.functional.conv_transpose2d(fc.zeros(1, 8, 5, 5), fc.zeros(8, 4, 2, 2), stride=2).shape
        (1, 4, 10, 10)
    """
    op = "conv_transpose2d"
    check_rank(op, input, weight, 2, transposed=True)
    if input.ndim == 3:
        batch = unsqueeze(input, 0)
        result = conv_transpose2d(batch, weight, bias, stride, padding, output_padding, groups, dilation)
        return squeeze(result, 0)
    steps, amounts = tuple_of(op, "stride", stride, 2), tuple_of(op, "padding", padding, 2)
    gaps, extra = tuple_of(op, "dilation", dilation, 2), tuple_of(op, "output_padding", output_padding, 2)
    check_transposed(op, input, weight, steps, amounts, extra, gaps, groups)
    # Rows that the padding cut off at the bottom come back first; what is beyond them holds zeros.
    kept = [max(p - e, 0) for p, e in zip(amounts, extra, strict=True)]
    beyond = [max(e - p, 0) for p, e in zip(amounts, extra, strict=True)]
    sizes = [
        (n - 1) * s - p - q + d * (k - 1) + 1
        for n, s, p, q, d, k in zip(input.shape[2:], steps, amounts, kept, gaps, weight.shape[2:], strict=True)
    ]
    geometry: _Geometry = (steps, (amounts[0], kept[0], amounts[1], kept[1]), gaps, groups)
    result = _ConvTranspose2d.apply(input, weight, (input.shape[0], weight.shape[1] * groups, *sizes), geometry)
    if any(beyond):
        result = pad(result, (0, beyond[1], 0, beyond[0]))
    return result if bias is None else add(result, reshape(bias, (1, -1, 1, 1)))


def check_transposed(
    op: str,
    input: Tensor,
    weight: Tensor,
    stride: tuple[int, ...],
    padding: tuple[int, ...],
    output_padding: tuple[int, ...],
    dilation: tuple[int, ...],
    groups: int,
) -> None:
    """The conditions that `conv2d` does not check for its adjoint."""
    spatial = len(stride)
    channels = input.shape[input.ndim - spatial - 1]
    if groups < 1 or channels % groups or channels != weight.shape[0]:
        raise ValueError(
            f"{op}: input has {channels} channels, but weight {weight.shape} with groups={groups} expects "
            f"{weight.shape[0]} (input {input.shape})"
        )
    for i in range(spatial):
        if stride[i] < 1 or dilation[i] < 1 or padding[i] < 0:
            raise ValueError(
                f"{op}: stride {stride} and dilation {dilation} must be positive, padding {padding} not negative"
            )
        if not 0 <= output_padding[i] < max(stride[i], dilation[i]):
            raise ValueError(
                f"{op}: output_padding is {output_padding}, but must be smaller than stride {stride} or dilation "
                f"{dilation}"
            )
        size = input.shape[input.ndim - spatial + i]
        length = (size - 1) * stride[i] - 2 * padding[i] + dilation[i] * (weight.shape[2 + i] - 1) + 1
        if length + output_padding[i] < 1:
            raise ValueError(
                f"{op}: the output would have size {length + output_padding[i]} (input {input.shape}, weight "
                f"{weight.shape}, padding {padding}); use less padding"
            )


def conv_transpose1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: _Size = 1,
    padding: _Size = 0,
    output_padding: _Size = 0,
    groups: int = 1,
    dilation: _Size = 1,
) -> Tensor:
    """Transposed 1-d convolution: `conv_transpose2d` of images of height 1; weight (C_in, C_out / groups, k).

    Example:
        >>> import fastcnn as fc
        >>> fc.functional.conv_transpose1d(fc.zeros(1, 8, 5), fc.zeros(8, 4, 2), stride=2).shape
        (1, 4, 10)
    """
    op = "conv_transpose1d"
    check_rank(op, input, weight, 1, transposed=True)
    s, p = tuple_of(op, "stride", stride, 1), tuple_of(op, "padding", padding, 1)
    e, d = tuple_of(op, "output_padding", output_padding, 1), tuple_of(op, "dilation", dilation, 1)
    check_transposed(op, input, weight, s, p, e, d, groups)
    row, filters = unsqueeze(input, -2), unsqueeze(weight, 2)
    return squeeze(conv_transpose2d(row, filters, bias, (1, *s), (0, *p), (0, *e), groups, (1, *d)), -2)


def conv_transpose3d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: _Size = 1,
    padding: _Size = 0,
    output_padding: _Size = 0,
    groups: int = 1,
    dilation: _Size = 1,
) -> Tensor:
    """Transposed 3-d convolution: for every depth of the kernel a `conv_transpose2d` of the slices, spread and summed.

    Args:
        input: volumes (N, C_in, D, H, W) or one (C_in, D, H, W), floating.
        weight: filters (C_in, C_out / groups, kD, kH, kW), same dtype.
        bias: (C_out,) or None.
        stride: one number or (sD, sH, sW).
        padding: likewise.
        output_padding: likewise, below stride or dilation.
        groups: groups of channels that do not see each other.
        dilation: one number or three.

    Returns:
        (N, C_out, D_out, H_out, W_out), sizes as in `conv_transpose2d`.

    Raises:
        ValueError: sizes that do not fit together.
    """
    op = "conv_transpose3d"
    check_rank(op, input, weight, 3, transposed=True)
    if input.ndim == 4:
        batch = unsqueeze(input, 0)
        return squeeze(conv_transpose3d(batch, weight, bias, stride, padding, output_padding, groups, dilation), 0)
    steps, amounts = tuple_of(op, "stride", stride, 3), tuple_of(op, "padding", padding, 3)
    extra, gaps = tuple_of(op, "output_padding", output_padding, 3), tuple_of(op, "dilation", dilation, 3)
    check_transposed(op, input, weight, steps, amounts, extra, gaps, groups)
    depth, taps = input.shape[2], weight.shape[2]
    length = (depth - 1) * steps[0] + gaps[0] * (taps - 1) + 1
    images = slices_as_batch(input)
    total = None
    for tap in range(taps):
        flat = conv_transpose2d(images, weight[:, :, tap], None, steps[1:], amounts[1:], extra[1:], groups, gaps[1:])
        part = spread(batch_as_slices(flat, depth), tap * gaps[0], steps[0], length)
        total = part if total is None else add(total, part)
    assert total is not None
    if amounts[0] or extra[0]:
        total = pad(total, (0, 0, 0, 0, -amounts[0], extra[0] - amounts[0]))
    return total if bias is None else add(total, reshape(bias, (1, -1, 1, 1, 1)))


def patches(input: Tensor, kernel_size: tuple[int, int], stride: tuple[int, int], dilation: tuple[int, int]) -> Tensor:
    """(N, C, kH * kW, H_out, W_out): what every tap of a window sees."""
    sizes = [
        (n - d * (k - 1) - 1) // s + 1
        for n, k, s, d in zip(input.shape[2:], kernel_size, stride, dilation, strict=True)
    ]
    taps = []
    for i in range(kernel_size[0]):
        for j in range(kernel_size[1]):
            top, left = i * dilation[0], j * dilation[1]
            rows = slice(top, top + (sizes[0] - 1) * stride[0] + 1, stride[0])
            columns = slice(left, left + (sizes[1] - 1) * stride[1] + 1, stride[1])
            taps.append(input[:, :, rows, columns])
    return stack(taps, 2)


def unfold(input: Tensor, kernel_size: _Size, dilation: _Size = 1, padding: _Size = 0, stride: _Size = 1) -> Tensor:
    """The windows of images as columns: a convolution is a product of matrices with them.

    Args:
        input: images (N, C, H, W), any dtype; gradients need a floating one.
        kernel_size: one number or (kH, kW).
        dilation: distance between the taps.
        padding: zeros on both sides.
        stride: step between windows.

    Returns:
        (N, C kH kW, number of windows).

    Raises:
        ValueError: not images, or a window larger than the padded input.
    """
    op = "unfold"
    if input.ndim != 4:
        raise ValueError(f"{op}: input has shape {input.shape}, but images (N, C, H, W) are expected")
    kernel, gaps = tuple_of(op, "kernel_size", kernel_size, 2), tuple_of(op, "dilation", dilation, 2)
    amounts, steps = tuple_of(op, "padding", padding, 2), tuple_of(op, "stride", stride, 2)
    if any(amounts):
        input = pad(input, (amounts[1], amounts[1], amounts[0], amounts[0]))
    if any(d * (k - 1) + 1 > n for d, k, n in zip(gaps, kernel, input.shape[2:], strict=True)):
        raise ValueError(f"{op}: kernel_size {kernel} with dilation {gaps} exceeds the padded input {input.shape}")
    taps = patches(input, (kernel[0], kernel[1]), (steps[0], steps[1]), (gaps[0], gaps[1]))
    n, c, k, h, w = taps.shape
    return reshape(taps, (n, c * k, h * w))


def locally_connected2d(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, stride: _Size = 1, padding: _Size = 0
) -> Tensor:
    """A convolution without shared weights: every output pixel has filters of its own. Not in torch.

    Args:
        input: images (N, C_in, H, W), floating.
        weight: (H_out, W_out, C_out, C_in, kH, kW), same dtype.
        bias: (C_out, H_out, W_out) or None.
        stride: step between outputs.
        padding: zeros on both sides.

    Returns:
        (N, C_out, H_out, W_out).

    Raises:
        ValueError: sizes that do not fit together.

    Example:
        >>> import fastcnn as fc
        >>> fc.functional.locally_connected2d(fc.ones(1, 2, 4, 4), fc.ones(3, 3, 5, 2, 2, 2)).numpy()[0, 0, 0, 0].item()
        8.0
    """
    op = "locally_connected2d"
    if input.ndim != 4 or weight.ndim != 6:
        raise ValueError(
            f"{op}: input has shape {input.shape} and weight {weight.shape}, but (N, C_in, H, W) and "
            f"(H_out, W_out, C_out, C_in, kH, kW) are expected"
        )
    h, w, c_out, c_in, *kernel = weight.shape
    columns = unfold(input, tuple(kernel), 1, padding, stride)
    if input.shape[1] != c_in or columns.shape[2] != h * w:
        raise ValueError(
            f"{op}: input {input.shape} gives {columns.shape[2]} windows of {input.shape[1]} channels, but weight "
            f"{weight.shape} has {h * w} of {c_in}"
        )
    windows = permute(columns, (2, 0, 1))  # (pixels, N, taps)
    filters = permute(reshape(weight, (h * w, c_out, columns.shape[1])), (0, 2, 1))
    result = reshape(permute(matmul(windows, filters), (1, 2, 0)), (input.shape[0], c_out, h, w))
    return result if bias is None else add(result, bias)
