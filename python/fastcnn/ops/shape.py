"""Shapes changed, dimensions reordered, sizes stretched. Results follow the logical (C, H, W) order.

Ops return a view of their input's memory where the element order allows it and a copy otherwise; write into a result
only after `clone()`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .. import _C
from ..autograd import Context, Function
from ..tensor import Tensor

Sizes = Sequence[int]


def normalize_dim(op: str, dim: int, ndim: int) -> int:
    """`dim` counted from the front.

    Raises:
        ValueError: it is outside [-ndim, ndim).
    """
    bound = max(ndim, 1)
    if not -bound <= dim < bound:
        raise ValueError(f"{op}: dim is {dim}, but a tensor of {ndim} dimensions expects {-bound} to {bound - 1}")
    return dim + bound if dim < 0 else dim


class _Reshape(Function):
    @staticmethod
    def forward(ctx: Context, input: _C.Tensor, shape: tuple[int, ...]) -> _C.Tensor:
        ctx.conf = (input.shape, input.layout)
        return _C.reshape(input, shape)

    @staticmethod
    def backward(ctx: Context, grad_output: _C.Tensor) -> tuple[Any, ...]:
        return _C.reshape(grad_output, *ctx.conf), None


class _Permute(Function):
    @staticmethod
    def forward(ctx: Context, input: _C.Tensor, dims: tuple[int, ...]) -> _C.Tensor:
        output = _C.permute(input, dims)
        ctx.conf = (dims, input.layout)
        return output

    @staticmethod
    def backward(ctx: Context, grad_output: _C.Tensor) -> tuple[Any, ...]:
        dims, layout = ctx.conf
        inverse = [0] * len(dims)
        for position, dim in enumerate(dims):
            inverse[dim] = position
        return _C.permute(grad_output, inverse, layout), None


class _Expand(Function):
    @staticmethod
    def forward(ctx: Context, input: _C.Tensor, shape: tuple[int, ...]) -> _C.Tensor:
        ctx.conf = input.shape
        return _C.expand(input, shape)

    @staticmethod
    def backward(ctx: Context, grad_output: _C.Tensor) -> tuple[Any, ...]:
        return _C.sum_to_shape(grad_output, ctx.conf), None


class _Repeat(Function):
    @staticmethod
    def forward(ctx: Context, input: _C.Tensor, repeats: tuple[int, ...]) -> _C.Tensor:
        ctx.conf = (input.shape, input.layout, repeats)
        return _C.repeat(input, repeats)

    @staticmethod
    def backward(ctx: Context, grad_output: _C.Tensor) -> tuple[Any, ...]:
        shape, layout, repeats = ctx.conf
        sizes = list(grad_output.shape)
        for d, count in enumerate(repeats):
            if count == 1:
                continue
            # (..., count * size, ...) seen as (before, count, size * after), summed over the copies.
            sizes[d] = shape[d - len(repeats)] if len(repeats) - d <= len(shape) else 1
            before, after = product(sizes[:d]), product(sizes[d:])
            grad_output = _C.reshape(grad_output, (before, count, after), "row_major")
            grad_output = _C.reduce_forward(grad_output, _C.Reduce.sum, (1,), False)
        return _C.reshape(grad_output, shape, layout), None


class Slice(Function):
    """The window start + step * i of every dimension; `keep` lists the dimensions of the result (-1: a new one)."""

    @staticmethod
    def forward(
        ctx: Context, input: _C.Tensor, start: list[int], step: list[int], size: list[int], keep: list[int]
    ) -> _C.Tensor:
        """The window."""
        ctx.conf = (input.shape, input.layout, start, step, size, keep)
        return _C.slice(input, start, step, size, keep)

    @staticmethod
    def backward(ctx: Context, grad_output: _C.Tensor) -> tuple[Any, ...]:
        """Zeros with the gradient in the window."""
        return _C.slice_backward(grad_output, *ctx.conf), None, None, None, None


def product(sizes: Sizes) -> int:
    """Product of Python integers (1 for none)."""
    result = 1
    for size in sizes:
        result *= size
    return result


def reshape(input: Tensor, shape: Sizes) -> Tensor:
    """The same elements, in the same logical order, under another shape.

    A free view where the memory order agrees (rank <= 2, one channel, one pixel, merged spatial dimensions), otherwise
    a copy: images are stored channels-last, and the logical order is (C, H, W).

    Args:
        input: any shape and dtype.
        shape: new sizes; one of them may be -1.

    Raises:
        ValueError: the number of elements differs.

    Example:
        >>> import fastcnn as fc
        >>> fc.reshape(fc.tensor([[1, 2, 3], [4, 5, 6]]), (3, -1)).tolist()
        [[1, 2], [3, 4], [5, 6]]
    """
    result: Tensor = _Reshape.apply(input, tuple(shape))
    return result


def flatten(input: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """Merges the dimensions `start_dim` to `end_dim` (inclusive) into one; a scalar becomes shape (1,).

    Raises:
        ValueError: a dimension does not exist, or start_dim comes after end_dim.

    Example:
        >>> import fastcnn as fc
        >>> fc.flatten(fc.tensor([[[1.0, 2.0]], [[3.0, 4.0]]]), 1).shape
        (2, 2)
    """
    shape = input.shape
    start = normalize_dim("flatten", start_dim, len(shape))
    end = normalize_dim("flatten", end_dim, len(shape))
    if start > end:
        raise ValueError(f"flatten: start_dim {start_dim} comes after end_dim {end_dim} (input {shape})")
    if len(shape) and start == end:
        return input
    return reshape(input, (*shape[:start], product(shape[start : end + 1]), *shape[end + 1 :]))


def unflatten(input: Tensor, dim: int, sizes: Sizes) -> Tensor:
    """Splits dimension `dim` into `sizes`, one of which may be -1.

    Raises:
        ValueError: the sizes do not multiply to the dimension's size.
    """
    shape = input.shape
    dim = normalize_dim("unflatten", dim, len(shape))
    known = list(sizes)
    if known.count(-1) == 1:
        rest = -product(known)
        known[known.index(-1)] = shape[dim] // rest if rest else 0
    if product(known) != shape[dim]:
        raise ValueError(f"unflatten: sizes {tuple(sizes)} do not multiply to {shape[dim]}, the size of dim {dim}")
    return reshape(input, (*shape[:dim], *known, *shape[dim + 1 :]))


def permute(input: Tensor, dims: Sizes) -> Tensor:
    """Dimensions reordered: size d of the result is size dims[d] of the input.

    Raises:
        ValueError: `dims` is not a permutation of the dimensions.

    Example:
        >>> import fastcnn as fc
        >>> fc.permute(fc.zeros((2, 3, 4)), (2, 0, 1)).shape
        (4, 2, 3)
    """
    ndim = input.ndim
    result: Tensor = _Permute.apply(input, tuple([d + ndim if d < 0 else d for d in dims]))
    return result


def transpose(input: Tensor, dim0: int, dim1: int) -> Tensor:
    """Dimensions `dim0` and `dim1` exchanged.

    Raises:
        ValueError: a dimension does not exist.
    """
    ndim = input.ndim
    a, b = normalize_dim("transpose", dim0, ndim), normalize_dim("transpose", dim1, ndim)
    if a == b:
        return input
    dims = list(range(ndim))
    dims[a], dims[b] = b, a
    return permute(input, dims)


def t(input: Tensor) -> Tensor:
    """The transpose of a matrix; vectors and scalars are returned as they are.

    Raises:
        ValueError: more than two dimensions.
    """
    if input.ndim > 2:
        raise ValueError(f"t: input {input.shape} has {input.ndim} dimensions, but at most 2 are expected; use permute")
    return transpose(input, 0, 1) if input.ndim == 2 else input


def movedim(input: Tensor, source: int | Sizes, destination: int | Sizes) -> Tensor:
    """Moves the dimensions `source` to the positions `destination`; the others keep their order.

    Raises:
        ValueError: a dimension does not exist or is named twice, or the lengths differ.
    """
    ndim = input.ndim
    sources = [source] if isinstance(source, int) else list(source)
    targets = [destination] if isinstance(destination, int) else list(destination)
    sources = [normalize_dim("movedim", d, ndim) for d in sources]
    targets = [normalize_dim("movedim", d, ndim) for d in targets]
    if len(sources) != len(targets) or len(set(sources)) != len(sources) or len(set(targets)) != len(targets):
        raise ValueError(
            f"movedim: source {source} and destination {destination} must name as many distinct dimensions"
        )
    order = [d for d in range(ndim) if d not in sources]
    for target, origin in sorted(zip(targets, sources, strict=True)):
        order.insert(target, origin)
    return permute(input, order)


def squeeze(input: Tensor, dim: int | Sizes | None = None) -> Tensor:
    """Drops dimensions of size 1: all of them, or those among `dim`.

    Raises:
        ValueError: a dimension does not exist.
    """
    shape = input.shape
    if dim is None:
        wanted = set(range(len(shape)))
    else:
        wanted = {normalize_dim("squeeze", d, len(shape)) for d in ((dim,) if isinstance(dim, int) else dim)}
    return reshape(input, [size for d, size in enumerate(shape) if size != 1 or d not in wanted])


def unsqueeze(input: Tensor, dim: int) -> Tensor:
    """Adds a dimension of size 1 before dimension `dim` (-1: after the last).

    Raises:
        ValueError: `dim` is outside [-ndim - 1, ndim].
    """
    shape = input.shape
    dim = normalize_dim("unsqueeze", dim, len(shape) + 1)
    return reshape(input, (*shape[:dim], 1, *shape[dim:]))


def expand(input: Tensor, shape: Sizes) -> Tensor:
    """Copies broadcast to `shape`; a size of -1 keeps the input's.

    Raises:
        ValueError: a size of the input is neither 1 nor the wanted one.

    Example:
        >>> import fastcnn as fc
        >>> fc.expand(fc.tensor([[1], [2]]), (2, 3)).tolist()
        [[1, 1, 1], [2, 2, 2]]
    """
    result: Tensor = _Expand.apply(input, tuple(shape))
    return result


def broadcast_to(input: Tensor, shape: Sizes) -> Tensor:
    """The same as `expand`."""
    return expand(input, shape)


def repeat(input: Tensor, repeats: Sizes) -> Tensor:
    """`repeats[d]` copies side by side along every dimension; missing leading dimensions are added.

    Raises:
        ValueError: fewer entries than dimensions, or a negative one.

    Example:
        >>> import fastcnn as fc
        >>> fc.repeat(fc.tensor([1, 2]), (2, 2)).tolist()
        [[1, 2, 1, 2], [1, 2, 1, 2]]
    """
    result: Tensor = _Repeat.apply(input, tuple(repeats))
    return result


def tile(input: Tensor, dims: Sizes) -> Tensor:
    """Like `repeat`, but missing leading entries of `dims` count as 1."""
    return repeat(input, (1,) * (input.ndim - len(dims)) + tuple(dims))


def flip(input: Tensor, dims: int | Sizes) -> Tensor:
    """The order of the elements reversed along `dims`.

    Raises:
        ValueError: a dimension does not exist.
    """
    shape = input.shape
    starts, steps = [0] * len(shape), [1] * len(shape)
    for d in (dims,) if isinstance(dims, int) else dims:
        dim = normalize_dim("flip", d, len(shape))
        starts[dim], steps[dim] = max(shape[dim] - 1, 0), -1
    result: Tensor = Slice.apply(input, starts, steps, list(shape), list(range(len(shape))))
    return result
