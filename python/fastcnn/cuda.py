"""GPUs, as `torch.cuda` names them: what is there, memory, waiting, timing.

Work on a GPU runs in the order it was called, on one stream per device, while Python goes on; reading a value
(`.item()`, `.cpu()`, printing) waits for it. Where a function takes a device, None means the first GPU.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from . import _C

if TYPE_CHECKING:
    from .tensor import Tensor

_Device = _C.device | str | int | None


class DeviceLostError(RuntimeError):
    """An error that costs this process its GPU, e.g. an illegal address or a hardware fault.

    No further work on any GPU is possible: end the process, and continue from a checkpoint in a new one.
    """


class DeviceProperties(NamedTuple):
    """What a GPU is; sizes in bytes."""

    name: str
    major: int  # of the compute capability
    minor: int
    multi_processor_count: int
    total_memory: int
    shared_memory_per_block_optin: int  # what one block may ask for
    L2_cache_size: int


def as_device(device: _Device = None) -> _C.device:
    """The device that a number, a name or None means.

    Raises:
        ValueError: it is not a GPU.
    """
    if device is None:
        return _C.device("cuda")
    if isinstance(device, int):
        if device < 0:
            raise ValueError(f"device is {device}, but GPUs are numbered from 0")
        return _C.device(f"cuda:{device}")
    found = _C.device(device)
    if found.type != "cuda":
        raise ValueError(f"device is '{found}', but 'cuda', 'cuda:N' or a number is expected")
    return found


def is_available() -> bool:
    """Whether tensors can be put on a GPU."""
    return not _C.cuda_why_unavailable()


def why_unavailable() -> str:
    """Why no GPU can be used; empty if one can."""
    return _C.cuda_why_unavailable()


def is_emulated() -> bool:
    """Whether the device `cuda` is the emulated one that tests run on: the kernels' code, executed by the CPU."""
    return _C.cuda_build()[0] == "emulated"


def device_count() -> int:
    """Number of usable GPUs."""
    return _C.cuda_device_count()


def current_device() -> int:
    """The number of the GPU that "cuda" means: always 0."""
    return 0


def synchronize(device: _Device = None) -> None:
    """Waits until a GPU has finished everything it was given.

    Raises:
        ValueError: there is no such GPU, or a kernel has found a label out of range.
        DeviceLostError: the GPU can no longer be used.
    """
    _C.cuda_synchronize(as_device(device).index)


def get_device_properties(device: _Device = None) -> DeviceProperties:
    """Name, compute capability, memory and size of a GPU."""
    return DeviceProperties(**_C.cuda_properties(as_device(device).index))


def get_device_name(device: _Device = None) -> str:
    """The GPU's name."""
    return get_device_properties(device).name


def get_device_capability(device: _Device = None) -> tuple[int, int]:
    """The compute capability, e.g. (9, 0)."""
    properties = get_device_properties(device)
    return properties.major, properties.minor


def memory_stats(device: _Device = None) -> dict[str, int]:
    """Bytes "allocated", "max_allocated" and "reserved", and the number of "allocations" so far."""
    return _C.cuda_memory_stats(as_device(device).index)


def memory_allocated(device: _Device = None) -> int:
    """Bytes in live tensors."""
    return memory_stats(device)["allocated"]


def max_memory_allocated(device: _Device = None) -> int:
    """Highest value of `memory_allocated` since the start or `reset_peak_memory_stats`."""
    return memory_stats(device)["max_allocated"]


def reset_peak_memory_stats(device: _Device = None) -> None:
    """Makes `max_memory_allocated` start from what is allocated now."""
    _C.cuda_reset_max_memory_allocated(as_device(device).index)


def memory_reserved(device: _Device = None) -> int:
    """Bytes taken from the GPU: live tensors and what is kept for new ones."""
    return memory_stats(device)["reserved"]


def empty_cache(device: _Device = None) -> None:
    """Gives memory that no tensor uses back to the GPU; waits for running work."""
    _C.cuda_empty_cache(as_device(device).index)


def manual_seed(seed: int) -> None:
    """Starts the default generator of the first GPU with `seed`; `fastcnn.manual_seed` does it for all devices."""
    from .random import generator_of

    generator_of(as_device()).manual_seed(seed)


def manual_seed_all(seed: int) -> None:
    """Starts the default generators of all GPUs with `seed`; one that is not there yet starts with it, too."""
    from .random import seed_cuda

    seed_cuda(seed)


def get_rng_state(device: _Device = None) -> Tensor:
    """A copy of the state of a GPU's default generator, int64 (2,) on the CPU; waits for the GPU."""
    from .random import generator_of

    return generator_of(as_device(device)).get_state()


def set_rng_state(new_state: Tensor, device: _Device = None) -> None:
    """Continues a GPU's default generator where `get_rng_state` was called."""
    from .random import generator_of

    generator_of(as_device(device)).set_state(new_state)


class Event:
    """A mark in the order of a GPU's work, to wait for or to measure time between.

    Args:
        enable_timing: whether `elapsed_time` may be asked.

    Example:
        >>> import fastcnn as fc
        >>> if fc.cuda.is_available():
        ...     start, end = fc.cuda.Event(enable_timing=True), fc.cuda.Event(enable_timing=True)
        ...     start.record()
        ...     y = fc.ones(100, device="cuda") + 1
        ...     end.record()
        ...     milliseconds = start.elapsed_time(end)
    """

    def __init__(self, enable_timing: bool = False) -> None:
        self._enable_timing = enable_timing
        self._event = _C.CudaEvent()

    def record(self, device: _Device = None) -> None:
        """Puts the mark behind everything the GPU has been given so far."""
        self._event.record(as_device(device).index)

    def synchronize(self) -> None:
        """Waits until the GPU reaches the mark; returns at once if it was never recorded."""
        self._event.synchronize()

    def elapsed_time(self, end_event: Event) -> float:
        """Milliseconds of GPU time from this mark to `end_event`; waits for it.

        Raises:
            ValueError: an event was not recorded, or was made without enable_timing.
        """
        if not (self._enable_timing and end_event._enable_timing):
            raise ValueError("Event.elapsed_time: both events must be made with enable_timing=True")
        return self._event.elapsed_ms(end_event._event)
