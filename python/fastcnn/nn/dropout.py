"""Dropout layers: active in training mode, the identity in eval mode."""

from __future__ import annotations

from typing import Self

from .. import functional as F
from ..tensor import Tensor
from .module import Module


class _Dropout(Module):
    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        if not 0 <= p <= 1:
            raise ValueError(f"{type(self).__name__}: p is {p}, but a probability in [0, 1] is expected")
        self.p = p
        self.inplace = inplace

    @classmethod
    def keeping(cls, probability: float) -> Self:
        """The layer that keeps a share of its input, as some papers and older libraries count: p = 1 - probability.

        Args:
            probability: of keeping, in [0, 1].

        Example:
            >>> import fastcnn as fc
            >>> fc.nn.Dropout.keeping(0.75)
            Dropout(p=0.25, inplace=False)
        """
        return cls(1.0 - probability)

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

    def forward(self, input: Tensor) -> Tensor:
        """Shape kept; the input itself in eval mode."""
        return F.dropout(input, self.p, self.training, self.inplace)


class Dropout2d(_Dropout):
    """Drops whole channels of (N, C, H, W) with probability `p`; see `functional.dropout2d`."""

    def forward(self, input: Tensor) -> Tensor:
        """Shape kept; the input itself in eval mode."""
        return F.dropout2d(input, self.p, self.training, self.inplace)
