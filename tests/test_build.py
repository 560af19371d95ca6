"""The build: how nvcc is found, which architectures are chosen, what the module needs, what an sdist holds, the checks
of the compiled kernels.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest

import fastcnn as fc
from fastcnn import _C

ROOT = Path(__file__).parents[1]
MODULE = Path(_C.__file__)


def tool(name: str) -> Any:
    """A script of tools/ as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def needs(program: str) -> str:
    """Path of a program; skips the test without it."""
    path = shutil.which(program)
    if path is None:
        pytest.skip(f"{program} is not installed")
    return path


# How nvcc is found: cmake/cuda.cmake alone, with toolkits that only answer questions

FAKE_NVCC = """#!/bin/sh
case "$1" in
  --dryrun) echo "#$ TOP={top}" >&2 ;;
  --version) echo "Cuda compilation tools, release 12.4, V12.4.99" ;;
  --list-gpu-code) printf 'sm_75\\nsm_80\\nsm_86\\nsm_89\\nsm_90\\nsm_90a\\n' ;;
esac
"""


def make_toolkit(folder: Path, lib: str = "lib64", runtime: bool = True) -> Path:
    """A folder that looks like a CUDA toolkit; returns its nvcc."""
    (folder / "bin").mkdir(parents=True)
    nvcc = folder / "bin" / "nvcc"
    nvcc.write_text(FAKE_NVCC.format(top=folder))
    nvcc.chmod(0o755)
    if runtime:
        (folder / lib).mkdir()
        (folder / lib / "libcudart_static.a").touch()
    return nvcc


def configure(tmp_path: Path, gpu: str = "", environment: dict[str, str] | None = None, **options: str) -> str:
    """What cmake/cuda.cmake decides, on a machine with no nvcc but the one in `environment` or `options`."""
    cmake = needs("cmake")
    programs = tmp_path / "programs"
    programs.mkdir(exist_ok=True)
    smi = programs / "nvidia-smi"
    smi.write_text(f"#!/bin/sh\necho '{gpu}'\n" if gpu else "#!/bin/sh\nexit 9\n")
    smi.chmod(0o755)
    script = tmp_path / "configure.cmake"
    script.write_text(
        "cmake_minimum_required(VERSION 3.21)\n"  # its policies, as in the real build
        f'set(Python_EXECUTABLE "{sys.executable}")\nset(CMAKE_FIND_USE_CMAKE_SYSTEM_PATH OFF)\n'
        f"set(CMAKE_FIND_LIBRARY_PREFIXES lib)\nset(CMAKE_FIND_LIBRARY_SUFFIXES .a)\n"
        f'include("{ROOT}/cmake/cuda.cmake")\n'
        'message("mode=${FASTCNN_CUDA_MODE} nvcc=${FASTCNN_NVCC_PATH} cudart=${FASTCNN_CUDART} "\n'
        '        "toolkit=${FASTCNN_CUDA_TOOLKIT} archs=${FASTCNN_CUDA_ARCH_NAMES} gencode=${FASTCNN_CUDA_GENCODE} "\n'
        '        "tensor_cores=${FASTCNN_CUDA_TENSOR_GENCODE}")\n'
    )
    kept = {key: os.environ[key] for key in ("HOME", "LANG") if key in os.environ}
    variables = kept | {"PATH": f"{programs}:/usr/bin:/bin"} | (environment or {})
    settings = [f"-D{key}={value}" for key, value in options.items()]
    done = subprocess.run(
        [cmake, *settings, "-P", str(script)], env=variables, capture_output=True, text=True, check=False
    )
    return done.stdout + done.stderr


def test_off_and_emulated_look_for_nothing(tmp_path: Path) -> None:
    nvcc = make_toolkit(tmp_path / "cuda")
    for mode in ("off", "emulated"):
        assert f"mode={mode} nvcc= " in configure(tmp_path, FASTCNN_CUDA=mode, FASTCNN_NVCC=str(nvcc))


def test_unknown_modes_are_refused(tmp_path: Path) -> None:
    assert "FASTCNN_CUDA=yes: expected auto, on, off or emulated" in configure(tmp_path, FASTCNN_CUDA="yes")


@pytest.mark.parametrize(("lib", "source"), [("lib64", "CUDA_HOME"), ("lib", "CUDA_PATH"), ("lib64", "PATH")])
def test_nvcc_comes_from_the_environment(tmp_path: Path, lib: str, source: str) -> None:
    nvcc = make_toolkit(tmp_path / "cuda", lib)
    value = f"{nvcc.parent}:{tmp_path}/programs:/usr/bin:/bin" if source == "PATH" else str(tmp_path / "cuda")
    text = configure(tmp_path, environment={source: value}, FASTCNN_CUDA="auto")
    assert f"mode=real nvcc={nvcc} cudart={tmp_path}/cuda/{lib}/libcudart_static.a toolkit=12.4 " in text


