"""`tensor[key]` and `tensor[key] = value`.

Basic keys (integers, slices, Ellipsis, None) are one strided copy, or a view for whole rows of dimension 0. Keys with
index or mask arrays pick single elements: NumPy evaluates the key on a grid of memory offsets, and the elements are
gathered from the flat memory.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from .. import _C
from ..autograd import Context, Function, check_inplace, is_grad_enabled
from ..recording import refuse
from ..tensor import Tensor, tensor
from .conversion import cast
from .picking import IndexSelect
from .shape import Slice, expand


class Window(NamedTuple):
    """Positions start + step * i of every dimension; `keep` lists the result's dimensions (-1: a new one)."""

    start: list[int]
    step: list[int]
    size: list[int]
    keep: list[int]


def _is_array(item: Any) -> bool:
    if isinstance(item, Tensor):
        return item.ndim > 0 or item.dtype == _C.bool_
    return isinstance(item, bool | np.bool_ | list | tuple | range) or (isinstance(item, np.ndarray) and item.ndim > 0)


def parse(shape: tuple[int, ...], key: Any) -> Window | None:
    """The window a basic key selects; None if the key contains index or mask arrays.

    Raises:
        IndexError: too many indices, two Ellipses, or an integer outside its dimension.
        TypeError: something that is no index.
    """
    items = key if isinstance(key, tuple) else (key,)
    used = 0
    for item in items:
        if _is_array(item):
            return None
        used += item is not None and item is not Ellipsis
    ndim = len(shape)
    if used > ndim:
        raise IndexError(f"index: {used} indices for a tensor of {ndim} dimensions {shape}")
    start, step, size, keep = [0] * ndim, [1] * ndim, list(shape), []
    d = 0
    skipped = False
    for item in items:
        if item is None:
            keep.append(-1)
        elif item is Ellipsis:
            if skipped:
                raise IndexError("index: an index can have only one Ellipsis ('...')")
            skipped = True
            keep.extend(range(d, d + ndim - used))
            d += ndim - used
        elif isinstance(item, slice):
            first, last, stride = item.indices(shape[d])
            start[d], step[d], size[d] = first, stride, len(range(first, last, stride))
            keep.append(d)
            d += 1
        else:
            try:
                position = operator.index(item)
            except TypeError:
                raise TypeError(
                    f"index: {type(item).__name__} is no index; integers, slices, None, Ellipsis, and integer or bool "
                    f"arrays are"
                ) from None
            if not -shape[d] <= position < shape[d]:
                raise IndexError(
                    f"index: {position} is out of range for dimension {d} with size {shape[d]} (input {shape})"
                )
            start[d], size[d] = position % shape[d], 1
            d += 1
    keep.extend(range(d, ndim))
    return Window(start, step, size, keep)


def _host(raw: _C.Tensor) -> np.ndarray[Any, Any]:
    """The values on the CPU: the shape of a result that depends on them must be known there."""
    values: np.ndarray[Any, Any] = _C.to_device(raw, _C.device("cpu")).numpy()
    return values


