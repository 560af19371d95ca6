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
    @property
    def requested(self) -> int:
        """
        Bytes that it would own if no memory were reused.
        """
    @property
    def reserved(self) -> int:
        """
        Bytes of CPU memory that the recording owns.
        """
class CudaEvent:
    """
    A mark in a device's stream; see fastcnn.cuda.Event.
    """
    def __init__(self) -> None:
        ...
    def elapsed_ms(self, end: CudaEvent) -> float:
        ...
    def record(self, device: typing.SupportsInt | typing.SupportsIndex) -> None:
        ...
    def synchronize(self) -> None:
        ...
class LossReduction:
    """
    Members:

      none

      mean

      sum
    """
    __members__: typing.ClassVar[dict[str, LossReduction]]
    mean: typing.ClassVar[LossReduction]
    none: typing.ClassVar[LossReduction]
    sum: typing.ClassVar[LossReduction]
    @typing.overload
    def __eq__(self, other: LossReduction) -> bool:
        ...
    @typing.overload
    def __eq__(self, other: typing.Any) -> bool:
        ...
    def __getstate__(self) -> int:
        ...
    def __hash__(self) -> int:
        ...
    def __index__(self) -> int:
        ...
    def __init__(self, value: typing.SupportsInt | typing.SupportsIndex) -> None:
        ...
    def __int__(self) -> int:
        ...
    @typing.overload
    def __ne__(self, other: LossReduction) -> bool:
        ...
    @typing.overload
    def __ne__(self, other: typing.Any) -> bool:
        ...
    def __repr__(self) -> str:
        ...
    def __setstate__(self, state: typing.SupportsInt | typing.SupportsIndex) -> None:
        ...
    def __str__(self) -> str:
        ...
    @property
    def name(self) -> str:
        ...
    @property
    def value(self) -> int:
        ...
class OptimizerArena:
    """
    Flat buffers of parameters: params, grads, steps, hyper on their device; copy: the bfloat16 parameters whose float32 masters params are.
    """
    def __init__(self, params: Tensor, grads: Tensor, steps: Tensor, segments: Tensor, hyper: Tensor, copy: Tensor | None = None) -> None:
        ...
class PointwiseLoss:
    """
    Members:

      mse

      l1

      smooth_l1

      huber

      bce

      bce_logits
    """
    __members__: typing.ClassVar[dict[str, PointwiseLoss]]
    bce: typing.ClassVar[PointwiseLoss]
    bce_logits: typing.ClassVar[PointwiseLoss]
    huber: typing.ClassVar[PointwiseLoss]
    l1: typing.ClassVar[PointwiseLoss]
    mse: typing.ClassVar[PointwiseLoss]
    smooth_l1: typing.ClassVar[PointwiseLoss]
    @typing.overload
    def __eq__(self, other: PointwiseLoss) -> bool:
        ...
    @typing.overload
    def __eq__(self, other: typing.Any) -> bool:
        ...
    def __getstate__(self) -> int:
        ...
    def __hash__(self) -> int:
        ...
    def __index__(self) -> int:
        ...
    def __init__(self, value: typing.SupportsInt | typing.SupportsIndex) -> None:
        ...
    def __int__(self) -> int:
        ...
    @typing.overload
    def __ne__(self, other: PointwiseLoss) -> bool:
        ...
    @typing.overload
    def __ne__(self, other: typing.Any) -> bool:
        ...
    def __repr__(self) -> str:
        ...
    def __setstate__(self, state: typing.SupportsInt | typing.SupportsIndex) -> None:
        ...
    def __str__(self) -> str:
        ...
    @property
    def name(self) -> str:
        ...
    @property
    def value(self) -> int:
        ...
class Reduce:
    """
    What reduce_forward computes per line.

    Members:

      sum

      prod

      max

      min

      norm1

      norm2

      norm_inf

      logsumexp
    """
    __members__: typing.ClassVar[dict[str, Reduce]]
    logsumexp: typing.ClassVar[Reduce]
    max: typing.ClassVar[Reduce]
    min: typing.ClassVar[Reduce]
    norm1: typing.ClassVar[Reduce]
    norm2: typing.ClassVar[Reduce]
    norm_inf: typing.ClassVar[Reduce]
    prod: typing.ClassVar[Reduce]
    sum: typing.ClassVar[Reduce]
    @typing.overload
    def __eq__(self, other: Reduce) -> bool:
        ...
    @typing.overload
    def __eq__(self, other: typing.Any) -> bool:
        ...
    def __getstate__(self) -> int:
        ...
    def __hash__(self) -> int:
        ...
    def __index__(self) -> int:
        ...
    def __init__(self, value: typing.SupportsInt | typing.SupportsIndex) -> None:
        ...
    def __int__(self) -> int:
        ...
    @typing.overload
    def __ne__(self, other: Reduce) -> bool:
        ...
    @typing.overload
    def __ne__(self, other: typing.Any) -> bool:
        ...
    def __repr__(self) -> str:
        ...
    def __setstate__(self, state: typing.SupportsInt | typing.SupportsIndex) -> None:
        ...
    def __str__(self) -> str:
        ...
    @property
    def name(self) -> str:
        ...
    @property
    def value(self) -> int:
        ...
def abs(input: Tensor, a: typing.SupportsFloat | typing.SupportsIndex = 0.0, b: typing.SupportsFloat | typing.SupportsIndex = 0.0, out: Tensor | None = None) -> Tensor:
    ...
def abs_backward(saved: Tensor, grad_output: Tensor, a: typing.SupportsFloat | typing.SupportsIndex = 0.0, b: typing.SupportsFloat | typing.SupportsIndex = 0.0) -> Tensor:
    ...
