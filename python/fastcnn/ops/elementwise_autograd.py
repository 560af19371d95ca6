"""The differentiable functions behind `fastcnn.ops.elementwise`: kernels on raw tensors, with their gradients."""

# ruff: noqa: D102
from __future__ import annotations

import functools
from typing import Any

from .. import _C
from ..autograd import Function

_Raw = _C.Tensor
_Gradients = tuple[Any, ...]


def reduce_gradient(grad: _Raw, shape: tuple[int, ...], dtype: _C.dtype) -> _Raw:
    """The gradient of an operand of `shape` and `dtype` from the gradient of the broadcast result."""
    if grad.shape != shape:
        grad = _C.sum_to_shape(_C.cast(grad, _C.float32) if grad.dtype == _C.bfloat16 else grad, shape)
    return _C.cast(grad, dtype)


def _kinds(*operands: Any) -> tuple[Any, ...]:
    """(shape, dtype) of the tensors among raw operands."""
    return tuple([(v.shape, v.dtype) if isinstance(v, _C.Tensor) else None for v in operands])


class Add(Function):
    """input + alpha * other."""

    @staticmethod
    def forward(ctx: Any, input: Any, other: Any, alpha: float) -> _Raw:
        ctx.kinds = _kinds(input, other)
        ctx.alpha = alpha
        return _C.add(input, other, alpha)

    @staticmethod
    def backward(ctx: Any, grad_output: _Raw) -> _Gradients:
        left, right = ctx.needs_input_grad[:2]
        grad_input = reduce_gradient(grad_output, *ctx.kinds[0]) if left else None
        grad_other = None
        if right:
            grad_other = reduce_gradient(grad_output, *ctx.kinds[1])
            if ctx.alpha != 1:
                grad_other = _C.mul(grad_other, float(ctx.alpha))
        return grad_input, grad_other, None


class Sub(Function):
    """input - other."""

    kernel = staticmethod(_C.sub)

    @staticmethod
    def forward(ctx: Any, input: Any, other: Any) -> _Raw:
        ctx.kinds = _kinds(input, other)
        return _C.sub(input, other)

    @staticmethod
    def backward(ctx: Any, grad_output: _Raw) -> _Gradients:
        left, right = ctx.needs_input_grad
        return (
            reduce_gradient(grad_output, *ctx.kinds[0]) if left else None,
            _C.neg(reduce_gradient(grad_output, *ctx.kinds[1])) if right else None,
        )


class OnOperands(Function):
    """A function of two operands whose gradients need them: subclasses define `kernel` and `gradients`."""

    @staticmethod
    def kernel(input: Any, other: Any) -> _Raw:
        raise NotImplementedError

    @staticmethod
    def gradients(g: _Raw, a: Any, b: Any, left: bool, right: bool) -> tuple[_Raw | None, _Raw | None]:
        """Before the reduction to the operands' shapes."""
        raise NotImplementedError

    @staticmethod
    def forward(ctx: Any, input: Any, other: Any) -> _Raw:
        left, right = type(input) is _Raw, type(other) is _Raw
        ctx.save_for_backward(input if left else None, other if right else None)
        ctx.number = None if left and right else other if left else input
        result: _Raw = ctx.function.kernel(input, other)
        return result

    @staticmethod
    def backward(ctx: Any, grad_output: _Raw) -> _Gradients:
        a, b = [ctx.number if t is None else t for t in ctx.saved_tensors]
        grads = ctx.function.gradients(grad_output, a, b, *ctx.needs_input_grad)
        return tuple(
            [None if g is None else reduce_gradient(g, v.shape, v.dtype) for g, v in zip(grads, (a, b), strict=True)]
        )


class Mul(OnOperands):
    """input * other."""

    kernel = staticmethod(_C.mul)

    @staticmethod
    def gradients(g: _Raw, a: Any, b: Any, left: bool, right: bool) -> tuple[_Raw | None, _Raw | None]:
        return _C.mul(g, b) if left else None, _C.mul(g, a) if right else None


class Div(OnOperands):
    """input / other."""

    kernel = staticmethod(_C.div)

    @staticmethod
    def gradients(g: _Raw, a: Any, b: Any, left: bool, right: bool) -> tuple[_Raw | None, _Raw | None]:
        quotient = _C.div(g, b)
        return quotient if left else None, _C.neg(_C.mul(quotient, _C.div(a, b))) if right else None