def _memory_offsets(raw: _C.Tensor, key: Any) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Memory position of every element that the key selects, in the shape of the result."""
    items = key if isinstance(key, tuple) else (key,)
    if any(isinstance(i, Tensor) for i in items):
        refuse("indexing with a tensor")
    plain = tuple([_host(i._data) if isinstance(i, Tensor) else np.asarray(i) if _is_array(i) else i for i in items])
    for item in plain:
        if isinstance(item, np.ndarray) and item.size and item.dtype.kind not in "iub":
            raise TypeError(f"index: an index array has dtype {item.dtype}, but integers or bool are expected")
    plain = tuple([i.astype(np.int64) if isinstance(i, np.ndarray) and not i.size else i for i in plain])
    memory = np.arange(raw.numel(), dtype=np.int64)
    grid = np.lib.stride_tricks.as_strided(memory, raw.shape, [8 * s for s in raw.strides])
    return np.ascontiguousarray(grid[plain])


def _raw_index(values: np.ndarray[Any, Any], device: _C.device) -> _C.Tensor:
    index = _C.empty_outside_recordings((values.size,), _C.int64)
    index.numpy()[...] = values.reshape(-1)
    return _C.to_device(index, device)


class _Take(Function):
    """output = the elements of `input` at memory `offsets`, in `shape`."""

    @staticmethod
    def forward(ctx: Context, input: _C.Tensor, offsets: _C.Tensor, shape: tuple[int, ...]) -> _C.Tensor:
        ctx.conf = (input.shape, input.layout, offsets)
        flat = input.view_as((input.numel(),), "row_major")
        picked = _C.index_select(flat, 0, offsets)
        return _C.reshape(picked, shape)

    @staticmethod
    def backward(ctx: Context, grad_output: _C.Tensor) -> tuple[Any, ...]:
        shape, layout, offsets = ctx.conf
        numel = int(np.prod(shape))
        flat = _C.reshape(grad_output, (-1,) if grad_output.numel() else (0,))
        return _C.index_select_backward(flat, (numel,), "row_major", 0, offsets).view_as(shape, layout), None, None


class _Assign(Function):
    """`destination` with `value` written into a window or at offsets, in place."""

    @staticmethod
    def forward(
        ctx: Context, destination: _C.Tensor, value: _C.Tensor, window: Window | None, offsets: Any
    ) -> _C.Tensor:
        _write(destination, value, window, offsets)
        ctx.conf = (value.shape, destination.layout, window, offsets)
        return destination

    @staticmethod
    def backward(ctx: Context, grad_output: _C.Tensor) -> tuple[Any, ...]:
        shape, layout, window, offsets = ctx.conf
        grad_output = _C.to_layout(grad_output, layout)
        grad_destination = grad_value = None
        if ctx.needs_input_grad[1]:
            if window is not None:
                picked = _C.slice(grad_output, *window)
            else:
                flat = grad_output.view_as((grad_output.numel(),), "row_major")
                picked = _C.index_select(flat, 0, _raw_index(offsets, flat.device))
                picked = _C.reshape(picked, offsets.shape)
            grad_value = _C.sum_to_shape(picked, shape)
        if ctx.needs_input_grad[0]:
            grad_destination = _C.empty_like(grad_output)
            _C.copy_(grad_destination, grad_output)
            _write(grad_destination, _C.zeros((), grad_output.dtype, grad_output.device), window, offsets)
        return grad_destination, grad_value, None, None


def _write(destination: _C.Tensor, value: _C.Tensor, window: Window | None, offsets: Any) -> None:
    if window is not None:
        _C.slice_write(destination, *window, value)
        return
    value = _C.reshape(_C.to_layout(_C.expand(value, offsets.shape), "row_major"), (offsets.size,))
    flat = destination.view_as((destination.numel(),), "row_major")
    _C.index_write_(flat, 0, _raw_index(offsets, flat.device), value)


def _whole_dimension_index(input: Tensor, key: Any) -> tuple[int, Tensor] | None:
    """(dim, index) if the key is one int64 vector among full slices: whole rows are copied then."""
    items = key if isinstance(key, tuple) else (key,)
    found = None
    for d, item in enumerate(items):
        if isinstance(item, slice) and item == slice(None):
            continue
        if found is not None or d >= input.ndim or not _is_array(item) or isinstance(item, tuple):
            return None
        if isinstance(item, Tensor):
            index = item.to(input.device) if not item.is_cuda else item
        else:
            values = np.asarray(item)
            if values.dtype.kind not in "iu" or values.ndim != 1:
                return None
            index = tensor(values.astype(np.int64), device=input.device)
        if index.ndim != 1 or index.dtype != _C.int64:
            return None
        found = (d, index)
    return found


def getitem(input: Tensor, key: Any) -> Tensor:
    """`input[key]`: integers, slices (negative steps flip), Ellipsis, None, int64 arrays, bool masks.

    Raises:
        IndexError: a position outside the tensor.
        TypeError: something that is no index.
    """
    result: Tensor
    window = parse(input.shape, key)
    if window is not None:
        result = Slice.apply(input, *window)
        return result
    rows = _whole_dimension_index(input, key)
    if rows is not None:
        result = IndexSelect.apply(input, *rows, True)
        return result
    offsets = _memory_offsets(input._data, key)
    result = _Take.apply(input, _raw_index(offsets, input.device), offsets.shape)
    return result


def _as_value(destination: Tensor, value: Any) -> Tensor:
    source = value if isinstance(value, Tensor) else tensor(value, device=destination.device)
    return cast(source, destination.dtype)


def setitem(input: Tensor, key: Any, value: Any) -> None:
    """`input[key] = value` in place; the value broadcasts and is converted to the tensor's dtype.

    Raises:
        IndexError: a position outside the tensor.
        RuntimeError: a leaf that requires a gradient is written to while gradients are recorded.
        ValueError: the value does not broadcast to the selected shape.
    """
    window = parse(input.shape, key)
    offsets = None if window is not None else _memory_offsets(input._data, key)
    source = _as_value(input, value)
    if input._node is None:
        check_inplace(input, "tensor[...] = value")
    if is_grad_enabled() and (input.requires_grad or source.requires_grad):
        written = _Assign.apply(input, source, window, offsets)
        input._node, input._index, input.requires_grad = written._node, written._index, written.requires_grad
    else:
        _write(input._data, source._data, window, offsets)


def nonzero(input: Tensor) -> Tensor:
    """int64 (count, ndim): the positions of the elements that are not zero, in logical order. Computed on the CPU.

    Example:
        >>> import fastcnn as fc
        >>> fc.nonzero(fc.tensor([0, 3, 0, 5])).tolist()
        [[1], [3]]
    """
    found: Sequence[np.ndarray[Any, Any]] = np.nonzero(np.atleast_1d(_host(_C.cast(input._data, _C.bool_))))
    positions = np.stack(found, 1) if input.ndim else np.zeros((len(found[0]), 0), np.int64)
    return tensor(positions.astype(np.int64), device=input.device)


def masked_select(input: Tensor, mask: Tensor) -> Tensor:
    """The elements of `input` where the bool `mask` (which broadcasts with it) is True, as a vector.

    Raises:
        TypeError: `mask` is not bool.
    """
    if mask.dtype != _C.bool_:
        raise TypeError(f"masked_select: mask is {mask.dtype}, but bool is expected")
    shape = np.broadcast_shapes(input.shape, mask.shape)
    return getitem(expand(input, shape), expand(mask, shape))
