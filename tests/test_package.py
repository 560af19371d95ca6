"""The installed package: size, import, environment variables, stub, build checks, documented examples."""

from __future__ import annotations

import ast
import doctest
import importlib
import importlib.metadata
import io
import os
import pkgutil
import re
import shutil
import statistics
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import fastcnn as fc
from fastcnn import _C
from tests.conftest import ISAS, SUPPORTED_ISAS

ROOT = Path(__file__).parents[1]
PACKAGE = Path(fc.__file__).parent
SANITIZED = "FASTCNN_SANITIZED" in os.environ
needs_plain_build = pytest.mark.skipif(SANITIZED, reason="sizes and times of the sanitizer build mean nothing")


def run_python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs `code` in a fresh interpreter that finds the same fastcnn, without measuring coverage."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("COV", "COVERAGE", "FASTCNN_"))}
    kept["PYTHONPATH"] = os.pathsep.join([str(PACKAGE.parent), kept.get("PYTHONPATH", "")])
    command = [sys.executable, "-W", "error", "-c", code]
    return subprocess.run(command, env=kept | environment, capture_output=True, text=True, timeout=120, check=False)


def output_of(code: str, **environment: str) -> str:
    """What `code` prints; fails if it fails."""
    done = run_python(code, **environment)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@needs_plain_build
def test_package_fits_into_a_small_wheel() -> None:
    """3 MB with the CPU kernels; 8 MB with CUDA kernels for all release architectures."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as wheel:
        for path in PACKAGE.rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                wheel.write(path, path.relative_to(PACKAGE))
    assert len(buffer.getvalue()) <= {"off": 3_000_000, "emulated": 4_000_000, "real": 8_000_000}[_C.cuda_build()[0]]


def test_package_is_typed_and_licensed() -> None:
    assert (PACKAGE / "py.typed").exists()
    assert (PACKAGE / "_C.pyi").exists()
    assert "MIT License" in (ROOT / "LICENSE").read_text()


@needs_plain_build
def test_import_takes_at_most_60_ms_beyond_numpy() -> None:
    """CPU time, which other processes of the machine do not count into."""
    code = "import time, numpy; a = time.process_time(); import fastcnn; print(time.process_time() - a)"
    output_of(code)  # writes the byte code
    runs = [float(output_of(code)) for _ in range(5)]
    assert statistics.median(runs) <= 0.060, runs


def test_names_imported_on_first_use_are_those_that_type_checkers_see() -> None:
    names = {name: module for module, listed in fc._NAMES.items() for name in listed.split()}
    tree = ast.parse(Path(fc.__file__).read_text())
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    seen, modules = {}, []
    for node in block.body:
        assert isinstance(node, ast.ImportFrom)
        if node.module is None:
            modules = [alias.name for alias in node.names]
        else:
            seen |= {alias.name: node.module for alias in node.names}
    assert seen == names
    assert modules == fc._MODULES
    assert set(names) | set(modules) <= set(dir(fc))
    for name in fc.__all__:
        assert getattr(fc, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'conv3d'"):
        fc.conv3d  # noqa: B018


@pytest.mark.parametrize("name", fc._MODULES)
def test_every_part_can_be_imported_first(name: str) -> None:
    assert output_of(f"import fastcnn.{name}; print('fine')") == "fine"


IMPORT_GUARD = """
import os, sys, numpy
network, before = [], len(os.listdir("/proc/self/task"))
def watch(event, args):
    if event.startswith(("socket.", "urllib.", "http.")):
        network.append(event)
