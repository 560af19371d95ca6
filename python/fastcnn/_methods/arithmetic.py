# mypy: no-warn-return-any
"""Operators and elementwise methods of `Tensor`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import Deferred

if TYPE_CHECKING:
    from ..tensor import Tensor

elementwise_ops: Any = Deferred(__name__, "elementwise")
inplace_ops: Any = Deferred(__name__, "inplace")
linalg_ops: Any = Deferred(__name__, "linalg")


def _in_place(tensor: Any, op: str, other: Any, **options: Any) -> Tensor:
    """`tensor.op(other)` written into the tensor's memory; when gradients flow, the tensor takes over a new result."""
    from ..autograd import check_inplace, is_grad_enabled

    if not is_grad_enabled() or not (tensor.requires_grad or getattr(other, "requires_grad", False)):
        return getattr(inplace_ops, op)(tensor, other, **options)
    if tensor._node is None:
        check_inplace(tensor, op)
    result = getattr(elementwise_ops, op[:-1])(tensor, other, **options)
    if result.shape != tensor.shape or result.dtype != tensor.dtype:
        raise ValueError(
            f"{op}: the result has shape {result.shape} and dtype {result.dtype}, which does not fit in place into "
            f"shape {tensor.shape} and dtype {tensor.dtype}"
        )
    tensor._data, tensor._node, tensor._index = result._data, result._node, result._index
    tensor.requires_grad = True
    return tensor


