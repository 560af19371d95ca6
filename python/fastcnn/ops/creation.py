"""New tensors: constants, ranges and random numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import _C
from ..random import Generator, state_of
from ..tensor import Tensor, from_numpy

_Device = _C.device | str | None


def _size(op: str, size: tuple[Any, ...]) -> tuple[int, ...]:
    """(2, 3) from f(2, 3), f((2, 3)) or f([2, 3])."""
    if len(size) == 1 and isinstance(size[0], tuple | list):
        size = tuple(size[0])
    for n in size:
        if not isinstance(n, int | np.integer):
            raise TypeError(f"{op}: size has {n!r}, but integers are expected")
        if n < 0:
            raise ValueError(f"{op}: size is {size}, but sizes must not be negative")
    return tuple([int(n) for n in size])


def _filled(shape: tuple[int, ...], value: Any, dtype: _C.dtype, device: _Device, requires_grad: bool) -> Tensor:
    return Tensor(_C.full(shape, value, dtype, device)).requires_grad_(requires_grad)


def _like(input: Tensor, value: Any, dtype: _C.dtype | None, device: _Device, requires_grad: bool) -> Tensor:
    raw = input._data
    filled = _C.full(raw.shape, value, dtype or raw.dtype, device or raw.device, raw.layout)
    return Tensor(filled).requires_grad_(requires_grad)


def empty(*size: Any, dtype: _C.dtype = _C.float32, device: _Device = None, requires_grad: bool = False) -> Tensor:
    """A tensor with whatever is in its memory.

    Args:
        size: the shape, as integers or one tuple.
        dtype: element type.
        device: where to put it; the CPU by default.
        requires_grad: whether `backward` computes its gradient.
    """
    return Tensor(_C.empty(_size("empty", size), dtype, device)).requires_grad_(requires_grad)


def zeros(*size: Any, dtype: _C.dtype = _C.float32, device: _Device = None, requires_grad: bool = False) -> Tensor:
    """A tensor of zeros; arguments as for `empty`.

    Example:
        >>> import fastcnn as fc
        >>> fc.zeros(2, 3).shape
        (2, 3)
    """
    return _filled(_size("zeros", size), 0, dtype, device, requires_grad)


def ones(*size: Any, dtype: _C.dtype = _C.float32, device: _Device = None, requires_grad: bool = False) -> Tensor:
    """A tensor of ones; arguments as for `empty`."""
    return _filled(_size("ones", size), 1, dtype, device, requires_grad)


def full(
    size: Any, fill_value: float, dtype: _C.dtype | None = None, device: _Device = None, requires_grad: bool = False
) -> Tensor:
    """A tensor filled with `fill_value`, whose kind (bool, int, float) gives the default dtype."""
    if dtype is None:
        kinds = {bool: _C.bool_, int: _C.int64}
        dtype = kinds.get(type(fill_value), _C.float32)
    return _filled(_size("full", (size,)), fill_value, dtype, device, requires_grad)


def empty_like(
    input: Tensor, dtype: _C.dtype | None = None, device: _Device = None, requires_grad: bool = False
) -> Tensor:
    """`empty` with the shape, dtype and layout of `input`."""
    raw = input._data
    return Tensor(_C.empty(raw.shape, dtype or raw.dtype, device or raw.device, raw.layout)).requires_grad_(
        requires_grad
    )


def zeros_like(
    input: Tensor, dtype: _C.dtype | None = None, device: _Device = None, requires_grad: bool = False
) -> Tensor:
    """`zeros` with the shape, dtype and layout of `input`."""
    return _like(input, 0, dtype, device, requires_grad)


def ones_like(
    input: Tensor, dtype: _C.dtype | None = None, device: _Device = None, requires_grad: bool = False
) -> Tensor:
    """`ones` with the shape, dtype and layout of `input`."""
    return _like(input, 1, dtype, device, requires_grad)


def full_like(
    input: Tensor, fill_value: float, dtype: _C.dtype | None = None, device: _Device = None, requires_grad: bool = False
) -> Tensor:
    """`full` with the shape, dtype and layout of `input`."""
    return _like(input, fill_value, dtype, device, requires_grad)


def _from_array(array: Any, dtype: _C.dtype | None, device: _Device, requires_grad: bool) -> Tensor:
    """float64 values become float32 unless `dtype` says otherwise; integers int64."""
    raw = from_numpy(array)._data
    raw = _C.cast(raw, dtype or (_C.float32 if raw.dtype == _C.float64 else raw.dtype))
    return Tensor(raw if device is None else _C.to_device(raw, device)).requires_grad_(requires_grad)


def arange(
    start: float,
    end: float | None = None,
    step: float = 1,
    *,
    dtype: _C.dtype | None = None,
    device: _Device = None,
    requires_grad: bool = False,
) -> Tensor:
    """start, start + step, ... below end; `arange(end)` starts at 0. Integers give int64.

    Raises:
        ValueError: `step` is zero or leads away from `end`.

    Example:
        >>> import fastcnn as fc
        >>> fc.arange(2, 8, 3).numpy().tolist()
        [2, 5]
    """
    if end is None:
        start, end = 0, start
    if step == 0 or (end - start) / step < 0:
        raise ValueError(f"arange: step is {step}, but it must lead from {start} to {end}")
    return _from_array(np.arange(start, end, step), dtype, device, requires_grad)


def linspace(
    start: float,
    end: float,
    steps: int,
    *,
    dtype: _C.dtype | None = None,
    device: _Device = None,
    requires_grad: bool = False,
) -> Tensor:
    """`steps` evenly spaced numbers from start to end, both included."""
    return _from_array(np.linspace(start, end, steps), dtype, device, requires_grad)


def eye(
    n: int,
    m: int | None = None,
    *,
    dtype: _C.dtype = _C.float32,
    device: _Device = None,
    requires_grad: bool = False,
) -> Tensor:
    """The (n, m) matrix with ones on the diagonal; m = n by default."""
    return _from_array(np.eye(n, m), dtype, device, requires_grad)


def _drawn(
    shape: tuple[int, ...], dtype: _C.dtype, device: _Device, requires_grad: bool, draw: Any, layout: str | None = None
) -> Tensor:
    """`draw(raw)` fills a tensor; bfloat16 rounds float32 numbers, on the CPU here, on a GPU in the kernel."""
    on_gpu = device is not None and _C.device(device).type == "cuda"
    raw = _C.empty(shape, _C.float32 if dtype == _C.bfloat16 and not on_gpu else dtype, device, layout)
    draw(raw)
    return Tensor(_C.cast(raw, dtype)).requires_grad_(requires_grad)


def rand(
    *size: Any,
    generator: Generator | None = None,
    dtype: _C.dtype = _C.float32,
    device: _Device = None,
    requires_grad: bool = False,
) -> Tensor:
    """Uniform numbers in [0, 1) from `generator`, the default one unless given."""
    state = state_of(generator, device)
    return _drawn(_size("rand", size), dtype, device, requires_grad, lambda raw: _C.uniform_(raw, 0.0, 1.0, state))


def randn(
    *size: Any,
    generator: Generator | None = None,
    dtype: _C.dtype = _C.float32,
    device: _Device = None,
    requires_grad: bool = False,
) -> Tensor:
    """Normal numbers of mean 0 and standard deviation 1 (Box-Muller).

    Example:
        >>> import fastcnn as fc
        >>> fc.randn(2, 3, 4, 4).shape
        (2, 3, 4, 4)
    """
    state = state_of(generator, device)
    return _drawn(_size("randn", size), dtype, device, requires_grad, lambda raw: _C.normal_(raw, 0.0, 1.0, state))


def rand_like(
    input: Tensor, dtype: _C.dtype | None = None, device: _Device = None, requires_grad: bool = False
) -> Tensor:
    """`rand` with the shape, dtype and layout of `input`."""
    raw, device = input._data, device or input.device
    state = state_of(None, device)
    return _drawn(
        raw.shape, dtype or raw.dtype, device, requires_grad, lambda t: _C.uniform_(t, 0.0, 1.0, state), raw.layout
    )


def randn_like(
    input: Tensor, dtype: _C.dtype | None = None, device: _Device = None, requires_grad: bool = False
) -> Tensor:
    """`randn` with the shape, dtype and layout of `input`."""
    raw, device = input._data, device or input.device
    state = state_of(None, device)
    return _drawn(
        raw.shape, dtype or raw.dtype, device, requires_grad, lambda t: _C.normal_(t, 0.0, 1.0, state), raw.layout
    )


def randint(
    low: int,
    high: Any,
    size: Any = None,
    *,
    generator: Generator | None = None,
    dtype: _C.dtype = _C.int64,
    device: _Device = None,
) -> Tensor:
    """Integers in [low, high): `randint(low, high, size)` or `randint(high, size)`.

    Raises:
        ValueError: the range is empty.

    Example:
        >>> import fastcnn as fc
        >>> fc.randint(10, (2, 5)).shape
        (2, 5)
    """
    if size is None:
        low, high, size = 0, low, high
    raw = _C.empty(_size("randint", (size,)), _C.int64, device)
    _C.randint_(raw, low, high, state_of(generator, raw.device))
    return Tensor(_C.cast(raw, dtype))


def randperm(n: int, *, generator: Generator | None = None, device: _Device = None) -> Tensor:
    """A random order of 0 .. n-1, int64 (n,), on the device of `generator` if there is one."""
    if generator is not None and device is not None and _C.device(device) != generator.device:
        raise ValueError(f"randperm: device is {_C.device(device)}, but the generator is on {generator.device}")
    return Tensor(_C.randperm(n, state_of(generator, device)))


def bernoulli(input: Tensor, *, generator: Generator | None = None) -> Tensor:
    """1 with probability `input`, else 0, element by element; no gradient."""
    return Tensor(_C.bernoulli(input._data, state_of(generator, input.device)))