def accumulate_(destination: Tensor, source: Tensor) -> None:
    ...
def active_isa() -> str:
    ...
def adagrad_step(arena: OptimizerArena, sum: Tensor, maximize: bool) -> None:
    """
    hyper: lr, lr_decay, eps, weight_decay.
    """
def adam_step(arena: OptimizerArena, exp_avg: Tensor, exp_avg_sq: Tensor, max_exp_avg_sq: Tensor | None, decoupled_weight_decay: bool, bias_correction: bool, maximize: bool) -> None:
    """
    hyper: lr, beta1, beta2, eps, weight_decay.
    """
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
def add(input: Tensor | float, other: Tensor | float, alpha: typing.SupportsFloat | typing.SupportsIndex = 1.0, out: Tensor | None = None) -> Tensor:
    """
    input + alpha * other
    """
def avg_pool2d_backward(grad_output: Tensor, input_shape: tuple[int, ...], kernel_size: tuple[int, ...], stride: tuple[int, ...], padding: tuple[int, ...], ceil_mode: bool, count_include_pad: bool, divisor_override: typing.SupportsInt | typing.SupportsIndex | None) -> Tensor:
    """
    Gradient of avg_pool2d with respect to its input.
    """
def avg_pool2d_forward(input: Tensor, kernel_size: tuple[int, ...], stride: tuple[int, ...], padding: tuple[int, ...], ceil_mode: bool, count_include_pad: bool, divisor_override: typing.SupportsInt | typing.SupportsIndex | None) -> Tensor:
    """
    Mean of every window.
    """
def batch_norm_backward(grad_output: Tensor, input: Tensor, weight: Tensor | None, bias: Tensor | None, gate: Tensor | None, statistics: Tensor, training: bool, activation: str | None, wanted: typing.Annotated[collections.abc.Sequence[bool], "FixedSize(4)"], grad_weight_out: Tensor | None = None, grad_bias_out: Tensor | None = None) -> tuple[Tensor | None, Tensor | None, Tensor | None, Tensor | None]:
    """
    Gradients of batch_norm with respect to input, weight, bias and residual.
    """
def batch_norm_forward(input: Tensor, running_mean: Tensor | None, running_var: Tensor | None, weight: Tensor | None, bias: Tensor | None, training: bool, momentum: typing.SupportsFloat | typing.SupportsIndex | None, eps: typing.SupportsFloat | typing.SupportsIndex, activation: str | None, residual: Tensor | None, num_batches_tracked: Tensor | None, want_gate: bool) -> tuple[Tensor, Tensor, Tensor | None]:
    """
    Normalised input, and for backward the statistics and a relu's gate; updates the running ones in training.
    """
def batch_norm_normalize(input: Tensor, weight: Tensor | None, bias: Tensor | None, statistics: Tensor, activation: str | None) -> Tensor:
    """
    The output of batch_norm_forward again, from its statistics.
    """
def begin_recording() -> None:
    """
    Kernel calls of this thread are recorded from now on.
    """
def bernoulli(p: Tensor, state: Tensor) -> Tensor:
    ...
def best_isa() -> str:
    ...
def broadcast_shapes(arg0: tuple[int, ...], arg1: tuple[int, ...]) -> tuple[int, ...]:
    ...
def cast(input: Tensor, dtype: dtype) -> Tensor:
    """
    The same values in another dtype (the input itself when it has that dtype).
    """
def ceil(input: Tensor, a: typing.SupportsFloat | typing.SupportsIndex = 0.0, b: typing.SupportsFloat | typing.SupportsIndex = 0.0, out: Tensor | None = None) -> Tensor:
    ...
def ceil_backward(saved: Tensor, grad_output: Tensor, a: typing.SupportsFloat | typing.SupportsIndex = 0.0, b: typing.SupportsFloat | typing.SupportsIndex = 0.0) -> Tensor:
    ...
def clamp(input: Tensor, a: typing.SupportsFloat | typing.SupportsIndex = 0.0, b: typing.SupportsFloat | typing.SupportsIndex = 0.0, out: Tensor | None = None) -> Tensor:
    ...
def clamp_backward(saved: Tensor, grad_output: Tensor, a: typing.SupportsFloat | typing.SupportsIndex = 0.0, b: typing.SupportsFloat | typing.SupportsIndex = 0.0) -> Tensor:
    ...
def clamp_grads_(grads: collections.abc.Sequence[Tensor], value: typing.SupportsFloat | typing.SupportsIndex) -> None:
    """
    grads = min(max(grads, -value), value).
    """
def concat(tensors: collections.abc.Sequence[Tensor], dim: typing.SupportsInt | typing.SupportsIndex) -> Tensor:
    """
    Tensors laid end to end along `dim`.
    """
def conv2d_algorithms(input_shape: tuple[int, ...], weight_shape: tuple[int, ...], stride: tuple[int, ...], padding: tuple[int, ...], dilation: tuple[int, ...], groups: typing.SupportsInt | typing.SupportsIndex) -> tuple[str, str, str]:
    """
    Names of the float32 CPU kernels of forward, input gradient and weight gradient under the current precision.
    """
def conv2d_backward_input(grad_output: Tensor, weight: Tensor, input_shape: tuple[int, ...], stride: tuple[int, ...], padding: tuple[int, ...], dilation: tuple[int, ...], groups: typing.SupportsInt | typing.SupportsIndex) -> Tensor:
    """
    Gradient with respect to the input.
    """