def test_nvcc_comes_from_nvidias_wheels(tmp_path: Path) -> None:
    nvcc = make_toolkit(tmp_path / "site" / "nvidia" / "cu12", "lib")
    text = configure(tmp_path, environment={"PYTHONPATH": str(tmp_path / "site")}, FASTCNN_CUDA="on")
    assert f"mode=real nvcc={nvcc} " in text


def test_the_given_nvcc_wins(tmp_path: Path) -> None:
    make_toolkit(tmp_path / "other")
    nvcc = make_toolkit(tmp_path / "cuda")
    environment = {"CUDA_HOME": str(tmp_path / "other")}
    assert f"nvcc={nvcc} " in configure(tmp_path, environment=environment, FASTCNN_CUDA="on", FASTCNN_NVCC=str(nvcc))


def test_nvcc_without_its_runtime_does_not_count(tmp_path: Path) -> None:
    make_toolkit(tmp_path / "cuda", runtime=False)
    environment = {"CUDA_HOME": str(tmp_path / "cuda")}
    text = configure(tmp_path, environment=environment, FASTCNN_CUDA="auto")
    assert "mode=off" in text
    assert "no nvcc with libcudart_static found" in text
    assert "FASTCNN_CUDA=on: no nvcc with" in configure(tmp_path, environment=environment, FASTCNN_CUDA="on")


@pytest.mark.parametrize(
    ("archs", "gpu", "expected", "gencode"),
    [
        ("default", "", "90a", "arch=compute_90a,code=sm_90a"),
        ("default", "8.6", "86", "arch=compute_86,code=sm_86"),
        ("native", "9.0", "90a", "arch=compute_90a,code=sm_90a"),
        ("80;90a", "", "80 90a", "arch=compute_80,code=sm_80"),
        ("release", "", "80 90", "arch=compute_75,code=compute_75;-gencode;arch=compute_80,code=sm_80;"),
        ("release", "8.6", "80 90", "arch=compute_80,code=sm_90 tensor_cores=-gencode;arch=compute_80,code=compute_80"),
    ],
)
def test_architectures(tmp_path: Path, archs: str, gpu: str, expected: str, gencode: str) -> None:
    nvcc = make_toolkit(tmp_path / "cuda")
    text = configure(tmp_path, gpu, FASTCNN_CUDA="on", FASTCNN_NVCC=str(nvcc), FASTCNN_CUDA_ARCHS=archs)
    assert f"archs={expected} gencode=" in text
    assert gencode in text


def test_native_needs_a_gpu(tmp_path: Path) -> None:
    nvcc = make_toolkit(tmp_path / "cuda")
    text = configure(tmp_path, FASTCNN_CUDA="on", FASTCNN_NVCC=str(nvcc), FASTCNN_CUDA_ARCHS="native")
    assert "nvidia-smi names no GPU" in text


# The module and the source distribution


def test_module_needs_no_cuda_library() -> None:
    done = subprocess.run([needs("readelf"), "-d", str(MODULE)], capture_output=True, text=True, check=True)
    libraries = set(re.findall(r"\(NEEDED\).*\[(.*)\]", done.stdout))
    assert libraries, done.stdout
    usual = re.compile(r"(libstdc\+\+|libm|libgcc_s|libc|libpthread|librt|libdl|lib[au]san|ld-linux-x86-64)\.so")
    assert {name for name in libraries if not usual.match(name)} == set()


def test_build_says_what_it_is() -> None:
    mode, toolkit, archs = _C.cuda_build()
    assert mode in ("off", "real", "emulated")
    if mode == "real":
        assert re.fullmatch(r"\d+\.\d+", toolkit)
        assert re.fullmatch(r"\d+[a-z]?( \d+[a-z]?)*", archs)
    else:
        assert toolkit == archs == ""
    assert fc.cuda.is_emulated() == (mode == "emulated")
    assert fc.cuda.is_available() == (not fc.cuda.why_unavailable())


@pytest.mark.skipif(fc.cuda.is_available(), reason="there is a device cuda")
def test_without_a_gpu_every_function_says_why() -> None:
    why = re.escape(fc.cuda.why_unavailable())
    assert fc.cuda.device_count() == 0
    calls = (
        fc.cuda.synchronize,
        fc.cuda.memory_allocated,
        fc.cuda.max_memory_allocated,
        fc.cuda.reset_peak_memory_stats,
        fc.cuda.memory_reserved,
        fc.cuda.empty_cache,
        fc.cuda.get_device_name,
        fc.cuda.get_device_capability,
        fc.cuda.get_device_properties,
        fc.cuda.Event().record,
        lambda: _C.cuda_stream(0),
        lambda: fc.ones(2).cuda(),
        lambda: fc.zeros(2, device="cuda"),
        lambda: fc.nn.Linear(2, 2).cuda(),
    )
    for call in calls:
        with pytest.raises(ValueError, match=f"device cuda:0: {why}"):
            call()


