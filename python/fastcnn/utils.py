"""Pictures of tensors, as in `torchvision.utils`: filters, templates and images side by side, written as PNG files."""

from __future__ import annotations

import math
import os
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from .tensor import Tensor, from_numpy

__all__ = ["make_grid", "save_image"]


def make_grid(
    tensor: Tensor,
    nrow: int = 8,
    padding: int = 2,
    normalize: bool = False,
    value_range: tuple[float, float] | None = None,
    scale_each: bool = False,
    pad_value: float = 0.0,
) -> Tensor:
    """Puts images next to each other.

    Args:
        tensor: images (N, C, H, W), C 1 or 3, or one (C, H, W); also the weights of a first layer, as templates.
        nrow: images in a row.
        padding: pixels between them and around all.
        normalize: scale values to [0, 1].
        value_range: what to scale from; the smallest and largest value unless given.
        scale_each: take those of each image instead of all together.
        pad_value: of the pixels between.

    Returns:
        One picture (3, H_out, W_out); grey images become colour ones with three equal channels.

    Raises:
        ValueError: not images with 1 or 3 channels, none at all, or `nrow` below 1.

    Example:
        >>> import fastcnn as fc
        >>> layer = fc.nn.Conv2d(3, 64, 11)
        >>> fc.utils.make_grid(layer.weight, normalize=True).shape
        (3, 106, 106)
    """
    images = tensor.detach().cpu().float().numpy().copy()
    if images.ndim == 3:
        images = images[None]
    if images.ndim != 4 or images.shape[1] not in (1, 3) or not images.shape[0]:
        raise ValueError(
            f"make_grid: tensor has shape {tensor.shape}, but images (N, C, H, W) with C 1 or 3 and N at least 1 are "
            f"expected"
        )
    if nrow < 1:
        raise ValueError(f"make_grid: nrow is {nrow}, but at least 1 is expected")
    if normalize:
        for part in images if scale_each else [images]:
            low, high = (part.min(), part.max()) if value_range is None else value_range
            part[...] = (np.clip(part, low, high) - low) / max(high - low, 1e-5)
    count, _, height, width = images.shape
    columns = min(nrow, count)
    rows = math.ceil(count / columns)
    grid = np.full((3, rows * (height + padding) + padding, columns * (width + padding) + padding), pad_value)
    for i, image in enumerate(images):
        y, x = padding + i // columns * (height + padding), padding + i % columns * (width + padding)
        grid[:, y : y + height, x : x + width] = image
    return from_numpy(grid.astype(np.float32))


def save_image(tensor: Tensor, fp: str | os.PathLike[str], **options: Any) -> None:
    """Writes images as one PNG file; 0 is black and 1 is white, what lies beyond is clipped.

    Args:
        tensor: as in `make_grid`.
        fp: the file.
        **options: of `make_grid`.

    Raises:
        ValueError: as `make_grid`.
        OSError: the file cannot be written.

    Example:
        >>> import fastcnn as fc
        >>> fc.utils.save_image(fc.rand(10, 1, 28, 28), "digits.png", nrow=5)
    """
    grid = make_grid(tensor, **options).numpy()
    pixels = np.floor(np.clip(grid * 255 + 0.5, 0, 255)).astype(np.uint8).transpose(1, 2, 0)
    height, width, _ = pixels.shape
    lines = np.zeros((height, 1 + 3 * width), np.uint8)  # each starts with the number of its filter, 0: none
    lines[:, 1:] = pixels.reshape(height, -1)

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)  # 8 bits, RGB
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(lines.tobytes(), 9)) + chunk(b"IEND", b"")
    Path(fp).write_bytes(b"\x89PNG\r\n\x1a\n" + parts)