def conv2d_backward_weight(grad_output: Tensor, input: Tensor, weight_shape: tuple[int, ...], stride: tuple[int, ...], padding: tuple[int, ...], dilation: tuple[int, ...], groups: typing.SupportsInt | typing.SupportsIndex, bias: bool = False, out: Tensor | None = None, bias_out: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
    """
    Gradients with respect to the weight and, if `bias`, the bias (else None), written to out and bias_out.
    """
def conv2d_forward(input: Tensor, weight: Tensor, bias: Tensor | None, stride: tuple[int, ...], padding: tuple[int, ...], dilation: tuple[int, ...], groups: typing.SupportsInt | typing.SupportsIndex, activation: str = 'none', residual: Tensor | None = None) -> Tensor:
    """
    activation(conv2d(input, weight) + bias + residual); padding (pH, pW) or (top, bottom, left, right); residual on the CPU only.
    """
def conv2d_forward_statistics(input: Tensor, weight: Tensor, bias: Tensor | None, stride: tuple[int, ...], padding: tuple[int, ...], dilation: tuple[int, ...], groups: typing.SupportsInt | typing.SupportsIndex) -> tuple[Tensor, Tensor]:
    """
    The output of conv2d_forward and, (2, C_out) in float64, every channel's mean and sum of squared deviations from it, taken from the output's values before they leave the chip. CUDA only.
    """
def conv2d_mask_relu(grad_output: Tensor, output: Tensor) -> Tensor:
    """
    grad_output where output > 0, else 0: the gradient of the fused ReLU.
    """
def copy_(destination: Tensor, source: Tensor) -> None:
    ...
def copy_array(array: numpy.ndarray, dtype: dtype) -> Tensor:
    """
    A tensor with a NumPy array's values.
    """
def copy_peak(destination: Tensor, source: Tensor) -> None:
    """
    Copies float32 values past the caches.
    """
def cos(input: Tensor, a: typing.SupportsFloat | typing.SupportsIndex = 0.0, b: typing.SupportsFloat | typing.SupportsIndex = 0.0, out: Tensor | None = None) -> Tensor:
    ...
def cos_backward(saved: Tensor, grad_output: Tensor, a: typing.SupportsFloat | typing.SupportsIndex = 0.0, b: typing.SupportsFloat | typing.SupportsIndex = 0.0) -> Tensor:
    ...
def cpu_has_bf16() -> bool:
    ...
def cpu_has_vnni() -> bool:
    ...
def cross_entropy_backward(input: Tensor, target: Tensor, weight: Tensor | None, ignore_index: typing.SupportsInt | typing.SupportsIndex, reduction: LossReduction, label_smoothing: typing.SupportsFloat | typing.SupportsIndex, stats: Tensor, divisor: Tensor, grad_output: Tensor, want_grad_target: bool) -> tuple[Tensor, Tensor | None]:
    """
    (grad_input, grad_target or None).
    """
def cross_entropy_forward(input: Tensor, target: Tensor, weight: Tensor | None, ignore_index: typing.SupportsInt | typing.SupportsIndex, reduction: LossReduction, label_smoothing: typing.SupportsFloat | typing.SupportsIndex) -> tuple[Tensor, Tensor, Tensor]:
    """
    (loss, statistics of the rows, divisor of the mean).
    """
def cuda_build() -> tuple[str, str, str]:
    """
    (mode: off, real or emulated; version of the CUDA toolkit; GPU architectures with machine code).
    """
def cuda_device_count() -> int:
    ...
def cuda_empty_cache(device: typing.SupportsInt | typing.SupportsIndex) -> None:
    ...
def cuda_fail_next_call() -> None:
    """
    Test hook: the next use of a GPU finds it lost, for good.
    """
def cuda_force_gemm(tile: typing.SupportsInt | typing.SupportsIndex = -1, splits: typing.SupportsInt | typing.SupportsIndex = 0, images: typing.SupportsInt | typing.SupportsIndex = 0) -> None:
    """
    Test hook for CUDA products and convolutions: the tile (0: 128x256, 1: 128x128, 2: 128x64, 3: 64x128, 4: 64x64; -1: chosen) and the number of blocks that share one along K (0: chosen), where possible; the most images per launch.
    """
def cuda_memory_stats(device: typing.SupportsInt | typing.SupportsIndex) -> dict:
    ...
def cuda_properties(device: typing.SupportsInt | typing.SupportsIndex) -> dict:
    ...
def cuda_reset_max_memory_allocated(device: typing.SupportsInt | typing.SupportsIndex) -> None:
    ...
def cuda_stream(device: typing.SupportsInt | typing.SupportsIndex) -> int:
    """
    The address of a device's stream (cudaStream_t).
    """
def cuda_synchronize(device: typing.SupportsInt | typing.SupportsIndex) -> None:
    ...
def cuda_why_unavailable() -> str:
    ...
def derived_bytes() -> int:
    """
    Bytes of packed weights that are kept with the weights' storages.
    """
def div(input: Tensor | float, other: Tensor | float, out: Tensor | None = None) -> Tensor:
    ...
def dropout(input: Tensor, p: typing.SupportsFloat | typing.SupportsIndex, state: Tensor) -> tuple[Tensor, Tensor]:
    """
    (result, mask); draws ceil(n / 4) Philox blocks from the generator state.
    """
def dropout_backward(grad_output: Tensor, mask: Tensor, p: typing.SupportsFloat | typing.SupportsIndex, layout: str) -> Tensor:
    """
    `layout` is the one of the input of dropout: the mask is in its memory order.
    """
def elu(input: Tensor, a: typing.SupportsFloat | typing.SupportsIndex = 0.0, b: typing.SupportsFloat | typing.SupportsIndex = 0.0, out: Tensor | None = None) -> Tensor:
    ...
def elu_backward(saved: Tensor, grad_output: Tensor, a: typing.SupportsFloat | typing.SupportsIndex = 0.0, b: typing.SupportsFloat | typing.SupportsIndex = 0.0) -> Tensor:
    ...
def empty(shape: tuple[int, ...], dtype: dtype, device: device | str | None = None, layout: str | None = None) -> Tensor:
    ...
def empty_cache() -> None:
    ...
def empty_like(other: Tensor) -> Tensor:
    ...
def empty_outside_recordings(shape: tuple[int, ...], dtype: dtype, device: device | str | None = None) -> Tensor:
    """
    Memory that a recording does not use for anything else: the host writes it before a replay.
    """
def end_recording() -> Recording:
    ...
def eq(input: Tensor | float, other: Tensor | float, out: Tensor | None = None) -> Tensor:
    ...
def erf(input: Tensor, a: typing.SupportsFloat | typing.SupportsIndex = 0.0, b: typing.SupportsFloat | typing.SupportsIndex = 0.0, out: Tensor | None = None) -> Tensor:
    ...
def erf_backward(saved: Tensor, grad_output: Tensor, a: typing.SupportsFloat | typing.SupportsIndex = 0.0, b: typing.SupportsFloat | typing.SupportsIndex = 0.0) -> Tensor:
    ...
def exp(input: Tensor, a: typing.SupportsFloat | typing.SupportsIndex = 0.0, b: typing.SupportsFloat | typing.SupportsIndex = 0.0, out: Tensor | None = None) -> Tensor:
    ...
def exp_backward(saved: Tensor, grad_output: Tensor, a: typing.SupportsFloat | typing.SupportsIndex = 0.0, b: typing.SupportsFloat | typing.SupportsIndex = 0.0) -> Tensor:
    ...
def expand(input: Tensor, shape: tuple[int, ...]) -> Tensor:
    """
    Copies broadcast to `shape`; a size of -1 keeps the input's.
    """
def expm1(input: Tensor, a: typing.SupportsFloat | typing.SupportsIndex = 0.0, b: typing.SupportsFloat | typing.SupportsIndex = 0.0, out: Tensor | None = None) -> Tensor:
    ...
def expm1_backward(saved: Tensor, grad_output: Tensor, a: typing.SupportsFloat | typing.SupportsIndex = 0.0, b: typing.SupportsFloat | typing.SupportsIndex = 0.0) -> Tensor:
    ...
def fail_nth_allocation(nth: typing.SupportsInt | typing.SupportsIndex) -> None:
    ...
def fill_(tensor: Tensor, value: float) -> None:
    ...
def floor(input: Tensor, a: typing.SupportsFloat | typing.SupportsIndex = 0.0, b: typing.SupportsFloat | typing.SupportsIndex = 0.0, out: Tensor | None = None) -> Tensor:
    ...
def floor_backward(saved: Tensor, grad_output: Tensor, a: typing.SupportsFloat | typing.SupportsIndex = 0.0, b: typing.SupportsFloat | typing.SupportsIndex = 0.0) -> Tensor:
    ...
def floor_divide(input: Tensor | float, other: Tensor | float, out: Tensor | None = None) -> Tensor:
    ...
def fma_peak(chunks: typing.SupportsInt | typing.SupportsIndex, rounds: typing.SupportsInt | typing.SupportsIndex) -> int:
    """
    Runs `chunks` register-only chains of multiply-adds in parallel; returns the floating-point operations done.
    """
def from_dlpack(capsule: typing.Any) -> Tensor:
    """
    A tensor on the memory of an unused DLPack capsule.
    """
def full(shape: tuple[int, ...], value: float, dtype: dtype, device: device | str | None = None, layout: str | None = None) -> Tensor:
    ...
def gather(input: Tensor, dim: typing.SupportsInt | typing.SupportsIndex, index: Tensor) -> Tensor:
    """
    output[.., j, ..] = input[.., index[.., j, ..], ..] along `dim`.
    """
def gather_backward(grad_output: Tensor, input_shape: tuple[int, ...], layout: str, dim: typing.SupportsInt | typing.SupportsIndex, index: Tensor) -> Tensor:
    """
    Adds grad_output into zeros at the gathered positions.
    """
def ge(input: Tensor | float, other: Tensor | float, out: Tensor | None = None) -> Tensor:
    ...
def gelu(input: Tensor, a: typing.SupportsFloat | typing.SupportsIndex = 0.0, b: typing.SupportsFloat | typing.SupportsIndex = 0.0, out: Tensor | None = None) -> Tensor:
    ...
def gelu_backward(saved: Tensor, grad_output: Tensor, a: typing.SupportsFloat | typing.SupportsIndex = 0.0, b: typing.SupportsFloat | typing.SupportsIndex = 0.0) -> Tensor:
    ...
def gelu_tanh(input: Tensor, a: typing.SupportsFloat | typing.SupportsIndex = 0.0, b: typing.SupportsFloat | typing.SupportsIndex = 0.0, out: Tensor | None = None) -> Tensor:
    ...
def gelu_tanh_backward(saved: Tensor, grad_output: Tensor, a: typing.SupportsFloat | typing.SupportsIndex = 0.0, b: typing.SupportsFloat | typing.SupportsIndex = 0.0) -> Tensor:
    ...
def generator_state(seed: typing.SupportsInt | typing.SupportsIndex, device: device | str | None = None) -> Tensor:
    ...
def get_precision() -> str:
    ...
def grad_norm(grads: collections.abc.Sequence[Tensor], norm_type: typing.SupportsFloat | typing.SupportsIndex) -> Tensor:
    """
    The norm of all elements of a list of tensors as one number on their device.
    """
def group_norm_backward(grad_output: Tensor, input: Tensor, num_groups: typing.SupportsInt | typing.SupportsIndex, weight: Tensor | None, statistics: Tensor, wanted: typing.Annotated[collections.abc.Sequence[bool], "FixedSize(3)"]) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """
    Gradients of group_norm with respect to input, weight and bias.
    """
def group_norm_forward(input: Tensor, num_groups: typing.SupportsInt | typing.SupportsIndex, weight: Tensor | None, bias: Tensor | None, eps: typing.SupportsFloat | typing.SupportsIndex) -> tuple[Tensor, Tensor]:
    """
    Normalised input, and the statistics for backward.
    """
def gt(input: Tensor | float, other: Tensor | float, out: Tensor | None = None) -> Tensor:
    ...
def guard_allocations(on: bool) -> None:
    ...
def hardsigmoid(input: Tensor, a: typing.SupportsFloat | typing.SupportsIndex = 0.0, b: typing.SupportsFloat | typing.SupportsIndex = 0.0, out: Tensor | None = None) -> Tensor:
    ...
def hardsigmoid_backward(saved: Tensor, grad_output: Tensor, a: typing.SupportsFloat | typing.SupportsIndex = 0.0, b: typing.SupportsFloat | typing.SupportsIndex = 0.0) -> Tensor:
    ...
def hardswish(input: Tensor, a: typing.SupportsFloat | typing.SupportsIndex = 0.0, b: typing.SupportsFloat | typing.SupportsIndex = 0.0, out: Tensor | None = None) -> Tensor:
    ...
def hardswish_backward(saved: Tensor, grad_output: Tensor, a: typing.SupportsFloat | typing.SupportsIndex = 0.0, b: typing.SupportsFloat | typing.SupportsIndex = 0.0) -> Tensor:
    ...
def hardtanh(input: Tensor, a: typing.SupportsFloat | typing.SupportsIndex = 0.0, b: typing.SupportsFloat | typing.SupportsIndex = 0.0, out: Tensor | None = None) -> Tensor:
    ...
def hardtanh_backward(saved: Tensor, grad_output: Tensor, a: typing.SupportsFloat | typing.SupportsIndex = 0.0, b: typing.SupportsFloat | typing.SupportsIndex = 0.0) -> Tensor:
    ...
def image_batch(images: Tensor, index: Tensor, scale: Tensor, shift: Tensor, channels: typing.SupportsInt | typing.SupportsIndex | None = None, dtype: dtype = ...) -> Tensor:
    """
    images[index] * scale + shift per channel, zeros up to `channels`, as float32 or bfloat16: a loader's batch.
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
def is_recording() -> bool:
    ...
def layer_norm_backward(grad_output: Tensor, input: Tensor, normalized_shape: tuple[int, ...], weight: Tensor | None, statistics: Tensor, wanted: typing.Annotated[collections.abc.Sequence[bool], "FixedSize(3)"]) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """
    Gradients of layer_norm with respect to input, weight and bias.
    """
def layer_norm_forward(input: Tensor, normalized_shape: tuple[int, ...], weight: Tensor | None, bias: Tensor | None, eps: typing.SupportsFloat | typing.SupportsIndex) -> tuple[Tensor, Tensor]:
    """
    Normalised input, and the statistics for backward.
    """
def le(input: Tensor | float, other: Tensor | float, out: Tensor | None = None) -> Tensor:
    ...
def leaky_relu(input: Tensor, a: typing.SupportsFloat | typing.SupportsIndex = 0.0, b: typing.SupportsFloat | typing.SupportsIndex = 0.0, out: Tensor | None = None) -> Tensor:
    ...
def leaky_relu_backward(saved: Tensor, grad_output: Tensor, a: typing.SupportsFloat | typing.SupportsIndex = 0.0, b: typing.SupportsFloat | typing.SupportsIndex = 0.0) -> Tensor:
    ...
def linear_backward_bias(grad_output: Tensor, out: Tensor | None = None) -> Tensor:
    """
    Sum of all rows of grad_output.
    """
def linear_backward_input(grad_output: Tensor, weight: Tensor) -> Tensor:
    """
    grad_output weight.
    """
def linear_backward_relu(grad_output: Tensor, output: Tensor) -> Tensor:
    """
    grad_output where output > 0, else 0.
    """
def linear_backward_weight(grad_output: Tensor, input: Tensor, out: Tensor | None = None) -> Tensor:
    """
    grad_output^T input, summed over all rows.
    """
def linear_forward(input: Tensor, weight: Tensor, bias: Tensor | None = None, activation: str | None = None) -> Tensor:
    """
    y = input weight^T (+ bias), then 'relu' if asked.
    """
def log(input: Tensor, a: typing.SupportsFloat | typing.SupportsIndex = 0.0, b: typing.SupportsFloat | typing.SupportsIndex = 0.0, out: Tensor | None = None) -> Tensor:
    ...
def log1p(input: Tensor, a: typing.SupportsFloat | typing.SupportsIndex = 0.0, b: typing.SupportsFloat | typing.SupportsIndex = 0.0, out: Tensor | None = None) -> Tensor:
    ...
def log1p_backward(saved: Tensor, grad_output: Tensor, a: typing.SupportsFloat | typing.SupportsIndex = 0.0, b: typing.SupportsFloat | typing.SupportsIndex = 0.0) -> Tensor:
    ...
def log_backward(saved: Tensor, grad_output: Tensor, a: typing.SupportsFloat | typing.SupportsIndex = 0.0, b: typing.SupportsFloat | typing.SupportsIndex = 0.0) -> Tensor:
    ...
def logical_and(input: Tensor | float, other: Tensor | float, out: Tensor | None = None) -> Tensor:
    ...
def logical_or(input: Tensor | float, other: Tensor | float, out: Tensor | None = None) -> Tensor:
    ...
def logical_xor(input: Tensor | float, other: Tensor | float, out: Tensor | None = None) -> Tensor:
    ...
def lt(input: Tensor | float, other: Tensor | float, out: Tensor | None = None) -> Tensor:
    ...
def matmul(input: Tensor, other: Tensor, transpose_input: bool = False, transpose_other: bool = False) -> Tensor:
    """
    Matrix product with torch.matmul's rules; the flags swap the last two dimensions first.
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
def maximum(input: Tensor | float, other: Tensor | float, out: Tensor | None = None) -> Tensor:
    ...
def memory_stats() -> dict:
    ...
def minimum(input: Tensor | float, other: Tensor | float, out: Tensor | None = None) -> Tensor:
    ...
def mma_peak(blocks: typing.SupportsInt | typing.SupportsIndex, rounds: typing.SupportsInt | typing.SupportsIndex, device: device | str) -> int:
    """
    Starts bfloat16 tensor-core products in the registers of `blocks` blocks of 8 warps on a GPU; returns the floating-point operations that they are.
    """
def mul(input: Tensor | float, other: Tensor | float, out: Tensor | None = None) -> Tensor:
    ...
def ne(input: Tensor | float, other: Tensor | float, out: Tensor | None = None) -> Tensor:
    ...
def neg(input: Tensor, a: typing.SupportsFloat | typing.SupportsIndex = 0.0, b: typing.SupportsFloat | typing.SupportsIndex = 0.0, out: Tensor | None = None) -> Tensor:
    ...
def neg_backward(saved: Tensor, grad_output: Tensor, a: typing.SupportsFloat | typing.SupportsIndex = 0.0, b: typing.SupportsFloat | typing.SupportsIndex = 0.0) -> Tensor:
    ...
def nll_loss_backward(input: Tensor, target: Tensor, weight: Tensor | None, ignore_index: typing.SupportsInt | typing.SupportsIndex, reduction: LossReduction, divisor: Tensor, grad_output: Tensor) -> Tensor:
    ...
def nll_loss_forward(input: Tensor, target: Tensor, weight: Tensor | None, ignore_index: typing.SupportsInt | typing.SupportsIndex, reduction: LossReduction) -> tuple[Tensor, Tensor]:
    """
    (loss, divisor of the mean).
    """
def normal_(tensor: Tensor, mean: typing.SupportsFloat | typing.SupportsIndex, std: typing.SupportsFloat | typing.SupportsIndex, state: Tensor) -> None:
    ...
def num_threads() -> int:
    ...
def num_threads_source() -> str:
    ...
def one_hot(input: Tensor, num_classes: typing.SupportsInt | typing.SupportsIndex) -> Tensor:
    """
    int64 zeros with a 1 at the class, in a new last dimension.
    """
def pad_backward(grad_output: Tensor, input_shape: tuple[int, ...], before: tuple[int, ...], after: tuple[int, ...], mode: str, layout: str) -> Tensor:
    """
    Gradient of pad_forward with respect to an input of `layout`.
    """
def pad_forward(input: Tensor, before: tuple[int, ...], after: tuple[int, ...], mode: str, value: typing.SupportsFloat | typing.SupportsIndex = 0.0) -> Tensor:
    """
    input with before[d] and after[d] elements added to dimension d.
    """
def permute(input: Tensor, dims: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex], layout: str | None = None) -> Tensor:
    """
    Dimensions reordered; shares memory where the element order already agrees.
    """
