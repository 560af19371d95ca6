"""Grids of images and PNG files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import fastcnn as fc
from fastcnn.utils import make_grid, save_image


def test_grid_puts_images_side_by_side() -> None:
    images = fc.arange(5, dtype=fc.float32).reshape(5, 1, 1, 1).expand(5, 1, 2, 3)
    grid = make_grid(images, nrow=3, padding=1, pad_value=9.0).numpy()
    assert grid.shape == (3, 7, 13)
    expected = np.full((7, 13), 9.0)
    for i in range(5):
        y, x = 1 + i // 3 * 3, 1 + i % 3 * 4
        expected[y : y + 2, x : x + 3] = i
    for channel in grid:
        np.testing.assert_array_equal(channel, expected)


def test_normalisation_scales_all_together_or_each() -> None:
    images = fc.tensor(np.array([[0.0, 2.0], [4.0, 8.0]], np.float32).reshape(2, 1, 1, 2))
    together = make_grid(images, padding=0, normalize=True).numpy()[0]
    np.testing.assert_allclose(together, [[0, 0.25, 0.5, 1]])
    each = make_grid(images, padding=0, normalize=True, scale_each=True).numpy()[0]
    np.testing.assert_allclose(each, [[0, 1, 0, 1]])
    clipped = make_grid(images, padding=0, normalize=True, value_range=(2.0, 4.0)).numpy()[0]
    np.testing.assert_allclose(clipped, [[0, 0, 1, 1]])
    assert images.numpy().max() == 8.0


def test_png_has_the_pixels(tmp_path: Path) -> None:
    pillow = pytest.importorskip("PIL.Image", reason="Pillow is not installed: the PNG file is not read back")
    images = fc.tensor(np.random.default_rng(0).uniform(-0.2, 1.2, (2, 3, 5, 4)).astype(np.float32))
    save_image(images, tmp_path / "two.png", padding=1)
    with pillow.open(tmp_path / "two.png") as picture:
        assert (picture.format, picture.mode, picture.size) == ("PNG", "RGB", (11, 7))
        seen = np.asarray(picture).transpose(2, 0, 1)
    expected = np.floor(np.clip(make_grid(images, padding=1).numpy() * 255 + 0.5, 0, 255))
    np.testing.assert_array_equal(seen, expected)


def test_mistakes_are_named() -> None:
    for shape in ((2, 2, 4, 4), (4, 4), (0, 3, 4, 4)):
        with pytest.raises(ValueError, match="make_grid: tensor has shape"):
            make_grid(fc.zeros(*shape))
    with pytest.raises(ValueError, match="nrow is 0"):
        make_grid(fc.zeros(1, 1, 2, 2), nrow=0)
