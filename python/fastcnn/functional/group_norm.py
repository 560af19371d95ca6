"""Normalisations whose statistics belong to one sample: layer, group, instance and root-mean-square norm."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from .. import _C
from ..autograd import Context, Function, RawTensor, no_grad
from ..ops import reduction as _reduction
from ..ops.conversion import cast
from ..ops.elementwise import mul, rsqrt, square
from ..tensor import Tensor
from .normalization import batch_norm
from .pointwise import check_floating, widened


class _LayerNorm(Function):
    @staticmethod
    def forward(
        ctx: Context,
        input: RawTensor,
        weight: RawTensor | None,
        bias: RawTensor | None,
        shape: tuple[int, ...],
        eps: float,
    ) -> RawTensor:
        output, statistics = _C.layer_norm_forward(input, shape, weight, bias, eps)
        ctx.save_for_backward(input, weight, statistics)
        ctx.conf = shape
        return output

    @staticmethod
    def backward(ctx: Context, grad_output: RawTensor) -> Any:
        input, weight, statistics = ctx.saved_tensors
        gradients = _C.layer_norm_backward(grad_output, input, ctx.conf, weight, statistics, ctx.needs_input_grad[:3])
        return (*gradients, None, None)


class _GroupNorm(Function):
    @staticmethod
    def forward(
        ctx: Context, input: RawTensor, groups: int, weight: RawTensor | None, bias: RawTensor | None, eps: float
    ) -> RawTensor:
        output, statistics = _C.group_norm_forward(input, groups, weight, bias, eps)
        ctx.save_for_backward(input, weight, statistics)
        ctx.conf = groups
        return output

    @staticmethod
    def backward(ctx: Context, grad_output: RawTensor) -> Any:
        input, weight, statistics = ctx.saved_tensors
        needs = ctx.needs_input_grad
        wanted = (needs[0], needs[2], needs[3])
        gradients = _C.group_norm_backward(grad_output, input, ctx.conf, weight, statistics, wanted)
        return gradients[0], None, gradients[1], gradients[2], None


def normalized_sizes(op: str, normalized_shape: int | Sequence[int]) -> tuple[int, ...]:
    """The sizes as a tuple; ValueError if there are none."""
    shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
    if not shape:
        raise ValueError(f"{op}: normalized_shape is empty, but at least one size is expected")
    return shape


def layer_norm(
    input: Tensor,
    normalized_shape: int | Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """(x - mean) / sqrt(var + eps) * weight + bias over the last dimensions of every sample.

    Args:
        input: (..., *normalized_shape), floating. Sequences (N, T, D) are best row-major, as the result is.
        normalized_shape: sizes of the last dimensions, which share a mean and a (biased) variance.
        weight: of shape `normalized_shape`, or None for ones.
        bias: likewise, or None for zeros.
        eps: added to the variance.

    Returns:
        The input's shape.

    Raises:
        ValueError: shapes that do not fit together.
        TypeError: not a floating-point input, or different dtypes.

    Example:
        >>> import fastcnn as fc
        >>> fc.functional.layer_norm(fc.tensor([[1.0, 3.0]]), 2, eps=0.0).numpy().tolist()
        [[-1.0, 1.0]]

    Source: Ba, Kiros, Hinton, "Layer normalization", 2016.
    """
    result: Tensor = _LayerNorm.apply(input, weight, bias, normalized_sizes("layer_norm", normalized_shape), eps)
    return result


def group_norm(
    input: Tensor, num_groups: int, weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5
) -> Tensor:
    """(x - mean) / sqrt(var + eps) * weight + bias, statistics over each sample's groups of neighbouring channels.

    Args:
        input: (N, C, ...), floating.
        num_groups: divides C; 1 normalises all channels together, C each on its own.
        weight: (C,) or None for ones.
        bias: (C,) or None for zeros.
        eps: added to the variance.

    Returns:
        The input's shape.

    Raises:
        ValueError: shapes that do not fit together.
        TypeError: not a floating-point input, or different dtypes.

    Example:
        >>> import fastcnn as fc
        >>> fc.functional.group_norm(fc.tensor([[1.0, 3.0, 5.0, 5.0]]), 2).numpy().round(3).tolist()
        [[-1.0, 1.0, 0.0, 0.0]]

    Source: Wu and He, "Group normalization", ECCV 2018.
    """
    result: Tensor = _GroupNorm.apply(input, num_groups, weight, bias, eps)
    return result


def instance_norm(
    input: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """`group_norm` with one channel per group; optionally tracks or uses running statistics.

    Args:
        input: (N, C, ...) with more than one pixel, floating.
        running_mean: (C,), moved in place towards the mean over the batch of the samples' means.
        running_var: (C,), likewise with unbiased variances.
        weight: (C,) or None for ones.
        bias: (C,) or None for zeros.
        use_input_stats: False normalises with the running statistics.
        momentum: weight of a batch in the running statistics.
        eps: added to the variance.

    Raises:
        ValueError: a single pixel, or shapes that do not fit together.

    Source: Ulyanov, Vedaldi, Lempitsky, "Instance normalization", 2016.
    """
    if input.ndim < 3:
        raise ValueError(f"instance_norm: input has shape {input.shape}, but (N, C, ...) with pixels is expected")
    if not use_input_stats:
        return batch_norm(input, running_mean, running_var, weight, bias, False, momentum, eps)
    if math.prod(input.shape[2:]) == 1:
        raise ValueError(f"instance_norm: input has shape {input.shape}, but more than one pixel is expected")
    if input.numel() and (running_mean is not None or running_var is not None):
        with no_grad():
            pixels = tuple(range(2, input.ndim))
            wide = cast(input.detach(), _C.float32) if input.dtype == _C.bfloat16 else input.detach()
            if running_mean is not None:
                _track(running_mean, _reduction.mean(_reduction.mean(wide, pixels), 0), momentum)
            if running_var is not None:
                _track(running_var, _reduction.mean(_reduction.var(wide, pixels), 0), momentum)
    return group_norm(input, input.shape[1], weight, bias, eps)


def _track(running: Tensor, batch: Tensor, momentum: float) -> None:
    moved = mul(running.detach(), 1.0 - momentum) + mul(cast(batch, running.dtype), momentum)
    _C.copy_(running._data, moved._data)


def rms_norm(
    input: Tensor, normalized_shape: int | Sequence[int], weight: Tensor | None = None, eps: float | None = None
) -> Tensor:
    """Input / sqrt(mean of squares + eps) * weight over the last dimensions (Zhang and Sennrich 2019).

    Args:
        input: (..., *normalized_shape), floating.
        normalized_shape: sizes of the last dimensions.
        weight: of shape `normalized_shape`, or None for ones.
        eps: added to the mean square; None for the dtype's machine epsilon.

    Raises:
        ValueError: shapes that do not fit together.
    """
    check_floating("rms_norm", input)
    shape = normalized_sizes("rms_norm", normalized_shape)
    if input.shape[input.ndim - len(shape) :] != shape or (weight is not None and weight.shape != shape):
        raise ValueError(
            f"rms_norm: normalized_shape is {shape}, but input has shape {input.shape}"
            + ("" if weight is None else f" and weight {weight.shape}")
        )
    if eps is None:
        eps = {_C.float64: 2.0**-52, _C.float32: 2.0**-23}.get(input.dtype, 2.0**-7)
    (x,) = widened("rms_norm", input=input)
    squares = _reduction.mean(square(x), tuple(range(-len(shape), 0)), keepdim=True)
    result = mul(x, rsqrt(squares + eps))
    return cast(result if weight is None else mul(result, cast(weight, x.dtype)), input.dtype)
