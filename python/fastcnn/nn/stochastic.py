"""Layers that leave out parts in training; in eval mode they are the identity."""

from __future__ import annotations

from .. import _C
from .. import functional as F
from ..functional.dropout import _check_p
from ..tensor import Tensor
from .dropout import _Dropout
from .linear import Linear
from .module import Module


class StochasticDepth(Module):
    """Leaves out a residual branch with probability `p` in training; see `functional.stochastic_depth`.

    Args:
        p: probability of leaving the branch out.
        mode: "batch" decides once for the whole batch, "row" for every sample.

    Raises:
        ValueError: `p` is not a probability, or another mode.

    Example:
        >>> import fastcnn as fc
        >>> x = fc.ones(2, 3)
        >>> fc.nn.StochasticDepth(0.2, "row").eval()(x) is x
        True
    """

    def __init__(self, p: float, mode: str) -> None:
        super().__init__()
        _check_p("StochasticDepth", p)
        if mode not in ("batch", "row"):
            raise ValueError(f"StochasticDepth: mode is {mode!r}, but 'batch' or 'row' is expected")
        self.p = p
        self.mode = mode

    def forward(self, input: Tensor) -> Tensor:
        """Shape kept; the input itself in eval mode."""
        return F.stochastic_depth(input, self.p, self.mode, self.training)

    def extra_repr(self) -> str:
        """The arguments, for `repr`."""
        return f"p={self.p}, mode={self.mode!r}"


class Dropout1d(_Dropout):
    """Drops whole channels of (N, C, L) with probability `p`; see `functional.dropout1d`."""

    def forward(self, input: Tensor) -> Tensor:
        """Shape kept; the input itself in eval mode."""
        return F.dropout1d(input, self.p, self.training, self.inplace)


class Dropout3d(_Dropout):
    """Drops whole channels of (N, C, D, H, W) with probability `p`; see `functional.dropout3d`."""

    def forward(self, input: Tensor) -> Tensor:
        """Shape kept; the input itself in eval mode."""
        return F.dropout3d(input, self.p, self.training, self.inplace)


class AlphaDropout(_Dropout):
    """Dropout for networks of `SELU`; see `functional.alpha_dropout`."""

    def forward(self, input: Tensor) -> Tensor:
        """Shape kept; the input itself in eval mode."""
        return F.alpha_dropout(input, self.p, self.training, self.inplace)


class FeatureAlphaDropout(_Dropout):
    """`AlphaDropout` of whole channels; see `functional.feature_alpha_dropout`."""

    def forward(self, input: Tensor) -> Tensor:
        """Shape kept; the input itself in eval mode."""
        return F.feature_alpha_dropout(input, self.p, self.training, self.inplace)


class UnscaledDropout(_Dropout):
    """Dropout that scales in evaluation by 1 - p instead of in training; see `functional.unscaled_dropout`.

    Example:
        >>> import fastcnn as fc
        >>> fc.nn.UnscaledDropout(0.25).eval()(fc.ones(2)).numpy().tolist()
        [0.75, 0.75]
    """

    def forward(self, input: Tensor) -> Tensor:
        """Shape kept."""
        return F.unscaled_dropout(input, self.p, self.training)


class DropConnectLinear(Linear):
    """A linear layer that drops weights in place of units: every weight with probability `p` in training.

    The others grow by 1 / (1 - p); in eval mode it is `Linear`. One mask serves the whole batch.

    Args:
        in_features: size of the last dimension of the input.
        out_features: size of the last dimension of the output.
        bias: whether there is a bias, which is never dropped.
        p: probability of dropping a weight.
        device: where the parameters live.
        dtype: element type of the parameters.

    Raises:
        ValueError: `p` is not a probability.

    Source: Wan et al., "Regularization of neural networks using DropConnect", ICML 2013.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        p: float = 0.5,
        device: _C.device | str | None = None,
        dtype: _C.dtype | None = None,
    ) -> None:
        super().__init__(in_features, out_features, bias, device, dtype)
        _check_p("DropConnectLinear", p)
        self.p = p

    def forward(self, input: Tensor, *, activation: str | None = None) -> Tensor:
        """(..., in_features) -> (..., out_features)."""
        return F.linear(input, F.dropout(self.weight, self.p, self.training), self.bias, activation)

    def extra_repr(self) -> str:
        """The arguments, for `repr`."""
        return f"{super().extra_repr()}, p={self.p}"


class Cutout(Module):
    """Zeros a random square of every image in training; see `functional.cutout`."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W), kept; the input itself in eval mode."""
        return F.cutout(input, self.size, self.training)

    def extra_repr(self) -> str:
        """The arguments, for `repr`."""
        return f"size={self.size}"


class GaussianNoise(Module):
    """Adds normal noise in training; see `functional.gaussian_noise`."""

    def __init__(self, std: float = 0.1) -> None:
        super().__init__()
        self.std = std

    def forward(self, input: Tensor) -> Tensor:
        """Shape kept; the input itself in eval mode."""
        return F.gaussian_noise(input, self.std, self.training)

    def extra_repr(self) -> str:
        """The arguments, for `repr`."""
        return f"std={self.std}"
