"""The machine's limits as measured: multiply-adds in registers and copies through memory; the ceilings of the roofline.

Williams, Waterman, Patterson, "Roofline: an insightful visual performance model for multicore architectures",
Communications of the ACM 52 (4), 2009.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from . import _C


@dataclass(frozen=True)
class Ceiling:
    """Measured limits of the CPU with a number of threads.

    Attributes:
        threads: that were used.
        gflops: float32 multiply-adds in registers, 10^9 operations per second.
        gigabytes: read and written by a copy of 64 MB, 10^9 bytes per second.
    """

    threads: int
    gflops: float
    gigabytes: float

    def share(self, flops: float, bytes_: float, seconds: float) -> float:
        """The roofline's shortest possible time as a share of `seconds`; above 1 where data stayed in the caches."""
        return max(flops / self.gflops, bytes_ / self.gigabytes) / 1e9 / seconds


def measure_ceiling(threads: int, samples: int = 40) -> Ceiling:
    """The best of many measurements of about 1 ms, since other load only ever slows them down.

    Args:
        threads: to use; afterwards the number is what it was.
        samples: measurements.

    Example:
        >>> measure_ceiling(1, samples=1).gflops > 0
        True
    """
    before = _C.num_threads()
    _C.set_num_threads(threads)
    source = _C.zeros((1 << 24,), _C.float32)  # 64 MB
    destination = _C.zeros((1 << 24,), _C.float32)
    flops, copied = [], []
    for _ in range(samples):
        start = time.perf_counter()
        done = _C.fma_peak(8 * threads, 40_000)
        flops.append(done / (time.perf_counter() - start))
        start = time.perf_counter()
        _C.copy_peak(destination, source)
        copied.append(2 * 4 * source.numel() / (time.perf_counter() - start))
    _C.set_num_threads(before)
    return Ceiling(threads, max(flops) / 1e9, max(copied) / 1e9)


def better(a: Ceiling, b: Ceiling) -> Ceiling:
    """The higher limits of two measurements with the same number of threads."""
    return Ceiling(a.threads, max(a.gflops, b.gflops), max(a.gigabytes, b.gigabytes))
