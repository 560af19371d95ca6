"""Differentiable functions of one tensor that are composed of a few kernels; bfloat16 is computed in float32."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import _C
from ..autograd import Context, Function, RawTensor
from ..ops.conversion import cast
from ..ops.elementwise import _unary as unary
from ..tensor import Tensor


def composed(forward: Callable[..., RawTensor], backward: Callable[..., RawTensor], name: str) -> Callable[..., Tensor]:
    """A differentiable function of a floating-point tensor and constants.

    Args:
        forward: (x, *constants) -> y on raw tensors.
        backward: (grad_output, x, *constants) -> gradient of x.
        name: of the op, for messages.

    Returns:
        A function (Tensor, *constants) -> Tensor, which raises TypeError for tensors that are not floating.
    """

    class Composed(Function):
        @staticmethod
        def forward(ctx: Context, input: RawTensor, *constants: Any) -> RawTensor:
            ctx.save_for_backward(input)
            ctx.conf = constants
            if input.dtype == _C.bfloat16:
                return _C.cast(forward(_C.cast(input, _C.float32), *constants), _C.bfloat16)
            return forward(input, *constants)

        @staticmethod
        def backward(ctx: Context, grad_output: RawTensor) -> Any:
            (input,) = ctx.saved_tensors
            g = _C.to_layout(grad_output, input.layout)
            if input.dtype == _C.bfloat16:
                wide = backward(_C.cast(g, _C.float32), _C.cast(input, _C.float32), *ctx.conf)
                return (_C.cast(wide, _C.bfloat16), *(None for _ in ctx.conf))
            return (backward(g, input, *ctx.conf), *(None for _ in ctx.conf))

    Composed.__name__ = name

    def call(input: Tensor, *constants: Any) -> Tensor:
        check_floating(name, input)
        result: Tensor = Composed.apply(input, *constants)
        return result

    return call


def floating_unary(name: str, input: Tensor, a: float = 0.0, b: float = 0.0, op: str = "") -> Tensor:
    """The differentiable kernel `name` with its constants, for floating-point tensors only.

    Args:
        name: of the kernel.
        input: any shape, floating.
        a: the kernel's first constant.
        b: the kernel's second constant.
        op: name in messages; empty: the kernel's.

    Raises:
        TypeError: not a floating-point tensor.
    """
    check_floating(op or name, input)
    return unary(name, input, float(a), float(b))


def check_floating(op: str, input: Any, argument: str = "input") -> None:
    """Raises TypeError unless `input` is a floating-point tensor."""
    if not isinstance(input, Tensor):
        raise TypeError(f"{op}: {argument} is {type(input).__name__}, but a Tensor is expected; use fastcnn.tensor()")
    if not input.dtype.is_floating_point:
        raise TypeError(f"{op}: {argument} is {input.dtype}, but float32 or float64 is expected; use .float()")


def widened(op: str, **tensors: Tensor) -> tuple[Tensor, ...]:
    """The tensors, bfloat16 ones as float32: sums of several roundings stay accurate.

    Raises:
        TypeError: one is not floating, or the dtypes differ.
    """
    names = list(tensors)
    for name, value in tensors.items():
        check_floating(op, value, name)
        if value.dtype != tensors[names[0]].dtype:
            raise TypeError(
                f"{op}: {name} is {value.dtype}, but {names[0]} is {tensors[names[0]].dtype}; convert one of them"
            )
    return tuple([cast(t, _C.float32) if t.dtype == _C.bfloat16 else t for t in tensors.values()])
