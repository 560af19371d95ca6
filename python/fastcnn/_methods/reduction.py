# mypy: no-warn-return-any
"""Reductions as methods of `Tensor`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from . import Deferred

if TYPE_CHECKING:
    from ..tensor import Tensor

elementwise_ops: Any = Deferred(__name__, "elementwise")
reduction_ops: Any = Deferred(__name__, "reduction")

Dim = int | Sequence[int] | None


class ReductionMethods:
    """Sums, means, extremes and truth over dimensions; `dim=None` takes all of them."""

    __slots__ = ()

    def sum(self, dim: Dim = None, keepdim: bool = False) -> Tensor:
        """Sum; integers and bools as int64."""
        return reduction_ops.sum(self, dim, keepdim)

    def mean(self, dim: Dim = None, keepdim: bool = False) -> Tensor:
        """Mean."""
        return reduction_ops.mean(self, dim, keepdim)

    def var(self, dim: Dim = None, correction: float = 1, keepdim: bool = False) -> Tensor:
        """Variance, divided by n - correction."""
        return reduction_ops.var(self, dim, correction=correction, keepdim=keepdim)

    def std(self, dim: Dim = None, correction: float = 1, keepdim: bool = False) -> Tensor:
        """Standard deviation, from the variance divided by n - correction."""
        return reduction_ops.std(self, dim, correction=correction, keepdim=keepdim)

    def max(self, dim: int | None = None, keepdim: bool = False) -> Any:
        """The largest element; with `dim` a pair (values, indices)."""
        return reduction_ops.max(self, dim, keepdim)

    def min(self, dim: int | None = None, keepdim: bool = False) -> Any:
        """The smallest element; with `dim` a pair (values, indices)."""
        return reduction_ops.min(self, dim, keepdim)

    def amax(self, dim: Dim = None, keepdim: bool = False) -> Tensor:
        """The largest element."""
        return reduction_ops.amax(self, dim, keepdim)

    def amin(self, dim: Dim = None, keepdim: bool = False) -> Tensor:
        """The smallest element."""
        return reduction_ops.amin(self, dim, keepdim)

    def argmax(self, dim: int | None = None, keepdim: bool = False) -> Tensor:
        """Position of the largest element; of the flattened tensor without `dim`."""
        return reduction_ops.argmax(self, dim, keepdim)

    def argmin(self, dim: int | None = None, keepdim: bool = False) -> Tensor:
        """Position of the smallest element; of the flattened tensor without `dim`."""
        return reduction_ops.argmin(self, dim, keepdim)

    def prod(self, dim: Dim = None, keepdim: bool = False) -> Tensor:
        """Product."""
        return reduction_ops.prod(self, dim, keepdim)

    def any(self, dim: Dim = None, keepdim: bool = False) -> Tensor:
        """Whether any element is nonzero."""
        return reduction_ops.any(self, dim, keepdim)

    def all(self, dim: Dim = None, keepdim: bool = False) -> Tensor:
        """Whether every element is nonzero."""
        return reduction_ops.all(self, dim, keepdim)

    def logsumexp(self, dim: Dim, keepdim: bool = False) -> Tensor:
        """log(sum(exp(self))), without overflow."""
        return reduction_ops.logsumexp(self, dim, keepdim)

    def norm(self, p: float | str | None = "fro", dim: Dim = None, keepdim: bool = False) -> Tensor:
        """p-norm; "fro" is the root of the sum of squares."""
        return reduction_ops.norm(self, p, dim, keepdim)

    def __contains__(self, value: Any) -> bool:
        return bool(reduction_ops.any(elementwise_ops.eq(self, value)))
