"""Batch normalisation."""

from __future__ import annotations

from typing import Any

from .. import _C
from ..autograd import Context, Function, RawTensor
from ..tensor import Tensor, float32


class _BatchNorm(Function):
    fresh_gradients = True
    float32_parameters = True

    @staticmethod
    def forward(
        ctx: Context,
        input: RawTensor,
        weight: RawTensor | None,
        bias: RawTensor | None,
        residual: RawTensor | None,
        running: tuple[RawTensor | None, RawTensor | None, RawTensor | None],
        training: bool,
        momentum: float | None,
        eps: float,
        activation: str | None,
    ) -> RawTensor:
        mean, var, tracked = running
        want_gate = any(ctx.needs_input_grad)
        output, statistics, gate = _C.batch_norm_forward(
            input, mean, var, weight, bias, training, momentum, eps, activation, residual, tracked, want_gate
        )
        ctx.save_for_backward(input, weight, bias, gate, statistics)
        ctx.conf = (training, activation)
        # One more pass over the input costs less than a map that is kept through forward and backward.
        ctx.recomputable = residual is None and input.dtype == float32 and input.device.type == "cpu"
        return output

    @staticmethod
    def recompute(ctx: Context) -> RawTensor:
        input, weight, bias, _, statistics = ctx.saved_tensors
        return _C.batch_norm_normalize(input, weight, bias, statistics, ctx.conf[1])

    @staticmethod
    def backward(ctx: Context, grad_output: RawTensor) -> Any:
        input, weight, bias, gate, statistics = ctx.saved_tensors
        training, activation = ctx.conf
        wanted = ctx.needs_input_grad[:4]
        gradients = _C.batch_norm_backward(
            grad_output,
            input,
            weight,
            bias,
            gate,
            statistics,
            training,
            activation,
            wanted,
            ctx.grad_buffer(1) if wanted[1] else None,
            ctx.grad_buffer(2) if wanted[2] else None,
        )
        return (*gradients, None, None, None, None, None)


def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float | None = 0.1,
    eps: float = 1e-5,
    *,
    activation: str | None = None,
    residual: Tensor | None = None,
    num_batches_tracked: Tensor | None = None,
) -> Tensor:
    """Normalises every channel: activation((x - mean) / sqrt(var + eps) * weight + bias + residual).

    In training mean and variance are those of the batch, over all dimensions but the channels, and the running
    statistics move towards them, running = (1 - momentum) running + momentum batch, with the variance divided by
    count - 1. Otherwise the running statistics are used. Source: Ioffe & Szegedy 2015, arXiv:1502.03167.

    Args:
        input: (N, C) or (N, C, ...), float32 or float64. N may be 0: then the running statistics stay.
        running_mean: (C,), updated in place in training; None keeps none.
        running_var: (C,), likewise; both are needed when `training` is False.
        weight: (C,) or None for ones.
        bias: (C,) or None for zeros.
        training: use (and track) the statistics of the batch.
        momentum: weight of the batch in the running statistics, in [0, 1]; None: the mean over all batches so far,
            counted by `num_batches_tracked`.
        eps: added to the variance; positive (0 is allowed when `training` is False).
        activation: None or "relu", fused (PyTorch has no such argument).
        residual: added before the activation, shaped like `input`, fused (PyTorch has no such argument).
        num_batches_tracked: int64 tensor of one element, incremented in training (in PyTorch the layer does that).

    Returns:
        A tensor shaped like `input`.

    Raises:
        ValueError: training with a single value per channel, or shapes that do not fit together.
        TypeError: not a floating-point input, or different dtypes.

    Example:
        >>> import fastcnn as fc
        >>> x = fc.tensor([[1.0, 10.0], [3.0, 30.0]])
        >>> fc.functional.batch_norm(x, None, None, training=True, eps=1e-12).numpy().tolist()
        [[-1.0, -1.0], [1.0, 1.0]]
    """
    buffers = (running_mean, running_var, num_batches_tracked)
    running = tuple(None if buffer is None else buffer._data for buffer in buffers)
    result: Tensor = _BatchNorm.apply(input, weight, bias, residual, running, training, momentum, eps, activation)
    return result
