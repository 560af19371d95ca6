"""LeNet-5 training steps on the CPU and on a GPU, in turns: how many times faster the GPU is."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import fastcnn as fc
from bench import report
from bench.models import LEARNING_RATE, MOMENTUM, Job, batch, initial_state
from fastcnn import models, nn, optim

BATCHES = (16, 64, 256)


def training_step(device: str, size: int) -> Callable[[], float]:
    """A function that trains one step and returns its loss, waiting for the device."""
    job = Job("lenet5", size, size=28)
    model = models.create_model(job.model)
    model.load_state_dict(initial_state(job))
    model.to(device).train()
    optimizer = optim.SGD(model.parameters(), lr=LEARNING_RATE, momentum=MOMENTUM)
    criterion = nn.CrossEntropyLoss()
    images, labels = (fc.tensor(part).to(device) for part in batch(job))

    def step() -> Any:
        optimizer.zero_grad()
        loss = criterion(model(images), labels)
        loss.backward()
        optimizer.step()
        return loss

    captured = fc.capture(step)
    return lambda: float(captured().item())


def run(rounds: int, batches: tuple[int, ...] = BATCHES) -> list[dict[str, Any]]:
    """One row per batch size; the losses of both devices are compared before anything is timed."""
    if not fc.cuda.is_available():
        raise SystemExit(f"bench devices compares the CPU with a GPU: {fc.cuda.why_unavailable()}")
    rows = []
    for size in batches:
        steps = {device: training_step(device, size) for device in ("cpu", "cuda")}
        losses = {device: [step() for _ in range(3)] for device, step in steps.items()}
        difference = max(abs(a - b) for a, b in zip(losses["cpu"], losses["cuda"], strict=True))
        if not difference < 1e-2:
            raise SystemExit(f"bench devices: the losses differ by {difference:.2g} (batch {size}): {losses}")
        taken: dict[str, list[float]] = {device: [] for device in steps}
        for _ in range(rounds):
            for device, step in steps.items():
                start = time.perf_counter()
                step()
                taken[device].append(time.perf_counter() - start)
        medians = {f"{device}_seconds": statistics.median(seconds) for device, seconds in taken.items()}
        rows.append({"model": "lenet5", "batch": size, **medians})
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    """Seconds on both devices, and their ratio."""
    cells = []
    for row in rows:
        cpu, gpu = row["cpu_seconds"], row["cuda_seconds"]
        name = f"{row['model']} batch {row['batch']}"
        cells.append((name, report.seconds(cpu), report.seconds(gpu), f"{cpu / gpu:.1f}x"))
    return report.table(("model", "CPU ms", "GPU ms", "CPU / GPU"), cells)
