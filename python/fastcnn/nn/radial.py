"""Radial basis function units: distances to learned or fixed centres."""

from __future__ import annotations

from .. import _C
from ..ops.elementwise import square, sub
from ..ops.reduction import sum
from ..ops.shape import unsqueeze
from ..tensor import Tensor, float32
from . import init
from .module import Module
from .parameter import Parameter


class RBF(Module):
    """y_i = sum_j (x_j - w_ij)^2, the output layer of LeNet-5: the smallest output is the answer. Not in torch.

    Args:
        in_features: numbers j per sample.
        out_features: centres i, one per class.
        device: where the centres live.
        dtype: their element type, float32 unless given.

    Shape:
        (N, in_features) -> (N, out_features). `weight` is (out_features, in_features), drawn from {-1, 1}, as LeNet-5's
        fixed bitmaps are; `requires_grad_(False)` keeps it so.

    Example:
        >>> import fastcnn as fc
        >>> fc.nn.RBF(84, 10)(fc.zeros(2, 84)).detach().numpy()[0, 0].item()
        84.0

    Source: LeCun et al., "Gradient-based learning applied to document recognition", 1998, section II.B.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        device: _C.device | str | None = None,
        dtype: _C.dtype | None = None,
    ) -> None:
        super().__init__()
        for name, size in (("in_features", in_features), ("out_features", out_features)):
            if size < 1:
                raise ValueError(f"RBF: {name} is {size}, but must be positive")
        self.in_features = in_features
        self.out_features = out_features
        self.weight = Parameter(Tensor(_C.empty((out_features, in_features), dtype or float32, device)))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws the centres anew from {-1, 1}."""
        init.uniform_(self.weight, -1.0, 1.0)
        raw = self.weight._data
        _C.copy_(raw, _C.where(_C.lt(raw, 0.0), _C.full(raw.shape, -1.0, raw.dtype, raw.device), 1.0))

    def forward(self, input: Tensor) -> Tensor:
        """(N, in_features) -> (N, out_features).

        Raises:
            ValueError: another shape.
        """
        if input.ndim != 2 or input.shape[1] != self.in_features:
            raise ValueError(f"RBF: input has shape {input.shape}, but (N, {self.in_features}) is expected")
        return sum(square(sub(unsqueeze(input, 1), self.weight)), 2)

    def extra_repr(self) -> str:
        """The arguments, for `repr`."""
        return f"in_features={self.in_features}, out_features={self.out_features}"
