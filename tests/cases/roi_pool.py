"""Pools over regions of interest."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fastcnn import functional as F

from . import Array, Case, ErrorCase, Op

# Image, x1, y1, x2, y2: inside, reaching out on two sides, smaller than the grid, upside down, outside altogether.
BOXES = np.array(
    [[0, 1, 0, 6, 4], [1, -2, 3, 3, 9], [1, 2, 2, 3, 2], [0, 5, 4, 4, 1], [1, 20, 20, 25, 30], [0, 0.5, 1.5, 4.5, 3]]
)


def _roi_pool(input: Any, boxes: Any, output_size: tuple[int, int], spatial_scale: float = 1.0) -> Any:
    """Cell by cell."""
    rows, columns = output_size
    _, c, h, w = input.shape
    y = np.zeros((len(boxes), c, rows, columns))
    for k, (image, *corners) in enumerate(boxes):
        x1, y1, x2, y2 = (int(math.copysign(math.floor(abs(v * spatial_scale) + 0.5), v)) for v in corners)
        height, width = max(y2 - y1 + 1, 1), max(x2 - x1 + 1, 1)
        for i, j in np.ndindex(rows, columns):
            top, bottom = (y1 + f(t * height / rows) for f, t in ((math.floor, i), (math.ceil, i + 1)))
            left, right = (x1 + f(t * width / columns) for f, t in ((math.floor, j), (math.ceil, j + 1)))
            cell = input[int(image), :, max(top, 0) : max(min(bottom, h), 0), max(left, 0) : max(min(right, w), 0)]
            if cell.size:
                y[k, :, i, j] = cell.max((1, 2))
    return y


def _case(id: str, shape: tuple[int, ...], boxes: np.ndarray, size: tuple[int, int], scale: float = 1.0) -> Case:
    args = {"input": Array(shape, "distinct"), "boxes": boxes, "output_size": size, "spatial_scale": scale}
    return Case(id, args, terms_grad=40)


def _error(id: str, *words: str, **changes: Any) -> ErrorCase:
    args = {"input": Array((2, 3, 5, 7)), "boxes": BOXES, "output_size": 2} | changes
    return ErrorCase(id, args, ValueError, words)


OPS = (
    Op(
        "roi_pool",
        F.roi_pool,
        (
            _case("n2-c3-h5w7-2x3", (2, 3, 5, 7), BOXES, (2, 3)),
            _case("n2-c17-h6w9-half", (2, 17, 6, 9), BOXES, (3, 2), 0.5),
            _case("n1-c1-h1w1-7x7", (1, 1, 1, 1), np.zeros((1, 5)), (7, 7)),
            _case("n1-c2-h4w4-none", (1, 2, 4, 4), np.zeros((0, 5)), (2, 2)),
        ),
        _roi_pool,
        None,
        ("input",),
        (
            _error("rank", "roi_pool", "(N, C, H, W)", input=Array((2, 3))),
            _error("size", "output_size is 0", output_size=0),
            _error("boxes", "boxes has shape (6, 4)", "(K, 5)", boxes=BOXES[:, 1:]),
            _error("image", "boxes names image 2", "2 images", boxes=BOXES + np.array([1, 0, 0, 0, 0])),
            _error("nan", "NaN", boxes=BOXES * np.nan),
        ),
    ),
)