class ArithmeticMethods:
    """Broadcasting arithmetic, comparison and elementwise functions."""

    __slots__ = ()
    __array_priority__ = 1000  # numpy_array * tensor is left to Tensor.__rmul__

    def __add__(self, other: Any) -> Tensor:
        return elementwise_ops.add(self, other)

    def __radd__(self, other: Any) -> Tensor:
        return elementwise_ops.add(other, self)

    def __sub__(self, other: Any) -> Tensor:
        return elementwise_ops.sub(self, other)

    def __rsub__(self, other: Any) -> Tensor:
        return elementwise_ops.sub(other, self)

    def __mul__(self, other: Any) -> Tensor:
        return elementwise_ops.mul(self, other)

    def __rmul__(self, other: Any) -> Tensor:
        return elementwise_ops.mul(other, self)

    def __truediv__(self, other: Any) -> Tensor:
        return elementwise_ops.div(self, other)

    def __rtruediv__(self, other: Any) -> Tensor:
        return elementwise_ops.div(other, self)

    def __floordiv__(self, other: Any) -> Tensor:
        return elementwise_ops.floor_divide(self, other)

    def __rfloordiv__(self, other: Any) -> Tensor:
        return elementwise_ops.floor_divide(other, self)

    def __mod__(self, other: Any) -> Tensor:
        return elementwise_ops.remainder(self, other)

    def __rmod__(self, other: Any) -> Tensor:
        return elementwise_ops.remainder(other, self)

    def __pow__(self, other: Any) -> Tensor:
        return elementwise_ops.pow(self, other)

    def __rpow__(self, other: Any) -> Tensor:
        return elementwise_ops.pow(other, self)

    def __matmul__(self, other: Tensor) -> Tensor:
        return linalg_ops.matmul(self, other)

    def __rmatmul__(self, other: Tensor) -> Tensor:
        return linalg_ops.matmul(other, self)

    def __iadd__(self, other: Any) -> Tensor:
        return _in_place(self, "add_", other)

    def __isub__(self, other: Any) -> Tensor:
        return _in_place(self, "sub_", other)

    def __imul__(self, other: Any) -> Tensor:
        return _in_place(self, "mul_", other)

    def __itruediv__(self, other: Any) -> Tensor:
        return _in_place(self, "div_", other)

    def __neg__(self) -> Tensor:
        return elementwise_ops.neg(self)

    def __pos__(self) -> Tensor:
        return self  # type: ignore[return-value]

    def __abs__(self) -> Tensor:
        return elementwise_ops.abs(self)

    def __lt__(self, other: Any) -> Tensor:
        return elementwise_ops.lt(self, other)

    def __le__(self, other: Any) -> Tensor:
        return elementwise_ops.le(self, other)

    def __gt__(self, other: Any) -> Tensor:
        return elementwise_ops.gt(self, other)

    def __ge__(self, other: Any) -> Tensor:
        return elementwise_ops.ge(self, other)

    def __eq__(self, other: object) -> Tensor:  # type: ignore[override]
        return elementwise_ops.eq(self, other)

    def __ne__(self, other: object) -> Tensor:  # type: ignore[override]
        return elementwise_ops.ne(self, other)

    def __hash__(self) -> int:
        return id(self)

    def __invert__(self) -> Tensor:
        return elementwise_ops.logical_not(self)

    def __and__(self, other: Any) -> Tensor:
        return elementwise_ops.logical_and(self, other)

    def __or__(self, other: Any) -> Tensor:
        return elementwise_ops.logical_or(self, other)

    def __xor__(self, other: Any) -> Tensor:
        return elementwise_ops.logical_xor(self, other)

    def add(self, other: Any, alpha: float = 1) -> Tensor:
        """Self + alpha * other."""
        return elementwise_ops.add(self, other, alpha=alpha)

    def sub(self, other: Any, alpha: float = 1) -> Tensor:
        """Self - alpha * other."""
        return elementwise_ops.sub(self, other, alpha=alpha)

    def mul(self, other: Any) -> Tensor:
        """Self * other."""
        return elementwise_ops.mul(self, other)

    def div(self, other: Any) -> Tensor:
        """Self / other."""
        return elementwise_ops.div(self, other)

    def pow(self, other: Any) -> Tensor:
        """Self ** other."""
        return elementwise_ops.pow(self, other)

    def maximum(self, other: Any) -> Tensor:
        """The larger of both; NaN wins."""
        return elementwise_ops.maximum(self, other)

    def minimum(self, other: Any) -> Tensor:
        """The smaller of both; NaN wins."""
        return elementwise_ops.minimum(self, other)

    def eq(self, other: Any) -> Tensor:
        """Self == other."""
        return elementwise_ops.eq(self, other)

    def ne(self, other: Any) -> Tensor:
        """Self != other."""
        return elementwise_ops.ne(self, other)

    def lt(self, other: Any) -> Tensor:
        """Self < other."""
        return elementwise_ops.lt(self, other)

    def le(self, other: Any) -> Tensor:
        """Self <= other."""
        return elementwise_ops.le(self, other)

    def gt(self, other: Any) -> Tensor:
        """Self > other."""
        return elementwise_ops.gt(self, other)

    def ge(self, other: Any) -> Tensor:
        """Self >= other."""
        return elementwise_ops.ge(self, other)

    def logical_and(self, other: Any) -> Tensor:
        """Both nonzero."""
        return elementwise_ops.logical_and(self, other)

    def logical_or(self, other: Any) -> Tensor:
        """Either nonzero."""
        return elementwise_ops.logical_or(self, other)

    def logical_xor(self, other: Any) -> Tensor:
        """Exactly one nonzero."""
        return elementwise_ops.logical_xor(self, other)

    def add_(self, other: Any, alpha: float = 1) -> Tensor:
        """Self += alpha * other."""
        return _in_place(self, "add_", other, alpha=alpha)

    def sub_(self, other: Any, alpha: float = 1) -> Tensor:
        """Self -= alpha * other."""
        return _in_place(self, "sub_", other, alpha=alpha)

    def mul_(self, other: Any) -> Tensor:
        """Self *= other."""
        return _in_place(self, "mul_", other)

    def div_(self, other: Any) -> Tensor:
        """Self /= other."""
        return _in_place(self, "div_", other)

    def neg(self) -> Tensor:
        """-self."""
        return elementwise_ops.neg(self)

    def abs(self) -> Tensor:
        """|self|."""
        return elementwise_ops.abs(self)

    def exp(self) -> Tensor:
        """E to the power of self."""
        return elementwise_ops.exp(self)

    def log(self) -> Tensor:
        """Natural logarithm."""
        return elementwise_ops.log(self)

    def sqrt(self) -> Tensor:
        """Square root."""
        return elementwise_ops.sqrt(self)

    def rsqrt(self) -> Tensor:
        """1 / sqrt(self)."""
        return elementwise_ops.rsqrt(self)

    def reciprocal(self) -> Tensor:
        """1 / self."""
        return elementwise_ops.reciprocal(self)

    def square(self) -> Tensor:
        """Self * self."""
        return elementwise_ops.square(self)

    def sign(self) -> Tensor:
        """-1, 0 or 1."""
        return elementwise_ops.sign(self)

    def floor(self) -> Tensor:
        """Rounded down."""
        return elementwise_ops.floor(self)

    def ceil(self) -> Tensor:
        """Rounded up."""
        return elementwise_ops.ceil(self)

    def round(self) -> Tensor:
        """Rounded to the nearest, ties to even."""
        return elementwise_ops.round(self)

    def sin(self) -> Tensor:
        """Sine."""
        return elementwise_ops.sin(self)

    def cos(self) -> Tensor:
        """Cosine."""
        return elementwise_ops.cos(self)

    def log1p(self) -> Tensor:
        """log(1 + self)."""
        return elementwise_ops.log1p(self)

    def expm1(self) -> Tensor:
        """exp(self) - 1."""
        return elementwise_ops.expm1(self)

    def erf(self) -> Tensor:
        """Error function."""
        return elementwise_ops.erf(self)

    def relu(self) -> Tensor:
        """max(self, 0)."""
        return elementwise_ops.relu(self)

    def sigmoid(self) -> Tensor:
        """1 / (1 + exp(-self))."""
        return elementwise_ops.sigmoid(self)

    def tanh(self) -> Tensor:
        """Hyperbolic tangent."""
        return elementwise_ops.tanh(self)

    def isnan(self) -> Tensor:
        """True where NaN."""
        return elementwise_ops.isnan(self)

    def isinf(self) -> Tensor:
        """True where infinite."""
        return elementwise_ops.isinf(self)

    def isfinite(self) -> Tensor:
        """True where neither NaN nor infinite."""
        return elementwise_ops.isfinite(self)

    def logical_not(self) -> Tensor:
        """True where zero."""
        return elementwise_ops.logical_not(self)

    def clamp(self, min: Any = None, max: Any = None) -> Tensor:
        """Limited to [min, max]."""
        return elementwise_ops.clamp(self, min, max)

    def clip(self, min: Any = None, max: Any = None) -> Tensor:
        """The same as `clamp`."""
        return elementwise_ops.clamp(self, min, max)

    def clamp_(self, min: Any = None, max: Any = None) -> Tensor:
        """Limited to [min, max], in place; not recorded for backward."""
        return inplace_ops.clamp_(self, min, max)

    def fill_(self, value: float) -> Tensor:
        """Every element set to `value`, in place."""
        return inplace_ops.fill_(self, value)

    def zero_(self) -> Tensor:
        """Every element set to 0, in place."""
        return inplace_ops.zero_(self)

    def copy_(self, source: Tensor) -> Tensor:
        """The values of `source`, broadcast and converted, written in place."""
        return inplace_ops.copy_(self, source)

    def where(self, condition: Tensor, other: Any) -> Tensor:
        """Self where `condition`, else `other`."""
        return elementwise_ops.where(condition, self, other)

    def masked_fill(self, mask: Tensor, value: Any) -> Tensor:
        """`value` where `mask`, else self."""
        return elementwise_ops.where(mask, value, self)

    def matmul(self, other: Tensor) -> Tensor:
        """Matrix product."""
        return linalg_ops.matmul(self, other)

    def mm(self, mat2: Tensor) -> Tensor:
        """Product of two matrices."""
        return linalg_ops.mm(self, mat2)

    def bmm(self, mat2: Tensor) -> Tensor:
        """Products of two batches of matrices."""
        return linalg_ops.bmm(self, mat2)

    def dot(self, tensor: Tensor) -> Tensor:
        """Inner product of two vectors."""
        return linalg_ops.dot(self, tensor)
