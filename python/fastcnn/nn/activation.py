"""Activation layers: any shape in, the same shape out."""

from __future__ import annotations

from .. import _C
from .. import functional as F
from ..tensor import Tensor
from .module import Module
from .parameter import Parameter


class ReLU(Module):
    """max(0, x); see `functional.relu`.

    Args:
        inplace: the input becomes the result.

    Example:
        >>> import fastcnn as fc
        >>> fc.nn.ReLU()(fc.tensor([-1.0, 2.0])).numpy().tolist()
        [0.0, 2.0]
    """

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        """Any shape, kept."""
        return F.relu(input, self.inplace)

    def extra_repr(self) -> str:
        """The arguments, for `repr`."""
        return "inplace=True" if self.inplace else ""


class LeakyReLU(Module):
    """x where positive, else negative_slope * x; see `functional.leaky_relu`."""

    def __init__(self, negative_slope: float = 0.01, inplace: bool = False) -> None:
        super().__init__()
        self.negative_slope = negative_slope
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        """Any shape, kept."""
        return F.leaky_relu(input, self.negative_slope, self.inplace)

    def extra_repr(self) -> str:
        """The arguments, for `repr`."""
        return f"negative_slope={self.negative_slope}{', inplace=True' if self.inplace else ''}"


class PReLU(Module):
    """x where positive, else weight * x with a learned weight; see `functional.prelu`.

    Args:
        num_parameters: 1, or the number of channels C for one weight each.
        init: start value of the weights.
        device: where to put them.
        dtype: their element type.
    """

    weight: Parameter

    def __init__(
        self,
        num_parameters: int = 1,
        init: float = 0.25,
        device: _C.device | str | None = None,
        dtype: _C.dtype | None = None,
    ) -> None:
        super().__init__()
        self.num_parameters = num_parameters
        self.weight = Parameter(Tensor(_C.full((num_parameters,), float(init), dtype or _C.float32, device)))

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, *) or, with one weight, any shape; kept."""
        return F.prelu(input, self.weight)

    def extra_repr(self) -> str:
        """The arguments, for `repr`."""
        return f"num_parameters={self.num_parameters}"


class Sigmoid(Module):
    """1 / (1 + exp(-x))."""

    def forward(self, input: Tensor) -> Tensor:
        """Any shape, kept."""
        return F.sigmoid(input)


class Tanh(Module):
    """Hyperbolic tangent."""

    def forward(self, input: Tensor) -> Tensor:
        """Any shape, kept."""
        return F.tanh(input)


class GELU(Module):
    """x Phi(x); see `functional.gelu`."""

    def __init__(self, approximate: str = "none") -> None:
        super().__init__()
        self.approximate = approximate

    def forward(self, input: Tensor) -> Tensor:
        """Any shape, kept."""
        return F.gelu(input, self.approximate)

    def extra_repr(self) -> str:
        """The arguments, for `repr`."""
        return f"approximate={self.approximate!r}"


class SiLU(Module):
    """x sigmoid(x); see `functional.silu`."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        """Any shape, kept."""
        return F.silu(input, self.inplace)

    def extra_repr(self) -> str:
        """The arguments, for `repr`."""
        return "inplace=True" if self.inplace else ""
