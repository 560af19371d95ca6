"""Pools over regions of interest."""

from __future__ import annotations

from collections.abc import Sequence

from .. import functional as F
from ..tensor import Tensor
from .module import Module


class RoIPool(Module):
    """The largest value in every cell of a grid laid over each region; see `functional.roi_pool`. As in torchvision.

    Args:
        output_size: (rows, columns) of the grid, e.g. 7.
        spatial_scale: from the regions' coordinates to pixels of the feature maps, e.g. 1 / 16.

    Example:
        >>> import fastcnn as fc
        >>> fc.nn.RoIPool(7, 1 / 16)(fc.zeros(1, 512, 14, 20), [fc.tensor([[16.0, 32.0, 200.0, 180.0]])]).shape
        (1, 512, 7, 7)
    """

    def __init__(self, output_size: int | tuple[int, ...], spatial_scale: float = 1.0) -> None:
        super().__init__()
        self.output_size = output_size
        self.spatial_scale = spatial_scale

    def forward(self, input: Tensor, rois: Tensor | Sequence[Tensor]) -> Tensor:
        """(N, C, H, W) and (K, 5) or N tensors (K_i, 4) -> (K, C, rows, columns)."""
        return F.roi_pool(input, rois, self.output_size, self.spatial_scale)

    def extra_repr(self) -> str:
        """The arguments, for `repr`."""
        return f"output_size={self.output_size}, spatial_scale={self.spatial_scale}"
