"""Copies, other dtypes, and memory shared with other libraries through DLPack."""

from __future__ import annotations

from typing import Any

from .. import _C
from ..autograd import Context, Function
from ..cuda import is_available, is_emulated
from ..tensor import Tensor

CPU_KIND, CUDA_KIND = 1, 2  # kDLCPU and kDLCUDA of the DLPack specification


class _Cast(Function):
    @staticmethod
    def forward(ctx: Context, input: _C.Tensor, dtype: _C.dtype) -> _C.Tensor:
        ctx.conf = input.dtype
        output: _C.Tensor = _C.cast(input, dtype)
        return output

    @staticmethod
    def backward(ctx: Context, grad_output: _C.Tensor) -> tuple[Any, ...]:
        return _C.cast(grad_output, ctx.conf), None


class _Move(Function):
    @staticmethod
    def forward(ctx: Context, input: _C.Tensor, device: _C.device) -> _C.Tensor:
        ctx.conf = input.device
        return _C.to_device(input, device)

    @staticmethod
    def backward(ctx: Context, grad_output: _C.Tensor) -> tuple[Any, ...]:
        return _C.to_device(grad_output, ctx.conf), None


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

    Returns the tensor itself when nothing changes and `copy` is False. Gradients move back and are cast back.

    Raises:
        TypeError: an argument is neither a dtype, a device nor a tensor.
        ValueError: a device that this machine or build does not have.
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
    result = input
    shrinks = dtype is not None and dtype.itemsize < input.dtype.itemsize
    if dtype is not None and shrinks:  # the fewer bytes travel
        result = cast(result, dtype)
    if device is not None and _C.device(device) != input.device:
        result = _Move.apply(result, _C.device(device))
    if dtype is not None and not shrinks:
        result = cast(result, dtype)
    return clone(result) if copy and result is input else result


def to_dlpack(
    input: Tensor, stream: Any, max_version: tuple[int, int] | None, dl_device: Any, copy: bool | None
) -> Any:
    """A DLPack capsule: versioned when the consumer understands version 1, legacy otherwise.

    The data of a tensor on a GPU is ready when this returns, for every stream; -1 as `stream` means not to wait.

    Raises:
        BufferError: the tensor requires a gradient, is on the emulated GPU, or another device than its own (or, with a
            copy allowed, the CPU) is asked for.
    """
    if input.requires_grad:
        raise BufferError("__dlpack__: the tensor requires a gradient; share tensor.detach()")
    if dl_device is not None and tuple(dl_device) == (CPU_KIND, 0) and input.is_cuda and copy is not False:
        input, copy = input.cpu(), True
    elif copy:
        input = clone(input)
    own = dlpack_device(input)
    if dl_device is not None and tuple(dl_device) != own:
        raise BufferError(f"__dlpack__: the tensor is on {input.device}, but DLPack device {dl_device} is asked for")
    if input.is_cuda and stream != -1:
        _C.cuda_synchronize(input.device.index)
    return _C.to_dlpack(input._data, max_version is not None and max_version[0] >= 1, bool(copy))


def dlpack_device(input: Tensor) -> tuple[int, int]:
    """(device kind, index) as DLPack numbers them.

    Raises:
        BufferError: the tensor is on the emulated GPU, whose memory no other library may take for a GPU's.
    """
    if not input.is_cuda:
        return CPU_KIND, 0
    if is_emulated():
        raise BufferError(f"__dlpack__: {input.device} is emulated and cannot be shared as a GPU; use .cpu()")
    return CUDA_KIND, input.device.index


def from_dlpack(source: Any) -> Tensor:
    """A tensor on the memory of another library's array (NumPy, PyTorch, CuPy, JAX, ...), without a copy if possible.

    Memory is shared when it is dense and either row-major (the tensor then carries the row-major layout from rank 3 on)
    or channels-last; strided and read-only arrays are copied. The other library's memory stays alive as long as the
    tensor.

    Args:
        source: an object with `__dlpack__`, or an unused DLPack capsule.

    Raises:
        TypeError: no DLPack object, or a dtype other than float32, float64, bfloat16, int64, uint8, bool.
        ValueError: the array is on a device that this build cannot share, or the capsule has been consumed.

    Example:
        >>> import fastcnn as fc, numpy as np
        >>> array = np.zeros((2, 3), np.float32)
        >>> shared = fc.from_dlpack(array)
        >>> array[0, 0] = 7
        >>> shared[0, 0].item()
        7.0
    """
    stream: dict[str, int] = {}
    if hasattr(source, "__dlpack_device__"):
        kind, index = source.__dlpack_device__()
        if int(kind) == CUDA_KIND and is_available() and not is_emulated():
            stream["stream"] = _C.cuda_stream(index)  # the producer makes it wait for the data
        elif int(kind) != CPU_KIND:
            shared = "the CPU" if is_emulated() or not is_available() else "the CPU and GPUs"
            raise ValueError(
                f"from_dlpack: the array is on DLPack device ({int(kind)}, {index}), but only {shared} can be shared; "
                f"move it with .cpu() first"
            )
    if hasattr(source, "__dlpack__"):
        try:
            capsule = source.__dlpack__(max_version=(1, 0), **stream)
        except TypeError:
            capsule = source.__dlpack__(**stream)  # a producer older than DLPack 1.0
    elif type(source).__name__ == "PyCapsule":
        capsule = source
    else:
        raise TypeError(f"from_dlpack: {type(source).__name__} has no __dlpack__; use fastcnn.tensor() for plain data")
    return Tensor(_C.from_dlpack(capsule))
