"""Kernels on a GPU: the benchmark cases of the tables at GPU sizes, timed with device events, against PyTorch + cuDNN.

Inputs rotate through more memory than the L2 cache holds. The peer runs channels_last with cudnn.benchmark on, TF32
allowed for float32, eagerly and as a CUDA graph; its best configuration counts. Ceilings (copy, matrix product) are
measured in the same run.
"""

from __future__ import annotations

import dataclasses
import math
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import fastcnn as fc
from bench import kernels
from fastcnn import _C
from tests import walk
from tests.cases import Array, Case, Op, all_ops

DTYPES = ("bfloat16", "float32")
BATCH = 128  # of convolutions; 64 where it makes the input larger than LARGE
LARGE = 1 << 27
ELEMENTS = 1 << 25  # of the largest array of a memory-bound op
L2_BYTES = 128 << 20  # inputs rotate through at least this much
MAX_BYTES = 8 << 30  # of all copies of a job's arguments
BATCHED = ("input", "target", "residual", "grad_output")  # arguments whose first dimension grows
COMPARED = 1 << 22  # elements of a result that are compared with the peer's, in whole samples
SAMPLE_SECONDS = 0.004
# Measured first, in this order, should the time not suffice for all.
FIRST = ("conv2d", "linear", "batch_norm", "max_pool2d", "avg_pool2d", "softmax", "cross_entropy", "layer_norm", "add")
MATRICES = ((4096, 4096, 4096), (256, 4096, 4096), (64, 1000, 2048))  # linear: batch, out, in


@dataclasses.dataclass
class Timed:
    """One way to do a job: `run(i)` does it once on the i-th copy of the inputs, without waiting."""

    name: str
    run: Callable[[int], Any]
    events: Callable[[], Any]  # makes a timing event
    milliseconds: list[float] = dataclasses.field(default_factory=list)

    def sample(self, repeats: int) -> float:
        """Milliseconds per run over `repeats` runs queued behind each other."""
        start, end = self.events(), self.events()
        start.record()
        for i in range(repeats):
            self.run(i)
        end.record()
        end.synchronize()
        return float(start.elapsed_time(end)) / repeats

    @property
    def median(self) -> float:
        """Median seconds per run."""
        return statistics.median(self.milliseconds) * 1e-3

    @property
    def spread(self) -> float:
        """Interquartile range as a share of the median."""
        low, high = np.percentile(self.milliseconds, [25, 75])
        return float(high - low) * 1e-3 / max(self.median, 1e-9)


