"""Whole training steps (forward, loss, backward, optimizer): LeNet-5 in fastcnn and PyTorch, same weights and data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import fastcnn as fc
from bench.timing import Contender, comparison, interleave
from fastcnn import _C, models, nn, optim

BATCHES = (16, 64, 256)
LEARNING_RATE, MOMENTUM = 0.01, 0.9

State = dict[str, np.ndarray]


def batch(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Random digits-sized images (N, 1, 28, 28) and labels (N,)."""
    rng = np.random.default_rng(0)
    return rng.random((size, 1, 28, 28), dtype=np.float32), rng.integers(0, 10, size)


def fastcnn_step(images: np.ndarray, labels: np.ndarray, state: State) -> Callable[[], Any]:
    """A function that trains one step and returns the loss."""
    model = models.create_model("lenet5")
    model.load_state_dict({name: fc.tensor(value) for name, value in state.items()})
    model.train()
    optimizer = optim.SGD(model.parameters(), lr=LEARNING_RATE, momentum=MOMENTUM)
    criterion = nn.CrossEntropyLoss()
    x, y = fc.tensor(images), fc.tensor(labels)

    def step() -> Any:
        optimizer.zero_grad()
        loss = criterion(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    return step


def initial_state() -> State:
    """Weights of one freshly made model, for both libraries."""
    fc.manual_seed(0)
    return {name: np.array(t.detach().numpy()) for name, t in models.create_model("lenet5").state_dict().items()}


def run(settings: Any, quick: bool) -> list[dict[str, Any]]:
    """One row per batch size."""
    state = initial_state()
    rows = []
    for size in BATCHES:
        name = f"lenet5 batch {size}"
        if not settings.pattern.search(name):
            continue
        images, labels = batch(size)
        step = fastcnn_step(images, labels, state)
        first_loss = step().item()
        ours = [
            Contender(f"{n}t", step, lambda n=n: _C.set_num_threads(n), n)  # type: ignore[misc]
            for n in settings.threads
        ]
        peers: list[Contender] = []
        if settings.peer == "torch":
            from bench import peer_torch_models

            peers = peer_torch_models.contenders(images, labels, state, settings.threads, first_loss, not quick)
        threads = _C.num_threads()
        interleave([*ours, *peers], settings.rounds, settings.sample_seconds)
        _C.set_num_threads(threads)
        mine = max(ours, key=lambda c: c.threads)
        row = {
            "model": "lenet5",
            "batch": size,
            "seconds": mine.median,
            "spread": mine.spread,
            "images_per_second": size / mine.median,
            "configuration": mine.name,
            "fastcnn": {c.name: c.median for c in ours},
        }
        if peers:
            row |= comparison(mine, peers)
        rows.append(row)
    return rows
