"""Pools with random windows, pools undone, pyramids of pools, and blurred subsampling."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from .. import _C
from ..autograd import Context, Function, RawTensor
from ..ops import reduction as _reduction
from ..ops.creation import rand
from ..ops.joining import cat
from ..ops.picking import gather
from ..ops.shape import reshape
from ..tensor import Tensor, tensor
from .conv import conv2d
from .folding import check_rank, tuple_of
from .padding import pad
from .pooling import _Size, adaptive_avg_pool2d, adaptive_max_pool2d


def _starts(size: int, kernel: int, output: int, u: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """First pixels of the windows along an axis for every u in [0, 1): int64 (len(u), output)."""
    if output == 1:
        return np.full((*u.shape, 1), size - kernel, np.int64)
    alpha = (size - kernel) / (output - 1)
    i = np.arange(output - 1)
    first = ((i + u[..., None]) * alpha).astype(np.int64) - (u[..., None] * alpha).astype(np.int64)
    return np.concatenate([first, np.full((*u.shape, 1), size - kernel, np.int64)], axis=-1)


def fractional_max_pool2d(
    input: Tensor,
    kernel_size: _Size,
    output_size: _Size | None = None,
    output_ratio: float | tuple[float, float] | None = None,
    return_indices: bool = False,
    _random_samples: Tensor | None = None,
) -> Any:
    """Maxima of windows whose distances are random, on average input size / output size, which is no integer.

    Args:
        input: images (N, C, H, W), floating.
        kernel_size: size of the windows, one number or two.
        output_size: (H_out, W_out), or
        output_ratio: output size / input size, in (0, 1).
        return_indices: return also the int64 positions h * W + w of the maxima.
        _random_samples: (N, C, 2) numbers in [0, 1) that shift the windows (along W, along H); drawn unless given.

    Returns:
        (N, C, H_out, W_out), and the positions if asked for.

    Raises:
        ValueError: not images, neither or both sizes given, or an output too large for the windows.

    Example:
        >>> import fastcnn as fc
        >>> fc.functional.fractional_max_pool2d(fc.zeros(1, 3, 25, 25), 2, output_ratio=0.7).shape
        (1, 3, 17, 17)

    Source: Graham, "Fractional max-pooling", 2014 (pseudo-random overlapping windows).
    """
    op = "fractional_max_pool2d"
    if input.ndim != 4:
        raise ValueError(f"{op}: input has shape {input.shape}, but images (N, C, H, W) are expected")
    if (output_size is None) == (output_ratio is None):
        raise ValueError(f"{op}: give either output_size or output_ratio")
    n, c, *image = input.shape
    kernel = tuple_of(op, "kernel_size", kernel_size, 2)
    if output_size is None:
        ratios: Any = tuple_of(op, "output_ratio", output_ratio, 2)
        if not all(0 < r < 1 for r in ratios):
            raise ValueError(f"{op}: output_ratio is {output_ratio}, but must be in (0, 1)")
        output = tuple(int(size * r) for size, r in zip(image, ratios, strict=True))
    else:
        output = tuple_of(op, "output_size", output_size, 2)
    if any(not 1 <= o <= size - k + 1 for o, size, k in zip(output, image, kernel, strict=True)):
        raise ValueError(f"{op}: {output} windows of size {kernel} do not fit into input {input.shape}")
    samples = rand(n, c, 2) if _random_samples is None else _random_samples
    u = samples.cpu().double().numpy()
    rows = _starts(image[0], kernel[0], output[0], u[..., 1])[..., :, None] + np.arange(kernel[0])
    columns = _starts(image[1], kernel[1], output[1], u[..., 0])[..., :, None] + np.arange(kernel[1])
    # (N, C, H_out, W_out, kH, kW)
    positions = rows[:, :, :, None, :, None] * image[1] + columns[:, :, None, :, None, :]
    index = tensor(np.ascontiguousarray(positions.reshape(n, c, -1)), device=input.device)
    windows = reshape(gather(reshape(input, (n, c, -1)), 2, index), (n, c, output[0] * output[1], -1))
    values, winners = _reduction.max(windows, 3)
    result = reshape(values, (n, c, *output))
    if not return_indices:
        return result
    places = gather(reshape(index, windows.shape), 3, winners.unsqueeze(3))
    return result, reshape(places, (n, c, *output))


class _MaxUnpool(Function):
    @staticmethod
    def forward(ctx: Context, input: RawTensor, index: RawTensor, size: int) -> RawTensor:
        """(N, C, P) values at positions (N, C, P) of zeros (N, C, size); values that share a position are equal."""
        ctx.save_for_backward(index)
        shape = (*input.shape[:2], size)
        ones = _C.full(input.shape, 1.0, input.dtype, input.device, input.layout)
        total = _C.gather_backward(input, shape, input.layout, 2, index)
        count = _C.gather_backward(ones, shape, input.layout, 2, index)
        return _C.div(total, _C.maximum(count, 1.0))

    @staticmethod
    def backward(ctx: Context, grad_output: RawTensor) -> Any:
        (index,) = ctx.saved_tensors
        return _C.gather(grad_output, 2, index), None, None


def _unpooled_size(op: str, pooled: tuple[int, ...], stride: _Size | None, padding: _Size, kernel_size: _Size,
                   output_size: Any) -> tuple[int, ...]:  # fmt: skip
    spatial = len(pooled)
    kernel, amounts = tuple_of(op, "kernel_size", kernel_size, spatial), tuple_of(op, "padding", padding, spatial)
    steps = tuple_of(op, "stride", kernel if stride is None else stride, spatial)
    usual = tuple((o - 1) * s - 2 * p + k for o, s, p, k in zip(pooled, steps, amounts, kernel, strict=True))
    if output_size is None:
        return usual
    given = tuple(output_size)
    if not spatial <= len(given) <= spatial + 2:
        raise ValueError(f"{op}: output_size is {given}, but {spatial} numbers or the shape of the pool's input are "
                         f"expected")  # fmt: skip
    size = given[-spatial:]
    if not all(u - s < o < u + s for o, u, s in zip(size, usual, steps, strict=True)):
        raise ValueError(f"{op}: output_size is {size}, but must be strictly between {usual} minus and plus the stride "
                         f"{steps}")  # fmt: skip
    return size


def _max_unpool(
    spatial: int,
    input: Tensor,
    indices: Tensor,
    kernel_size: _Size,
    stride: _Size | None,
    padding: _Size,
    output_size: Any,
) -> Tensor:
    op = f"max_unpool{spatial}d"
    check_rank(op, input, None, spatial)
    if input.shape != indices.shape:
        sizes = ("L", "H, W", "D, H, W")[spatial - 1]
        raise ValueError(f"{op}: input has shape {input.shape} and indices {indices.shape}, but equal (N, C, {sizes}) "
                         f"are expected")  # fmt: skip
    if indices.dtype != _C.int64:
        raise TypeError(f"{op}: indices is {indices.dtype}, but int64 is expected; use what the pool returned")
    size = _unpooled_size(op, input.shape[-spatial:], stride, padding, kernel_size, output_size)
    total = math.prod(size)
    if indices.numel():
        lowest, highest = int(indices.min()), int(indices.max())
        if lowest < 0 or highest >= total:
            raise IndexError(
                f"{op}: indices hold {highest if lowest >= 0 else lowest}, but positions in an output of {size} are in "
                f"[0, {total})"
            )
    planes = input.shape[:-spatial]
    rows = (*((1,) if len(planes) == 1 else ()), *planes, math.prod(input.shape[-spatial:]))
    flat: Tensor = _MaxUnpool.apply(reshape(input, rows), reshape(indices, rows), total)
    return reshape(flat, (*planes, *size))


def max_unpool1d(
    input: Tensor,
    indices: Tensor,
    kernel_size: _Size,
    stride: _Size | None = None,
    padding: _Size = 0,
    output_size: Any = None,
) -> Tensor:
    """Puts maxima back where `max_pool1d(..., return_indices=True)` found them: (N, C, L) or (C, L).

    Arguments as in `max_unpool2d`; `indices` are positions l.

    Example:
        >>> import fastcnn as fc
        >>> F = fc.functional
        >>> maxima, places = F.max_pool1d(fc.tensor([[1.0, 2.0, 4.0, 3.0]]), 2, return_indices=True)
        >>> F.max_unpool1d(maxima, places, 2).tolist()
        [[0.0, 2.0, 4.0, 0.0]]
    """
    return _max_unpool(1, input, indices, kernel_size, stride, padding, output_size)


def max_unpool2d(
    input: Tensor,
    indices: Tensor,
    kernel_size: _Size,
    stride: _Size | None = None,
    padding: _Size = 0,
    output_size: Any = None,
) -> Tensor:
    """Puts maxima back where `max_pool2d(..., return_indices=True)` found them; zeros elsewhere.

    Args:
        input: (N, C, H, W) or (C, H, W), floating.
        indices: int64 of the same shape, positions h * W_out + w ("switches").
        kernel_size: of the pool.
        stride: of the pool; None means `kernel_size`.
        padding: of the pool.
        output_size: size or shape of the pool's input, where several give the same output; less than a stride from
            the size that is taken otherwise.

    Returns:
        (N, C, H_out, W_out), H_out = (H - 1) stride - 2 padding + kernel_size unless given.

    Raises:
        ValueError: shapes or sizes that do not fit.
        TypeError: indices that are not int64.
        IndexError: a position outside the output.

    Example:
        >>> import fastcnn as fc
        >>> F = fc.functional
        >>> maxima, places = F.max_pool2d(fc.tensor([[[1.0, 2.0], [4.0, 3.0]]]), 2, return_indices=True)
        >>> F.max_unpool2d(maxima, places, 2).tolist()
        [[[0.0, 0.0], [4.0, 0.0]]]

    Source: Zeiler, Taylor, Fergus, "Adaptive deconvolutional networks", ICCV 2011.
    """
    return _max_unpool(2, input, indices, kernel_size, stride, padding, output_size)


def max_unpool3d(
    input: Tensor,
    indices: Tensor,
    kernel_size: _Size,
    stride: _Size | None = None,
    padding: _Size = 0,
    output_size: Any = None,
) -> Tensor:
    """Puts maxima back where `max_pool3d(..., return_indices=True)` found them: (N, C, D, H, W) or (C, D, H, W).

    Arguments as in `max_unpool2d`; `indices` are positions (d H_out + h) W_out + w.

    Example:
        >>> import fastcnn as fc
        >>> F = fc.functional
        >>> maxima, places = F.max_pool3d(fc.ones(1, 2, 4, 6, 8), 2, return_indices=True)
        >>> F.max_unpool3d(maxima, places, 2).shape
        (1, 2, 4, 6, 8)
    """
    return _max_unpool(3, input, indices, kernel_size, stride, padding, output_size)


def spatial_pyramid_pool2d(input: Tensor, output_sizes: tuple[int, ...] = (4, 2, 1), mode: str = "max") -> Tensor:
    """A vector of fixed length from images of any size: adaptive pools to several grids, side by side. Not in torch.

    Args:
        input: images (N, C, H, W), floating.
        output_sizes: sides of the grids; (4, 2, 1) gives 16 + 4 + 1 = 21 numbers per channel.
        mode: "max" or "avg".

    Returns:
        (N, C * sum of the squared sides): grid after grid, each in the order (C, row, column).

    Raises:
        ValueError: another mode, or not images.

    Example:
        >>> import fastcnn as fc
        >>> fc.functional.spatial_pyramid_pool2d(fc.zeros(2, 256, 13, 17)).shape
        (2, 5376)

    Source: He et al., "Spatial pyramid pooling in deep convolutional networks", ECCV 2014.
    """
    op = "spatial_pyramid_pool2d"
    if input.ndim != 4:
        raise ValueError(f"{op}: input has shape {input.shape}, but images (N, C, H, W) are expected")
    if mode not in ("max", "avg"):
        raise ValueError(f"{op}: mode is {mode!r}, but 'max' or 'avg' is expected")
    pool = adaptive_max_pool2d if mode == "max" else adaptive_avg_pool2d
    return cat([reshape(pool(input, side), (input.shape[0], -1)) for side in output_sizes], 1)


@functools.lru_cache(maxsize=64)
def _binomial(size: int, channels: int, dtype: _C.dtype, device: str) -> Tensor:
    """One normalised binomial window per channel: (C, 1, size, size)."""
    line = np.ones(1)
    for _ in range(size - 1):
        line = np.convolve(line, [1.0, 1.0])
    window = np.outer(line, line) / line.sum() ** 2
    return tensor(np.ascontiguousarray(np.broadcast_to(window, (channels, 1, size, size))), dtype, device)


def blur_pool2d(
    input: Tensor, filt_size: int = 4, stride: int = 2, pad_type: str = "reflect", pad_off: int = 0
) -> Tensor:
    """Subsampling behind a binomial low-pass filter, which keeps high frequencies from turning into low ones.

    Args:
        input: images (N, C, H, W), floating.
        filt_size: side of the filter: 1 [1], 2 [1, 1] (rectangle), 3 [1, 2, 1] (triangle), 5 [1, 4, 6, 4, 1], ...
        stride: of the subsampling.
        pad_type: "reflect", "replicate", "constant" or "circular".
        pad_off: added to the padding, (filt_size - 1) / 2 on all sides, rounded up on the right and at the bottom.

    Returns:
        (N, C, H_out, W_out), H_out = ceil(H / stride) for pad_off 0.

    Raises:
        ValueError: not images, or a filter size below 1.

    Example:
        >>> import fastcnn as fc
        >>> fc.functional.blur_pool2d(fc.ones(1, 2, 8, 8)).shape
        (1, 2, 4, 4)

    Source: Zhang, "Making convolutional networks shift-invariant again", ICML 2019.
    """
    op = "blur_pool2d"
    if input.ndim != 4:
        raise ValueError(f"{op}: input has shape {input.shape}, but images (N, C, H, W) are expected")
    if filt_size < 1:
        raise ValueError(f"{op}: filt_size is {filt_size}, but must be at least 1")
    before, after = (filt_size - 1) // 2 + pad_off, filt_size // 2 + pad_off
    if before or after:
        input = pad(input, (before, after, before, after), pad_type)
    if filt_size == 1:
        return input[:, :, ::stride, ::stride]
    channels = input.shape[1]
    return conv2d(input, _binomial(filt_size, channels, input.dtype, str(input.device)), stride=stride, groups=channels)