def scaled(op: Op, case: Case) -> Case:
    """The case with a batch that fills a GPU."""
    arrays = [a for a in walk.leaves(case.args) if isinstance(a, Array)]
    first = case.args.get("input")
    if not isinstance(first, Array) or not first.shape:
        return case
    if op.name in ("conv2d", "linear"):
        batch = BATCH if math.prod(first.shape) // first.shape[0] * BATCH <= LARGE else BATCH // 2
        factor = max(1, batch // first.shape[0])
    else:
        factor = max(1, ELEMENTS // max(math.prod(a.shape) for a in arrays))

    def grown(name: str, value: Any) -> Any:
        if name not in BATCHED or not isinstance(value, Array):
            return value
        return dataclasses.replace(value, shape=(value.shape[0] * factor, *value.shape[1:]))

    args = {name: grown(name, value) for name, value in case.args.items()}
    terms = None if case.terms_grad is None else case.terms_grad * factor
    return dataclasses.replace(case, id=f"{case.id} x{factor}", args=args, terms_grad=terms)


def gpu_cases(op: Op, tiny: bool) -> Iterator[Case]:
    """The benchmark cases of an op at GPU sizes; tiny: its first two small cases."""
    if tiny:
        small = [case for case in op.cases if walk.is_small(op, case) and case.grad]
        yield from small[:2] if any(case.bench for case in op.cases) else []
        return
    seen = set()
    for case in op.cases:
        if case.bench:
            found = scaled(op, case)
            key = repr(found.args)
            if key not in seen:
                seen.add(key)
                yield found
    if op.name == "linear":
        for n, outputs, inputs in MATRICES:
            args = {"input": Array((n, inputs)), "weight": Array((outputs, inputs)), "bias": Array((outputs,))}
            yield Case(f"n{n}-i{inputs}-o{outputs}", args, terms=inputs, bench=True)


def jobs(settings: kernels.Settings) -> Iterator[tuple[kernels.Job, str]]:
    """(job, dtype) of every GPU case that matches the filter."""
    order = {name: i for i, name in enumerate(FIRST)}
    for op in sorted(all_ops(), key=lambda op: order.get(op.name, len(order))):
        for case in gpu_cases(op, settings.tiny):
            arguments = [a for a in op.differentiable if case.args.get(a) is not None] if case.grad else []
            for argument in [None, *arguments]:
                job = kernels.Job(op, case, argument)
                for dtype in DTYPES:
                    if settings.pattern.search(f"{job.name} {dtype}"):
                        yield job, dtype


def make_arrays(case: Case) -> walk.Arrays:
    """The arguments of a case; of large arrays only the first block is drawn and then repeated."""
    rng = np.random.default_rng(0)

    def make(leaf: Any) -> Any:
        if not isinstance(leaf, Array):
            return leaf
        size = math.prod(leaf.shape)
        if size <= kernels.BLOCK or leaf.kind in ("probabilities", "distinct"):
            return np.asarray(leaf.make(rng))
        block = dataclasses.replace(leaf, shape=(kernels.BLOCK,)).make(rng)
        return np.resize(block.astype(np.float32) if block.dtype.kind == "f" else block, leaf.shape)

    return dict(walk.replace(case.args, make))


def to_device(arrays: Any, dtype: str) -> Any:
    """The arrays as tensors on the GPU, converted there."""

    def convert(leaf: Any) -> Any:
        if not isinstance(leaf, np.ndarray):
            return leaf
        tensor = fc.tensor(leaf.astype(np.float32) if leaf.dtype.kind == "f" else leaf, device="cuda")
        return tensor.to(getattr(fc, dtype)) if leaf.dtype.kind == "f" else tensor

    return walk.replace(arrays, convert)


def copy_of(tensors: Any) -> Any:
    """Tensors of the same values in other memory."""
    if isinstance(tensors, fc.Tensor):
        return tensors.detach().clone()
    if isinstance(tensors, tuple | list):
        return type(tensors)(copy_of(t) for t in tensors)
    return tensors


def leading(outputs: Any) -> list[Any]:
    """The first samples of large results, theirs or ours."""
    found = []
    for out in walk.as_outputs(outputs):
        size = math.prod(out.shape)
        rows = max(1, COMPARED * out.shape[0] // size) if size > COMPARED else None
        found.append(out[:rows] if rows else out)
    return found


def run_job(
    job: kernels.Job, dtype: str, arrays: walk.Arrays, settings: kernels.Settings, ceiling: dict[str, float]
) -> dict[str, Any]:
    """Times one job and checks it against the peer."""
    size = sum(a.size for a in walk.leaves(arrays) if isinstance(a, np.ndarray))
    bytes_each = size * (2 if dtype == "bfloat16" else 4)
    copies = int(max(1, min(16, math.ceil(L2_BYTES / max(bytes_each, 1)), MAX_BYTES // max(bytes_each, 1))))
    narrow = {k: v for k, v in arrays.items() if k not in job.op.float32_arguments}
    wide = {k: v for k, v in arrays.items() if k in job.op.float32_arguments}
    first = {**to_device(narrow, dtype), **to_device(wide, "float32")}
    first = {name: first[name] for name in arrays}
    calls = [
        kernels.tensor_call(job, {name: copy_of(value) for name, value in first.items()} if i else first)
        for i in range(copies)
    ]
    ours = Timed("fastcnn", lambda i: calls[i % copies](), lambda: fc.cuda.Event(enable_timing=True))
    peers: list[Timed] = []
    wrong = ""
    if settings.peer == "torch" and job.op.torch is not None:
        from bench import gpu_peer_torch

        peers, theirs = gpu_peer_torch.contenders(job, arrays, dtype, copies)
        wrong = kernels.difference(job, arrays, leading(calls[0]()), leading(theirs), dtype)
    flops, moved = job.count(job.op.flops), job.count(job.op.bytes) // (2 if dtype == "bfloat16" else 1)
    shortest = max(flops / ceiling[dtype] / 1e12, moved / ceiling["copy"] / 1e9)
    case = f"{job.case.id} {dtype}"
    row = {"op": job.op.name, "case": case, "pass": job.kind, "flops": flops, "bytes": moved, "wrong": wrong}
    return timed_row(row, ours, peers, copies, settings, shortest)


def timed_row(
    row: dict[str, Any], ours: Timed, peers: list[Timed], copies: int, settings: kernels.Settings, shortest: float
) -> dict[str, Any]:
    """Times the contenders in turns and completes the row; `shortest` are the seconds that the ceilings allow."""
    contenders = [ours, *peers]
    repeats = {}
    for contender in contenders:
        for i in range(copies + 2):
            contender.run(i)
        repeats[contender.name] = max(3, min(1000, round(SAMPLE_SECONDS * 1e3 / max(contender.sample(3), 1e-4))))
    for _ in range(settings.rounds):
        for contender in contenders:
            contender.milliseconds.append(contender.sample(repeats[contender.name]))
    seconds = max(ours.median, 1e-9)
    row |= {
        "seconds": seconds,
        "spread": ours.spread,
        "gflops": row["flops"] / seconds / 1e9,
        "gigabytes": row["bytes"] / seconds / 1e9,
        "share": shortest / seconds,
    }
    if peers:
        best = min(peers, key=lambda c: c.median)
        rounds = zip(best.milliseconds, ours.milliseconds, strict=True)
        row |= {
            "peer": best.name,
            "peer_seconds": best.median,
            "peer_spread": best.spread,
            "ratio": statistics.median(theirs / mine for theirs, mine in rounds),
            "ratio_of_best": min(min(c.milliseconds) for c in peers) / min(ours.milliseconds),
            "peers": {c.name: c.median for c in peers},
        }
    return row


def measure_ceiling(settings: kernels.Settings) -> dict[str, float]:
    """Copy in GB/s (read + written), matrix products in TFLOP/s: the best of our own kernels and the peer's."""
    count, n = (1 << 16, 64) if settings.tiny else (1 << 28, 8192)
    source = _C.zeros((count,), _C.float32, "cuda")
    destination = _C.zeros((count,), _C.float32, "cuda")

    def best(run: Callable[[int], Any], samples: int = 5, repeats: int = 5) -> float:
        timed = Timed("", run, lambda: fc.cuda.Event(enable_timing=True))
        timed.sample(repeats)
        return max(min(timed.sample(repeats) for _ in range(samples)) * 1e-3, 1e-9)

    copy = 2 * 4 * source.numel() / best(lambda i, to=destination, from_=source: _C.copy_(to, from_)) / 1e9  # type: ignore[misc]
    result = {"copy": copy}
    del source, destination  # 2 GiB
    for dtype in DTYPES:
        rng = np.random.default_rng(0)
        a, b = (fc.tensor(rng.standard_normal((n, n), np.float32)).to(getattr(fc, dtype)).to("cuda") for _ in range(2))
        result[dtype] = 2 * n**3 / best(lambda i, a=a, b=b: a @ b, 3, 3) / 1e12  # type: ignore[misc]
    if settings.peer == "torch":
        from bench import gpu_peer_torch

        theirs = gpu_peer_torch.measure_ceiling()
        result = {key: max(value, theirs[key]) for key, value in result.items()}
    return result


def run(settings: kernels.Settings) -> dict[str, Any]:
    """Everything that --json writes."""
    if not fc.cuda.is_available():
        raise SystemExit(f"--device cuda: {fc.cuda.why_unavailable()}")
    found = list(jobs(settings))
    ceiling = measure_ceiling(settings)
    from bench import gpu_optimizer

    stop = time.monotonic() + settings.limit
    rows = list(gpu_optimizer.rows(settings, ceiling))
    arrays, made_for = {}, None
    for i, (job, dtype) in enumerate(found):
        if time.monotonic() > stop:
            print(f"time limit: {len(found) - i} of {len(found)} rows were not measured", file=sys.stderr)
            break
        print(f"{job.name} {dtype}", file=sys.stderr, flush=True)
        try:
            if made_for is not job.case:
                arrays, made_for = make_arrays(job.case), job.case
            rows.append(run_job(job, dtype, arrays, settings, ceiling))
        except (RuntimeError, MemoryError, TypeError, ValueError) as error:  # one broken row must not cost the others
            rows.append(failed_row(job, dtype, error))
    return {"kernels": rows, "ceiling": ceiling, "gpu": describe()}


def failed_row(job: kernels.Job, dtype: str, error: Exception) -> dict[str, Any]:
    """A row that says what went wrong."""
    numbers = dict.fromkeys(("flops", "bytes", "spread", "gflops", "gigabytes", "share"), 0)
    name = {"op": job.op.name, "case": f"{job.case.id} {dtype}", "pass": job.kind}
    return name | numbers | {"seconds": math.inf, "wrong": f"{type(error).__name__}: {error}"}


def describe() -> dict[str, Any]:
    """The GPU and its driver."""
    import subprocess

    query = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
    try:
        driver = subprocess.run(query, capture_output=True, text=True, check=True).stdout.strip().splitlines()[0]
    except (OSError, subprocess.CalledProcessError, IndexError):
        driver = ""
    return {"name": fc.cuda.get_device_name(), "nvidia_smi": driver}
