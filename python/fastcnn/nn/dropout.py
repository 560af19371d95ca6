"""Dropout layers: active in training mode, the identity in eval mode."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from .. import functional as F
from ..tensor import Tensor
from .module import Module


class _Dropout(Module):
    _function: ClassVar[Callable[[Tensor, float, bool, bool], Tensor]]

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        if not 0 <= p <= 1:
            raise ValueError(f"{type(self).__name__}: p is {p}, but a probability in [0, 1] is expected")
        self.p = p
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        """Shape kept; the input itself in eval mode."""
        return type(self)._function(input, self.p, self.training, self.inplace)

    def extra_repr(self) -> str:
        """The arguments, for `repr`."""
        return f"p={self.p}, inplace={self.inplace}"


class Dropout(_Dropout):
    """Drops elements with probability `p` and scales the others by 1 / (1 - p); see `functional.dropout`.

    Args:
        p: probability of dropping (not of keeping) an element.
        inplace: accepted for compatibility with torch; the result is a new tensor.

    Example:
        >>> import fastcnn as fc
        >>> layer = fc.nn.Dropout(0.2).eval()
        >>> x = fc.ones(3)
        >>> layer(x) is x
        True
    """

    _function = staticmethod(F.dropout)


class Dropout2d(_Dropout):
    """Drops whole channels of (N, C, H, W) with probability `p`; see `functional.dropout2d`."""

    _function = staticmethod(F.dropout2d)
