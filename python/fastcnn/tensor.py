"""The tensor that users hold: data on a device, and its place in the recorded computation."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

from . import _C
from ._methods import arithmetic, conversion, indexing, reduction
from ._methods import shape as shaping

dtype = _C.dtype
device = _C.device
float32, float64, bfloat16 = _C.float32, _C.float64, _C.bfloat16
int64, uint8, bool_ = _C.int64, _C.uint8, _C.bool_

_NUMPY_TO_DTYPE: dict[np.dtype[Any], _C.dtype] = {
    np.dtype(np.float32): float32,
    np.dtype(np.float64): float64,
    np.dtype(np.int64): int64,
    np.dtype(np.uint8): uint8,
    np.dtype(np.bool_): bool_,
}
_DTYPE_TO_NUMPY: dict[_C.dtype, np.dtype[Any]] = {ours: numpys for numpys, ours in _NUMPY_TO_DTYPE.items()}
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


class Tensor(
    arithmetic.ArithmeticMethods,
    reduction.ReductionMethods,
    shaping.ShapeMethods,
    indexing.IndexingMethods,
    conversion.ConversionMethods,
):
    """A dense array of one dtype on one device that can record how it was computed.

    Shapes are logical, as in PyTorch: images are (N, C, H, W). Make tensors with `fastcnn.tensor`, `fastcnn.zeros`, ...
    In memory they are always dense, channels-last from rank 3 on.
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
    def is_cuda(self) -> bool:
        """Whether the data lives on a GPU."""
        return self._data.device.type == "cuda"

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
            if value.device != self.device:
                raise ValueError(f"grad: value is on {value.device}, but the tensor is on {self.device}")
            if self._grad_slot is not None and value._data.data_ptr() != self._grad_slot.data_ptr():
                _C.copy_(self._grad_slot, _C.to_layout(value._data, self._grad_slot.layout))
                value = Tensor(self._grad_slot)
        self._grad = value

    def numel(self) -> int:
        """Number of elements."""
        return self._data.numel()

    def size(self, dim: int | None = None) -> Any:
        """The shape, or one size of it."""
        return self._data.shape if dim is None else self._data.shape[dim]

    def dim(self) -> int:
        """Number of dimensions."""
        return self._data.ndim

    def nelement(self) -> int:
        """Number of elements."""
        return self._data.numel()

    def element_size(self) -> int:
        """Bytes per element."""
        return self._data.dtype.itemsize

    def data_ptr(self) -> int:
        """Address of the first element."""
        return self._data.data_ptr()

    def stride(self, dim: int | None = None) -> Any:
        """Distance in elements between neighbours along every dimension, or along `dim`; channels-last from rank 3."""
        return self._data.strides if dim is None else self._data.strides[dim]

    def is_floating_point(self) -> bool:
        """Whether the dtype is float32, float64 or bfloat16."""
        return self._data.dtype.is_floating_point

    @property
    def data(self) -> Tensor:
        """The same data without the recorded computation; the same as `detach()`."""
        return Tensor(self._data)

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


def from_numpy(array: np.ndarray[Any, Any] | np.generic, device: _C.device | str | None = None) -> Tensor:
    """A tensor with a copy of `array`'s values, which may be strided, reversed, read-only or big-endian.

    The array is read in its logical order; from rank 3 on the copy is channels-last in memory. float16 becomes float32;
    int8, int16, int32, uint16 and uint32 become int64. `fastcnn.from_dlpack` shares memory instead of copying.

    Raises:
        TypeError: no NumPy array, or its dtype has no counterpart (complex, object, strings).
        ValueError: more than 8 dimensions.
    """
    if isinstance(array, np.generic):
        array = np.asarray(array)
    if not isinstance(array, np.ndarray):
        raise TypeError(
            f"from_numpy: array is {type(array).__name__}, but a NumPy array is expected; use fastcnn.tensor()"
        )
    native = array.dtype.newbyteorder("=")
    wanted = _NUMPY_TO_DTYPE.get(native) or _WIDENED.get(native)
    if wanted is None:
        raise TypeError(
            f"from_numpy: array has dtype {array.dtype}, but float16, float32, float64, bool, uint8 and integers that "
            f"fit int64 are supported; convert it with array.astype(...)"
        )
    if array.dtype != _DTYPE_TO_NUMPY[wanted] or not array.dtype.isnative:
        array = array.astype(_DTYPE_TO_NUMPY[wanted])
    if not array.flags.aligned or any(stride % array.itemsize for stride in array.strides):
        array = array.copy()
    raw = _C.copy_array(array, wanted)
    if device is not None and _C.device(device) != raw.device:
        return Tensor(raw).to(device)
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
        result = data.detach().to(dtype or data.dtype, device or data.device, copy=True)
        return result.requires_grad_(requires_grad)
    array = np.asarray(data)
    if dtype is None and array.dtype == np.float64 and not isinstance(data, np.ndarray | np.generic):
        dtype = float32
    if dtype is not None and dtype != bfloat16 and array.dtype.kind in "biuf":
        array = array.astype(_DTYPE_TO_NUMPY[dtype], copy=False)
    result = from_numpy(array, device)
    return (result.to(bfloat16) if dtype == bfloat16 else result).requires_grad_(requires_grad)
