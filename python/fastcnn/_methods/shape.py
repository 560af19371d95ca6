# mypy: no-warn-return-any
"""Shape changes as methods of `Tensor`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from . import Deferred

if TYPE_CHECKING:
    from ..tensor import Tensor

joining_ops: Any = Deferred(__name__, "joining")
picking_ops: Any = Deferred(__name__, "picking")
shape_ops: Any = Deferred(__name__, "shape")

Sizes = Sequence[int]


def _sizes(values: tuple[Any, ...]) -> Any:
    """`f(2, 3)` and `f((2, 3))` mean the same."""
    return values[0] if len(values) == 1 and isinstance(values[0], tuple | list) else values


class ShapeMethods:
    """Results share memory with the tensor where the element order allows it; see `fastcnn.ops.shape`."""

    __slots__ = ()

    def reshape(self, *shape: Any) -> Tensor:
        """The same elements under another shape, in logical order; one size may be -1."""
        return shape_ops.reshape(self, _sizes(shape))

    def view(self, *shape: Any) -> Tensor:
        """The same as `reshape`: a copy where channels-last memory cannot show the new shape."""
        return shape_ops.reshape(self, _sizes(shape))

    def view_as(self, other: Tensor) -> Tensor:
        """Reshaped like `other`."""
        return shape_ops.reshape(self, other.shape)

    def reshape_as(self, other: Tensor) -> Tensor:
        """Reshaped like `other`."""
        return shape_ops.reshape(self, other.shape)

    def flatten(self, start_dim: int = 0, end_dim: int = -1) -> Tensor:
        """Dimensions `start_dim` to `end_dim` merged into one."""
        return shape_ops.flatten(self, start_dim, end_dim)

    def unflatten(self, dim: int, sizes: Sizes) -> Tensor:
        """Dimension `dim` split into `sizes`."""
        return shape_ops.unflatten(self, dim, sizes)

    def permute(self, *dims: Any) -> Tensor:
        """Dimensions reordered."""
        return shape_ops.permute(self, _sizes(dims))

    def transpose(self, dim0: int, dim1: int) -> Tensor:
        """Two dimensions exchanged."""
        return shape_ops.transpose(self, dim0, dim1)

    def t(self) -> Tensor:
        """The transpose of a matrix."""
        return shape_ops.t(self)

    @property
    def T(self) -> Tensor:
        """The transpose of a matrix."""
        return shape_ops.t(self)

    def movedim(self, source: int | Sizes, destination: int | Sizes) -> Tensor:
        """Dimensions moved to other positions."""
        return shape_ops.movedim(self, source, destination)

    def squeeze(self, dim: int | Sizes | None = None) -> Tensor:
        """Dimensions of size 1 dropped."""
        return shape_ops.squeeze(self, dim)

    def unsqueeze(self, dim: int) -> Tensor:
        """A dimension of size 1 added."""
        return shape_ops.unsqueeze(self, dim)

    def expand(self, *sizes: Any) -> Tensor:
        """Copies broadcast to `sizes`; -1 keeps a size."""
        return shape_ops.expand(self, _sizes(sizes))

    def expand_as(self, other: Tensor) -> Tensor:
        """Broadcast to the shape of `other`."""
        return shape_ops.expand(self, other.shape)

    def broadcast_to(self, shape: Sizes) -> Tensor:
        """Copies broadcast to `shape`."""
        return shape_ops.expand(self, shape)

    def repeat(self, *repeats: Any) -> Tensor:
        """Copies side by side along every dimension."""
        return shape_ops.repeat(self, _sizes(repeats))

    def tile(self, *dims: Any) -> Tensor:
        """Copies side by side; missing leading entries count as 1."""
        return shape_ops.tile(self, _sizes(dims))

    def narrow(self, dim: int, start: int, length: int) -> Tensor:
        """`length` positions of `dim` from `start` on."""
        return joining_ops.narrow(self, dim, start, length)

    def select(self, dim: int, index: int) -> Tensor:
        """One position of `dim`, which is dropped."""
        return joining_ops.select(self, dim, index)

    def split(self, split_size: int | Sizes, dim: int = 0) -> tuple[Tensor, ...]:
        """Pieces of one size, or of the given sizes, along `dim`."""
        return joining_ops.split(self, split_size, dim)

    def chunk(self, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
        """At most `chunks` equal pieces along `dim`."""
        return joining_ops.chunk(self, chunks, dim)

    def unbind(self, dim: int = 0) -> tuple[Tensor, ...]:
        """Every position of `dim`, without it."""
        return joining_ops.unbind(self, dim)

    def flip(self, *dims: Any) -> Tensor:
        """The order reversed along `dims`."""
        return shape_ops.flip(self, _sizes(dims))

    def gather(self, dim: int, index: Tensor) -> Tensor:
        """Elements picked along `dim`."""
        return picking_ops.gather(self, dim, index)

    def index_select(self, dim: int, index: Tensor) -> Tensor:
        """Positions of `dim` picked by an int64 vector."""
        return picking_ops.index_select(self, dim, index)
