"""What the numbers were measured on: the machine, the versions, and the ceilings of the roofline."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

import fastcnn as fc
from fastcnn import _C


@dataclass(frozen=True)
class Ceiling:
    """Measured limits with a number of threads."""

    threads: int
    gflops: float  # float32 multiply-adds in registers
    gigabytes: float  # read + written per second by a copy of 64 MB

    def share(self, flops: int, bytes_: int, seconds: float) -> float:
        """The roofline's shortest possible time as a share of `seconds`."""
        return max(flops / self.gflops, bytes_ / self.gigabytes) / 1e9 / seconds


def measure_ceiling(threads: int, samples: int = 40) -> Ceiling:
    """The best of many measurements of about 1 ms, since other load only ever slows them down."""
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


def describe() -> dict[str, Any]:
    """CPU, threads, instruction set, versions and commit."""
    return {
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "load_average": round(os.getloadavg()[0], 2),
        "isa": _C.active_isa(),
        "threads": _C.num_threads(),
        "threads_source": _C.num_threads_source(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "fastcnn": fc.__version__,
        "commit": _commit(),
    }


def ceilings_as_json(ceilings: dict[int, Ceiling]) -> list[dict[str, float]]:
    """The ceilings in the order of their thread counts."""
    return [asdict(ceilings[threads]) for threads in sorted(ceilings)]


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _commit() -> str:
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
