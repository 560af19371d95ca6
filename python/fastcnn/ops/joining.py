"""Tensors joined, and cut into pieces."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .. import _C
from ..autograd import Context, Function
from ..tensor import Tensor
from .shape import Sizes, Slice, normalize_dim, unsqueeze


class _Concat(Function):
    @staticmethod
    def forward(ctx: Context, dim: int, *tensors: _C.Tensor) -> _C.Tensor:
        output = _C.concat(tensors, dim)
        ctx.conf = (dim % output.ndim, [(t.shape, t.layout) for t in tensors])
        return output

    @staticmethod
    def backward(ctx: Context, grad_output: _C.Tensor) -> tuple[Any, ...]:
        dim, parts = ctx.conf
        grads: list[_C.Tensor | None] = [None]
        start = [0] * grad_output.ndim
        step = [1] * grad_output.ndim
        keep = list(range(grad_output.ndim))
        for needed, (shape, layout) in zip(ctx.needs_input_grad[1:], parts, strict=True):
            part = _C.slice(grad_output, start, step, shape, keep) if needed else None
            grads.append(part if part is None else _C.to_layout(part, layout))
            start[dim] += shape[dim]
        return tuple(grads)


def cat(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Tensors laid end to end along `dim`; they must agree in every other size, in dtype and in device.

    Raises:
        ValueError: no tensors, scalars, or sizes that differ.
        TypeError: dtypes that differ.

    Example:
        >>> import fastcnn as fc
        >>> fc.cat([fc.tensor([[1, 2]]), fc.tensor([[3, 4]])], dim=1).tolist()
        [[1, 2, 3, 4]]
    """
    result: Tensor = _Concat.apply(dim, *tensors)
    return result


concat = cat


def stack(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Tensors of one shape joined along a new dimension `dim`.

    Raises:
        ValueError: no tensors, or shapes that differ.
    """
    if not tensors:
        raise ValueError("stack: expected at least one tensor, got none")
    shape = tensors[0].shape
    for i, tensor in enumerate(tensors):
        if tensor.shape != shape:
            raise ValueError(f"stack: tensor {i} has shape {tensor.shape}, but expected {shape}, the shape of tensor 0")
    return cat([unsqueeze(tensor, dim) for tensor in tensors], dim)


def narrow(input: Tensor, dim: int, start: int, length: int) -> Tensor:
    """`length` positions of dimension `dim` from `start` on; a view along dimension 0.

    Raises:
        ValueError: the dimension does not exist, or `length` is negative.
        IndexError: positions outside the dimension.
    """
    shape = input.shape
    dim = normalize_dim("narrow", dim, len(shape))
    if length < 0:
        raise ValueError(f"narrow: length is {length}, but must not be negative")
    if start < 0:
        start += shape[dim]
    starts, sizes = [0] * len(shape), list(shape)
    starts[dim], sizes[dim] = start, length
    result: Tensor = Slice.apply(input, starts, [1] * len(shape), sizes, list(range(len(shape))))
    return result


def select(input: Tensor, dim: int, index: int) -> Tensor:
    """Position `index` of dimension `dim`, which is dropped.

    Raises:
        ValueError: the dimension does not exist.
        IndexError: the position does not exist.
    """
    shape = input.shape
    dim = normalize_dim("select", dim, len(shape))
    starts, sizes = [0] * len(shape), list(shape)
    starts[dim], sizes[dim] = index + shape[dim] if index < 0 else index, 1
    keep = [d for d in range(len(shape)) if d != dim]
    result: Tensor = Slice.apply(input, starts, [1] * len(shape), sizes, keep)
    return result


def split(tensor: Tensor, split_size_or_sections: int | Sizes, dim: int = 0) -> tuple[Tensor, ...]:
    """Pieces of the given size (the last may be shorter), or of the given sizes, along `dim`.

    Raises:
        ValueError: a size that is not positive, or sizes that do not add up.
    """
    dim = normalize_dim("split", dim, tensor.ndim)
    total = tensor.shape[dim]
    if isinstance(split_size_or_sections, int):
        size = split_size_or_sections
        if size <= 0:
            raise ValueError(f"split: split_size is {size}, but must be positive")
        sections = [min(size, total - start) for start in range(0, total, size)] or [0]
    else:
        sections = list(split_size_or_sections)
        if sum(sections) != total:
            raise ValueError(f"split: sections {tuple(sections)} do not add up to {total}, the size of dim {dim}")
    pieces, start = [], 0
    for section in sections:
        pieces.append(narrow(tensor, dim, start, section))
        start += section
    return tuple(pieces)


def chunk(input: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """At most `chunks` pieces of equal size (the last may be shorter) along `dim`.

    Raises:
        ValueError: `chunks` is not positive.
    """
    if chunks <= 0:
        raise ValueError(f"chunk: chunks is {chunks}, but must be positive")
    total = input.shape[normalize_dim("chunk", dim, input.ndim)]
    if total == 0:
        return (input,) * chunks
    return split(input, -(-total // chunks), dim)


def unbind(input: Tensor, dim: int = 0) -> tuple[Tensor, ...]:
    """Every position of dimension `dim`, without that dimension.

    Raises:
        ValueError: the dimension does not exist.
    """
    if input.ndim == 0:
        raise ValueError("unbind: a scalar has no dimension to unbind")
    dim = normalize_dim("unbind", dim, input.ndim)
    return tuple([select(input, dim, i) for i in range(input.shape[dim])])
