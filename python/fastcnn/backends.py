"""Switches of the whole library: threads and precision."""

from __future__ import annotations

from . import _C


def set_num_threads(num_threads: int) -> None:
    """Sets how many threads kernels use; results do not depend on it.

    Args:
        num_threads: 1 to 1024. The default is the number of CPUs this process may use (affinity and control-group quota
            respected), or FASTCNN_NUM_THREADS.

    Raises:
        ValueError: out of range.
    """
    _C.set_num_threads(num_threads)


def get_num_threads() -> int:
    """How many threads kernels use."""
    return _C.num_threads()


def set_precision(precision: str) -> None:
    """Sets how float32 products may be computed, like `torch.set_float32_matmul_precision`.

    Args:
        precision: "highest": true float32 everywhere; "high" (default): TF32 tensor cores and Winograd convolution are
            allowed; "medium": bfloat16 products are allowed. Kernels may always be more precise than asked: the CPU
            kernels use Winograd under both lower settings and no bfloat16 products.

    Raises:
        ValueError: another word.
    """
    _C.set_precision(precision)


def get_precision() -> str:
    """The setting of `set_precision`."""
    return _C.get_precision()
