"""Local contrast normalisation: every pixel relative to a Gaussian window around it."""

from __future__ import annotations

import functools

import numpy as np

from .. import _C
from ..ops.conversion import cast
from ..ops.elementwise import div, sqrt, square, sub
from ..tensor import Tensor, tensor
from .conv import conv2d
from .pointwise import check_floating, widened


@functools.lru_cache(maxsize=64)
def _gaussian(size: int, sigma: float, channels: int, across: bool, dtype: _C.dtype, device: str) -> tuple[Tensor, int]:
    """A normalised Gaussian window: one filter per channel, or one over all of them; and the number of groups."""
    line = np.exp(-0.5 * ((np.arange(size) - (size - 1) / 2) / sigma) ** 2)
    window = np.outer(line, line) / line.sum() ** 2
    shape = (1, channels, size, size) if across else (channels, 1, size, size)
    filters = np.broadcast_to(window / (channels if across else 1), shape)
    return tensor(np.ascontiguousarray(filters), dtype, device), 1 if across else channels


@functools.lru_cache(maxsize=64)
def _coverage(size: int, sigma: float, image: tuple[int, int], dtype: _C.dtype, device: str) -> Tensor:
    """How much of the window around every pixel lies within the image: (1, 1, H, W)."""
    window, _ = _gaussian(size, sigma, 1, True, dtype, device)
    return conv2d(tensor(np.ones((1, 1, *image)), dtype, device), window, padding=size // 2)


def local_contrast_norm(
    input: Tensor,
    kernel_size: int = 7,
    sigma: float | None = None,
    subtractive: bool = True,
    divisive: bool = True,
    across_channels: bool = False,
    eps: float = 1e-5,
) -> Tensor:
    """Subtracts the local mean and divides by the local standard deviation, both weighted by a Gaussian. Not in torch.

    v = x - sum of w x;  y = v / sqrt(sum of w v^2 + eps). At the border the window is cut off and its weights grow to
    sum to 1, so that a constant image becomes 0 everywhere.

    Args:
        input: images (N, C, H, W), floating.
        kernel_size: side of the window, odd.
        sigma: of the Gaussian in pixels; kernel_size / 4 unless given.
        subtractive: subtract the local mean.
        divisive: divide by the local standard deviation.
        across_channels: sums run over all channels, too, so that all share one mean and deviation.
        eps: added to the local variance.

    Returns:
        The input's shape.

    Raises:
        ValueError: not images, or an even window.

    Source: Jarrett et al., "What is the best multi-stage architecture for object recognition?", ICCV 2009 (there with
    a lower bound of the divisor in place of eps).
    """
    op = "local_contrast_norm"
    check_floating(op, input)
    if input.ndim != 4:
        raise ValueError(f"{op}: input has shape {input.shape}, but images (N, C, H, W) are expected")
    if kernel_size < 1 or kernel_size % 2 == 0:
        raise ValueError(f"{op}: kernel_size is {kernel_size}, but an odd number is expected")
    width = kernel_size / 4 if sigma is None else float(sigma)
    (x,) = widened(op, input=input)
    where = (x.dtype, str(x.device))
    filters, groups = _gaussian(kernel_size, width, x.shape[1], across_channels, *where)
    coverage = _coverage(kernel_size, width, (x.shape[2], x.shape[3]), *where)

    def local_mean(values: Tensor) -> Tensor:
        return div(conv2d(values, filters, padding=kernel_size // 2, groups=groups), coverage)

    if subtractive:
        x = sub(x, local_mean(x))
    if divisive:
        x = div(x, sqrt(local_mean(square(x)) + eps))
    return cast(x, input.dtype)
