"""Activation functions. Every result has the shape and layout of the input; NaN propagates."""

from __future__ import annotations

from typing import Any

from .. import _C
from ..autograd import Function, check_inplace
from ..ops import elementwise as _elementwise
from ..ops.elementwise import _unary as unary
from ..tensor import Tensor

sigmoid = _elementwise.sigmoid
tanh = _elementwise.tanh


class _PReLU(Function):
    @staticmethod
    def forward(ctx: Any, input: _C.Tensor, weight: _C.Tensor) -> _C.Tensor:
        ctx.save_for_backward(input, weight)
        return _C.prelu(input, weight)

    @staticmethod
    def backward(ctx: Any, grad_output: _C.Tensor) -> tuple[Any, ...]:
        grads: tuple[Any, ...] = _C.prelu_backward(grad_output, *ctx.saved_tensors)
        return grads


def _replace(op: str, input: Tensor, result: Tensor) -> Tensor:
    """`inplace=True`: the input tensor becomes the result, with its history."""
    if input._node is None:
        check_inplace(input, op)
    if result.requires_grad:
        input._data, input._node, input._index = result._data, result._node, result._index
        input.requires_grad = True
    else:
        _C.copy_(input._data, result._data)
    return input


def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """max(0, input); the gradient at 0 is 0.

    Args:
        input: any shape.
        inplace: the input becomes the result.

    Example:
        >>> import fastcnn as fc
        >>> fc.functional.relu(fc.tensor([-2.0, 0.0, 3.0])).numpy().tolist()
        [0.0, 0.0, 3.0]
    """
    result = _elementwise.relu(input)
    return _replace("relu", input, result) if inplace else result


def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """Input where positive, else negative_slope * input (Maas et al., ICML 2013).

    Args:
        input: any shape.
        negative_slope: slope below 0.
        inplace: the input becomes the result.
    """
    result = unary("leaky_relu", input, float(negative_slope))
    return _replace("leaky_relu", input, result) if inplace else result


def prelu(input: Tensor, weight: Tensor) -> Tensor:
    """Input where positive, else weight * input, with a learned weight (He et al., ICCV 2015).

    Args:
        input: (N, C, *) or any shape when there is one weight.
        weight: (1,) or (C,).

    Raises:
        ValueError: the weight is neither one number nor one per channel.
        TypeError: input and weight have different dtypes.
    """
    result: Tensor = _PReLU.apply(input, weight)
    return result


def gelu(input: Tensor, approximate: str = "none") -> Tensor:
    """Input * Phi(input), Phi the standard normal distribution function (Hendrycks and Gimpel 2016).

    Args:
        input: any shape.
        approximate: "none", or "tanh" for x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))).

    Raises:
        ValueError: another `approximate`.
    """
    if approximate not in ("none", "tanh"):
        raise ValueError(f"gelu: approximate is {approximate!r}, but 'none' or 'tanh' is expected")
    return unary("gelu" if approximate == "none" else "gelu_tanh", input)


def silu(input: Tensor, inplace: bool = False) -> Tensor:
    """Input * sigmoid(input), also known as swish.

    Args:
        input: any shape.
        inplace: the input becomes the result.
    """
    result = unary("silu", input)
    return _replace("silu", input, result) if inplace else result
