# mypy: no-warn-return-any
"""Indexing and iteration of `Tensor`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from . import Deferred

if TYPE_CHECKING:
    from ..tensor import Tensor

indexing_ops: Any = Deferred(__name__, "indexing")
joining_ops: Any = Deferred(__name__, "joining")


class IndexingMethods:
    """`tensor[key]`, `tensor[key] = value`, `len(tensor)`, `for row in tensor`."""

    __slots__ = ()

    def __getitem__(self, key: Any) -> Tensor:
        return indexing_ops.getitem(self, key)

    def __setitem__(self, key: Any, value: Any) -> None:
        indexing_ops.setitem(self, key, value)

    def __len__(self) -> int:
        shape: tuple[int, ...] = self.shape  # type: ignore[attr-defined]
        if not shape:
            raise TypeError("len(): a scalar tensor has no length")
        return shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        if not self.shape:  # type: ignore[attr-defined]
            raise TypeError("iter(): a scalar tensor cannot be iterated over; use .item()")
        return iter(joining_ops.unbind(self, 0))

    def nonzero(self) -> Tensor:
        """int64 (count, ndim): positions of the elements that are not zero."""
        return indexing_ops.nonzero(self)

    def masked_select(self, mask: Tensor) -> Tensor:
        """The elements where `mask` is True, as a vector."""
        return indexing_ops.masked_select(self, mask)
