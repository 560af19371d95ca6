"""Linear layers."""

from __future__ import annotations

import math
from typing import Any

from .. import _C
from .. import functional as F
from ..tensor import Tensor, float32
from . import init
from .module import Module
from .parameter import Parameter


class Identity(Module):
    """Returns its input; takes and ignores any arguments, so that it can replace any layer."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()

    def forward(self, input: Tensor) -> Tensor:
        """The input itself."""
        return input


class Linear(Module):
    """y = x W^T + b on the last dimension.

    Weight and bias are drawn from U(-k, k), k = 1 / sqrt(in_features), as in PyTorch.

    Args:
        in_features: size of the last dimension of the input, >= 0.
        out_features: size of the last dimension of the output, >= 0.
        bias: whether there is a b.
        device: where the parameters live.
        dtype: element type of the parameters, float32 unless given.

    Shape:
        (..., in_features) -> (..., out_features). `weight` is (out_features, in_features), `bias` (out_features,).

    Raises:
        ValueError: a negative size.

    Example:
        >>> import fastcnn as fc
        >>> fc.nn.Linear(20, 30)(fc.tensor([[0.0] * 20])).shape
        (1, 30)
    """

    bias: Parameter | None
    activation: str | None = None  # applied by every call, in the same pass: set where `Module.fuse` folded a ReLU in

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        device: _C.device | str | None = None,
        dtype: _C.dtype | None = None,
    ) -> None:
        super().__init__()
        for name, size in (("in_features", in_features), ("out_features", out_features)):
            if size < 0:
                raise ValueError(f"Linear: {name} is {size}, but must not be negative")
        self.in_features = in_features
        self.out_features = out_features
        self.weight = Parameter(Tensor(_C.empty((out_features, in_features), dtype or float32, device)))
        if bias:
            self.bias = Parameter(Tensor(_C.empty((out_features,), dtype or float32, device)))
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws weight and bias anew."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            bound = 1 / math.sqrt(self.in_features) if self.in_features > 0 else 0.0
            init.uniform_(self.bias, -bound, bound)

    def forward(self, input: Tensor, *, activation: str | None = None) -> Tensor:
        """(..., in_features) -> (..., out_features).

        Args:
            input: the features.
            activation: None or "relu", in the same pass. Not in torch.
        """
        return F.linear(input, self.weight, self.bias, activation or self.activation)

    def extra_repr(self) -> str:
        """What stands between the parentheses of repr()."""
        text = f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"
        return text if self.activation is None else f"{text}, activation={self.activation}"
