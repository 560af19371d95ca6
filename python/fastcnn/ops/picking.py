"""Elements picked by an index."""

from __future__ import annotations

from typing import Any

from .. import _C
from ..autograd import Context, Function
from ..tensor import Tensor
from .shape import normalize_dim


class _Gather(Function):
    @staticmethod
    def forward(ctx: Context, input: _C.Tensor, dim: int, index: _C.Tensor) -> _C.Tensor:
        ctx.save_for_backward(index)
        ctx.conf = (input.shape, input.layout, dim)
        return _C.gather(input, dim, index)

    @staticmethod
    def backward(ctx: Context, grad_output: _C.Tensor) -> tuple[Any, ...]:
        (index,) = ctx.saved_tensors
        shape, layout, dim = ctx.conf
        return _C.gather_backward(grad_output, shape, layout, dim, index), None, None


class IndexSelect(Function):
    """Positions `index` of dimension `dim`; with `wrap`, negative ones count from the end."""

    @staticmethod
    def forward(ctx: Context, input: _C.Tensor, dim: int, index: _C.Tensor, wrap: bool) -> _C.Tensor:
        """The rows."""
        ctx.save_for_backward(index)
        ctx.conf = (input.shape, input.layout, dim)
        return _C.index_select(input, dim, index, wrap)

    @staticmethod
    def backward(ctx: Context, grad_output: _C.Tensor) -> tuple[Any, ...]:
        """Rows added into zeros."""
        (index,) = ctx.saved_tensors
        shape, layout, dim = ctx.conf
        return _C.index_select_backward(grad_output, shape, layout, dim, index), None, None, None


def gather(input: Tensor, dim: int, index: Tensor) -> Tensor:
    """Picks along `dim`: output[i][j] = input[index[i][j]][j] for dim 0, input[i][index[i][j]] for dim 1, and so on.

    Args:
        input: any shape.
        dim: the dimension that `index` counts along.
        index: int64, as many dimensions as `input`, in no other dimension larger; every value in [0, size of dim).

    Raises:
        IndexError: a value is out of range; the message names its position.
        TypeError: `index` is not int64.
        ValueError: shapes that do not match.

    Example:
        >>> import fastcnn as fc
        >>> fc.gather(fc.tensor([[1, 2], [3, 4]]), 1, fc.tensor([[0], [1]])).tolist()
        [[1], [4]]
    """
    result: Tensor = _Gather.apply(input, normalize_dim("gather", dim, input.ndim), index)
    return result


def index_select(input: Tensor, dim: int, index: Tensor) -> Tensor:
    """The positions `index` (int64, one dimension) of dimension `dim`, in that order; repeats are allowed.

    Raises:
        IndexError: a value is out of range; the message names its position.
        TypeError: `index` is not int64.
        ValueError: `index` has more than one dimension.
    """
    result: Tensor = IndexSelect.apply(input, normalize_dim("index_select", dim, input.ndim), index, False)
    return result


def one_hot(input: Tensor, num_classes: int = -1) -> Tensor:
    """int64 zeros with a 1 at every class index, in a new last dimension of size `num_classes`.

    Args:
        input: int64 class indices, any shape, values in [0, num_classes).
        num_classes: -1 takes the largest index plus one.

    Raises:
        IndexError: an index is out of range; the message names its position.
        TypeError: `input` is not int64.
        ValueError: no classes.

    Example:
        >>> import fastcnn as fc
        >>> fc.functional.one_hot(fc.tensor([0, 2]), 3).tolist()
        [[1, 0, 0], [0, 0, 1]]
    """
    if num_classes == -1:
        if input.numel() == 0:
            raise ValueError("one_hot: num_classes cannot be inferred from an empty input; pass it")
        num_classes = int(input.detach().cpu().numpy().max()) + 1
    return Tensor(_C.one_hot(input._data, num_classes))
