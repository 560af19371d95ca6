"""Arithmetic, comparisons and functions element by element, with NumPy broadcasting and PyTorch's type promotion.

Operands are tensors or Python numbers. Numbers, and tensors without dimensions, do not widen the dtype of a tensor
within its category: float32 tensor * 2.0 is float32, int64 tensor * 2.0 is float32. NaN propagates everywhere.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import _C
from ..autograd import is_grad_enabled
from ..tensor import Tensor
from . import elementwise_autograd as _functions

Number = bool | int | float
Operand = Tensor | Number


_OPERANDS = (Tensor, bool, int, float)


def _operand(op: str, name: str, value: Any) -> Any:
    if isinstance(value, _OPERANDS):
        return value
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(
        f"{op}: {name} is {type(value).__name__}, but a Tensor or a number is expected; use fastcnn.tensor()"
    )


def _pair(op: str, input: Any, other: Any) -> tuple[Any, Any]:
    """The operands checked; at least one is a tensor."""
    a, b = _operand(op, "input", input), _operand(op, "other", other)
    if not isinstance(a, Tensor) and not isinstance(b, Tensor):
        raise TypeError(f"{op}: input and other are numbers, but at least one Tensor is expected; use fastcnn.tensor()")
    return a, b


def _raw(value: Any) -> Any:
    return value._data if isinstance(value, Tensor) else value


def _recorded(*operands: Any) -> bool:
    """Whether a call on these operands goes on the tape; others skip the bookkeeping."""
    if is_grad_enabled():
        for value in operands:
            if isinstance(value, Tensor) and value.requires_grad:
                return True
    return False


def _binary(op: str, function: Any, input: Any, other: Any) -> Tensor:
    a, b = _pair(op, input, other)
    result: Tensor = function.apply(a, b) if _recorded(a, b) else Tensor(function.kernel(_raw(a), _raw(b)))
    return result


def _unary(name: str, input: Tensor, a: float = 0.0, b: float = 0.0) -> Tensor:
    if not isinstance(input, Tensor):
        raise TypeError(f"{name}: input is {type(input).__name__}, but a Tensor is expected; use fastcnn.tensor()")
    function = _functions.unary_function(name)
    result: Tensor = function.apply(input, a, b) if _recorded(input) else Tensor(function.kernel(input._data, a, b))
    return result


def add(input: Operand, other: Operand, *, alpha: float = 1) -> Tensor:
    """Input + alpha * other.

    Args:
        input: tensor or number.
        other: tensor or number whose shape broadcasts with the input's.
        alpha: factor of `other`.

    Returns:
        A tensor of the broadcast shape and promoted dtype.

    Raises:
        ValueError: the shapes do not broadcast.
        TypeError: an operand is neither a tensor nor a number.

    Example:
        >>> import fastcnn as fc
        >>> fc.add(fc.tensor([[1.0], [2.0]]), fc.tensor([10.0, 20.0]), alpha=2).numpy().tolist()
        [[21.0, 41.0], [22.0, 42.0]]
    """
    a, b = _pair("add", input, other)
    result: Tensor = (
        _functions.Add.apply(a, b, float(alpha)) if _recorded(a, b) else Tensor(_C.add(_raw(a), _raw(b), float(alpha)))
    )
    return result


def sub(input: Operand, other: Operand, *, alpha: float = 1) -> Tensor:
    """Input - alpha * other; see `add`."""
    return _binary("sub", _functions.Sub, input, other) if alpha == 1 else add(input, other, alpha=-float(alpha))


def mul(input: Operand, other: Operand) -> Tensor:
    """Input * other; see `add`."""
    return _binary("mul", _functions.Mul, input, other)


def div(input: Operand, other: Operand) -> Tensor:
    """Input / other; two integers give float32. See `add`."""
    return _binary("div", _functions.Div, input, other)


def floor_divide(input: Operand, other: Operand) -> Tensor:
    """floor(input / other); the gradient is zero. Division of integers by zero is a ValueError."""
    return Tensor(_C.floor_divide(*map(_raw, _pair("floor_divide", input, other))))


def remainder(input: Operand, other: Operand) -> Tensor:
    """Input - other * floor(input / other): the remainder with the sign of `other`, as Python's `%`.

    A remainder of zero has that sign as well, as in NumPy; PyTorch gives it the sign of `input`.

    Example:
        >>> import fastcnn as fc
        >>> fc.remainder(fc.tensor([7.0, -7.0, -6.0]), 3).numpy().tolist()
        [1.0, 2.0, 0.0]
    """
    return _binary("remainder", _functions.Remainder, input, other)


def pow(input: Operand, exponent: Operand) -> Tensor:
    """Input to the power of exponent; integers have non-negative integer powers only.

    Example:
        >>> import fastcnn as fc
        >>> fc.pow(fc.tensor([1.0, 2.0, 3.0]), 2).numpy().tolist()
        [1.0, 4.0, 9.0]
    """
    a, b = _pair("pow", input, exponent)
    if isinstance(a, Tensor) and not isinstance(b, Tensor) and (a.dtype.is_floating_point or isinstance(b, int)):
        if a.dtype == _C.bool_:
            return Tensor(_C.pow(_C.cast(a._data, _C.int64), b))
        return _unary("pow_scalar", a, float(b))
    return _binary("pow", _functions.Pow, a, b)


def maximum(input: Operand, other: Operand) -> Tensor:
    """The larger of both, NaN if either is; equal operands share the gradient. See `add`."""
    return _binary("maximum", _functions.Maximum, input, other)


def minimum(input: Operand, other: Operand) -> Tensor:
    """The smaller of both, NaN if either is; equal operands share the gradient. See `add`."""
    return _binary("minimum", _functions.Minimum, input, other)


def where(condition: Tensor, input: Operand, other: Operand) -> Tensor:
    """`input` where `condition`, `other` elsewhere; all three are broadcast.

    Args:
        condition: bool tensor.
        input: tensor or number taken where the condition is true.
        other: tensor or number taken elsewhere.

    Raises:
        TypeError: `condition` is not a bool tensor.
        ValueError: the shapes do not broadcast.

    Example:
        >>> import fastcnn as fc
        >>> x = fc.tensor([-1.0, 2.0])
        >>> fc.where(fc.gt(x, 0), x, 0.0).numpy().tolist()
        [0.0, 2.0]
    """
    if not isinstance(condition, Tensor):
        raise TypeError(f"where: condition is {type(condition).__name__}, but a bool Tensor is expected")
    a, b = _operand("where", "input", input), _operand("where", "other", other)
    result: Tensor = _functions.Where.apply(condition, a, b)
    return result


def eq(input: Operand, other: Operand) -> Tensor:
    """Input == other, a bool tensor."""
    return Tensor(_C.eq(*map(_raw, _pair("eq", input, other))))


def ne(input: Operand, other: Operand) -> Tensor:
    """Input != other, a bool tensor."""
    return Tensor(_C.ne(*map(_raw, _pair("ne", input, other))))


def lt(input: Operand, other: Operand) -> Tensor:
    """Input < other, a bool tensor."""
    return Tensor(_C.lt(*map(_raw, _pair("lt", input, other))))


def le(input: Operand, other: Operand) -> Tensor:
    """Input <= other, a bool tensor."""
    return Tensor(_C.le(*map(_raw, _pair("le", input, other))))


def gt(input: Operand, other: Operand) -> Tensor:
    """Input > other, a bool tensor."""
    return Tensor(_C.gt(*map(_raw, _pair("gt", input, other))))


def ge(input: Operand, other: Operand) -> Tensor:
    """Input >= other, a bool tensor."""
    return Tensor(_C.ge(*map(_raw, _pair("ge", input, other))))


def logical_and(input: Operand, other: Operand) -> Tensor:
    """Whether both are non-zero, a bool tensor."""
    return Tensor(_C.logical_and(*map(_raw, _pair("logical_and", input, other))))


def logical_or(input: Operand, other: Operand) -> Tensor:
    """Whether either is non-zero, a bool tensor."""
    return Tensor(_C.logical_or(*map(_raw, _pair("logical_or", input, other))))


def logical_xor(input: Operand, other: Operand) -> Tensor:
    """Whether exactly one is non-zero, a bool tensor."""
    return Tensor(_C.logical_xor(*map(_raw, _pair("logical_xor", input, other))))


def logical_not(input: Tensor) -> Tensor:
    """Whether the element is zero, a bool tensor."""
    return eq(input, 0)


def isnan(input: Tensor) -> Tensor:
    """Whether the element is NaN, a bool tensor."""
    return ne(input, input)


def isinf(input: Tensor) -> Tensor:
    """Whether the element is infinite, a bool tensor."""
    return logical_or(eq(input, float("inf")), eq(input, float("-inf")))


def isfinite(input: Tensor) -> Tensor:
    """Whether the element is neither NaN nor infinite, a bool tensor."""
    return logical_and(lt(input, float("inf")), gt(input, float("-inf")))


def clamp(input: Tensor, min: Operand | None = None, max: Operand | None = None) -> Tensor:
    """min(max(input, min), max); the gradient is 1 inside and on the bounds, 0 outside. NaN stays NaN.

    Args:
        input: tensor.
        min: lower bound, a number or a tensor that broadcasts; None for none.
        max: upper bound, likewise.

    Raises:
        ValueError: both bounds are None.

    Example:
        >>> import fastcnn as fc
        >>> fc.clamp(fc.tensor([-3.0, 0.5, 3.0]), -1, 1).numpy().tolist()
        [-1.0, 0.5, 1.0]
    """
    if min is None and max is None:
        raise ValueError("clamp: min and max are both None, but at least one bound is expected")
    if isinstance(min, Tensor) or isinstance(max, Tensor):
        result = input if min is None else maximum(input, min)
        return result if max is None else minimum(result, max)
    low = float("-inf") if min is None else _operand("clamp", "min", min)
    high = float("inf") if max is None else _operand("clamp", "max", max)
    if not input.dtype.is_floating_point and not all(isinstance(v, int) for v in (min, max) if v is not None):
        input = Tensor(_C.cast(input._data, _C.float32))
    return _unary("clamp", input, float(low), float(high))


def abs(input: Tensor) -> Tensor:
    """|input|; the gradient at 0 is 0."""
    return _unary("abs", input)


def neg(input: Tensor) -> Tensor:
    """-input."""
    return _unary("neg", input)


def exp(input: Tensor) -> Tensor:
    """E to the power of input."""
    return _unary("exp", input)


def expm1(input: Tensor) -> Tensor:
    """exp(input) - 1, accurate near 0."""
    return _unary("expm1", input)


def log(input: Tensor) -> Tensor:
    """Natural logarithm: -inf at 0, NaN below."""
    return _unary("log", input)


def log1p(input: Tensor) -> Tensor:
    """log(1 + input), accurate near 0."""
    return _unary("log1p", input)


def sqrt(input: Tensor) -> Tensor:
    """Square root: NaN below 0."""
    return _unary("sqrt", input)


def rsqrt(input: Tensor) -> Tensor:
    """1 / sqrt(input)."""
    return _unary("rsqrt", input)


def reciprocal(input: Tensor) -> Tensor:
    """1 / input, in floating point also for integers."""
    return _unary("reciprocal", input)


def square(input: Tensor) -> Tensor:
    """Input * input."""
    return _unary("square", input)


def sign(input: Tensor) -> Tensor:
    """-1, 0 or 1; NaN stays NaN. The gradient is zero."""
    return _unary("sign", input)


def floor(input: Tensor) -> Tensor:
    """The largest integer not above. The gradient is zero."""
    return _unary("floor", input)


def ceil(input: Tensor) -> Tensor:
    """The smallest integer not below. The gradient is zero."""
    return _unary("ceil", input)


def round(input: Tensor) -> Tensor:
    """The nearest integer, halves to even. The gradient is zero."""
    return _unary("round", input)


def sin(input: Tensor) -> Tensor:
    """Sine of radians."""
    return _unary("sin", input)


def cos(input: Tensor) -> Tensor:
    """Cosine of radians."""
    return _unary("cos", input)


def erf(input: Tensor) -> Tensor:
    """Error function, 2/sqrt(pi) times the integral of exp(-t^2) from 0 to input."""
    return _unary("erf", input)


def relu(input: Tensor) -> Tensor:
    """max(0, input); the gradient at 0 is 0."""
    return _unary("relu", input)


def sigmoid(input: Tensor) -> Tensor:
    """1 / (1 + exp(-input)), accurate in both tails."""
    return _unary("sigmoid", input)


def tanh(input: Tensor) -> Tensor:
    """Hyperbolic tangent."""
    return _unary("tanh", input)
