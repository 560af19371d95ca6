"""The tensor that users hold: data on a device, and its place in the recorded computation."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

from . import _C

dtype = _C.dtype
device = _C.device
float32, float64, bfloat16 = _C.float32, _C.float64, _C.bfloat16
int64, uint8, bool_ = _C.int64, _C.uint8, _C.bool_

_NUMPY_TO_DTYPE = {
    np.dtype(np.float32): float32,
    np.dtype(np.float64): float64,
    np.dtype(np.int64): int64,
    np.dtype(np.uint8): uint8,
    np.dtype(np.bool_): bool_,
}
# NumPy types without a counterpart that convert without loss.
_WIDENED = {np.dtype(t): float32 for t in (np.float16,)} | {
    np.dtype(t): int64 for t in (np.int8, np.int16, np.int32, np.uint16, np.uint32)
}
_hook_keys = itertools.count()


class HookHandle:
    """Returned by `register_*_hook`; `remove()` takes the hook out again."""

    def __init__(self, hooks: dict[int, Any], key: int) -> None:
        self._hooks = hooks
        self._key = key

    def remove(self) -> None:
        """Takes the hook out; a second call does nothing."""
        self._hooks.pop(self._key, None)


class Tensor:
    """A dense array of one dtype on one device that can record how it was computed.

    Shapes are logical, as in PyTorch: images are (N, C, H, W). Make tensors with `fastcnn.tensor`, `fastcnn.zeros`, ...
    """

    __slots__ = ("__weakref__", "_data", "_grad", "_grad_slot", "_hooks", "_index", "_node", "requires_grad")

    def __init__(self, data: _C.Tensor, requires_grad: bool = False) -> None:
        self._data = data
        self.requires_grad = requires_grad
        self._grad: Tensor | None = None
        self._node: Any = None  # the autograd.Context that computed this tensor; None for leaves
        self._index = 0
        self._grad_slot: _C.Tensor | None = None  # where an optimizer wants the gradient
        self._hooks: dict[int, Callable[[Tensor], Tensor | None]] | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Logical sizes, e.g. (N, C, H, W)."""
        return self._data.shape

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return self._data.ndim

    @property
    def dtype(self) -> _C.dtype:
        """Element type."""
        return self._data.dtype

    @property
    def device(self) -> _C.device:
        """Where the data lives."""
        return self._data.device

    @property
    def is_leaf(self) -> bool:
        """True unless the tensor is the result of a recorded op."""
        return self._node is None

    @property
    def grad(self) -> Tensor | None:
        """The gradient accumulated by `backward`, or None."""
        return self._grad

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        if value is not None:
            if value.shape != self.shape:
                raise ValueError(f"grad: value has shape {value.shape}, but the tensor has shape {self.shape}")
            if self._grad_slot is not None and value._data.data_ptr() != self._grad_slot.data_ptr():
                _C.copy_(self._grad_slot, _C.to_layout(value._data, self._grad_slot.layout))
                value = Tensor(self._grad_slot)
        self._grad = value

    def numel(self) -> int:
        """Number of elements."""
        return self._data.numel()

    def numpy(self) -> np.ndarray[Any, Any]:
        """A zero-copy NumPy view in logical order (strided for rank >= 3).

        Raises:
            RuntimeError: the tensor requires a gradient (use `.detach().numpy()`).
            TypeError: bfloat16 (use `.float()`), or not on the CPU (use `.cpu()`).
        """
        if self.requires_grad:
            raise RuntimeError("numpy(): the tensor requires a gradient; use tensor.detach().numpy()")
        array: np.ndarray[Any, Any] = self._data.numpy()
        return array

    def item(self) -> float | int | bool:
        """The value of a tensor with one element as a Python number.

        Raises:
            ValueError: the tensor has more or less than one element.
        """
        if self._data.numel() != 1:
            raise ValueError(f"item(): only a tensor with one element has a value, but the shape is {self.shape}")
        value: float | int | bool = self._data.numpy().item()
        return value

    def detach(self) -> Tensor:
        """The same data without the recorded computation."""
        return Tensor(self._data)

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Sets whether `backward` computes a gradient for this leaf; returns the tensor."""
        if not requires_grad and self._node is not None:
            raise RuntimeError("requires_grad_: only leaves can stop requiring a gradient; use .detach()")
        if requires_grad and not self._data.dtype.is_floating_point:
            raise RuntimeError(
                f"requires_grad_: only floating-point tensors have gradients, but this one is {self.dtype}"
            )
        self.requires_grad = requires_grad
        return self

    def backward(self, gradient: Tensor | None = None, retain_graph: bool = False) -> None:
        """Computes the gradients of every leaf this tensor depends on; see `fastcnn.autograd.backward`."""
        from .autograd import backward

        backward([self], [gradient], retain_graph)

    def retain_grad(self) -> None:
        """Makes `backward` fill `.grad` although this tensor is not a leaf."""
        from .autograd import retain_grad

        retain_grad(self)

    def register_hook(self, hook: Callable[[Tensor], Tensor | None]) -> HookHandle:
        """Calls `hook(grad)` when the gradient of this tensor is computed; a returned tensor replaces it."""
        if not self.requires_grad:
            raise RuntimeError("register_hook: the tensor does not require a gradient")
        if self._node is not None:
            hooks = self._node.output_hooks.setdefault(self._index, {})
        else:
            hooks = self._hooks = self._hooks or {}
        key = next(_hook_keys)
        hooks[key] = hook
        return HookHandle(hooks, key)

    def fill_(self, value: float) -> Tensor:
        """Sets every element in place; returns the tensor."""
        from .autograd import check_inplace

        check_inplace(self, "fill_")
        self._data.numpy()[...] = value
        self._data.bump_version()
        return self

    def copy_(self, source: Tensor) -> Tensor:
        """Copies the values of `source` (same shape and dtype) in place; returns the tensor."""
        from .autograd import check_inplace

        check_inplace(self, "copy_")
        _C.copy_(self._data, _C.to_layout(source._data, self._data.layout))
        return self

    def clone(self) -> Tensor:
        """A copy of the data, without the recorded computation when gradients are off."""
        copy = _C.empty_like(self._data)
        _C.copy_(copy, self._data)
        return Tensor(copy)

    def __repr__(self) -> str:
        grad = ", requires_grad=True" if self.requires_grad else ""
        return f"tensor({np.array2string(self._data.numpy(), prefix='tensor(')}, dtype={self.dtype}{grad})"


def from_numpy(array: np.ndarray[Any, Any], device: _C.device | str | None = None) -> Tensor:
    """A tensor with a copy of `array`'s values, which may be strided, read-only or big-endian.

    float16 becomes float32; small integers become int64.

    Raises:
        TypeError: the array's dtype has no counterpart (complex, object, strings).
    """
    native = array.dtype.newbyteorder("=")
    wanted = _NUMPY_TO_DTYPE.get(native) or _WIDENED.get(native)
    if wanted is None:
        raise TypeError(
            f"from_numpy: array has dtype {array.dtype}, but bool, integers up to 64 bits, float16, float32 or float64 "
            f"are expected; convert it with array.astype(...)"
        )
    raw = _C.empty(array.shape, wanted, device)
    raw.numpy()[...] = array
    return Tensor(raw)


def tensor(
    data: Any,
    dtype: _C.dtype | None = None,
    device: _C.device | str | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """A tensor with a copy of `data`: a number, nested lists, a NumPy array or a `Tensor`.

    Args:
        data: values; Python floats become float32, integers int64, NumPy arrays keep their dtype.
        dtype: element type to convert to.
        device: where to put it; the CPU by default.
        requires_grad: whether `backward` computes a gradient for it.

    Raises:
        TypeError: the values have no numeric dtype.
        ValueError: nested lists of unequal lengths.

    Example:
        >>> import fastcnn as fc
        >>> fc.tensor([[1.0, 2.0], [3.0, 4.0]]).shape
        (2, 2)
    """
    if isinstance(data, Tensor):
        array = data._data.numpy()
    else:
        array = np.asarray(data)
        if not isinstance(data, np.ndarray | np.generic) and array.dtype == np.float64:
            array = array.astype(np.float32) if dtype is None else array
    if dtype is not None and dtype != bfloat16:
        array = array.astype({v: k for k, v in _NUMPY_TO_DTYPE.items()}[dtype])
    return from_numpy(array, device).requires_grad_(requires_grad)
