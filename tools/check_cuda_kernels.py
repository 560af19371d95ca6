"""Compiles every .cu file and prints what its kernels take: `python tools/check_cuda_kernels.py [csrc/ops/conv2d ...]`.

Registers, stack, spills and static shared memory come from ptxas. Convolution and GEMM kernels that spill registers to
memory fail the check: they would lose more than anything else could win. Exits 0 with a notice where there is no nvcc.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
CSRC = ROOT / "csrc"
NO_SPILLS = ("conv2d", "linear", "matmul")  # ops whose kernels must not spill


class Kernel(NamedTuple):
    """One kernel (instance of a template) for one architecture."""

    source: str
    arch: str
    name: str
    registers: int
    stack: int
    spills: int  # bytes stored and loaded
    shared: int  # static, bytes


def find_nvcc() -> str | None:
    """The nvcc of CUDA_HOME, PATH, NVIDIA's PyPI wheels or /usr/local/cuda: the build's order (cmake/cuda.cmake)."""
    homes = [os.environ[name] for name in ("CUDA_HOME", "CUDA_PATH") if os.environ.get(name)]
    found = [Path(home, "bin", "nvcc") for home in homes]
    found += [Path(path) for path in [shutil.which("nvcc")] if path]
    found += sorted(Path(sysconfig.get_path("purelib")).glob("nvidia/*/bin/nvcc"))
    found.append(Path("/usr/local/cuda/bin/nvcc"))
    return next((str(path) for path in found if path.is_file()), None)


def parse(source: str, text: str) -> Iterator[Kernel]:
    """The kernels in ptxas' report."""
    entry = re.compile(
        r"Compiling entry function '(?P<name>\w+)' for '(?P<arch>\w+)'.*?"
        r"(?P<stack>\d+) bytes stack frame, (?P<stores>\d+) bytes spill stores, (?P<loads>\d+) bytes spill loads.*?"
        r"Used (?P<registers>\d+) registers(?P<rest>[^\n]*)",
        re.DOTALL,
    )
    for found in entry.finditer(text):
        shared = re.search(r"(\d+) bytes smem", found["rest"])
        yield Kernel(
            source,
            found["arch"],
            found["name"],
            int(found["registers"]),
            int(found["stack"]),
            int(found["stores"]) + int(found["loads"]),
            int(shared[1]) if shared else 0,
        )


def compile_one(nvcc: str, source: Path, archs: list[str], folder: str) -> tuple[str, list[Kernel]]:
    """What nvcc complains about (empty if it compiles), and the kernels."""
    name = str(source.relative_to(CSRC))
    ccache = shutil.which("ccache")
    command = [*([ccache] if ccache else []), nvcc, "-std=c++17", "-O3", "-Xptxas", "-v", "-DFASTCNN_CUDA_BUILT"]
    for arch in archs:
        command += ["-gencode", f"arch=compute_{arch},code=sm_{arch}"]
    target = Path(folder, name.replace("/", "-") + ".o")
    command += [f"-I{CSRC}", "-c", str(source), "-o", str(target)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    text = done.stdout + done.stderr
    if done.returncode:
        return f"{name}: nvcc failed:\n{text}", []
    return "", list(parse(name, text))


def short_names(kernels: list[Kernel]) -> dict[str, str]:
    """Mangled name -> readable name with template arguments, without namespaces and parameters."""
    names = sorted({kernel.name for kernel in kernels})
    tool = shutil.which("cu++filt") or shutil.which("c++filt")
    if not tool or not names:
        return {name: name for name in names}
    done = subprocess.run([tool], input="\n".join(names), capture_output=True, text=True, check=True)
    result = {}
    for mangled, text in zip(names, done.stdout.splitlines(), strict=True):
        text = re.sub(r"\(anonymous namespace\)::|fastcnn::|cuda::|std::|<unnamed>::", "", text)
        text = re.sub(r"\((int|bool|long|unsigned int)\)", "", text.removeprefix("void "))
        result[mangled] = text.split("(", 1)[0]
    return result


def report(kernels: list[Kernel], every: bool) -> None:
    """One line per kernel template and architecture (the worst of its instances), or per instance."""
    names = short_names(kernels)
    groups: dict[tuple[str, str, str], list[Kernel]] = {}
    for kernel in kernels:
        name = names[kernel.name]
        groups.setdefault((kernel.source, name if every else name.split("<", 1)[0], kernel.arch), []).append(kernel)
    rows = [("file", "kernel", "arch", "instances", "registers", "stack", "spills", "shared")]
    for (source, name, arch), group in sorted(groups.items()):
        worst = [max(getattr(kernel, field) for kernel in group) for field in Kernel._fields[3:]]
        rows.append((source, name, arch, str(len(group)), *map(str, worst)))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        left = [cell.ljust(width) for cell, width in zip(row[:3], widths[:3], strict=True)]
        right = [cell.rjust(width) for cell, width in zip(row[3:], widths[3:], strict=True)]
        print("  ".join([*left, *right]).rstrip())


def must_not_spill(kernel: Kernel) -> bool:
    """Whether the kernel belongs to an op whose kernels must not spill."""
    return any(kernel.source.startswith(f"ops/{op}/") for op in NO_SPILLS)


def main() -> int:
    """Compiles, prints and judges.

    Returns:
        1 if a file does not compile or a kernel of NO_SPILLS spills.
    """
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("paths", nargs="*", type=Path, help="files or folders (default: all of csrc)")
    parser.add_argument("--archs", default="80;90a", help="architectures (default 80;90a)")
    parser.add_argument("--jobs", type=int, default=2, help="compilers at a time (default 2)")
    parser.add_argument("--every", action="store_true", help="a line for every instance of a template")
    arguments = parser.parse_args()

    nvcc = find_nvcc()
    if nvcc is None:
        print("cuda-check: SKIPPED: no nvcc in CUDA_HOME, PATH or NVIDIA's PyPI wheels: the kernels were not compiled")
        return 0
    sources: set[Path] = set()
    for path in [path.resolve() for path in arguments.paths] or [CSRC / "core", CSRC / "ops"]:
        sources |= {path} if path.is_file() else set(path.rglob("*.cu"))
    kernels: list[Kernel] = []
    failures = []
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(arguments.jobs) as pool:
        archs = arguments.archs.split(";")
        for failure, found in pool.map(lambda path: compile_one(nvcc, path, archs, folder), sorted(sources)):
            kernels += found
            failures += [failure] if failure else []
    report(kernels, arguments.every)
    for kernel in kernels:
        if kernel.spills and must_not_spill(kernel):
            name = short_names([kernel])[kernel.name]
            failures.append(f"{kernel.source}: {name} for {kernel.arch} spills {kernel.spills} bytes")
    print(f"cuda-check: {len(sources)} files, {len(kernels)} kernels, {len(failures)} failures")
    for failure in failures:
        print(failure, file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