def test_sdist_holds_the_kernels(tmp_path: Path) -> None:
    pytest.importorskip("scikit_build_core", reason="scikit-build-core is not installed: no sdist is made")
    code = f"from scikit_build_core.build import build_sdist; print(build_sdist({str(tmp_path)!r}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    with tarfile.open(tmp_path / done.stdout.strip().splitlines()[-1]) as archive:
        held = {name.split("/", 1)[1] for name in archive.getnames() if "/" in name}
    sources = {str(path.relative_to(ROOT)) for path in (ROOT / "csrc").rglob("*") if path.is_file()}
    assert any(name.endswith(".cu") for name in sources)
    assert any(name.endswith(".cuh") for name in sources)
    assert sources - held == set()
    assert {"CMakeLists.txt", "cmake/cuda.cmake", "pyproject.toml", "README.md", "LICENSE"} <= held


# Checks of the kernels

PTXAS = """
ptxas info    : 12 bytes gmem
ptxas info    : Compiling entry function '_Z9my_kernelILi4EEvPf' for 'sm_80'
ptxas info    : Function properties for _Z9my_kernelILi4EEvPf
    16 bytes stack frame, 12 bytes spill stores, 20 bytes spill loads
ptxas info    : Used 255 registers, used 1 barriers, 16 bytes cumulative stack size, 4096 bytes smem, 384 bytes cmem[0]
ptxas info    : Compiling entry function '_Z9my_kernelILi4EEvPf' for 'sm_90a'
ptxas info    : Function properties for _Z9my_kernelILi4EEvPf
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 40 registers, used 0 barriers
"""


def test_kernel_check_reads_registers_and_spills() -> None:
    check = tool("check_cuda_kernels")
    first, second = check.parse("ops/conv2d/conv2d_cuda.cu", PTXAS)
    assert (first.arch, first.registers, first.stack, first.spills, first.shared) == ("sm_80", 255, 16, 32, 4096)
    assert (second.arch, second.registers, second.spills, second.shared) == ("sm_90a", 40, 0, 0)
    assert check.must_not_spill(first)
    assert not check.must_not_spill(first._replace(source="ops/softmax/softmax_cuda.cu"))
    if shutil.which("c++filt"):
        assert check.short_names([first]) == {first.name: "my_kernel<4>"}


SPILLING = """
__global__ void spilling_kernel(const float* x, float* y) {
  float values[200];
  for (int i = 0; i < 200; ++i) values[i] = x[i * 32 + threadIdx.x];
  for (int round = 0; round < 3; ++round) {
    __syncthreads();
#pragma unroll
    for (int i = 0; i < 200; ++i) values[i] = values[i] * values[(i + 7) % 200] + x[i + round];
  }
#pragma unroll
  for (int i = 0; i < 200; ++i) y[i * 32 + threadIdx.x] = values[i];
}
template <int N> __global__ __launch_bounds__(1024, 2) void f(const float* x, float* y) {}
"""


def test_kernel_check_fails_on_spills_and_errors_and_skips_without_nvcc(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    check = tool("check_cuda_kernels")
    monkeypatch.setattr(sys, "argv", ["check", str(tmp_path), "--archs", "80"])
    nvcc = check.find_nvcc()
    monkeypatch.setattr(check, "find_nvcc", lambda: None)
    assert check.main() == 0
    assert "SKIPPED: no nvcc" in capsys.readouterr().out
    if nvcc is None:
        pytest.skip("no nvcc: the check itself was not tried")
    monkeypatch.setattr(check, "find_nvcc", lambda: nvcc)
    monkeypatch.setattr(check, "CSRC", tmp_path)
    folder = tmp_path / "ops" / "conv2d"
    folder.mkdir(parents=True)
    kernel = folder / "conv2d_cuda.cu"
    kernel.write_text(SPILLING.replace("void spilling", "__launch_bounds__(1024, 2) void spilling"))
    assert check.main() == 1
    assert re.search(r"ops/conv2d/conv2d_cuda.cu: spilling_kernel for sm_80 spills \d+ bytes", capsys.readouterr().err)
    kernel.write_text("__global__ void fine_kernel(float* y) { *y = 1; }\n")
    assert check.main() == 0
    assert "1 files, 1 kernels, 0 failures" in capsys.readouterr().out
    kernel.write_text("not C++")
    assert check.main() == 1
    assert "nvcc failed" in capsys.readouterr().err


def test_gpu_check_goes_on_after_failures_and_ends_with_a_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script = tool("gpu_check")
    check = script.Check(tmp_path / "out", 60)
    assert not check.step("wrong", lambda: check.command("wrong", [sys.executable, "-c", "raise SystemExit('no')"], 20))
    assert not check.step("slow", lambda: check.command("slow", ["sleep", "60"], 5))
    assert check.step("right", lambda: check.command("right", ["echo", "fine"], 20).strip())
    assert not check.step("absent", lambda: script.need("no_such_module") or "")
    assert check.report() == 1
    lines = capsys.readouterr().out.splitlines()[-5:]
    assert [line.split()[:2] for line in lines[:4]] == [
        ["wrong", "FAILED"],
        ["slow", "FAILED"],
        ["right", "passed"],
        ["absent", "skipped"],
    ]
    assert "exit code 1: no" in lines[0]
    assert "took longer than 5 s" in lines[1]
    assert lines[4].startswith("gpu-check: 2 of 4 steps failed")
