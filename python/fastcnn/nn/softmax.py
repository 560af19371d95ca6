"""Softmax and LogSoftmax."""

from __future__ import annotations

from ..functional.softmax import log_softmax, softmax
from ..tensor import Tensor
from .module import Module


class Softmax(Module):
    """`softmax` along `dim`; see `fastcnn.functional.softmax`.

    Example:
        >>> import fastcnn as fc
        >>> fc.nn.Softmax(dim=1)(fc.tensor([[0.0, 0.0]])).numpy().tolist()
        [[0.5, 0.5]]
    """

    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, input: Tensor) -> Tensor:
        """Probabilities of the input's shape."""
        return softmax(input, self.dim)

    def extra_repr(self) -> str:
        """The dimension."""
        return f"dim={self.dim}"


class LogSoftmax(Module):
    """`log_softmax` along `dim`; see `fastcnn.functional.log_softmax`.

    Example:
        >>> import fastcnn as fc
        >>> fc.nn.LogSoftmax(dim=1)(fc.tensor([[1e4, 0.0]])).numpy().tolist()
        [[0.0, -10000.0]]
    """

    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, input: Tensor) -> Tensor:
        """Log-probabilities of the input's shape."""
        return log_softmax(input, self.dim)

    def extra_repr(self) -> str:
        """The dimension."""
        return f"dim={self.dim}"
