"""How much of an image a unit sees.

Araujo, Norris, Sim, "Computing receptive fields of convolutional neural networks", Distill 2019.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from ..nn import Module

__all__ = ["ReceptiveField", "receptive_field"]


class ReceptiveField(NamedTuple):
    """Of one unit of the last layer, in pixels of the input, (vertical, horizontal)."""

    size: tuple[int, int]
    jump: tuple[int, int]  # distance between the fields of neighbouring units


def receptive_field(layers: Module | Iterable[Module]) -> ReceptiveField:
    """The receptive field behind layers that are applied one after another.

    A layer of kernel size k, dilation d and stride s makes the field larger by d (k - 1) jumps, and then the jump s
    times as large: L convolutions with kernels of size K and stride 1 see 1 + L (K - 1) pixels.

    Args:
        layers: in their order, or a module whose leaves are (`Sequential`s, also nested ones). Everything with a
            `kernel_size` counts, convolutions as pools; other layers work pixel by pixel.

    Returns:
        Size and jump. Residual branches and other parallel ways are not followed: give each way on its own.

    Raises:
        ValueError: a pool over the whole image, or a layer that mixes all pixels: the field is the image itself.

    Example:
        >>> from fastcnn import nn
        >>> from fastcnn.models import receptive_field
        >>> receptive_field([nn.Conv2d(3, 8, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 8, 3)])
        ReceptiveField(size=(8, 8), jump=(2, 2))
    """
    chain: Iterable[Module] = (layers,) if isinstance(layers, Module) else layers
    size, jump = [1, 1], [1, 1]
    for part in (leaf for layer in chain for leaf in layer.modules() if not leaf._modules):
        kind = type(part).__name__
        if kind.startswith(("Adaptive", "Linear", "Flatten", "SpatialPyramid", "Fractional")):
            raise ValueError(f"receptive_field: a unit behind {kind} sees the whole image; leave that layer out")
        kernel = getattr(part, "kernel_size", getattr(part, "filt_size", None))
        if kernel is None:
            continue
        for axis in range(2):
            step = _along(getattr(part, "dilation", 1), axis)
            size[axis] += step * (_along(kernel, axis) - 1) * jump[axis]
            jump[axis] *= _along(kernel if part.stride is None else part.stride, axis)
    return ReceptiveField((size[0], size[1]), (jump[0], jump[1]))


def _along(value: Any, axis: int) -> int:
    return int(value[axis] if isinstance(value, tuple) else value)
