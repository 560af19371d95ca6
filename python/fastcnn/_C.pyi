"""
fastcnn's kernels: tensors without autograd. Use the fastcnn package instead.
"""
from __future__ import annotations
import numpy
import typing
__all__: list[str] = ['Recording', 'Tensor', 'accumulate_', 'active_isa', 'begin_recording', 'best_isa', 'bfloat16', 'bool_', 'copy_', 'copy_peak', 'cpu_has_bf16', 'cpu_has_vnni', 'device', 'dtype', 'empty', 'empty_cache', 'empty_like', 'end_recording', 'fail_nth_allocation', 'float32', 'float64', 'fma_peak', 'generator_state', 'get_precision', 'int64', 'memory_stats', 'num_threads', 'num_threads_source', 'poison_allocations', 'reset_max_memory_allocated', 'running_pool_threads', 'set_isa', 'set_num_threads', 'set_precision', 'to_layout', 'uint8', 'version', 'zero_', 'zeros']
class dtype:
    """
    Element type of a tensor.

    Members:

      float32

      float64

      bfloat16

      int64

      uint8

      bool_
    """
    __members__: typing.ClassVar[dict[str, dtype]]
    bfloat16: typing.ClassVar[dtype]
    bool_: typing.ClassVar[dtype]
    float32: typing.ClassVar[dtype]
    float64: typing.ClassVar[dtype]
    int64: typing.ClassVar[dtype]
    uint8: typing.ClassVar[dtype]
    @staticmethod
    def __repr__(*args: typing.Any, **kwargs: typing.Any) -> str:
        """
        (self: fastcnn._C.dtype) -> str
        """
    @staticmethod
    def __str__(*args: typing.Any, **kwargs: typing.Any) -> str:
        """
        (self: fastcnn._C.dtype) -> str
        """
    @typing.overload
    def __eq__(self: dtype, other: dtype) -> bool:
        ...
    @typing.overload
    def __eq__(self: dtype, other: typing.Any) -> bool:
        ...
    def __getstate__(self) -> int:
        ...
    def __hash__(self) -> int:
        ...
    def __index__(self: dtype) -> int:
        ...
    def __init__(self: dtype, value: typing.SupportsInt | typing.SupportsIndex) -> None:
        ...
    def __int__(self: dtype) -> int:
        ...
    @typing.overload
    def __ne__(self: dtype, other: dtype) -> bool:
        ...
    @typing.overload
    def __ne__(self: dtype, other: typing.Any) -> bool:
        ...
    def __setstate__(self: dtype, state: typing.SupportsInt | typing.SupportsIndex) -> None:
        ...
    @property
    def is_floating_point(self) -> bool:
        ...
    @property
    def itemsize(self) -> int:
        ...
    @property
    def name(self) -> str:
        ...
    @property
    def value(self) -> int:
        ...
class device:
    """
    Where a tensor lives: device('cpu'), device('cuda:0').
    """
    def __eq__(self, arg0: typing.Any) -> bool:
        ...
    def __hash__(self) -> int:
        ...
    @typing.overload
    def __init__(self, device: str) -> None:
        ...
    @typing.overload
    def __init__(self, device: device | str) -> None:
        ...
    def __repr__(self) -> str:
        ...
    def __str__(self) -> str:
        ...
    @property
    def index(self) -> int:
        ...
    @property
    def type(self) -> str:
        ...
class Tensor:
    """
    Dense data without autograd; see fastcnn.Tensor.
    """
    def batch_slice(self, begin: typing.SupportsInt | typing.SupportsIndex, end: typing.SupportsInt | typing.SupportsIndex) -> Tensor:
        ...
    def bump_version(self) -> None:
        ...
    def data_ptr(self) -> int:
        ...
    def numel(self) -> int:
        ...
    def numpy(self) -> numpy.ndarray:
        """
        Zero-copy strided view in logical order.
        """
    def storage_ptr(self) -> int:
        ...
    def view_as(self, shape: tuple[int, ...], layout: str) -> Tensor:
        ...
    def view_at(self, element_offset: typing.SupportsInt | typing.SupportsIndex, shape: tuple[int, ...], layout: str) -> Tensor:
        ...
    @property
    def device(self) -> device:
        ...
    @property
    def dtype(self) -> dtype:
        ...
    @property
    def layout(self) -> str:
        ...
    @property
    def ndim(self) -> int:
        ...
    @property
    def shape(self) -> tuple[int, ...]:
        ...
    @property
    def strides(self) -> tuple[int, ...]:
        """
        In elements, logical order.
        """
    @property
    def version(self) -> int:
        ...
class Recording:
    """
    Kernel calls of a stream, to be replayed.
    """
    def __len__(self) -> int:
        ...
    def names(self) -> list:
        ...
    def replay(self) -> None:
        ...
def accumulate_(destination: Tensor, source: Tensor) -> None:
    ...
def active_isa() -> str:
    ...
def begin_recording(device: device | str) -> None:
    ...
def best_isa() -> str:
    ...
def copy_(destination: Tensor, source: Tensor) -> None:
    ...
def copy_peak(destination: Tensor, source: Tensor) -> None:
    """
    Copies float32 values past the caches.
    """
def cpu_has_bf16() -> bool:
    ...
def cpu_has_vnni() -> bool:
    ...
def empty(shape: tuple[int, ...], dtype: dtype, device: device | str | None = None, layout: str | None = None) -> Tensor:
    ...
def empty_cache() -> None:
    ...
def empty_like(other: Tensor) -> Tensor:
    ...
def end_recording(device: device | str) -> Recording:
    ...
def fail_nth_allocation(nth: typing.SupportsInt | typing.SupportsIndex) -> None:
    ...
def fma_peak(chunks: typing.SupportsInt | typing.SupportsIndex, rounds: typing.SupportsInt | typing.SupportsIndex) -> int:
    """
    Runs `chunks` register-only chains of multiply-adds in parallel; returns the floating-point operations done.
    """
def generator_state(seed: typing.SupportsInt | typing.SupportsIndex) -> Tensor:
    ...
def get_precision() -> str:
    ...
def memory_stats() -> dict:
    ...
def num_threads() -> int:
    ...
def num_threads_source() -> str:
    ...
def poison_allocations(on: bool) -> None:
    ...
def reset_max_memory_allocated() -> None:
    ...
def running_pool_threads() -> int:
    ...
def set_isa(name: str) -> None:
    ...
def set_num_threads(threads: typing.SupportsInt | typing.SupportsIndex) -> None:
    ...
def set_precision(precision: str) -> None:
    ...
def to_layout(tensor: Tensor, layout: str) -> Tensor:
    ...
def zero_(tensor: Tensor) -> None:
    ...
def zeros(shape: tuple[int, ...], dtype: dtype, device: device | str | None = None, layout: str | None = None) -> Tensor:
    ...
bfloat16: dtype
bool_: dtype
float32: dtype
float64: dtype
int64: dtype
uint8: dtype
version: str = '0.1.0'
