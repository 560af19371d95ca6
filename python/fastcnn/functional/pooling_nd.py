"""Pools in one and three dimensions, composed of 2-d pools; sums and power means."""

from __future__ import annotations

import math
from typing import Any

from ..ops.elementwise import abs, floor_divide, mul, ne, neg, pow, where
from ..ops.picking import gather
from ..ops.shape import reshape, squeeze, unsqueeze
from ..tensor import Tensor
from .folding import batch_as_slices, check_rank, slices_as_batch, tuple_of
from .pointwise import check_floating
from .pooling import _OutputSize, _Size, adaptive_avg_pool2d, adaptive_max_pool2d, avg_pool2d, max_pool2d


def max_pool1d(
    input: Tensor,
    kernel_size: _Size,
    stride: _Size | None = None,
    padding: _Size = 0,
    dilation: _Size = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The largest value of every window of (N, C, L) or (C, L); arguments as in `max_pool2d`."""
    op = "max_pool1d"
    check_rank(op, input, None, 1)
    (k,), (p,), (d,) = (
        tuple_of(op, name, value, 1)
        for name, value in (("kernel_size", kernel_size), ("padding", padding), ("dilation", dilation))
    )
    (s,) = tuple_of(op, "stride", kernel_size if stride is None else stride, 1)
    result = max_pool2d(unsqueeze(input, -2), (1, k), (1, s), (0, p), (1, d), ceil_mode, return_indices)
    return (squeeze(result[0], -2), squeeze(result[1], -2)) if return_indices else squeeze(result, -2)


def avg_pool1d(
    input: Tensor,
    kernel_size: _Size,
    stride: _Size | None = None,
    padding: _Size = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:
    """The mean of every window of (N, C, L) or (C, L); arguments as in `avg_pool2d`."""
    op = "avg_pool1d"
    check_rank(op, input, None, 1)
    (k,), (p,) = tuple_of(op, "kernel_size", kernel_size, 1), tuple_of(op, "padding", padding, 1)
    (s,) = tuple_of(op, "stride", kernel_size if stride is None else stride, 1)
    return squeeze(avg_pool2d(unsqueeze(input, -2), (1, k), (1, s), (0, p), ceil_mode, count_include_pad), -2)


def _depth_as_height(planes: Tensor) -> Tensor:
    """(N, C, D, H, W) -> (N, C, D, H W)."""
    n, c, d, h, w = planes.shape
    return reshape(planes, (n, c, d, h * w))


def max_pool3d(
    input: Tensor,
    kernel_size: _Size,
    stride: _Size | None = None,
    padding: _Size = 0,
    dilation: _Size = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """The largest value of every window of (N, C, D, H, W) or (C, D, H, W): over each slice, then over the depth.

    Arguments as in `max_pool2d`, numbers or triples; indices are positions (d H + h) W + w.
    """
    op = "max_pool3d"
    check_rank(op, input, None, 3)
    if input.ndim == 4:
        result = max_pool3d(unsqueeze(input, 0), kernel_size, stride, padding, dilation, ceil_mode, return_indices)
        return (squeeze(result[0], 0), squeeze(result[1], 0)) if return_indices else squeeze(result, 0)
    k, p = tuple_of(op, "kernel_size", kernel_size, 3), tuple_of(op, "padding", padding, 3)
    d, s = tuple_of(op, "dilation", dilation, 3), tuple_of(op, "stride", k if stride is None else stride, 3)
    _, _, depth, height, width = input.shape
    flat = max_pool2d(slices_as_batch(input), k[1:], s[1:], p[1:], d[1:], ceil_mode, return_indices)
    planes = batch_as_slices(flat[0] if return_indices else flat, depth)
    h, w = planes.shape[3:]
    along = max_pool2d(_depth_as_height(planes), (k[0], 1), (s[0], 1), (p[0], 0), (d[0], 1), ceil_mode, return_indices)
    values = along[0] if return_indices else along
    shape = (*values.shape[:3], h, w)
    if not return_indices:
        return reshape(values, shape)
    slices = floor_divide(along[1], max(h * w, 1))  # positions of `along` are slice * (h w) + column
    within = gather(_depth_as_height(batch_as_slices(flat[1], depth)), 2, slices)
    return reshape(values, shape), reshape(slices * (height * width) + within, shape)


def avg_pool3d(
    input: Tensor,
    kernel_size: _Size,
    stride: _Size | None = None,
    padding: _Size = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """The mean of every window of (N, C, D, H, W) or (C, D, H, W): over each slice, then over the depth.

    Arguments as in `avg_pool2d`, numbers or triples.
    """
    op = "avg_pool3d"
    check_rank(op, input, None, 3)
    if input.ndim == 4:
        batch = unsqueeze(input, 0)
        arguments = (kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)
        return squeeze(avg_pool3d(batch, *arguments), 0)
    k, p = tuple_of(op, "kernel_size", kernel_size, 3), tuple_of(op, "padding", padding, 3)
    s = tuple_of(op, "stride", k if stride is None else stride, 3)
    inner = None if divisor_override is None else 1
    flat = avg_pool2d(slices_as_batch(input), k[1:], s[1:], p[1:], ceil_mode, count_include_pad, inner)
    planes = batch_as_slices(flat, input.shape[2])
    values = avg_pool2d(
        _depth_as_height(planes), (k[0], 1), (s[0], 1), (p[0], 0), ceil_mode, count_include_pad, divisor_override
    )
    return reshape(values, (*values.shape[:3], *planes.shape[3:]))


def adaptive_avg_pool1d(input: Tensor, output_size: _OutputSize) -> Tensor:
    """Means over as many windows of (N, C, L) or (C, L) as asked for; see `adaptive_avg_pool2d`."""
    check_rank("adaptive_avg_pool1d", input, None, 1)
    (size,) = tuple_of("adaptive_avg_pool1d", "output_size", output_size, 1)
    return squeeze(adaptive_avg_pool2d(unsqueeze(input, -2), (1, size)), -2)


def adaptive_max_pool1d(input: Tensor, output_size: _OutputSize, return_indices: bool = False) -> Any:
    """The largest values of as many windows of (N, C, L) or (C, L) as asked for; see `adaptive_max_pool2d`."""
    check_rank("adaptive_max_pool1d", input, None, 1)
    (size,) = tuple_of("adaptive_max_pool1d", "output_size", output_size, 1)
    result = adaptive_max_pool2d(unsqueeze(input, -2), (1, size), return_indices)
    return (squeeze(result[0], -2), squeeze(result[1], -2)) if return_indices else squeeze(result, -2)


def _adaptive3d(op: str, pool: Any, input: Tensor, output_size: _OutputSize) -> Tensor:
    check_rank(op, input, None, 3)
    if input.ndim == 4:
        return squeeze(_adaptive3d(op, pool, unsqueeze(input, 0), output_size), 0)
    size = tuple_of(op, "output_size", output_size, 3)
    planes = batch_as_slices(pool(slices_as_batch(input), size[1:]), input.shape[2])
    values = pool(_depth_as_height(planes), (size[0], None))
    return reshape(values, (*values.shape[:3], *planes.shape[3:]))


def adaptive_avg_pool3d(input: Tensor, output_size: _OutputSize) -> Tensor:
    """Means over as many windows of (N, C, D, H, W) or (C, D, H, W) as asked for; see `adaptive_avg_pool2d`."""
    return _adaptive3d("adaptive_avg_pool3d", adaptive_avg_pool2d, input, output_size)


def adaptive_max_pool3d(input: Tensor, output_size: _OutputSize) -> Tensor:
    """The largest values of as many windows of (N, C, D, H, W) or (C, D, H, W) as asked for. No indices."""
    return _adaptive3d("adaptive_max_pool3d", adaptive_max_pool2d, input, output_size)


def sum_pool2d(
    input: Tensor, kernel_size: _Size, stride: _Size | None = None, padding: _Size = 0, ceil_mode: bool = False
) -> Tensor:
    """The sum of every window: `avg_pool2d` with divisor 1. Not in torch.

    Example:
        >>> import fastcnn as fc
        >>> fc.functional.sum_pool2d(fc.tensor([[[[1.0, 2.0], [3.0, 6.0]]]]), 2).item()
        12.0
    """
    return avg_pool2d(input, kernel_size, stride, padding, ceil_mode, True, 1)


def _power_mean(
    spatial: int, input: Tensor, norm_type: float, kernel_size: _Size, stride: _Size | None, ceil_mode: bool
) -> Tensor:
    op = f"lp_pool{spatial}d"
    check_rank(op, input, None, spatial)
    check_floating(op, input)
    if norm_type == 0:
        raise ValueError(f"{op}: norm_type is 0, but must not be")
    kernel = tuple_of(op, "kernel_size", kernel_size, spatial)
    steps = None if stride is None else tuple_of(op, "stride", stride, spatial)
    if math.isinf(norm_type):
        largest: Any = (max_pool1d, max_pool2d, max_pool3d)[spatial - 1]
        sizes = abs(input)
        if norm_type > 0:
            return largest(sizes, kernel, steps, ceil_mode=ceil_mode)  # type: ignore[no-any-return]
        return neg(largest(neg(sizes), kernel, steps, ceil_mode=ceil_mode))
    mean: Any = (avg_pool1d, avg_pool2d, avg_pool3d)[spatial - 1]
    sums = mul(mean(pow(input, float(norm_type)), kernel, steps, ceil_mode=ceil_mode), float(math.prod(kernel)))
    return pow(where(ne(sums, 0.0), sums, 0.0), 1.0 / norm_type)  # no gradient where the root has none


def lp_pool1d(
    input: Tensor, norm_type: float, kernel_size: _Size, stride: _Size | None = None, ceil_mode: bool = False
) -> Tensor:
    """(sum of x^p) ^ (1 / p) over every window of (N, C, L) or (C, L).

    Args:
        input: sequences, floating; not negative where p is no even number.
        norm_type: p, not 0; 1 gives the sum, infinity the largest |x|, minus infinity the smallest.
        kernel_size: size of the window.
        stride: step between windows; None means `kernel_size`.
        ceil_mode: as in `max_pool2d`.

    Returns:
        (N, C, L_out), as for `avg_pool1d`. Where all x^p of a window add up to 0, its gradient is 0.

    Raises:
        ValueError: p is 0, or shapes that do not fit.
        TypeError: the input is not floating.

    Example:
        >>> import fastcnn as fc
        >>> fc.functional.lp_pool1d(fc.tensor([[3.0, 4.0, 0.0, 5.0]]), 2, 2).tolist()
        [[5.0, 5.0]]
    """
    return _power_mean(1, input, norm_type, kernel_size, stride, ceil_mode)


def lp_pool2d(
    input: Tensor, norm_type: float, kernel_size: _Size, stride: _Size | None = None, ceil_mode: bool = False
) -> Tensor:
    """(sum of x^p) ^ (1 / p) over every window of (N, C, H, W) or (C, H, W); see `lp_pool1d`."""
    return _power_mean(2, input, norm_type, kernel_size, stride, ceil_mode)


def lp_pool3d(
    input: Tensor, norm_type: float, kernel_size: _Size, stride: _Size | None = None, ceil_mode: bool = False
) -> Tensor:
    """(sum of x^p) ^ (1 / p) over every window of (N, C, D, H, W) or (C, D, H, W); see `lp_pool1d`.

    Example:
        >>> import fastcnn as fc
        >>> fc.functional.lp_pool3d(fc.full((1, 1, 4, 4, 4), 2.0), 3, 2)[0, 0, 0, 0, 0].item()  # (8 * 2^3)^(1/3)
        4.0
    """
    return _power_mean(3, input, norm_type, kernel_size, stride, ceil_mode)
