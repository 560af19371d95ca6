"""Convolutions."""

from __future__ import annotations

from typing import Any

from .. import _C
from ..autograd import Context, Function, RawTensor
from ..tensor import Tensor
from .activation import relu
from .pooling import _batched, _shaped

_Size = int | tuple[int, ...]
_Geometry = tuple[Any, Any, Any, int]  # stride, padding, dilation, groups


def _pair(value: Any) -> tuple[int, ...]:
    """One number stands for both axes."""
    if isinstance(value, tuple | list):
        return (value[0], value[0]) if len(value) == 1 else tuple(value)
    return (value, value)


def same_padding(kernel_size: tuple[int, ...], dilation: tuple[int, ...]) -> tuple[int, ...]:
    """(top, bottom, left, right) that keeps H and W at stride 1; the odd row and column go below and to the right."""
    amounts: list[int] = []
    for size, step in zip(kernel_size, dilation, strict=True):
        total = step * (size - 1)
        amounts += [total // 2, total - total // 2]
    return tuple(amounts)


class _Conv2d(Function):
    fresh_gradients = True

    @staticmethod
    def forward(
        ctx: Context,
        input: RawTensor,
        weight: RawTensor,
        bias: RawTensor | None,
        residual: RawTensor | None,
        geometry: _Geometry,
        activation: str,
    ) -> RawTensor:
        batch = _batched(input)
        shortcut = None if residual is None else _batched(residual)
        output = _C.conv2d_forward(batch, weight, bias, *geometry, activation, shortcut)
        ctx.save_for_backward(batch, weight, output if activation == "relu" else None)
        ctx.conf = (geometry, input.ndim)
        return _shaped(output, input.ndim)

    @staticmethod
    def backward(ctx: Context, grad_output: RawTensor) -> Any:
        batch, weight, activated = ctx.saved_tensors
        geometry: _Geometry
        geometry, ndim = ctx.conf
        gradient = _batched(grad_output)
        if activated is not None:
            gradient = _C.conv2d_mask_relu(gradient, activated)
        grad_input = grad_weight = grad_bias = None
        if ctx.needs_input_grad[0]:
            grad_input = _shaped(_C.conv2d_backward_input(gradient, weight, batch.shape, *geometry), ndim)
        bias_out = ctx.grad_buffer(2) if ctx.needs_input_grad[2] else None
        if ctx.needs_input_grad[1]:
            grad_weight, grad_bias = _C.conv2d_backward_weight(
                gradient,
                batch,
                weight.shape,
                *geometry,
                bias=ctx.needs_input_grad[2],
                out=ctx.grad_buffer(1),
                bias_out=bias_out,
            )
        elif ctx.needs_input_grad[2]:
            channels = weight.shape[0]
            gradient = _C.to_layout(gradient, "channels_last")
            pixels = gradient.view_as((gradient.numel() // channels, channels), "row_major")
            grad_bias = _C.linear_backward_bias(pixels, bias_out)
        grad_residual = _shaped(gradient, ndim) if ctx.needs_input_grad[3] else None
        return grad_input, grad_weight, grad_bias, grad_residual, None, None


def conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: _Size = 1,
    padding: _Size | str = 0,
    dilation: _Size = 1,
    groups: int = 1,
    activation: str | None = None,
    residual: Tensor | None = None,
) -> Tensor:
    """2-d convolution (cross-correlation) of images with a bank of filters.

    output[n, o, y, x] = bias[o]
        + sum over c, i, j of weight[o, c, i, j] * input[n, c, y sH + i dH - pH, x sW + j dW - pW]

    Args:
        input: images (N, C_in, H, W) or one image (C_in, H, W), float32 or float64. N may be 0.
        weight: filters (C_out, C_in / groups, kH, kW), same dtype.
        bias: (C_out,) or None.
        stride: step between outputs, one number or (sH, sW), >= 1.
        padding: zeros on both sides of each axis, one number or (pH, pW), "valid" (none) or "same" (H and W stay; only
            with stride 1).
        dilation: distance between the taps of a filter, one number or (dH, dW), >= 1.
        groups: the channels are cut into so many groups that do not see each other; must divide C_in and C_out.
        activation: None, or "relu" to apply it in the same pass. Not in torch.
        residual: shaped like the output, added before the activation, on the CPU in the same pass. Not in torch.

    Returns:
        Tensor: (N, C_out, H_out, W_out) with H_out = floor((H + 2 pH - dH (kH - 1) - 1) / sH) + 1, W_out alike.

    Raises:
        ValueError: sizes that do not fit together, or a kernel larger than the padded input.
        TypeError: dtypes differ or are not floating.

    Example:
        >>> import fastcnn as fc
        >>> from fastcnn import functional as F
        >>> F.conv2d(fc.zeros(2, 3, 8, 8), fc.zeros(16, 3, 3, 3), stride=2, padding=1).shape
        (2, 16, 4, 4)
    """
    strides, dilations = _pair(stride), _pair(dilation)
    if isinstance(padding, str):
        if padding not in ("same", "valid"):
            raise ValueError(f"conv2d: padding is {padding!r}, but expected numbers, 'same' or 'valid'")
        if padding == "same" and any(s != 1 for s in strides):
            raise ValueError(
                f"conv2d: padding='same' needs stride 1, but stride is {stride}; give the padding in numbers"
            )
        amounts = same_padding(tuple(weight.shape[2:]), dilations) if padding == "same" else (0, 0)
    else:
        amounts = _pair(padding)
    geometry: _Geometry = (strides, amounts, dilations, groups)
    if residual is not None and input.device.type == "cuda":
        total: Tensor = _Conv2d.apply(input, weight, bias, None, geometry, "none") + residual
        return relu(total) if activation == "relu" else total
    result: Tensor = _Conv2d.apply(input, weight, bias, residual, geometry, activation or "none")
    return result
