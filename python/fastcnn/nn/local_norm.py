"""Normalisation by the neighbourhood of a value."""

from __future__ import annotations

from .. import functional as F
from ..tensor import Tensor
from .module import Module


class LocalResponseNorm(Module):
    """Divides by a power of the mean square of neighbouring channels; see `functional.local_response_norm`.

    Args:
        size: channels in a window.
        alpha: factor of the mean.
        beta: exponent.
        k: what the sum starts from.

    Example:
        >>> import fastcnn as fc
        >>> fc.nn.LocalResponseNorm(5)(fc.ones(2, 8, 3, 3)).shape
        (2, 8, 3, 3)
    """

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> None:
        super().__init__()
        self.size = size
        self.alpha = alpha
        self.beta = beta
        self.k = k

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, ...), kept."""
        return F.local_response_norm(input, self.size, self.alpha, self.beta, self.k)

    def extra_repr(self) -> str:
        """The arguments, for `repr`."""
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"


class LocalContrastNorm(Module):
    """Subtracts a Gaussian local mean and divides by the local deviation; see `functional.local_contrast_norm`.

    Args:
        kernel_size: side of the window, odd.
        sigma: of the Gaussian; kernel_size / 4 unless given.
        subtractive: subtract the local mean.
        divisive: divide by the local standard deviation.
        across_channels: all channels share mean and deviation.
        eps: added to the local variance.

    Example:
        >>> import fastcnn as fc
        >>> fc.nn.LocalContrastNorm()(fc.ones(1, 3, 9, 9)).abs().max().item() < 1e-3
        True
    """

    def __init__(
        self,
        kernel_size: int = 7,
        sigma: float | None = None,
        subtractive: bool = True,
        divisive: bool = True,
        across_channels: bool = False,
        eps: float = 1e-5,
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.sigma = sigma
        self.subtractive = subtractive
        self.divisive = divisive
        self.across_channels = across_channels
        self.eps = eps

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W), kept."""
        return F.local_contrast_norm(
            input, self.kernel_size, self.sigma, self.subtractive, self.divisive, self.across_channels, self.eps
        )

    def extra_repr(self) -> str:
        """The arguments, for `repr`."""
        return (
            f"kernel_size={self.kernel_size}, subtractive={self.subtractive}, divisive={self.divisive}, "
            f"across_channels={self.across_channels}"
        )