sys.addaudithook(watch)
import fastcnn
print(len(os.listdir("/proc/self/task")) - before, network, fastcnn._C.running_pool_threads())
heavy = {"tqdm", "PIL", "matplotlib", "safetensors", "mlxtend", "torch", "pandas", "multiprocessing", "urllib.request"}
print(sorted(heavy & set(sys.modules)))
"""


def test_import_starts_no_threads_opens_no_sockets_and_loads_nothing_heavy() -> None:
    assert output_of(IMPORT_GUARD).splitlines() == ["0 [] 0", "[]"]


def test_the_import_guard_notices_threads_and_sockets() -> None:
    planted = IMPORT_GUARD.replace(
        "import fastcnn\n",
        "import fastcnn, socket, threading, time\nsocket.socket().close()\n"
        "threading.Thread(target=time.sleep, args=(1,), daemon=True).start()\n",
    )
    assert output_of(planted).splitlines()[0].startswith("1 ['socket.")


@pytest.mark.parametrize("isa", ISAS)
def test_environment_variable_forces_the_isa(isa: str) -> None:
    done = run_python("from fastcnn import _C; print(_C.active_isa())", FASTCNN_ISA=isa)
    if isa in SUPPORTED_ISAS:
        assert done.stdout.strip() == isa
    else:
        assert f"FASTCNN_ISA is {isa}, but this CPU supports at most {_C.best_isa()}" in done.stderr


def test_unknown_isa_is_an_error() -> None:
    done = run_python("from fastcnn import _C; _C.active_isa()", FASTCNN_ISA="sse9")
    assert done.returncode != 0
    assert "ValueError: FASTCNN_ISA is sse9, but scalar, avx2 or avx512 is expected" in done.stderr


def test_thread_count_comes_from_the_environment_or_the_affinity() -> None:
    code = "from fastcnn import _C; print(_C.num_threads(), _C.num_threads_source())"
    threads, source = output_of(code, FASTCNN_NUM_THREADS="3").split(" ", 1)
    assert threads == "3"
    assert "FASTCNN_NUM_THREADS" in source
    pinned = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n" + code
    threads, source = output_of(pinned).split(" ", 1)
    assert threads == "1"
    assert "may run on" in source
    for wrong in ("0", "-1", "many", "3x"):
        done = run_python(code, FASTCNN_NUM_THREADS=wrong)
        assert done.returncode != 0, wrong
        assert "FASTCNN_NUM_THREADS" in done.stderr


FORK = """
import os, signal
import numpy as np
import fastcnn as fc
from fastcnn import _C
_C.set_num_threads(2)
source = fc.tensor(np.arange(1 << 20, dtype=np.float32))._data
copy = _C.empty_like(source)
_C.copy_peak(copy, source)
assert _C.running_pool_threads() == 1, _C.running_pool_threads()
child = os.fork()
if child == 0:
    signal.alarm(20)  # a deadlock ends here
    _C.zero_(copy)
    _C.copy_peak(copy, source)
    os._exit(0 if np.array_equal(copy.numpy(), source.numpy()) else 1)
status = os.waitpid(child, 0)[1]
_C.copy_peak(copy, source)
print(status, np.array_equal(copy.numpy(), source.numpy()))
"""


def test_fork_after_threads_works_in_both_processes() -> None:
    # Python 3.12 warns about any fork of a process with threads; that it works all the same is the point.
    assert output_of("import warnings; warnings.simplefilter('ignore')\n" + FORK) == "0 True"


def test_versions_agree() -> None:
    declared = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert declared is not None
    assert fc.__version__ == _C.version == declared[1]
    assert f"project(fastcnn VERSION {declared[1]} " in (ROOT / "CMakeLists.txt").read_text()
    assert f"## [{declared[1]}]" in (ROOT / "CHANGELOG.md").read_text()


def test_stub_describes_the_built_module() -> None:
    pytest.importorskip("pybind11_stubgen", reason="pybind11-stubgen is not installed: the stub is not compared")
    command = [sys.executable, str(ROOT / "tools" / "stubs.py"), "--check"]
    environment = os.environ | {"PYTHONPATH": str(PACKAGE.parent)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


CHECK_WEAK_SYMBOLS = ROOT / "cmake" / "check_weak_symbols.cmake"


@pytest.mark.parametrize(
    ("source", "weak"),
    [
        ("inline int twice(int x) { return 2 * x; }\nint (*keep)(int) = &twice;\n", "twice(int)"),
        (
            "template <class T> T half(T x) { return x / 2; }\nfloat f(float x) { return half(x); }\n",
            "half<float>",
        ),
        ("namespace { inline int twice(int x) { return 2 * x; } }\nint (*keep)(int) = &twice;\n", None),
    ],
)
def test_weak_symbols_in_isa_objects_stop_the_build(tmp_path: Path, source: str, weak: str | None) -> None:
    for tool in ("g++", "nm", "cmake"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed: the build check cannot run")
    (tmp_path / "kernel.cpp").write_text(source)
    target = tmp_path / "kernel.o"
    subprocess.run(["g++", "-O0", "-c", str(tmp_path / "kernel.cpp"), "-o", str(target)], check=True)
    command = ["cmake", "-DNM=nm", f"-DOBJECTS={target}", "-P", str(CHECK_WEAK_SYMBOLS)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if weak is None:
        assert done.returncode == 0, done.stderr
    else:
        assert done.returncode != 0
        assert "weak symbols" in done.stderr
        assert weak in done.stderr


def test_build_runs_the_weak_symbol_check() -> None:
    assert CHECK_WEAK_SYMBOLS.name in (ROOT / "csrc" / "CMakeLists.txt").read_text()


MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(fc.__path__, "fastcnn.")
    if not module.name.startswith("fastcnn._C") and not module.name.endswith("__main__")
)


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings_work(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    options = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    assert doctest.testmod(importlib.import_module(name), optionflags=options).failed == 0


def code_blocks(path: Path) -> list[str]:
    """The Python blocks of a Markdown file, except those after a line <!-- not run: reason -->."""
    text = path.read_text()
    return [m[2] for m in re.finditer(r"(<!-- not run.*-->\n)?```python\n(.*?)```", text, re.DOTALL) if not m[1]]


@pytest.mark.parametrize("path", [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))], ids=lambda p: p.name)
def test_code_in_documents_works(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    scope: dict[str, object] = {}
    for block in code_blocks(path):
        exec(compile(block, f"{path.name}", "exec"), scope)
