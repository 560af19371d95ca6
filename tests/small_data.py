"""Small data that several tests share: an array, a learnable data set, and a network with everything that has state."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from fastcnn import nn
from fastcnn.data import Dataset


def image(dtype: str = "float32") -> np.ndarray:
    """Two images of three channels, with values between 0.5 and 2."""
    return np.random.default_rng(0).uniform(0.5, 2.0, (2, 3, 4, 5)).astype(dtype)


def stripes(count: int, seed: int = 0, size: int = 8) -> Dataset:
    """Noisy images of three classes: horizontal, vertical, no stripes."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, count)
    images = rng.integers(0, 100, (count, 1, size, size))
    images[labels == 0, :, ::2, :] += 120
    images[labels == 1, :, :, ::2] += 120
    return Dataset(images.astype(np.uint8), labels, ("rows", "columns", "none"), name="stripes")


def write_npz(path: Path, train: int = 240, test: int = 60) -> Path:
    """The same as a file for the command line."""
    parts = {"train": stripes(train), "test": stripes(test, seed=1)}
    arrays: dict[str, Any] = {f"x_{name}": part.images for name, part in parts.items()}
    arrays |= {f"y_{name}": part.labels for name, part in parts.items()}
    np.savez(path, **arrays)
    return path


def small_net() -> nn.Module:
    """Convolution, batch norm (buffers) and dropout (random numbers) on 8 x 8 images."""
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.3),
        nn.Linear(64, 3),
    )
