"""What the numbers were measured on: the machine, the versions, and the ceilings of the roofline."""

from __future__ import annotations

import os
import platform
import subprocess
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

import fastcnn as fc
from fastcnn import _C
from fastcnn.roofline import Ceiling, better, measure_ceiling

__all__ = ["Ceiling", "better", "ceilings_as_json", "describe", "measure_ceiling"]


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
