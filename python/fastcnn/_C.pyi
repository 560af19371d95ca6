"""
fastcnn's kernels: tensors without autograd. Use the fastcnn package instead.
"""
from __future__ import annotations
import collections.abc
import numpy
import typing
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
def adaptive_avg_pool2d_backward(grad_output: Tensor, input_shape: tuple[int, ...], output_size: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex | None]) -> Tensor:
    """
    Gradient of adaptive_avg_pool2d with respect to its input.
    """
def adaptive_avg_pool2d_forward(input: Tensor, output_size: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex | None]) -> Tensor:
    """
    Means over output_size windows; None keeps a size.
    """
def adaptive_max_pool2d_backward(grad_output: Tensor, codes: Tensor, input_shape: tuple[int, ...], output_size: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex | None]) -> Tensor:
    """
    Gradient of adaptive_max_pool2d with respect to its input.
    """
def adaptive_max_pool2d_forward(input: Tensor, output_size: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex | None], want_codes: bool) -> tuple[Tensor, Tensor | None]:
    """
    Largest inputs of output_size windows, and which taps if want_codes.
    """
def adaptive_max_pool2d_indices(codes: Tensor, input_shape: tuple[int, ...], output_size: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex | None]) -> Tensor:
    """
    Flat positions h * W + w (int64) of the winners.
    """
def avg_pool2d_backward(grad_output: Tensor, input_shape: tuple[int, ...], kernel_size: tuple[int, ...], stride: tuple[int, ...], padding: tuple[int, ...], ceil_mode: bool, count_include_pad: bool, divisor_override: typing.SupportsInt | typing.SupportsIndex | None) -> Tensor:
    """
    Gradient of avg_pool2d with respect to its input.
    """
def avg_pool2d_forward(input: Tensor, kernel_size: tuple[int, ...], stride: tuple[int, ...], padding: tuple[int, ...], ceil_mode: bool, count_include_pad: bool, divisor_override: typing.SupportsInt | typing.SupportsIndex | None) -> Tensor:
    """
    Mean of every window.
    """
def begin_recording(device: device | str) -> None:
    ...
def best_isa() -> str:
    ...
def concat(tensors: collections.abc.Sequence[Tensor], dim: typing.SupportsInt | typing.SupportsIndex) -> Tensor:
    """
    Tensors laid end to end along `dim`.
    """
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
def expand(input: Tensor, shape: tuple[int, ...]) -> Tensor:
    """
    Copies broadcast to `shape`; a size of -1 keeps the input's.
    """
def fail_nth_allocation(nth: typing.SupportsInt | typing.SupportsIndex) -> None:
    ...
def fma_peak(chunks: typing.SupportsInt | typing.SupportsIndex, rounds: typing.SupportsInt | typing.SupportsIndex) -> int:
    """
    Runs `chunks` register-only chains of multiply-adds in parallel; returns the floating-point operations done.
    """
def from_dlpack(capsule: typing.Any) -> Tensor:
    """
    A tensor on the memory of an unused DLPack capsule.
    """
def gather(input: Tensor, dim: typing.SupportsInt | typing.SupportsIndex, index: Tensor) -> Tensor:
    """
    output[.., j, ..] = input[.., index[.., j, ..], ..] along `dim`.
    """
def gather_backward(grad_output: Tensor, input_shape: tuple[int, ...], layout: str, dim: typing.SupportsInt | typing.SupportsIndex, index: Tensor) -> Tensor:
    """
    Adds grad_output into zeros at the gathered positions.
    """
def generator_state(seed: typing.SupportsInt | typing.SupportsIndex) -> Tensor:
    ...
def get_precision() -> str:
    ...
def image_batch(images: Tensor, index: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """
    images[index] * scale + shift per channel, as float32: a data loader's batch.
    """
def index_select(input: Tensor, dim: typing.SupportsInt | typing.SupportsIndex, index: Tensor, wrap: bool = False) -> Tensor:
    """
    Rows `index` of dimension `dim`; with `wrap`, negative indices count from the end.
    """
def index_select_backward(grad_output: Tensor, input_shape: tuple[int, ...], layout: str, dim: typing.SupportsInt | typing.SupportsIndex, index: Tensor) -> Tensor:
    """
    Adds rows of grad_output into zeros.
    """
def index_write_(destination: Tensor, dim: typing.SupportsInt | typing.SupportsIndex, index: Tensor, values: Tensor) -> None:
    """
    Overwrites the rows `index` of dimension `dim`, in place.
    """
def max_pool2d_backward(grad_output: Tensor, codes: Tensor, input_shape: tuple[int, ...], kernel_size: tuple[int, ...], stride: tuple[int, ...], padding: tuple[int, ...], dilation: tuple[int, ...], ceil_mode: bool) -> Tensor:
    """
    Gradient of max_pool2d with respect to its input.
    """
def max_pool2d_forward(input: Tensor, kernel_size: tuple[int, ...], stride: tuple[int, ...], padding: tuple[int, ...], dilation: tuple[int, ...], ceil_mode: bool, want_codes: bool) -> tuple[Tensor, Tensor | None]:
    """
    Largest input of every window, and which tap it was if want_codes.
    """
def max_pool2d_indices(codes: Tensor, input_shape: tuple[int, ...], kernel_size: tuple[int, ...], stride: tuple[int, ...], padding: tuple[int, ...], dilation: tuple[int, ...], ceil_mode: bool) -> Tensor:
    """
    Flat positions h * W + w (int64) of the winners.
    """
def memory_stats() -> dict:
    ...
def num_threads() -> int:
    ...
def num_threads_source() -> str:
    ...
def one_hot(input: Tensor, num_classes: typing.SupportsInt | typing.SupportsIndex) -> Tensor:
    """
    int64 zeros with a 1 at the class, in a new last dimension.
    """
def permute(input: Tensor, dims: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex], layout: str | None = None) -> Tensor:
    """
    Dimensions reordered; shares memory where the element order already agrees.
    """
def poison_allocations(on: bool) -> None:
    ...
def repeat(input: Tensor, repeats: tuple[int, ...]) -> Tensor:
    """
    repeats[d] copies side by side along every dimension.
    """
def reset_max_memory_allocated() -> None:
    ...
def reshape(input: Tensor, shape: tuple[int, ...], layout: str | None = None) -> Tensor:
    """
    Another shape, same logical order; one size may be -1. Shares memory where the element order already agrees.
    """
def running_pool_threads() -> int:
    ...
def set_isa(name: str) -> None:
    ...
def set_num_threads(threads: typing.SupportsInt | typing.SupportsIndex) -> None:
    ...
def set_precision(precision: str) -> None:
    ...
def slice(input: Tensor, start: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex], step: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex], size: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex], keep: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex]) -> Tensor:
    """
    Window start + step * i of every dimension; `keep` lists the dimensions of the result (-1: a new one).
    """
def slice_backward(grad_output: Tensor, input_shape: tuple[int, ...], layout: str, start: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex], step: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex], size: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex], keep: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex]) -> Tensor:
    """
    Zeros of the input's shape with grad_output in the window.
    """
def slice_write(destination: Tensor, start: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex], step: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex], size: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex], keep: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex], value: Tensor) -> None:
    """
    Writes `value`, broadcast, into the window. In place.
    """
def to_dlpack(tensor: Tensor, versioned: bool, copied: bool) -> typing.Any:
    """
    A DLPack capsule on the tensor's memory: logical shape, channels-last strides from rank 3.
    """
def to_layout(tensor: Tensor, layout: str) -> Tensor:
    """
    The same values stored 'row_major' or 'channels_last'; the tensor itself where that changes nothing.
    """
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