def philox4x32(counter: typing.Annotated[collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex], "FixedSize(4)"], key: typing.Annotated[collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex], "FixedSize(2)"]) -> typing.Annotated[list[int], "FixedSize(4)"]:
    """
    Philox-4x32-10, for tests against the published vectors.
    """
def pointwise_loss_backward(kind: PointwiseLoss, input: Tensor, target: Tensor, weight: Tensor | None, pos_weight: Tensor | None, divisor: Tensor | None, reduction: LossReduction, beta: typing.SupportsFloat | typing.SupportsIndex, grad_output: Tensor, want_input: bool, want_target: bool) -> tuple[Tensor | None, Tensor | None]:
    """
    (grad_input or None, grad_target or None).
    """
def pointwise_loss_forward(kind: PointwiseLoss, input: Tensor, target: Tensor, weight: Tensor | None, pos_weight: Tensor | None, divisor: Tensor | None, reduction: LossReduction, beta: typing.SupportsFloat | typing.SupportsIndex) -> Tensor:
    ...
def poison_allocations(on: bool) -> None:
    ...
def pow(input: Tensor | float, other: Tensor | float, out: Tensor | None = None) -> Tensor:
    ...
def pow_scalar(input: Tensor, a: typing.SupportsFloat | typing.SupportsIndex = 0.0, b: typing.SupportsFloat | typing.SupportsIndex = 0.0, out: Tensor | None = None) -> Tensor:
    ...
