"""Layers that change shapes."""

from __future__ import annotations

from collections.abc import Sequence

from ..ops.shape import flatten, unflatten
from ..tensor import Tensor
from .module import Module


class Flatten(Module):
    """Merges dimensions `start_dim` to `end_dim`, by default everything but the batch: (N, C, H, W) -> (N, C * H * W).

    The result follows the logical (C, H, W) order, so that linear layers trained elsewhere fit.

    Example:
        >>> import fastcnn as fc
        >>> fc.nn.Flatten()(fc.tensor([[[1.0], [2.0]]])).shape
        (1, 2)
    """

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim = start_dim
        self.end_dim = end_dim

    def forward(self, input: Tensor) -> Tensor:
        """Shape (..., product of the merged sizes, ...)."""
        return flatten(input, self.start_dim, self.end_dim)

    def extra_repr(self) -> str:
        """The arguments."""
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class Unflatten(Module):
    """Splits dimension `dim` into `unflattened_size`, one entry of which may be -1.

    Example:
        >>> import fastcnn as fc
        >>> fc.nn.Unflatten(1, (2, -1))(fc.tensor([[1.0, 2.0, 3.0, 4.0]])).shape
        (1, 2, 2)
    """

    def __init__(self, dim: int, unflattened_size: Sequence[int]) -> None:
        super().__init__()
        self.dim = dim
        self.unflattened_size = tuple(unflattened_size)

    def forward(self, input: Tensor) -> Tensor:
        """Shape (..., *unflattened_size, ...)."""
        return unflatten(input, self.dim, self.unflattened_size)

    def extra_repr(self) -> str:
        """The arguments."""
        return f"dim={self.dim}, unflattened_size={self.unflattened_size}"
