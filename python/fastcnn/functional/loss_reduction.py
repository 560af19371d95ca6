"""What composed losses share: equal shapes, and the reduction of the losses of elements or samples."""

from __future__ import annotations

from .. import _C
from ..ops import reduction as _reduction
from ..ops.conversion import cast
from ..tensor import Tensor
from .loss import reduction_name


def reduced(
    op: str,
    losses: Tensor,
    dtype: _C.dtype,
    reduction: str,
    size_average: bool | None = None,
    reduce: bool | None = None,
) -> Tensor:
    """The losses themselves, their mean or their sum, as `dtype`."""
    mode = reduction_name(op, reduction, size_average, reduce)
    if mode != "none":
        losses = _reduction.mean(losses) if mode == "mean" else _reduction.sum(losses)
    return cast(losses, dtype)


def check_equal_shapes(op: str, **tensors: Tensor) -> None:
    """Raises ValueError unless all shapes are equal."""
    names = list(tensors)
    first = tensors[names[0]].shape
    for name, value in tensors.items():
        if value.shape != first:
            raise ValueError(f"{op}: {name} has shape {value.shape}, but {names[0]} has {first}; they must be equal")