def pow_scalar_backward(saved: Tensor, grad_output: Tensor, a: typing.SupportsFloat | typing.SupportsIndex = 0.0, b: typing.SupportsFloat | typing.SupportsIndex = 0.0) -> Tensor:
    ...
def prelu(input: Tensor, weight: Tensor) -> Tensor:
    ...
def prelu_backward(grad_output: Tensor, input: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """
    (grad_input, grad_weight)
    """
def promote_types(a: dtype, b: dtype) -> dtype:
    ...
def randint_(tensor: Tensor, low: typing.SupportsInt | typing.SupportsIndex, high: typing.SupportsInt | typing.SupportsIndex, state: Tensor) -> None:
    ...
def randperm(n: typing.SupportsInt | typing.SupportsIndex, state: Tensor) -> Tensor:
    """
    A random order of 0 .. n-1 on the device of the generator state.
    """
def reciprocal(input: Tensor, a: typing.SupportsFloat | typing.SupportsIndex = 0.0, b: typing.SupportsFloat | typing.SupportsIndex = 0.0, out: Tensor | None = None) -> Tensor:
    ...
def reciprocal_backward(saved: Tensor, grad_output: Tensor, a: typing.SupportsFloat | typing.SupportsIndex = 0.0, b: typing.SupportsFloat | typing.SupportsIndex = 0.0) -> Tensor:
    ...
def reduce_backward(input: Tensor, kind: Reduce, dims: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex] | None, output: Tensor, grad_output: Tensor) -> Tensor:
    ...
