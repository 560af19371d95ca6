"""Kernels of the case tables: forward and each gradient separately, checked against the peer before timing."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

import fastcnn as fc
from bench.machine import Ceiling
from bench.timing import Contender, comparison, interleave
from fastcnn import _C, autograd
from tests import walk
from tests.cases import Case, Op, all_ops

BLOCK = 1_000_003  # a prime: repetitions do not line up with rows


@dataclass(frozen=True)
class Settings:
    """How to measure."""

    threads: tuple[int, ...]
    rounds: int
    sample_seconds: float
    pattern: re.Pattern[str]
    device: str
    peer: str | None
    runtimes: tuple[str, ...] = ()  # inference runtimes to compare models with as well
    limit: float = float("inf")  # seconds after which no further row is begun (GPU)
    tiny: bool = False  # the smallest sizes, to try out the program (GPU)


@dataclass(frozen=True)
class Job:
    """One row of the table: the forward of a case, or the gradient of one argument (`argument`)."""

    op: Op
    case: Case
    argument: str | None

    @property
    def name(self) -> str:
        """For example conv2d[n8-c64-h56] forward, or d weight."""
        return f"{self.op.name}[{self.case.id}] {self.kind}"

    @property
    def kind(self) -> str:
        """The pass: forward, or d and the argument."""
        return "forward" if self.argument is None else f"d {self.argument}"

    def count(self, formula: Callable[[Case], int] | None) -> int:
        """Operations or bytes. A gradient reads and writes the same arrays in other roles, with the same products.

        A bias's gradient is a sum of what arrives, to which the forward's formula does not apply: 0, "not counted".
        """
        if formula is None or self.argument in ("bias", "running_mean", "running_var"):
            return 0
        return formula(self.case)


@dataclass
class Row:
    """Result of one job."""

    job: Job
    ours: list[Contender]
    peers: list[Contender]
    wrong: str = ""  # how the results differ from the peer's

    @property
    def headline(self) -> Contender:
        """Fastcnn with the most threads asked for: what a user gets."""
        return max(self.ours, key=lambda c: c.threads)

    def as_dict(self, ceilings: dict[int, Ceiling]) -> dict[str, Any]:
        """The row as plain numbers."""
        job, ours = self.job, self.headline
        flops, bytes_ = job.count(job.op.flops), job.count(job.op.bytes)
        result = {
            "op": job.op.name,
            "case": job.case.id,
            "pass": job.kind,
            "flops": flops,
            "bytes": bytes_,
            "seconds": ours.median,
            "spread": ours.spread,
            "threads": ours.threads,
            "gflops": flops / ours.median / 1e9,
            "gigabytes": bytes_ / ours.median / 1e9,
            "share": ceilings[ours.threads].share(flops, bytes_, ours.median),
            "fastcnn": {c.name: c.median for c in self.ours},
        }
        if self.peers:
            result |= comparison(ours, self.peers) | {"wrong": self.wrong}
        return result


def jobs(settings: Settings) -> Iterator[Job]:
    """Every benchmark case that matches the filter, split into its passes."""
    for op in all_ops():
        for case in op.cases:
            if not case.bench:
                continue
            arguments = [a for a in op.differentiable if case.args.get(a) is not None] if case.grad else []
            for argument in [None, *arguments]:
                job = Job(op, case, argument)
                if settings.pattern.search(job.name):
                    yield job


def run_job(job: Job, settings: Settings) -> Row:
    """Builds the contenders of a job, compares their results, times them."""
    arrays = walk.make_arrays(job.case.args)
    call = fastcnn_call(job, arrays, settings.device)

    def use(threads: int) -> Callable[[], None]:
        return lambda: _C.set_num_threads(threads)

    ours = [Contender(f"fastcnn {n}t", call, use(n), n) for n in settings.threads]
    peers: list[Contender] = []
    wrong = ""
    if settings.peer == "torch" and job.op.torch is not None:
        from bench import peer_torch

        peers = peer_torch.contenders(job, arrays, settings.threads)
        wrong = difference(job, arrays, call(), peers[0].run())
    threads = _C.num_threads()
    interleave([*ours, *peers], settings.rounds, settings.sample_seconds)
    _C.set_num_threads(threads)
    for contender in (*ours, *peers):
        contender.run = _finished  # lets go of the job's data: rows are kept until the report
    return Row(job, ours, peers, wrong)


def _finished() -> None:
    raise RuntimeError("this contender has been timed and its data are gone")


def fastcnn_call(job: Job, arrays: walk.Arrays, device: str) -> Callable[[], Any]:
    """A function that does the job once in float32 and returns its outputs or gradients."""
    return tensor_call(job, walk.to_tensors(arrays, "float32", device, job.op.float32_arguments))


def tensor_call(job: Job, arguments: dict[str, Any]) -> Callable[[], Any]:
    """The same for given tensors."""
    if job.argument is None:

        def forward() -> Any:
            with fc.no_grad():
                return job.op.run(**arguments)

        return forward
    leaves = [leaf for leaf in walk.leaves(arguments[job.argument]) if isinstance(leaf, fc.Tensor)]
    for leaf in leaves:
        leaf.requires_grad_(True)
    outputs = [out for out in walk.as_outputs(job.op.run(**arguments)) if out.requires_grad]
    seeds = [fc.tensor(np.asarray(cotangent(out.shape)), device=out.device).to(out.dtype) for out in outputs]
    return lambda: autograd.grad(outputs, leaves, seeds, retain_graph=True)


def cotangent(shape: tuple[int, ...]) -> np.ndarray:
    """The same random cotangent for fastcnn and the peer; a large one repeats its first elements."""
    drawn = min(math.prod(shape), BLOCK)
    return np.resize(np.random.default_rng(1).uniform(-1, 1, drawn).astype(np.float32), shape)


def difference(job: Job, arrays: walk.Arrays, ours: Any, theirs: Any, dtype: str = "float32") -> str:
    """How the first results differ, or an empty string."""
    terms = job.case.terms if job.argument is None else walk.terms_of_gradient(job.case)
    pairs = zip(walk.as_outputs(ours), walk.as_outputs(theirs), strict=False)
    try:
        for mine, other in pairs:
            expected = other.detach().cpu().float().numpy().astype(np.float64)
            operands = [arrays, cotangent(())]
            walk.assert_close(walk.values(mine), expected, dtype, terms, operands, job.name, job.op.exact)
    except AssertionError as error:
        return str(error)
    return ""
