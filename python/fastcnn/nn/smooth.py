"""Smooth activation layers, and those that combine channels."""

from __future__ import annotations

from .. import functional as F
from ..tensor import Tensor
from .module import Module


class Softplus(Module):
    """log(1 + exp(beta x)) / beta; see `functional.softplus`."""

    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None:
        super().__init__()
        self.beta = beta
        self.threshold = threshold

    def forward(self, input: Tensor) -> Tensor:
        """Any shape, kept."""
        return F.softplus(input, self.beta, self.threshold)

    def extra_repr(self) -> str:
        """The arguments, for `repr`."""
        return f"beta={self.beta}, threshold={self.threshold}"


class Mish(Module):
    """x tanh(softplus(x)); see `functional.mish`."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        """Any shape, kept."""
        return F.mish(input, self.inplace)

    def extra_repr(self) -> str:
        """The arguments, for `repr`."""
        return "inplace=True" if self.inplace else ""


class LogSigmoid(Module):
    """log(sigmoid(x)); see `functional.logsigmoid`."""

    def forward(self, input: Tensor) -> Tensor:
        """Any shape, kept."""
        return F.logsigmoid(input)


class Softsign(Module):
    """x / (1 + |x|); see `functional.softsign`."""

    def forward(self, input: Tensor) -> Tensor:
        """Any shape, kept."""
        return F.softsign(input)


class Tanhshrink(Module):
    """x - tanh(x); see `functional.tanhshrink`."""

    def forward(self, input: Tensor) -> Tensor:
        """Any shape, kept."""
        return F.tanhshrink(input)


class Softmin(Module):
    """softmax(-x) along `dim`; see `functional.softmin`."""

    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, input: Tensor) -> Tensor:
        """Any shape, kept."""
        return F.softmin(input, self.dim)

    def extra_repr(self) -> str:
        """The dimension."""
        return f"dim={self.dim}"


class Softmax2d(Module):
    """Softmax over the channels of every pixel: (N, C, H, W) or (C, H, W)."""

    def forward(self, input: Tensor) -> Tensor:
        """Probabilities of the input's shape.

        Raises:
            ValueError: not 3 or 4 dimensions.
        """
        if input.ndim not in (3, 4):
            raise ValueError(f"Softmax2d: input has shape {input.shape}, but (N, C, H, W) or (C, H, W) is expected")
        return F.softmax(input, -3)


class GLU(Module):
    """First half times the sigmoid of the second; see `functional.glu`."""

    def __init__(self, dim: int = -1) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, input: Tensor) -> Tensor:
        """The size along `dim` is halved."""
        return F.glu(input, self.dim)

    def extra_repr(self) -> str:
        """The dimension."""
        return f"dim={self.dim}"


class Maxout(Module):
    """The largest of every `pieces` neighbouring channels; see `functional.maxout`.

    Args:
        pieces: channels in a group.
        dim: the dimension of the channels.

    Example:
        >>> import fastcnn as fc
        >>> fc.nn.Maxout(4)(fc.zeros(2, 32, 5, 5)).shape
        (2, 8, 5, 5)
    """

    def __init__(self, pieces: int, dim: int = 1) -> None:
        super().__init__()
        self.pieces = pieces
        self.dim = dim

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, ...) -> (N, C / pieces, ...)."""
        return F.maxout(input, self.pieces, self.dim)

    def extra_repr(self) -> str:
        """The arguments, for `repr`."""
        return f"pieces={self.pieces}, dim={self.dim}"