def reduce_broadcast(grad_output: Tensor, shape: tuple[int, ...], layout: str, dims: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex] | None, mean: bool) -> Tensor:
    """
    Gradient of sum and mean.
    """
def reduce_extreme(input: Tensor, dim: typing.SupportsInt | typing.SupportsIndex | None, keepdim: bool, largest: bool) -> tuple[Tensor, Tensor]:
    """
    (values, int64 positions).
    """
def reduce_extreme_backward(input: Tensor, dim: typing.SupportsInt | typing.SupportsIndex, indices: Tensor, grad_output: Tensor) -> Tensor:
    ...
def reduce_forward(input: Tensor, kind: Reduce, dims: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex] | None, keepdim: bool) -> Tensor:
    ...
def reduce_mean(input: Tensor, dims: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex] | None, keepdim: bool) -> Tensor:
    ...
def reduce_truth(input: Tensor, dims: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex] | None, keepdim: bool, all: bool) -> Tensor:
    ...
def reduce_var(input: Tensor, dims: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex] | None, correction: typing.SupportsFloat | typing.SupportsIndex, keepdim: bool, root: bool) -> tuple[Tensor, Tensor]:
    """
    (variance or its root, mean with the reduced dimensions kept).
    """
def reduce_var_backward(input: Tensor, dims: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex] | None, correction: typing.SupportsFloat | typing.SupportsIndex, output: Tensor, mean: Tensor, grad_output: Tensor, root: bool) -> Tensor:
    ...