class Pow(OnOperands):
    """input to the power of other."""

    kernel = staticmethod(_C.pow)

    @staticmethod
    def gradients(g: _Raw, a: Any, b: Any, left: bool, right: bool) -> tuple[_Raw | None, _Raw | None]:
        grad_base = grad_exponent = None
        if left:  # b a^(b-1), and 0 where b = 0 whatever a is
            slope = _C.mul(b, _C.pow(a, _C.sub(b, 1)))
            grad_base = _C.where(_C.eq(b, 0), 0.0, _C.mul(g, slope))
        if right:  # a^b ln a, and 0 where a = 0 and b >= 0: the limit
            base = a if isinstance(a, _C.Tensor) else _C.full((), a, b.dtype)
            slope = _C.mul(_C.pow(base, b), _C.log(base))
            zero = _C.logical_and(_C.eq(base, 0), _C.ge(b, 0))
            grad_exponent = _C.where(zero, 0.0, _C.mul(g, slope))
        return grad_base, grad_exponent


class Maximum(OnOperands):
    """The larger operand."""

    kernel = staticmethod(_C.maximum)

    @staticmethod
    def gradients(g: _Raw, a: Any, b: Any, left: bool, right: bool) -> tuple[_Raw | None, _Raw | None]:
        shared = _C.where(_C.eq(a, b), _C.mul(g, 0.5), g)  # equal operands take half each
        return (
            _C.where(_C.lt(a, b), 0.0, shared) if left else None,
            _C.where(_C.lt(b, a), 0.0, shared) if right else None,
        )


class Minimum(OnOperands):
    """The smaller operand."""

    kernel = staticmethod(_C.minimum)

    @staticmethod
    def gradients(g: _Raw, a: Any, b: Any, left: bool, right: bool) -> tuple[_Raw | None, _Raw | None]:
        shared = _C.where(_C.eq(a, b), _C.mul(g, 0.5), g)
        return (
            _C.where(_C.gt(a, b), 0.0, shared) if left else None,
            _C.where(_C.gt(b, a), 0.0, shared) if right else None,
        )


class Remainder(OnOperands):
    """Remainder with the sign of other."""

    kernel = staticmethod(_C.remainder)

    @staticmethod
    def gradients(g: _Raw, a: Any, b: Any, left: bool, right: bool) -> tuple[_Raw | None, _Raw | None]:
        return g if left else None, _C.neg(_C.mul(g, _C.floor_divide(a, b))) if right else None


class Where(Function):
    """condition ? input : other."""

    @staticmethod
    def forward(ctx: Any, condition: _Raw, input: Any, other: Any) -> _Raw:
        ctx.kinds = _kinds(input, other)
        ctx.save_for_backward(condition)
        return _C.where(condition, input, other)

    @staticmethod
    def backward(ctx: Any, grad_output: _Raw) -> _Gradients:
        (condition,) = ctx.saved_tensors
        _, left, right = ctx.needs_input_grad
        return (
            None,
            reduce_gradient(_C.where(condition, grad_output, 0.0), *ctx.kinds[0]) if left else None,
            reduce_gradient(_C.where(condition, 0.0, grad_output), *ctx.kinds[1]) if right else None,
        )


@functools.cache
def unary_function(name: str) -> Any:
    """The differentiable `Function` of the kernel `_C.<name>`, called as `apply(input, a, b)`."""
    kernel, backward_kernel = getattr(_C, name), getattr(_C, f"{name}_backward")
    saves_output = name in _C.unary_saves_output

    def forward(ctx: Any, input: _Raw, a: float, b: float) -> _Raw:
        output: _Raw = kernel(input, a, b)
        ctx.save_for_backward(output if saves_output else input)
        ctx.constants = (a, b)
        return output

    def backward(ctx: Any, grad_output: _Raw) -> _Gradients:
        return backward_kernel(ctx.saved_tensors[0], grad_output, *ctx.constants), None, None

    return type(
        name,
        (Function,),
        {
            "forward": staticmethod(forward),
            "backward": staticmethod(backward),
            "kernel": staticmethod(kernel),
            "fresh_gradients": True,
        },
    )
