"""Activation layers made of pieces: any shape in, the same shape out."""

from __future__ import annotations

from .. import functional as F
from ..tensor import Tensor
from .module import Module


class _Inplace(Module):
    """An activation whose only option is `inplace`."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def extra_repr(self) -> str:
        """The arguments, for `repr`."""
        return "inplace=True" if self.inplace else ""


class Hardtanh(Module):
    """min(max(x, min_val), max_val); see `functional.hardtanh`."""

    def __init__(self, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> None:
        super().__init__()
        if not min_val < max_val:
            raise ValueError(f"Hardtanh: max_val is {max_val}, but must be larger than min_val, {min_val}")
        self.min_val = min_val
        self.max_val = max_val
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        """Any shape, kept."""
        return F.hardtanh(input, self.min_val, self.max_val, self.inplace)

    def extra_repr(self) -> str:
        """The arguments, for `repr`."""
        return f"min_val={self.min_val}, max_val={self.max_val}{', inplace=True' if self.inplace else ''}"


class ReLU6(_Inplace):
    """min(max(0, x), 6); see `functional.relu6`.

    Args:
        inplace: the input becomes the result.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Any shape, kept."""
        return F.relu6(input, self.inplace)


class Hardsigmoid(_Inplace):
    """relu6(x + 3) / 6; see `functional.hardsigmoid`.

    Args:
        inplace: the input becomes the result.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Any shape, kept."""
        return F.hardsigmoid(input, self.inplace)


class Hardswish(_Inplace):
    """x relu6(x + 3) / 6; see `functional.hardswish`.

    Args:
        inplace: the input becomes the result.

    Example:
        >>> import fastcnn as fc
        >>> fc.nn.Hardswish()(fc.tensor([0.0, 4.0])).numpy().tolist()
        [0.0, 4.0]
    """

    def forward(self, input: Tensor) -> Tensor:
        """Any shape, kept."""
        return F.hardswish(input, self.inplace)


class SELU(_Inplace):
    """Self-normalising exponential unit; see `functional.selu`.

    Args:
        inplace: the input becomes the result.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Any shape, kept."""
        return F.selu(input, self.inplace)


class ELU(Module):
    """x where positive, alpha (exp(x) - 1) elsewhere; see `functional.elu`."""

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__()
        self.alpha = alpha
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        """Any shape, kept."""
        return F.elu(input, self.alpha, self.inplace)

    def extra_repr(self) -> str:
        """The arguments, for `repr`."""
        return f"alpha={self.alpha}{', inplace=True' if self.inplace else ''}"


class CELU(ELU):
    """x where positive, alpha (exp(x / alpha) - 1) elsewhere; see `functional.celu`."""

    def forward(self, input: Tensor) -> Tensor:
        """Any shape, kept."""
        return F.celu(input, self.alpha, self.inplace)


class Threshold(Module):
    """x where larger than `threshold`, `value` elsewhere; see `functional.threshold`."""

    def __init__(self, threshold: float, value: float, inplace: bool = False) -> None:
        super().__init__()
        self.threshold = threshold
        self.value = value
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        """Any shape, kept."""
        return F.threshold(input, self.threshold, self.value, self.inplace)

    def extra_repr(self) -> str:
        """The arguments, for `repr`."""
        return f"threshold={self.threshold}, value={self.value}{', inplace=True' if self.inplace else ''}"


class Softshrink(Module):
    """x drawn towards 0 by `lambd`; see `functional.softshrink`."""

    def __init__(self, lambd: float = 0.5) -> None:
        super().__init__()
        self.lambd = lambd

    def forward(self, input: Tensor) -> Tensor:
        """Any shape, kept."""
        return F.softshrink(input, self.lambd)

    def extra_repr(self) -> str:
        """The arguments, for `repr`."""
        return str(self.lambd)


class Hardshrink(Softshrink):
    """x where |x| > lambd, 0 elsewhere; see `functional.hardshrink`."""

    def forward(self, input: Tensor) -> Tensor:
        """Any shape, kept."""
        return F.hardshrink(input, self.lambd)


class RReLU(Module):
    """Leaky ReLU with random slopes in training; see `functional.rrelu`."""

    def __init__(self, lower: float = 1.0 / 8, upper: float = 1.0 / 3, inplace: bool = False) -> None:
        super().__init__()
        self.lower = lower
        self.upper = upper
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        """Any shape, kept."""
        return F.rrelu(input, self.lower, self.upper, self.training, self.inplace)

    def extra_repr(self) -> str:
        """The arguments, for `repr`."""
        return f"lower={self.lower}, upper={self.upper}{', inplace=True' if self.inplace else ''}"