def refresh_masters(masters: Tensor, copy: Tensor) -> None:
    """
    masters[i] = copy[i] where copy[i] is not masters[i] rounded to bfloat16: after writes to parameters.
    """
def relu(input: Tensor, a: typing.SupportsFloat | typing.SupportsIndex = 0.0, b: typing.SupportsFloat | typing.SupportsIndex = 0.0, out: Tensor | None = None) -> Tensor:
    ...
def relu_backward(saved: Tensor, grad_output: Tensor, a: typing.SupportsFloat | typing.SupportsIndex = 0.0, b: typing.SupportsFloat | typing.SupportsIndex = 0.0) -> Tensor:
    ...
def remainder(input: Tensor | float, other: Tensor | float, out: Tensor | None = None) -> Tensor:
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
def result_type(input: Tensor | float, other: Tensor | float) -> dtype:
    ...
def rmsprop_step(arena: OptimizerArena, square_avg: Tensor, grad_avg: Tensor | None, momentum_buffer: Tensor | None, maximize: bool) -> None:
    """
    hyper: lr, alpha, eps, weight_decay, momentum.
    """
def round(input: Tensor, a: typing.SupportsFloat | typing.SupportsIndex = 0.0, b: typing.SupportsFloat | typing.SupportsIndex = 0.0, out: Tensor | None = None) -> Tensor:
    ...
def round_backward(saved: Tensor, grad_output: Tensor, a: typing.SupportsFloat | typing.SupportsIndex = 0.0, b: typing.SupportsFloat | typing.SupportsIndex = 0.0) -> Tensor:
    ...
def rsqrt(input: Tensor, a: typing.SupportsFloat | typing.SupportsIndex = 0.0, b: typing.SupportsFloat | typing.SupportsIndex = 0.0, out: Tensor | None = None) -> Tensor:
    ...
def rsqrt_backward(saved: Tensor, grad_output: Tensor, a: typing.SupportsFloat | typing.SupportsIndex = 0.0, b: typing.SupportsFloat | typing.SupportsIndex = 0.0) -> Tensor:
    ...
def running_pool_threads() -> int:
    ...
def scale_grads_(grads: collections.abc.Sequence[Tensor], norm: Tensor, max_norm: typing.SupportsFloat | typing.SupportsIndex) -> None:
    """
    grads *= min(1, max_norm / (norm + 1e-6)).
    """
def set_isa(name: str) -> None:
    ...
def set_num_threads(threads: typing.SupportsInt | typing.SupportsIndex) -> None:
    ...
def set_precision(precision: str) -> None:
    ...
def sgd_step(arena: OptimizerArena, momentum_buffer: Tensor | None, nesterov: bool, maximize: bool) -> None:
    """
    hyper: lr, momentum, dampening, weight_decay.
    """
def sigmoid(input: Tensor, a: typing.SupportsFloat | typing.SupportsIndex = 0.0, b: typing.SupportsFloat | typing.SupportsIndex = 0.0, out: Tensor | None = None) -> Tensor:
    ...
