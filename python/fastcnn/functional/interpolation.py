"""Resampling of sequences, images and volumes, axis by axis; channels rearranged to pixels."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from ..ops.conversion import cast
from ..ops.elementwise import add, mul
from ..ops.picking import index_select
from ..ops.shape import permute, reshape
from ..tensor import Tensor, tensor
from .folding import tuple_of
from .pointwise import widened
from .pooling import adaptive_avg_pool2d
from .pooling_nd import adaptive_avg_pool1d, adaptive_avg_pool3d

_RANKS = {"linear": (3,), "bilinear": (4,), "bicubic": (4,), "trilinear": (5,)}
_MODES = ("nearest", "nearest-exact", "area", *_RANKS)


def _cubic(t: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Weights of the four neighbours at distances 1 + t, t, 1 - t, 2 - t (Keys 1981, a = -0.75)."""
    a = -0.75

    def near(x: Any) -> Any:
        return ((a + 2) * x - (a + 3)) * x * x + 1

    def far(x: Any) -> Any:
        return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a

    return np.stack([far(1 + t), near(t), near(1 - t), far(2 - t)])


@functools.lru_cache(maxsize=256)
def _taps(
    mode: str, size: int, output: int, scale: float | None, align_corners: bool
) -> tuple[tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]], ...]:
    """(input position, weight) of every output position along an axis, one pair per tap."""
    step = size / output if scale is None else 1.0 / scale
    i = np.arange(output, dtype=np.float64)
    if mode in ("nearest", "nearest-exact"):
        source = np.floor((i + (0.5 if mode == "nearest-exact" else 0.0)) * step)
        return ((np.minimum(source, size - 1).astype(np.int64), np.ones(output)),)
    outer = (size - 1) / (output - 1) if output > 1 else 0.0
    source = i * outer if align_corners else (i + 0.5) * step - 0.5
    if mode != "bicubic":
        source = np.maximum(source, 0.0)
        first = np.minimum(np.floor(source), size - 1).astype(np.int64)
        t = np.clip(source - first, 0.0, 1.0)
        return ((first, 1.0 - t), (np.minimum(first + 1, size - 1), t))
    first = np.floor(source).astype(np.int64)
    weights = _cubic(source - first)
    return tuple((np.clip(first + j - 1, 0, size - 1), weights[j]) for j in range(4))


def _resample(x: Tensor, axis: int, mode: str, output: int, scale: float | None, align_corners: bool) -> Tensor:
    total = None
    shape = [1] * x.ndim
    shape[axis] = output
    for positions, weights in _taps(mode, x.shape[axis], output, scale, align_corners):
        part = index_select(x, axis, tensor(positions, device=x.device))
        if mode not in ("nearest", "nearest-exact"):
            part = mul(part, tensor(weights.reshape(shape), x.dtype, x.device))
        total = part if total is None else add(total, part)
    assert total is not None
    return total


