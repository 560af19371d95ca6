"""The linear layer as a function."""

from __future__ import annotations

from typing import Any

from .. import _C
from ..autograd import Context, Function, RawTensor
from ..tensor import Tensor


class _Linear(Function):
    fresh_gradients = True

    @staticmethod
    def forward(
        ctx: Context, input: RawTensor, weight: RawTensor, bias: RawTensor | None, activation: str | None
    ) -> RawTensor:
        output = _C.linear_forward(input, weight, bias, activation)
        ctx.save_for_backward(input, weight, output if activation else None)
        return output

    @staticmethod
    def backward(ctx: Context, *grad_outputs: Any) -> tuple[Any, ...]:
        input, weight, output = ctx.saved_tensors
        grad = grad_outputs[0] if output is None else _C.linear_backward_relu(grad_outputs[0], output)
        needs_input, needs_weight, needs_bias = ctx.needs_input_grad[:3]
        grad_input = grad_weight = grad_bias = None
        if needs_input:
            grad_input = _C.to_layout(_C.linear_backward_input(grad, weight), input.layout)
        if needs_weight:
            grad_weight = _C.linear_backward_weight(grad, input, ctx.grad_buffer(1))
        if needs_bias:
            grad_bias = _C.linear_backward_bias(grad, ctx.grad_buffer(2))
        return grad_input, grad_weight, grad_bias, None


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None, activation: str | None = None) -> Tensor:
    """Applies y = x W^T + b to the last dimension.

    Args:
        input: x, shape (..., in_features).
        weight: W, shape (out_features, in_features).
        bias: b, shape (out_features,), or None.
        activation: "relu" applies max(0, y) in the same kernel (an addition to PyTorch's signature); None for nothing.

    Returns:
        y, shape (..., out_features).

    Raises:
        ValueError: shapes that do not fit, or an unknown activation.
        TypeError: a dtype other than float32 and float64, or mixed dtypes.

    Example:
        >>> import fastcnn as fc
        >>> from fastcnn import functional as F
        >>> weight = fc.tensor([[3.0, 4.0], [-5.0, 0.0]])
        >>> F.linear(fc.tensor([[1.0, 2.0]]), weight, fc.tensor([0.5, 0.0])).numpy().tolist()
        [[11.5, -5.0]]
    """
    result: Tensor = _Linear.apply(input, weight, bias, activation)
    return result
