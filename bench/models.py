"""Whole training steps and inference in fastcnn and PyTorch, from the same weights and data."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import fastcnn as fc
from bench import memory
from bench.timing import Contender, comparison, interleave
from fastcnn import _C, models, nn, optim

LEARNING_RATE, MOMENTUM = 0.01, 0.9
TOLERANCE = 1e-3  # relative error of the first result; losses of different kernels differ by their rounding

State = dict[str, np.ndarray]


@dataclass(frozen=True)
class Job:
    """One row: a model that trains, or infers, on batches of a size."""

    model: str
    batch: int
    train: bool = True
    size: int = 224  # height and width of the images

    @property
    def name(self) -> str:
        """As --filter sees it and the memory measurement takes it."""
        return f"{self.model} {'train' if self.train else 'inference'} batch {self.batch}"

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the images."""
        return (self.batch, 1 if self.model == "lenet5" else 3, self.size, self.size)

    @property
    def classes(self) -> int:
        """Outputs of the model."""
        return 1000 if self.size == 224 else 10


JOBS = (
    *(Job("lenet5", batch, size=28) for batch in (1, 16, 64, 256)),
    Job("resnet20", 128, size=32),
    Job("resnet18", 16),
    Job("resnet50", 8),
    Job("resnet50", 1, train=False),
    Job("resnet50", 8, train=False),
)


def batch(job: Job) -> tuple[np.ndarray, np.ndarray]:
    """Random images (N, C, H, W) and labels (N,)."""
    rng = np.random.default_rng(0)
    return rng.random(job.shape, dtype=np.float32), rng.integers(0, job.classes, job.batch)


def fastcnn_call(job: Job, state: State) -> Callable[[], Any]:
    """A function that trains one step and returns the loss, or infers and returns the logits; captured."""
    model = models.create_model(job.model, num_classes=job.classes)
    model.load_state_dict(state)
    images, labels = batch(job)
    x, y = fc.tensor(images), fc.tensor(labels)
    if not job.train:
        fused = model.eval().fuse(inplace=True)
        infer = fc.capture(fc.no_grad()(fused.forward))
        return lambda: infer(x)
    optimizer = optim.SGD(model.train().parameters(), lr=LEARNING_RATE, momentum=MOMENTUM)
    criterion = nn.CrossEntropyLoss()

    def step(x: fc.Tensor, y: fc.Tensor) -> fc.Tensor:
        optimizer.zero_grad()
        loss = criterion(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    captured = fc.capture(step)
    return lambda: captured(x, y)


def initial_state(job: Job) -> State:
    """Weights of one freshly made model, for both libraries; batch norms have seen some data."""
    fc.manual_seed(0)
    model = models.create_model(job.model, num_classes=job.classes)
    rng = np.random.default_rng(1)
    state = {name: np.array(t.detach().numpy()) for name, t in model.state_dict().items()}
    for name, value in state.items():
        if name.endswith("running_mean"):
            state[name] = rng.normal(0, 0.1, value.shape).astype(np.float32)
        elif name.endswith("running_var"):
            state[name] = rng.uniform(0.8, 1.2, value.shape).astype(np.float32)
    return state


def find(name: str) -> Job:
    """The job of that name."""
    return next(job for job in JOBS if job.name == name)


def run(settings: Any, quick: bool) -> list[dict[str, Any]]:
    """One row per job that matches."""
    rows = []
    for job in JOBS:
        if not settings.pattern.search(job.name):
            continue
        if sys.stderr.isatty():
            print(f"\r\x1b[K{job.name}", end="", file=sys.stderr, flush=True)
        rows.append(_measure(job, settings, quick))
    if sys.stderr.isatty():
        print("\r\x1b[K", end="", file=sys.stderr)
    return rows


def _measure(job: Job, settings: Any, quick: bool) -> dict[str, Any]:
    state = initial_state(job)
    call = fastcnn_call(job, state)
    first = np.array(call().detach().numpy())
    ours = [
        Contender(f"{n}t", call, lambda n=n: _C.set_num_threads(n), n)  # type: ignore[misc]
        for n in settings.threads
    ]
    peers: list[Contender] = []
    if settings.peer == "torch":
        from bench import peer_torch_models

        peers = peer_torch_models.contenders(job, state, settings.threads, first, not quick)
    runtimes: dict[str, list[Contender]] = {}
    if settings.runtimes and not job.train:
        from bench import peer_onnx

        runtimes = peer_onnx.contenders(job, state, settings.runtimes, settings.threads, first)
    threads = _C.num_threads()
    others = [contender for found in runtimes.values() for contender in found]
    interleave([*ours, *peers, *others], settings.rounds, settings.sample_seconds)
    _C.set_num_threads(threads)
    mine = min(ours, key=lambda c: c.median)
    row = {
        "model": job.model,
        "kind": "train" if job.train else "inference",
        "batch": job.batch,
        "image_size": job.size,
        "seconds": mine.median,
        "spread": mine.spread,
        "images_per_second": job.batch / mine.median,
        "configuration": mine.name,
        "fastcnn": {c.name: c.median for c in ours},
        "memory": memory.measure(job.name),
    }
    if peers:
        row |= comparison(mine, peers)
        row["peer_memory"] = memory.measure(job.name, row["peer"])
    row["runtimes"] = {name: comparison(mine, found) for name, found in runtimes.items()}
    return row
