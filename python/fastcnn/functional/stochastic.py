"""Randomness of training other than `dropout`: whole maps, branches, weights or squares are left out."""

from __future__ import annotations

import math

from .. import _C
from ..ops.creation import arange, randint, randn_like
from ..ops.elementwise import add, ge, logical_and, lt, mul, ne, where
from ..random import default_state
from ..tensor import Tensor
from .dropout import _check_p, dropout
from .pointwise import check_floating
from .rectifiers import SELU_ALPHA, SELU_SCALE


def noise_mask(input: Tensor, shape: tuple[int, ...], p: float) -> Tensor:
    """A tensor of `shape` with zeros of probability `p` and 1 / (1 - p) elsewhere, as the input's dtype and device."""
    raw = input._data
    layout = raw.layout if len(shape) == input.ndim else _C.empty(shape, raw.dtype, raw.device).layout
    return Tensor(_C.dropout(_C.full(shape, 1.0, raw.dtype, raw.device, layout), float(p), default_state())[0])


def stochastic_depth(input: Tensor, p: float, mode: str, training: bool = True) -> Tensor:
    """Leaves out a residual branch with probability `p`; a kept one grows by 1 / (1 - p).

    Args:
        input: output of the branch, (N, ...).
        p: probability of leaving it out.
        mode: "batch" decides once for the whole batch, "row" for every sample.
        training: False returns the input itself.

    Returns:
        The input's shape.

    Raises:
        ValueError: `p` is not a probability, or another mode.

    Example:
        >>> import fastcnn as fc
        >>> y = fc.functional.stochastic_depth(fc.ones(100, 3), 0.5, "row")
        >>> sorted(set(y.sum(dim=1).numpy().tolist()))
        [0.0, 6.0]

    Source: Huang et al., "Deep networks with stochastic depth", ECCV 2016; as `torchvision.ops.stochastic_depth`.
    """
    _check_p("stochastic_depth", p)
    if mode not in ("batch", "row"):
        raise ValueError(f"stochastic_depth: mode is {mode!r}, but 'batch' or 'row' is expected")
    if not training or p == 0.0:
        return input
    rows = (input.shape[0] if mode == "row" else 1,) if input.ndim else ()
    return mul(input, noise_mask(input, rows + (1,) * (input.ndim - 1), p))


def _drop_channels(op: str, input: Tensor, p: float, training: bool, spatial: int) -> Tensor:
    """Whole channels of (N, C, spatial...) or, without N, (C, spatial...)."""
    _check_p(op, p)
    if input.ndim not in (spatial + 1, spatial + 2):
        names = ("L", "H, W", "D, H, W")[spatial - 1]
        raise ValueError(f"{op}: input has shape {input.shape}, but (N, C, {names}) or (C, {names}) is expected")
    if not training or p == 0.0:
        return input
    channels = input.shape[: input.ndim - spatial]
    return mul(input, noise_mask(input, (*channels, *(1,) * spatial), p))


def dropout1d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Drops whole channels of (N, C, L) or (C, L) with probability `p`; the others grow by 1 / (1 - p).

    Args:
        input: sequences.
        p: probability of dropping a channel.
        training: False returns the input itself.
        inplace: accepted for compatibility with torch; the result is a new tensor.

    Raises:
        ValueError: `p` is not a probability, or the input has another rank.
    """
    return _drop_channels("dropout1d", input, p, training, 1)


def dropout3d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Drops whole channels of (N, C, D, H, W) or (C, D, H, W) with probability `p`; arguments as in `dropout1d`."""
    return _drop_channels("dropout3d", input, p, training, 3)


def _alpha(op: str, input: Tensor, shape: tuple[int, ...], p: float, training: bool) -> Tensor:
    """Dropped elements become SELU's limit on the left; an affine map keeps mean 0 and variance 1."""
    _check_p(op, p)
    check_floating(op, input)
    if not training or p == 0.0:
        return input
    if p == 1.0:
        return mul(input, 0.0)
    low = -SELU_SCALE * SELU_ALPHA
    scale = 1.0 / math.sqrt((low * low * p + 1.0) * (1.0 - p))
    shift = -scale * low * p
    keep = ne(noise_mask(input, shape, p), 0.0)
    return add(mul(where(keep, input, low), scale), shift)


def alpha_dropout(input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False) -> Tensor:
    """Dropout that keeps mean 0 and variance 1 behind `selu`: dropped elements become -1.758, then all are rescaled.

    Args:
        input: any shape, floating.
        p: probability of dropping an element.
        training: False returns the input itself.
        inplace: accepted for compatibility with torch; the result is a new tensor.

    Raises:
        ValueError: `p` is not a probability.

    Source: Klambauer et al., "Self-normalizing neural networks", NeurIPS 2017.
    """
    return _alpha("alpha_dropout", input, input.shape, p, training)


def feature_alpha_dropout(input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False) -> Tensor:
    """`alpha_dropout` of whole channels of (N, C, ...)."""
    if input.ndim < 2:
        raise ValueError(f"feature_alpha_dropout: input has shape {input.shape}, but (N, C, ...) is expected")
    return _alpha("feature_alpha_dropout", input, (*input.shape[:2], *(1,) * (input.ndim - 2)), p, training)


def unscaled_dropout(input: Tensor, p: float = 0.5, training: bool = True) -> Tensor:
    """Dropout as first published: training zeroes elements, evaluation multiplies all by 1 - p. Not in torch.

    `dropout` divides by 1 - p in training instead, so that evaluation changes nothing; both have the same expectation
    relative to their evaluation. Notes that speak of a probability of keeping mean 1 - p.

    Args:
        input: any shape, floating.
        p: probability of dropping an element.
        training: drop, or scale.

    Raises:
        ValueError: `p` is not a probability.
    """
    _check_p("unscaled_dropout", p)
    if not training:
        return mul(input, 1.0 - p)
    return input if p == 0.0 else mul(dropout(input, p), 1.0 - p)


def cutout(input: Tensor, size: int, training: bool = True) -> Tensor:
    """Zeros a square of every image around a random pixel; what lies beyond the border is cut off.

    Args:
        input: images (N, C, H, W), floating.
        size: side of the square in pixels, >= 0.
        training: False returns the input itself.

    Raises:
        ValueError: not images, or a negative size.

    Source: DeVries and Taylor, "Improved regularization of convolutional neural networks with cutout", 2017.
    """
    if input.ndim != 4:
        raise ValueError(f"cutout: input has shape {input.shape}, but images (N, C, H, W) are expected")
    if size < 0:
        raise ValueError(f"cutout: size is {size}, but must not be negative")
    if not training or size == 0 or input.numel() == 0:
        return input
    batch, _, height, width = input.shape

    def inside(length: int, shape: tuple[int, ...]) -> Tensor:
        first = randint(0, length, (batch, 1, 1, 1), device=input.device) - size // 2
        position = arange(length, device=input.device).reshape(shape)
        return logical_and(ge(position, first), lt(position, first + size))

    square = logical_and(inside(height, (1, 1, height, 1)), inside(width, (1, 1, 1, width)))
    return where(square, 0.0, input)


def gaussian_noise(input: Tensor, std: float = 0.1, training: bool = True) -> Tensor:
    """Adds normal noise of standard deviation `std` in training. Not in torch.

    Args:
        input: any shape, floating.
        std: of the noise, >= 0.
        training: False returns the input itself.

    Raises:
        ValueError: std is negative.
    """
    if not std >= 0:
        raise ValueError(f"gaussian_noise: std is {std}, but must not be negative")
    return add(input, randn_like(input), alpha=std) if training and std else input
