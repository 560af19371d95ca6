"""Padding layers for images."""

from __future__ import annotations

from collections.abc import Sequence

from .. import functional as F
from ..tensor import Tensor
from .module import Module


def _four(padding: int | Sequence[int], layer: str) -> tuple[int, ...]:
    amounts = (padding,) * 4 if isinstance(padding, int) else tuple(padding)
    if len(amounts) != 4:
        raise ValueError(f"{layer}: padding is {padding}, but expected an int or (left, right, top, bottom)")
    return amounts


class _Pad2d(Module):
    mode = "constant"

    def __init__(self, padding: int | Sequence[int]) -> None:
        super().__init__()
        self.padding = _four(padding, type(self).__name__)

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) or (C, H, W) with H and W grown by the padding."""
        return F.pad(input, self.padding, self.mode)

    def extra_repr(self) -> str:
        """The padding, for `repr`."""
        return f"{self.padding}"


class ConstantPad2d(_Pad2d):
    """Pads images with a value.

    Args:
        padding: one amount for all sides or (left, right, top, bottom); negative amounts crop.
        value: what to pad with.
    """

    def __init__(self, padding: int | Sequence[int], value: float) -> None:
        super().__init__(padding)
        self.value = value

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) or (C, H, W) with H and W grown by the padding."""
        return F.pad(input, self.padding, "constant", self.value)

    def extra_repr(self) -> str:
        """The padding and the value, for `repr`."""
        return f"padding={self.padding}, value={self.value}"


class ZeroPad2d(ConstantPad2d):
    """Pads images with zeros.

    Args:
        padding: one amount for all sides or (left, right, top, bottom); negative amounts crop.

    Example:
        >>> import fastcnn as fc
        >>> fc.nn.ZeroPad2d((1, 2, 0, 0))(fc.tensor([[[[5.0]]]])).numpy().tolist()
        [[[[0.0, 5.0, 0.0, 0.0]]]]
    """

    def __init__(self, padding: int | Sequence[int]) -> None:
        super().__init__(padding, 0.0)

    def extra_repr(self) -> str:
        """The padding, for `repr`."""
        return f"{self.padding}"


class ReflectionPad2d(_Pad2d):
    """Pads images by mirroring them at the edge, without repeating it.

    Args:
        padding: one amount for all sides or (left, right, top, bottom), each smaller than the side.
    """

    mode = "reflect"


class ReplicationPad2d(_Pad2d):
    """Pads images by repeating their edge.

    Args:
        padding: one amount for all sides or (left, right, top, bottom).
    """

    mode = "replicate"


class CircularPad2d(_Pad2d):
    """Pads images with their opposite side.

    Args:
        padding: one amount for all sides or (left, right, top, bottom), none larger than the side.
    """

    mode = "circular"
