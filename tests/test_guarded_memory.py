"""The kernels touch nothing behind their operands: tests that run where such an access ends the process (--guard)."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(("offset", "code"), [(16, 0), (20, -signal.SIGSEGV), (-8192, -signal.SIGSEGV)])
def test_a_read_outside_a_guarded_tensor_ends_the_process(offset: int, code: int) -> None:
    program = f"""
        import ctypes, resource
        import fastcnn as fc
        from fastcnn import _C
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        _C.guard_allocations(True)
        x = fc.ones(5)
        assert ctypes.c_float.from_address(x.data_ptr() + {offset}).value == 1"""
    lines = [line.strip() for line in program.splitlines()]
    assert subprocess.run([sys.executable, "-c", "\n".join(lines)], check=False).returncode == code


@pytest.mark.slow
@pytest.mark.parametrize(
    "files", [("test_conv2d_algorithms",), ("test_linear", "test_conv2d", "test_pooling", "test_batch_norm")]
)
def test_kernels_stay_within_their_operands(files: tuple[str, ...]) -> None:
    """The files with the most shapes; `python -m pytest --guard` runs any others so."""
    paths = [f"tests/{name}.py" for name in files]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--guard", *paths]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout[-3000:] + run.stderr[-3000:]