def sigmoid_backward(saved: Tensor, grad_output: Tensor, a: typing.SupportsFloat | typing.SupportsIndex = 0.0, b: typing.SupportsFloat | typing.SupportsIndex = 0.0) -> Tensor:
    ...
def sign(input: Tensor, a: typing.SupportsFloat | typing.SupportsIndex = 0.0, b: typing.SupportsFloat | typing.SupportsIndex = 0.0, out: Tensor | None = None) -> Tensor:
    ...
def sign_backward(saved: Tensor, grad_output: Tensor, a: typing.SupportsFloat | typing.SupportsIndex = 0.0, b: typing.SupportsFloat | typing.SupportsIndex = 0.0) -> Tensor:
    ...
def silu(input: Tensor, a: typing.SupportsFloat | typing.SupportsIndex = 0.0, b: typing.SupportsFloat | typing.SupportsIndex = 0.0, out: Tensor | None = None) -> Tensor:
    ...
def silu_backward(saved: Tensor, grad_output: Tensor, a: typing.SupportsFloat | typing.SupportsIndex = 0.0, b: typing.SupportsFloat | typing.SupportsIndex = 0.0) -> Tensor:
    ...
def sin(input: Tensor, a: typing.SupportsFloat | typing.SupportsIndex = 0.0, b: typing.SupportsFloat | typing.SupportsIndex = 0.0, out: Tensor | None = None) -> Tensor:
    ...
def sin_backward(saved: Tensor, grad_output: Tensor, a: typing.SupportsFloat | typing.SupportsIndex = 0.0, b: typing.SupportsFloat | typing.SupportsIndex = 0.0) -> Tensor:
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
def softmax_backward(output: Tensor, grad_output: Tensor, dim: typing.SupportsInt | typing.SupportsIndex, log: bool) -> Tensor:
    ...
def softmax_forward(input: Tensor, dim: typing.SupportsInt | typing.SupportsIndex, log: bool) -> Tensor:
    ...
def softplus(input: Tensor, a: typing.SupportsFloat | typing.SupportsIndex = 0.0, b: typing.SupportsFloat | typing.SupportsIndex = 0.0, out: Tensor | None = None) -> Tensor:
    ...
def softplus_backward(saved: Tensor, grad_output: Tensor, a: typing.SupportsFloat | typing.SupportsIndex = 0.0, b: typing.SupportsFloat | typing.SupportsIndex = 0.0) -> Tensor:
    ...
def sqrt(input: Tensor, a: typing.SupportsFloat | typing.SupportsIndex = 0.0, b: typing.SupportsFloat | typing.SupportsIndex = 0.0, out: Tensor | None = None) -> Tensor:
    ...
def sqrt_backward(saved: Tensor, grad_output: Tensor, a: typing.SupportsFloat | typing.SupportsIndex = 0.0, b: typing.SupportsFloat | typing.SupportsIndex = 0.0) -> Tensor:
    ...
def square(input: Tensor, a: typing.SupportsFloat | typing.SupportsIndex = 0.0, b: typing.SupportsFloat | typing.SupportsIndex = 0.0, out: Tensor | None = None) -> Tensor:
    ...
def square_backward(saved: Tensor, grad_output: Tensor, a: typing.SupportsFloat | typing.SupportsIndex = 0.0, b: typing.SupportsFloat | typing.SupportsIndex = 0.0) -> Tensor:
    ...
def sub(input: Tensor | float, other: Tensor | float, out: Tensor | None = None) -> Tensor:
    ...
def sum_to_shape(input: Tensor, shape: tuple[int, ...]) -> Tensor:
    """
    Sums over the dimensions along which a tensor of `shape` was broadcast to the input.
    """
def tanh(input: Tensor, a: typing.SupportsFloat | typing.SupportsIndex = 0.0, b: typing.SupportsFloat | typing.SupportsIndex = 0.0, out: Tensor | None = None) -> Tensor:
    ...
def tanh_backward(saved: Tensor, grad_output: Tensor, a: typing.SupportsFloat | typing.SupportsIndex = 0.0, b: typing.SupportsFloat | typing.SupportsIndex = 0.0) -> Tensor:
    ...
def to_device(tensor: Tensor, device: device | str) -> Tensor:
    """
    The same values on another device; the tensor itself if it is there.
    """
def to_dlpack(tensor: Tensor, versioned: bool, copied: bool) -> typing.Any:
    """
    A DLPack capsule on the tensor's memory: logical shape, channels-last strides from rank 3.
    """
def to_layout(tensor: Tensor, layout: str) -> Tensor:
    """
    The same values stored 'row_major' or 'channels_last'; the tensor itself where that changes nothing.
    """
def trunc_normal_(tensor: Tensor, mean: typing.SupportsFloat | typing.SupportsIndex, std: typing.SupportsFloat | typing.SupportsIndex, low: typing.SupportsFloat | typing.SupportsIndex, high: typing.SupportsFloat | typing.SupportsIndex, state: Tensor) -> None:
    ...
def uniform_(tensor: Tensor, low: typing.SupportsFloat | typing.SupportsIndex, high: typing.SupportsFloat | typing.SupportsIndex, state: Tensor) -> None:
    ...
def where(condition: Tensor, input: Tensor | float, other: Tensor | float) -> Tensor:
    """
    condition ? input : other, broadcast against each other.
    """
def write_(destination: Tensor, source: Tensor) -> None:
    """
    Copies a CPU tensor to any device; never part of a recording.
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
unary_saves_output: frozenset
version: str = '0.1.0'