def interpolate(
    input: Tensor,
    size: int | tuple[int, ...] | None = None,
    scale_factor: float | tuple[float, ...] | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
) -> Tensor:
    """Resamples the pixels of (N, C, L), (N, C, H, W) or (N, C, D, H, W).

    Args:
        input: floating.
        size: of the output, one number or one per axis; or
        scale_factor: output size / input size, rounded down, one number or one per axis.
        mode: "nearest", "nearest-exact", "linear" (N, C, L), "bilinear" or "bicubic" (N, C, H, W), "trilinear"
            (N, C, D, H, W), or "area" (adaptive average pool).
        align_corners: place the outer pixels' centres, not their outer edges, on each other; False unless given, and
            only for the linear and cubic modes.
        recompute_scale_factor: take output size / input size in place of the given factor.

    Returns:
        (N, C, *size).

    Raises:
        ValueError: neither or both of size and scale_factor, an unknown mode, or one for another rank.
        TypeError: not a floating-point tensor.

    Example:
        >>> import fastcnn as fc
        >>> fc.functional.interpolate(fc.tensor([[[1.0, 3.0]]]), scale_factor=2, mode="linear").numpy().tolist()
        [[[1.0, 1.5, 2.5, 3.0]]]
    """
    op = "interpolate"
    if input.ndim not in (3, 4, 5):
        raise ValueError(f"{op}: input has shape {input.shape}, but 3, 4 or 5 dimensions are expected")
    if mode not in _MODES:
        raise ValueError(f"{op}: mode is {mode!r}, but expected one of {', '.join(_MODES)}")
    if input.ndim not in _RANKS.get(mode, (3, 4, 5)):
        raise ValueError(f"{op}: mode {mode!r} needs {_RANKS[mode][0]} dimensions, but input has shape {input.shape}")
    if (size is None) == (scale_factor is None):
        raise ValueError(f"{op}: give either size or scale_factor")
    if align_corners is not None and mode not in _RANKS:
        raise ValueError(f"{op}: align_corners is only for the modes {', '.join(_RANKS)} (mode is {mode!r})")
    axes = input.ndim - 2
    factors: Any = (None,) * axes
    if size is None:
        factors = tuple_of(op, "scale_factor", scale_factor, axes)
        output = tuple(math.floor(n * f) for n, f in zip(input.shape[2:], factors, strict=True))
        if recompute_scale_factor:
            factors = (None,) * axes
    else:
        output = tuple_of(op, "size", size, axes)
    if min(output) < 1 or min(input.shape[2:]) < 1:
        raise ValueError(f"{op}: the output would have size {output} for input {input.shape}")
    if mode == "area":
        pool: Any = (adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d)[axes - 1]
        result: Tensor = pool(input, output)
        return result
    (x,) = widened(op, input=input)
    for axis in range(axes):
        if output[axis] != x.shape[axis + 2] or (factors[axis] is not None and factors[axis] != 1):
            x = _resample(x, axis + 2, mode, output[axis], factors[axis], bool(align_corners))
    return cast(x, input.dtype)


def pixel_shuffle(input: Tensor, upscale_factor: int) -> Tensor:
    """(..., C r^2, H, W) -> (..., C, r H, r W): groups of r^2 channels become r x r pixels.

    Args:
        input: 3 dimensions or more, any dtype.
        upscale_factor: r.

    Raises:
        ValueError: r^2 does not divide the channels.

    Example:
        >>> import fastcnn as fc
        >>> fc.functional.pixel_shuffle(fc.tensor([[[1.0]], [[2.0]], [[3.0]], [[4.0]]]), 2).numpy().tolist()
        [[[1.0, 2.0], [3.0, 4.0]]]

    Source: Shi et al., "Real-time single image and video super-resolution", CVPR 2016.
    """
    r = upscale_factor
    if input.ndim < 3 or r < 1 or input.shape[-3] % (r * r):
        raise ValueError(
            f"pixel_shuffle: input has shape {input.shape}, but (..., C {r}^2, H, W) is expected for upscale_factor {r}"
        )
    *lead, channels, h, w = input.shape
    n, c = math.prod(lead), channels // (r * r)
    split = permute(reshape(input, (n, c, r, r, h, w)), (0, 1, 4, 2, 5, 3))
    return reshape(split, (*lead, c, h * r, w * r))


def pixel_unshuffle(input: Tensor, downscale_factor: int) -> Tensor:
    """(..., C, r H, r W) -> (..., C r^2, H, W): the reverse of `pixel_shuffle`.

    Raises:
        ValueError: r does not divide the sides.
    """
    r = downscale_factor
    if input.ndim < 3 or r < 1 or input.shape[-1] % r or input.shape[-2] % r:
        raise ValueError(f"pixel_unshuffle: input has shape {input.shape}, but sides that {r} divides are expected")
    *lead, c, h, w = input.shape
    n = math.prod(lead)
    split = permute(reshape(input, (n, c, h // r, r, w // r, r)), (0, 1, 3, 5, 2, 4))
    return reshape(split, (*lead, c * r * r, h // r, w // r))


def channel_shuffle(input: Tensor, groups: int) -> Tensor:
    """Channels of different groups side by side: (N, g * c, ...) read as (N, c, g, ...) (Zhang et al., CVPR 2018).

    Raises:
        ValueError: groups does not divide the channels.
    """
    if input.ndim < 3 or groups < 1 or input.shape[1] % groups:
        raise ValueError(
            f"channel_shuffle: input has shape {input.shape}, but (N, C, ...) with groups={groups} dividing C is "
            f"expected"
        )
    n, channels, *rest = input.shape
    pixels = math.prod(rest)
    split = permute(reshape(input, (n, groups, channels // groups, pixels)), (0, 2, 1, 3))
    return reshape(split, input.shape)
