"""Reductions over any set of dimensions: sums, means, extremes, norms."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from .. import _C
from ..autograd import Context, Function
from ..tensor import Tensor
from ..widening import widen
from .conversion import cast
from .elementwise import maximum, minimum

Dim = int | Sequence[int] | None


class ValuesAndIndices(NamedTuple):
    """Result of `max` and `min` along a dimension."""

    values: Tensor
    indices: Tensor


def _dims(dim: Dim) -> tuple[int, ...] | None:
    if dim is None:
        return None
    return (dim,) if isinstance(dim, int) else tuple(dim)


def _as(input: Tensor, dtype: _C.dtype | None) -> Tensor:
    return input if dtype is None else cast(input, dtype)


class _Sum(Function):
    @staticmethod
    def forward(ctx: Context, input: _C.Tensor, dims: tuple[int, ...] | None, keepdim: bool, mean: bool) -> _C.Tensor:
        ctx.conf = (input.shape, input.layout, dims, mean)
        if mean:
            return _C.reduce_mean(input, dims, keepdim)
        return _C.reduce_forward(input, _C.Reduce.sum, dims, keepdim)

    @staticmethod
    def backward(ctx: Context, grad_output: _C.Tensor) -> tuple[Any, ...]:
        return _C.reduce_broadcast(grad_output, *ctx.conf), None, None, None


class _Reduce(Function):
    @staticmethod
    def forward(
        ctx: Context, input: _C.Tensor, kind: _C.Reduce, dims: tuple[int, ...] | None, keepdim: bool
    ) -> _C.Tensor:
        output = _C.reduce_forward(input, kind, dims, keepdim)
        ctx.save_for_backward(input, output)
        ctx.conf = (kind, dims)
        return output

    @staticmethod
    def backward(ctx: Context, grad_output: _C.Tensor) -> tuple[Any, ...]:
        input, output = ctx.saved_tensors
        kind, dims = ctx.conf
        return _C.reduce_backward(input, kind, dims, output, grad_output), None, None, None


class _Var(Function):
    @staticmethod
    def forward(
        ctx: Context, input: _C.Tensor, dims: tuple[int, ...] | None, correction: float, keepdim: bool, root: bool
    ) -> _C.Tensor:
        output, mean = _C.reduce_var(input, dims, correction, keepdim, root)
        ctx.save_for_backward(input, output, mean)
        ctx.conf = (dims, correction, root)
        return output

    @staticmethod
    def backward(ctx: Context, grad_output: _C.Tensor) -> tuple[Any, ...]:
        input, output, mean = ctx.saved_tensors
        dims, correction, root = ctx.conf
        grad = _C.reduce_var_backward(input, dims, correction, output, mean, grad_output, root)
        return grad, None, None, None, None


class _Extreme(Function):
    @staticmethod
    def forward(ctx: Context, input: _C.Tensor, dim: int, keepdim: bool, largest: bool) -> tuple[_C.Tensor, _C.Tensor]:
        values, indices = _C.reduce_extreme(input, dim, keepdim, largest)
        ctx.save_for_backward(input, indices)
        ctx.conf = dim
        return values, indices

    @staticmethod
    def backward(ctx: Context, grad_values: _C.Tensor, *_: Any) -> tuple[Any, ...]:
        input, indices = ctx.saved_tensors
        return _C.reduce_extreme_backward(input, ctx.conf, indices, grad_values), None, None, None


def sum(input: Tensor, dim: Dim = None, keepdim: bool = False, *, dtype: _C.dtype | None = None) -> Tensor:
    """Sum over the dimensions `dim` (all of them if None).

    Integers and bools are summed as int64. Large float32 sums have a relative error near 1e-7 of the sum of magnitudes.

    Args:
        input: any shape; float32, float64, int64, uint8 or bool.
        dim: one dimension or several, negative ones count from the end.
        keepdim: keep the reduced dimensions with size 1.
        dtype: convert to this type first.

    Raises:
        ValueError: a dimension does not exist or is named twice.

    Example:
        >>> import fastcnn as fc
        >>> fc.sum(fc.tensor([[1.0, 2.0], [3.0, 4.0]]), dim=1).numpy().tolist()
        [3.0, 7.0]
    """
    result: Tensor = _Sum.apply(_as(input, dtype), _dims(dim), keepdim, False)
    return result


def mean(input: Tensor, dim: Dim = None, keepdim: bool = False, *, dtype: _C.dtype | None = None) -> Tensor:
    """Mean over the dimensions `dim` (all of them if None); NaN where there is nothing to average.

    Args:
        input: float32 or float64, any shape; other types with `dtype`.
        dim: one dimension or several, negative ones count from the end.
        keepdim: keep the reduced dimensions with size 1.
        dtype: convert to this type first.

    Raises:
        TypeError: `input` is not float32 or float64.
        ValueError: a dimension does not exist or is named twice.

    Example:
        >>> import fastcnn as fc
        >>> fc.mean(fc.tensor([1.0, 2.0, 6.0])).item()
        3.0
    """
    result: Tensor = _Sum.apply(_as(input, dtype), _dims(dim), keepdim, True)
    return result


def _var(
    input: Tensor, dim: Dim | bool, unbiased: bool | None, keepdim: bool, correction: float | None, root: bool
) -> Tensor:
    op = "std" if root else "var"
    if isinstance(dim, bool):  # var(x, False): torch's overload var(input, unbiased)
        dim, unbiased = None, dim
    if unbiased is not None and correction is not None:
        raise ValueError(f"{op}: unbiased and correction exclude each other; give correction only")
    if correction is None:
        correction = 1.0 if unbiased is None else float(unbiased)
    result: Tensor = _Var.apply(input, _dims(dim), float(correction), keepdim, root)
    return result


def var(
    input: Tensor,
    dim: Dim | bool = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> Tensor:
    """Variance over the dimensions `dim`: squared deviations from the mean, divided by max(0, n - correction).

    Args:
        input: float32 or float64, any shape.
        dim: dimensions to reduce; all of them if None.
        unbiased: True stands for correction=1, False for correction=0.
        keepdim: keep the reduced dimensions with size 1.
        correction: 1 (the default) gives the unbiased estimate, 0 the variance of the values themselves.

    Raises:
        TypeError: `input` is not float32 or float64.
        ValueError: a dimension does not exist or is named twice; both `unbiased` and `correction` given.

    Example:
        >>> import fastcnn as fc
        >>> fc.var(fc.tensor([1.0, 2.0, 3.0, 4.0]), correction=0).item()
        1.25
    """
    return _var(input, dim, unbiased, keepdim, correction, False)


def std(
    input: Tensor,
    dim: Dim | bool = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> Tensor:
    """Standard deviation: the square root of `var`, with the same arguments.

    Raises:
        TypeError: `input` is not float32 or float64.
        ValueError: a dimension does not exist or is named twice; both `unbiased` and `correction` given.

    Example:
        >>> import fastcnn as fc
        >>> fc.std(fc.tensor([1.0, 3.0]), correction=0).item()
        1.0
    """
    return _var(input, dim, unbiased, keepdim, correction, True)


def _extreme(input: Tensor, dim: int | Tensor | None, keepdim: bool, largest: bool) -> Any:
    if isinstance(dim, Tensor):  # torch's overload max(input, other)
        return (maximum if largest else minimum)(input, dim)
    if dim is None:
        kind = _C.Reduce.max if largest else _C.Reduce.min
        return _Reduce.apply(input, kind, None, keepdim)
    return ValuesAndIndices(*_Extreme.apply(input, dim, keepdim, largest))


def max(input: Tensor, dim: int | Tensor | None = None, keepdim: bool = False) -> Any:
    """Largest element, or (values, indices) of the largest elements along `dim`. NaN wins over every number.

    Gradients: along a dimension the whole gradient goes to `indices` (the first of equal elements); without one it is
    shared among equal elements.

    Args:
        input: float32, float64, int64, uint8 or bool.
        dim: dimension to reduce; all elements if None. A tensor here stands for `maximum(input, other)`, as in torch.
        keepdim: keep the reduced dimension with size 1.

    Raises:
        ValueError: there is no element to choose from.

    Example:
        >>> import fastcnn as fc
        >>> values, indices = fc.max(fc.tensor([[1.0, 5.0], [7.0, 2.0]]), dim=1)
        >>> values.numpy().tolist(), indices.numpy().tolist()
        ([5.0, 7.0], [1, 0])
    """
    return _extreme(input, dim, keepdim, True)


def min(input: Tensor, dim: int | Tensor | None = None, keepdim: bool = False) -> Any:
    """Smallest element, or (values, indices) of the smallest elements along `dim`; see `max`.

    Raises:
        ValueError: there is no element to choose from.

    Example:
        >>> import fastcnn as fc
        >>> fc.min(fc.tensor([3.0, 1.0, 2.0])).item()
        1.0
    """
    return _extreme(input, dim, keepdim, False)


def argmax(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """Position (int64) of the largest element along `dim`, or in the flattened tensor; the first one of equals or NaN.

    Raises:
        ValueError: there is no element to choose from.

    Example:
        >>> import fastcnn as fc
        >>> fc.argmax(fc.tensor([[1.0, 5.0], [7.0, 2.0]])).item()
        2
    """
    return Tensor(_C.reduce_extreme(widen(input._data), dim, keepdim, True)[1])


def argmin(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """Position (int64) of the smallest element along `dim`, or in the flattened tensor; see `argmax`.

    Raises:
        ValueError: there is no element to choose from.

    Example:
        >>> import fastcnn as fc
        >>> fc.argmin(fc.tensor([3.0, 1.0, 2.0])).item()
        1
    """
    return Tensor(_C.reduce_extreme(widen(input._data), dim, keepdim, False)[1])


def amax(input: Tensor, dim: Dim = None, keepdim: bool = False) -> Tensor:
    """Largest elements over the dimensions `dim`; the gradient is shared among equal elements.

    Raises:
        ValueError: there is no element to choose from; a dimension does not exist or is named twice.

    Example:
        >>> import fastcnn as fc
        >>> fc.amax(fc.tensor([[1.0, 5.0], [7.0, 2.0]]), dim=(0, 1)).item()
        7.0
    """
    result: Tensor = _Reduce.apply(input, _C.Reduce.max, _dims(dim), keepdim)
    return result


def amin(input: Tensor, dim: Dim = None, keepdim: bool = False) -> Tensor:
    """Smallest elements over the dimensions `dim`; the gradient is shared among equal elements.

    Raises:
        ValueError: there is no element to choose from; a dimension does not exist or is named twice.

    Example:
        >>> import fastcnn as fc
        >>> fc.amin(fc.tensor([[1.0, 5.0], [7.0, 2.0]]), dim=1).numpy().tolist()
        [1.0, 2.0]
    """
    result: Tensor = _Reduce.apply(input, _C.Reduce.min, _dims(dim), keepdim)
    return result


def prod(input: Tensor, dim: Dim = None, keepdim: bool = False, *, dtype: _C.dtype | None = None) -> Tensor:
    """Product over the dimensions `dim` (several are allowed, unlike torch); int64 for integers and bools.

    Raises:
        ValueError: a dimension does not exist or is named twice.

    Example:
        >>> import fastcnn as fc
        >>> fc.prod(fc.tensor([2.0, 3.0, 4.0])).item()
        24.0
    """
    result: Tensor = _Reduce.apply(_as(input, dtype), _C.Reduce.prod, _dims(dim), keepdim)
    return result


def any(input: Tensor, dim: Dim = None, keepdim: bool = False) -> Tensor:
    """Whether any element over `dim` is not 0 (NaN is not 0). Always bool; torch keeps uint8.

    Example:
        >>> import fastcnn as fc
        >>> fc.any(fc.tensor([0.0, 2.0])).item()
        True
    """
    return Tensor(_C.reduce_truth(input._data, _dims(dim), keepdim, False))


def all(input: Tensor, dim: Dim = None, keepdim: bool = False) -> Tensor:
    """Whether all elements over `dim` are not 0 (NaN is not 0). Always bool; torch keeps uint8.

    Example:
        >>> import fastcnn as fc
        >>> fc.all(fc.tensor([0.0, 2.0])).item()
        False
    """
    return Tensor(_C.reduce_truth(input._data, _dims(dim), keepdim, True))


def logsumexp(input: Tensor, dim: Dim = None, keepdim: bool = False) -> Tensor:
    """log(sum(exp(input))) over `dim` (all dimensions if None), without overflow.

    Raises:
        TypeError: `input` is not float32 or float64.
        ValueError: a dimension does not exist or is named twice.

    Example:
        >>> import fastcnn as fc
        >>> round(fc.logsumexp(fc.tensor([1000.0, 1000.0]), dim=0).item(), 3)
        1000.693
    """
    result: Tensor = _Reduce.apply(input, _C.Reduce.logsumexp, _dims(dim), keepdim)
    return result


def norm(input: Tensor, p: float | str | None = "fro", dim: Dim = None, keepdim: bool = False) -> Tensor:
    """Vector norm of the elements over `dim`: p=2 or "fro" (Euclidean), 1 (sum of magnitudes) or inf (largest one).

    The gradient is 0 where the Euclidean norm is 0, as in torch.

    Raises:
        TypeError: `input` is not float32 or float64.
        ValueError: another p; a dimension does not exist or is named twice.

    Example:
        >>> import fastcnn as fc
        >>> fc.norm(fc.tensor([3.0, 4.0])).item()
        5.0
    """
    if p in ("fro", None, 2):
        kind = _C.Reduce.norm2
    elif p in (1, math.inf):
        kind = _C.Reduce.norm1 if p == 1 else _C.Reduce.norm_inf
    else:
        raise ValueError(f"norm: p is {p!r}, but 1, 2, 'fro' or inf is expected")
    result: Tensor = _Reduce.apply(input, kind, _dims(dim), keepdim)
    return result
