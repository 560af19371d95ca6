"""`Dataset`: images and labels in memory, with what is needed to normalise and to name them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np


@dataclass(frozen=True, eq=False)
class Dataset:
    """Labelled images in memory: one split of a data set.

    Indexing gives one normalised sample, `(float32 (C, H, W), int)`; a `DataLoader` takes whole batches through a
    native kernel instead.

    Args:
        images: (N, C, H, W), uint8 in 0..255 or float32. uint8 pixels count as value / 255 from here on.
        labels: (N,), class indices from 0; any integer dtype, kept as int64.
        classes: class names, in the order of the indices.
        mean: (C,) subtracted from every pixel; by default the mean of `images`.
        std: (C,) divided by; by default the standard deviation of `images` (1 where it is 0).
        name: shown in messages and summaries.

    Raises:
        TypeError: images or labels have another dtype.
        ValueError: shapes do not fit together, or labels are negative or exceed the classes.

    Example:
        >>> import numpy as np
        >>> data = Dataset(np.zeros((8, 3, 5, 4), np.uint8), np.arange(8) % 2, classes=("cat", "dog"))
        >>> len(data), data[0][0].shape
        (8, (3, 5, 4))
    """

    images: np.ndarray[Any, Any]
    labels: np.ndarray[Any, Any]
    classes: tuple[str, ...] = ()
    mean: Any = None  # a float32 array after construction, as std
    std: Any = None
    name: str = "data"

    def __post_init__(self) -> None:
        images, labels = np.asarray(self.images), np.asarray(self.labels)
        if images.dtype not in (np.uint8, np.float32):
            raise TypeError(
                f"{self.name}: images are {images.dtype}, but uint8 (0..255) or float32 is expected; convert them with "
                f"images.astype(np.float32)"
            )
        if images.ndim != 4:
            hint = "; for grey images add the channel axis: images[:, None]" if images.ndim == 3 else ""
            raise ValueError(f"{self.name}: images have shape {images.shape}, but (N, C, H, W) is expected{hint}")
        if not np.issubdtype(labels.dtype, np.integer):
            raise TypeError(f"{self.name}: labels are {labels.dtype}, but integers are expected")
        if labels.shape == (len(images), 1):  # Keras stores CIFAR labels as a column
            labels = labels[:, 0]
        if labels.shape != (len(images),):
            raise ValueError(f"{self.name}: labels have shape {labels.shape}, but {(len(images),)} is expected")
        if min(images.shape[1:3]) > 4 >= images.shape[3]:
            raise ValueError(
                f"{self.name}: images have shape {images.shape}, which reads as {images.shape[1]} channels of "
                f"{images.shape[2]} x {images.shape[3]} pixels; did you mean images.transpose(0, 3, 1, 2)?"
            )
        labels = labels.astype(np.int64)
        top = int(labels.max(initial=-1))
        classes = tuple(map(str, self.classes)) or tuple(str(i) for i in range(top + 1))
        if len(labels) and labels.min() < 0:
            raise ValueError(
                f"{self.name}: label {labels.min()} of sample {labels.argmin()} is negative; classes start at 0"
            )
        if top >= len(classes):
            hint = "; are the labels 1-based?" if top == len(classes) and labels.min() == 1 else ""
            raise ValueError(
                f"{self.name}: label {top} of sample {labels.argmax()} is out of range for {len(classes)} classes{hint}"
            )
        set_ = object.__setattr__
        set_(self, "images", images)
        set_(self, "labels", labels)
        set_(self, "classes", classes)
        if self.mean is None or self.std is None:
            mean, std = channel_statistics(images)
            set_(self, "mean", mean if self.mean is None else self.mean)
            set_(self, "std", std if self.std is None else self.std)
        channels = images.shape[1]
        for field in ("mean", "std"):
            value = np.asarray(getattr(self, field), np.float32).reshape(-1)
            if value.size not in (1, channels):
                raise ValueError(
                    f"{self.name}: {field} has {value.size} values, but the images have {channels} channels"
                )
            if field == "std" and not (value > 0).all():
                raise ValueError(f"{self.name}: std is {value.tolist()}, but must be positive")
            set_(self, field, np.broadcast_to(value, (channels,)).copy())

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[np.ndarray[Any, Any], int]:
        scale, shift = self.affine
        image = self.images[index].astype(np.float32) * scale[:, None, None] + shift[:, None, None]
        return image, int(self.labels[index])

    @property
    def affine(self) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """(scale, shift), each (C,): a stored pixel x becomes x * scale + shift."""
        unit = 255.0 if self.images.dtype == np.uint8 else 1.0
        return (1.0 / (self.std * unit)).astype(np.float32), (-self.mean / self.std).astype(np.float32)

    @property
    def sample_shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        _, channels, height, width = self.images.shape
        return channels, height, width

    def subset(self, indices: Sequence[int] | np.ndarray[Any, Any], name: str | None = None) -> Dataset:
        """The given samples, with the same classes and normalisation."""
        return replace(self, images=self.images[indices], labels=self.labels[indices], name=name or self.name)

    def split(self, fraction: float, seed: int = 0) -> Splits:
        """Two disjoint parts with the same share of every class, the second holding `fraction` of each.

        The parts depend on the labels, `fraction` and `seed` only, and keep the order of the samples.

        Raises:
            ValueError: `fraction` is not strictly between 0 and 1.
        """
        if not 0.0 < fraction < 1.0:
            raise ValueError(f"split: fraction is {fraction}, but must lie strictly between 0 and 1")
        held_out = np.zeros(len(self), bool)
        for label in range(len(self.classes)):
            members = np.flatnonzero(self.labels == label)
            order = np.argsort(np.random.Philox(key=[seed % 2**64, label]).random_raw(len(members)), kind="stable")
            held_out[members[order[: round(fraction * len(members))]]] = True
        return Splits(self.subset(np.flatnonzero(~held_out)), self.subset(np.flatnonzero(held_out)))


class Splits(NamedTuple):
    """Training and test data; both are normalised with the statistics of the training data."""

    train: Dataset
    test: Dataset


def channel_statistics(images: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Mean and standard deviation of each channel of (N, C, H, W) images, uint8 pixels counting as value / 255.

    A constant channel gets the standard deviation 1. Sums of uint8 are exact integers; float32 is summed in float64.
    """
    channels = images.shape[1]
    if images.size == 0:
        return np.zeros(channels, np.float32), np.ones(channels, np.float32)
    mean, std = np.empty(channels), np.empty(channels)
    for c in range(channels):
        plane = images[:, c]
        if images.dtype == np.uint8:
            counts = np.bincount(np.ascontiguousarray(plane).reshape(-1), minlength=256)
            values = np.arange(256) / 255.0
            mean[c] = counts @ values / plane.size
            std[c] = np.sqrt(counts @ (values - mean[c]) ** 2 / plane.size)
        else:
            mean[c] = plane.mean(dtype=np.float64)
            std[c] = plane.std(dtype=np.float64)
    return mean.astype(np.float32), np.where(std > 0, std, 1.0).astype(np.float32)
