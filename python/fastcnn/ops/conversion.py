"""Copies, other dtypes, and memory shared with other libraries through DLPack."""

from __future__ import annotations

from typing import Any

from .. import _C
from ..autograd import Context, Function
from ..tensor import Tensor

CPU_KIND = 1  # kDLCPU of the DLPack specification


class _Cast(Function):
    @staticmethod
    def forward(ctx: Context, input: _C.Tensor, dtype: _C.dtype) -> _C.Tensor:
        ctx.conf = input.dtype
        output: _C.Tensor = _C.cast(input, dtype)
        return output

    @staticmethod
    def backward(ctx: Context, grad_output: _C.Tensor) -> tuple[Any, ...]:
        return _C.cast(grad_output, ctx.conf), None


class _Clone(Function):
    @staticmethod
    def forward(ctx: Context, input: _C.Tensor) -> _C.Tensor:
        output = _C.empty_like(input)
        _C.copy_(output, input)
        return output

    @staticmethod
    def backward(ctx: Context, grad_output: _C.Tensor) -> _C.Tensor:
        return grad_output


def cast(input: Tensor, dtype: _C.dtype) -> Tensor:
    """The same values as `dtype`; the tensor itself when it has that dtype. Gradients are cast back.

    Floating-point to integer truncates; bfloat16 rounds to nearest even; to bool is `x != 0`.
    """
    if input.dtype == dtype:
        return input
    result: Tensor = _Cast.apply(input, dtype)
    return result


def clone(input: Tensor) -> Tensor:
    """A copy in fresh memory; gradients pass through."""
    result: Tensor = _Clone.apply(input)
    return result


def to(input: Tensor, *args: Any, dtype: Any = None, device: Any = None, copy: bool = False) -> Tensor:
    """`input` with another dtype and on another device; positional arguments may be either, or a tensor to imitate.

    Returns the tensor itself when nothing changes and `copy` is False.

    Raises:
        TypeError: an argument is neither a dtype, a device nor a tensor.
        ValueError: a device that this build does not have.
    """
    for arg in args:
        if isinstance(arg, Tensor):
            dtype, device = arg.dtype, arg.device
        elif isinstance(arg, _C.dtype):
            dtype = arg
        elif isinstance(arg, str | _C.device):
            device = arg
        else:
            raise TypeError(f"to: argument is {type(arg).__name__}, but a dtype, a device or a tensor is expected")
    if device is not None and _C.device(device) != input.device:
        _C.empty((0,), input.dtype, device)  # says why the device is not there
    result = input if dtype is None else cast(input, dtype)
    return clone(result) if copy and result is input else result


def to_dlpack(input: Tensor, max_version: tuple[int, int] | None, dl_device: Any, copy: bool | None) -> Any:
    """A DLPack capsule: versioned when the consumer understands version 1, legacy otherwise.

    Raises:
        BufferError: the tensor requires a gradient, or another device is asked for.
    """
    if input.requires_grad:
        raise BufferError("__dlpack__: the tensor requires a gradient; share tensor.detach()")
    if dl_device is not None and tuple(dl_device) != dlpack_device(input):
        raise BufferError(f"__dlpack__: the tensor is on {input.device}, but DLPack device {dl_device} is asked for")
    raw = clone(input)._data if copy else input._data
    return _C.to_dlpack(raw, max_version is not None and max_version[0] >= 1, bool(copy))


def dlpack_device(input: Tensor) -> tuple[int, int]:
    """(device kind, index) as DLPack numbers them."""
    return (CPU_KIND, input.device.index)


def from_dlpack(source: Any) -> Tensor:
    """A tensor on the memory of another library's array (NumPy, PyTorch, CuPy, JAX, ...), without a copy if possible.

    Memory is shared when it is dense and either row-major (the tensor then carries the row-major layout from rank 3 on)
    or channels-last; strided and read-only arrays are copied. The other library's memory stays alive as long as the
    tensor.

    Args:
        source: an object with `__dlpack__`, or an unused DLPack capsule.

    Raises:
        TypeError: no DLPack object, or a dtype other than float32, float64, bfloat16, int64, uint8, bool.
        ValueError: the array is not on the CPU, or the capsule has been consumed.

    Example:
        >>> import fastcnn as fc, numpy as np
        >>> array = np.zeros((2, 3), np.float32)
        >>> shared = fc.from_dlpack(array)
        >>> array[0, 0] = 7
        >>> shared[0, 0].item()
        7.0
    """
    if hasattr(source, "__dlpack_device__"):
        kind, index = source.__dlpack_device__()
        if int(kind) != CPU_KIND:
            raise ValueError(
                f"from_dlpack: the array is on DLPack device ({int(kind)}, {index}), but only the CPU can be shared; "
                f"move it with .cpu() first"
            )
    if hasattr(source, "__dlpack__"):
        try:
            capsule = source.__dlpack__(max_version=(1, 0))
        except TypeError:
            capsule = source.__dlpack__()  # a producer older than DLPack 1.0
    elif type(source).__name__ == "PyCapsule":
        capsule = source
    else:
        raise TypeError(f"from_dlpack: {type(source).__name__} has no __dlpack__; use fastcnn.tensor() for plain data")
    return Tensor(_C.from_dlpack(capsule))
