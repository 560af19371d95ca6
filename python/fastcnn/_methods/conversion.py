# mypy: no-warn-return-any
"""`Tensor` turned into Python numbers, NumPy arrays, text, bytes, other dtypes."""

from __future__ import annotations

import builtins
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _C
from ..recording import refuse
from . import Deferred

if TYPE_CHECKING:
    from ..tensor import Tensor

conversion_ops: Any = Deferred(__name__, "conversion")

_CPU = _C.device("cpu")
_SILENT_DTYPES = (_C.float32, _C.int64, _C.bool_)  # what repr leaves unsaid


def _rebuild(
    kind: Callable[..., Any], array: np.ndarray[Any, Any], bfloat16: bool, requires_grad: bool, device: str = "cpu"
) -> Any:
    from ..tensor import Tensor, from_numpy

    data = from_numpy(array)
    if bfloat16:
        data = data.bfloat16()
    data = data.to(device)
    return Tensor(data._data, requires_grad) if kind is Tensor else kind(data, requires_grad)


class ConversionMethods:
    """Values out of a tensor, and copies of it."""

    __slots__ = ()

    def to(self, *args: Any, dtype: Any = None, device: Any = None, copy: builtins.bool = False) -> Tensor:
        """Another dtype and/or device: `x.to(fc.float64)`, `x.to("cpu")`, `x.to(other)`."""
        return conversion_ops.to(self, *args, dtype=dtype, device=device, copy=copy)

    def type_as(self, other: Tensor) -> Tensor:
        """The dtype of `other`."""
        return conversion_ops.cast(self, other.dtype)

    def float(self) -> Tensor:
        """float32."""
        return conversion_ops.cast(self, _C.float32)

    def double(self) -> Tensor:
        """float64."""
        return conversion_ops.cast(self, _C.float64)

    def bfloat16(self) -> Tensor:
        """bfloat16, rounded to nearest even."""
        return conversion_ops.cast(self, _C.bfloat16)

    def long(self) -> Tensor:
        """int64, truncated."""
        return conversion_ops.cast(self, _C.int64)

    def byte(self) -> Tensor:
        """uint8."""
        return conversion_ops.cast(self, _C.uint8)

    def bool(self) -> Tensor:
        """True where not zero."""
        return conversion_ops.cast(self, _C.bool_)

    def cpu(self) -> Tensor:
        """On the CPU; the tensor itself if it is there."""
        return conversion_ops.to(self, device="cpu")

    def cuda(self, device: _C.device | str | int | None = None) -> Tensor:
        """On a GPU, the first one unless given; the tensor itself if it is there."""
        from ..cuda import as_device

        return conversion_ops.to(self, device=as_device(device))

    def contiguous(self) -> Tensor:
        """The tensor itself: tensors are always dense (channels-last from rank 3 on)."""
        return self  # type: ignore[return-value]

    def is_contiguous(self) -> builtins.bool:
        """True: tensors are always dense."""
        return True

    def clone(self) -> Tensor:
        """A copy in fresh memory; gradients pass through."""
        return conversion_ops.clone(self)

    def numpy(self: Any) -> np.ndarray[Any, Any]:
        """A zero-copy NumPy view in logical order (strided for rank >= 3).

        Raises:
            RuntimeError: the tensor requires a gradient (use `.detach().numpy()`).
            TypeError: bfloat16 (use `.float()`), or not on the CPU (use `.cpu()`).
        """
        if self.requires_grad:
            raise RuntimeError("numpy(): the tensor requires a gradient; use tensor.detach().numpy()")
        refuse("numpy()")
        return self._data.numpy()

    def __array__(self, dtype: Any = None, copy: builtins.bool | None = None) -> np.ndarray[Any, Any]:
        array = self.numpy()
        if dtype is not None and array.dtype != np.dtype(dtype):
            if copy is False:
                raise ValueError(f"__array__: {array.dtype} to {dtype} needs a copy, but copy=False was given")
            return array.astype(dtype)
        return array.copy() if copy else array

    def _values(self: Any) -> np.ndarray[Any, Any]:
        """The values on the CPU as NumPy, whatever the gradient state, a view if possible; bfloat16 as float32."""
        refuse("item(), tolist(), bool() or print()")
        raw = _C.to_device(self._data, _CPU)
        return (_C.cast(raw, _C.float32) if raw.dtype == _C.bfloat16 else raw).numpy()

    def item(self) -> builtins.float | int | builtins.bool:
        """The value of a tensor with one element as a Python number.

        Raises:
            ValueError: the tensor has more or less than one element.
        """
        values = self._values()
        if values.size != 1:
            raise ValueError(f"item(): only a tensor with one element has a value, but the shape is {values.shape}")
        return values.item()

    def tolist(self) -> Any:
        """Nested lists of Python numbers; a number for a scalar."""
        return self._values().tolist()

    def __float__(self) -> builtins.float:
        return builtins.float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __index__(self) -> int:
        values = self._values()
        if values.dtype.kind not in "iu" or values.size != 1:
            raise TypeError("__index__: only an integer tensor with one element can be used as an index")
        return int(values.item())

    def __bool__(self) -> builtins.bool:
        values = self._values()
        if values.size != 1:
            raise RuntimeError(
                f"bool(): the truth of a tensor of shape {values.shape} is ambiguous; use .any(), .all() or .item()"
            )
        return builtins.bool(values.item())

    def __repr__(self: Any) -> str:
        text = np.array2string(self._values(), prefix="tensor(", separator=", ", precision=4, threshold=1000)
        if self._data.dtype not in _SILENT_DTYPES:
            text += f", dtype={self._data.dtype}"
        if self._data.device != _CPU:
            text += f", device='{self._data.device}'"
        if self._node is not None:
            text += f", grad_fn=<{self._node.function.name()}>"
        elif self.requires_grad:
            text += ", requires_grad=True"
        return f"tensor({text})"

    def __format__(self: Any, spec: str) -> str:
        return format(self.item(), spec) if spec and self._data.numel() == 1 else str(self)

    def __deepcopy__(self: Any, memo: dict[int, Any]) -> Any:
        if self._node is not None:
            raise RuntimeError("deepcopy: only leaf tensors can be copied deeply; use .detach().clone()")
        from ..tensor import Tensor

        kind: Any = type(self)
        twin = kind.__new__(kind)
        Tensor.__init__(twin, self.detach().clone()._data, self.requires_grad)
        if self._grad is not None:
            twin._grad = self._grad.clone()
        memo[id(self)] = twin
        return twin

    def __reduce__(self: Any) -> tuple[Any, ...]:
        """Pickles through NumPy: values and requires_grad, no history. `fastcnn.save` files are safe to load."""
        if self._node is not None:
            raise RuntimeError("pickle: only leaf tensors can be pickled; use .detach()")
        is_bfloat16 = self._data.dtype == _C.bfloat16
        values, device = np.ascontiguousarray(self._values()), str(self._data.device)
        return _rebuild, (type(self), values, is_bfloat16, self.requires_grad, device)

    def __dlpack__(
        self,
        *,
        stream: Any = None,
        max_version: tuple[int, int] | None = None,
        dl_device: Any = None,
        copy: builtins.bool | None = None,
    ) -> Any:
        """A DLPack capsule on the tensor's memory: logical shape, channels-last strides from rank 3 on."""
        return conversion_ops.to_dlpack(self, stream, max_version, dl_device, copy)

    def __dlpack_device__(self) -> tuple[int, int]:
        """(device kind, index) as DLPack numbers them."""
        return conversion_ops.dlpack_device(self)
