"""Pools over regions of interest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..ops import reduction as _reduction
from ..ops.picking import index_select
from ..ops.shape import permute, reshape
from ..tensor import Tensor, tensor
from .folding import tuple_of

_Array = np.ndarray[Any, Any]


def _rows(op: str, boxes: Tensor | Sequence[Tensor], images: int) -> _Array:
    """(K, 5) numbers: image, x1, y1, x2, y2."""
    if isinstance(boxes, Tensor):
        table = boxes.detach().cpu().double().numpy()
        if table.ndim != 2 or table.shape[1] != 5:
            raise ValueError(f"{op}: boxes has shape {table.shape}, but (K, 5) is expected: image, x1, y1, x2, y2")
    else:
        parts = [part.detach().cpu().double().numpy() for part in boxes]
        if len(parts) != images:
            raise ValueError(f"{op}: boxes holds {len(parts)} tensors, but input has {images} images")
        for i, part in enumerate(parts):
            if part.ndim != 2 or part.shape[1] != 4:
                raise ValueError(f"{op}: boxes[{i}] has shape {part.shape}, but (K, 4) is expected: x1, y1, x2, y2")
        table = np.concatenate([np.zeros((0, 5)), *(np.insert(part, 0, i, axis=1) for i, part in enumerate(parts))])
    if not np.isfinite(table).all():
        raise ValueError(f"{op}: boxes holds NaN or infinite coordinates")
    strangers = table[(table[:, 0] < 0) | (table[:, 0] >= images), 0]
    if len(strangers):
        raise ValueError(f"{op}: boxes names image {strangers[0]:g}, but input has {images} images")
    return table


def _bins(low: _Array, high: _Array, count: int, size: int) -> tuple[_Array, _Array]:
    """First pixels and ends (exclusive) of the bins along an axis, both (K, count), for boxes of pixels low to high."""
    extent = np.maximum(high - low + 1, 1)[:, None]
    i = np.arange(count)
    first = i * extent // count
    end = -((i + 1) * extent // -count)
    return np.clip(low[:, None] + first, 0, size), np.clip(low[:, None] + end, 0, size)


def _windows(first: _Array, end: _Array) -> _Array:
    """(K, count, longest) pixels of every bin; the last pixel of shorter ones repeats, which changes no maximum."""
    longest = max(int((end - first).max(initial=0)), 1)
    pixels = first[..., None] + np.arange(longest)
    return np.asarray(np.maximum(np.minimum(pixels, end[..., None] - 1), 0))


def roi_pool(
    input: Tensor,
    boxes: Tensor | Sequence[Tensor],
    output_size: int | tuple[int, ...],
    spatial_scale: float = 1.0,
) -> Tensor:
    """The largest value in every cell of a grid laid over each region of interest, like `torchvision.ops.roi_pool`.

    A region covers the pixels round(x1 s) to round(x2 s), both included, likewise in y; cell i of n along a side of
    length l covers its pixels floor(i l / n) to ceil((i + 1) l / n) - 1. Cells outside the image are 0.

    Args:
        input: feature maps (N, C, H, W), floating.
        boxes: (K, 5) of image, x1, y1, x2, y2, or one (K_i, 4) tensor per image. Read on the host; no gradient.
        output_size: (rows, columns) of the grid, or one number for both.
        spatial_scale: s, from coordinates to pixels of the maps, e.g. 1 / 16 behind strides of 16.

    Returns:
        (K, C, rows, columns). The gradient goes to the pixels with the largest values.

    Raises:
        ValueError: shapes that do not fit, an image that is not there, or a grid without cells.

    Example:
        >>> import fastcnn as fc
        >>> image = fc.arange(16, dtype=fc.float32).reshape(1, 1, 4, 4)
        >>> fc.functional.roi_pool(image, [fc.tensor([[0.0, 0.0, 2.0, 2.0]])], 2).tolist()
        [[[[5.0, 6.0], [9.0, 10.0]]]]

    Source: Girshick, "Fast R-CNN", ICCV 2015, arXiv:1504.08083, section 2.1.
    """
    op = "roi_pool"
    if input.ndim != 4:
        raise ValueError(f"{op}: input has shape {input.shape}, but feature maps (N, C, H, W) are expected")
    rows, columns = tuple_of(op, "output_size", output_size, 2)
    if rows < 1 or columns < 1:
        raise ValueError(f"{op}: output_size is {output_size}, but at least 1 cell each way is expected")
    n, c, h, w = input.shape
    table = _rows(op, boxes, n)
    scaled = table[:, 1:] * spatial_scale
    corners = np.copysign(np.floor(np.abs(scaled) + 0.5), scaled).astype(np.int64)  # halves away from zero
    x1, y1, x2, y2 = corners.T
    top, bottom = _bins(y1, y2, rows, h)
    left, right = _bins(x1, x2, columns, w)
    ys, xs = _windows(top, bottom), _windows(left, right)  # (K, rows, kH), (K, columns, kW)
    image = table[:, 0].astype(np.int64).reshape(-1, 1, 1, 1, 1)
    # (K, rows, columns, kH, kW): positions in the (N H W, C) rows that channels-last memory is
    positions = (image * h + ys[:, :, None, :, None]) * w + xs[:, None, :, None, :]
    cells = len(table) * rows * columns
    pixels = reshape(permute(input, (0, 2, 3, 1)), (n * h * w, c))
    seen = index_select(pixels, 0, tensor(positions.reshape(-1), device=input.device))
    values, _ = _reduction.max(reshape(seen, (cells, ys.shape[2] * xs.shape[2], c)), 1)
    filled = ((bottom > top)[:, :, None] & (right > left)[:, None, :]).astype(np.float64)
    pooled = permute(reshape(values, (len(table), rows, columns, c)), (0, 3, 1, 2))
    if filled.all():
        return pooled
    mask = tensor(filled[:, None], input.dtype, input.device)
    return pooled * mask
