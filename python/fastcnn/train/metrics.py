"""Running averages of a pass over the data, and the files that record a training run."""

from __future__ import annotations

import csv
import io
import json
import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .. import _C
from ..serialization import atomic_write
from ..tensor import Tensor

_MOST_PENDING = 16  # batches whose results are kept unread


class Meter:
    """Sums of loss and correct predictions over the batches of a pass, in float64 and in order.

    `add` only keeps the tensors; `flush` reads them.
    """

    def __init__(self, state: Mapping[str, Any] | None = None) -> None:
        state = state or {}
        self.samples: int = state.get("samples", 0)
        self.loss_sum: float = state.get("loss_sum", 0.0)
        self.correct: int | None = state.get("correct", 0)  # None: the targets are no class indices
        self._pending: list[tuple[Tensor, Tensor, Tensor]] = []

    def add(self, loss: Tensor, output: Tensor, target: Tensor) -> None:
        """Takes the mean loss and the outputs of one batch."""
        self._pending.append((loss.detach(), output.detach(), target))
        if len(self._pending) >= _MOST_PENDING:
            self.flush()

    def flush(self) -> None:
        """Brings the sums up to date."""
        for loss, output, target in self._pending:
            count = target.shape[0]
            self.samples += count
            self.loss_sum += float(loss.item()) * count
            if target.dtype != _C.int64 or target.ndim != 1 or output.ndim != 2:
                self.correct = None
            elif self.correct is not None:
                self.correct += int(np.count_nonzero(_host(output).argmax(1) == _host(target)))
        self._pending.clear()

    @property
    def loss(self) -> float:
        """Mean loss of the samples so far; NaN before the first."""
        return self.loss_sum / self.samples if self.samples else float("nan")

    @property
    def accuracy(self) -> float | None:
        """Share of correct predictions; None where the targets are no class indices."""
        return self.correct / self.samples if self.samples and self.correct is not None else None

    def result(self, prefix: str = "") -> dict[str, float]:
        """{"loss": ..., "accuracy": ...} under prefixed names."""
        self.flush()
        found = {f"{prefix}loss": self.loss}
        if self.accuracy is not None:
            found[f"{prefix}accuracy"] = self.accuracy
        return found

    def state_dict(self) -> dict[str, Any]:
        """The sums, for a checkpoint in mid-epoch."""
        self.flush()
        return {"samples": self.samples, "loss_sum": self.loss_sum, "correct": self.correct}


def _host(tensor: Tensor) -> np.ndarray[Any, Any]:
    return (tensor if tensor.device.type == "cpu" else tensor.cpu()).numpy()


def write_metrics(out: Path, history: Sequence[Mapping[str, Any]]) -> None:
    """metrics.jsonl and metrics.csv, one line per epoch, replaced atomically."""
    with atomic_write(out / "metrics.jsonl") as file:
        file.write("".join(json.dumps(record) + "\n" for record in history).encode())
    columns = list(dict.fromkeys(key for record in history for key in record))
    table = io.StringIO(newline="")
    writer = csv.DictWriter(table, columns)
    writer.writeheader()
    writer.writerows(history)
    with atomic_write(out / "metrics.csv") as file:
        file.write(table.getvalue().encode())


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """An indented JSON file, replaced atomically."""
    with atomic_write(path) as file:
        file.write((json.dumps(content, indent=2) + "\n").encode())


def plot_curve(path: Path, history: Sequence[Mapping[str, Any]]) -> str | None:
    """Loss and accuracy over the epochs as a PNG.

    Returns:
        None, or why there is no picture.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
        from matplotlib.ticker import MaxNLocator
    except ImportError:
        return "no training curve: matplotlib is not installed (pip install 'fastcnn[plots]')"
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    epochs = [record["epoch"] for record in history]
    for i, (kind, title) in enumerate((("loss", "loss"), ("accuracy", "accuracy (%)"))):
        axes = figure.add_subplot(1, 2, i + 1)
        for part, style in (("train", "o-"), ("val", "s--"), ("test", "^:")):
            values = [record.get(f"{part}_{kind}") for record in history]
            if any(value is not None for value in values):
                scale = 100.0 if kind == "accuracy" else 1.0
                axes.plot(epochs, [np.nan if v is None else v * scale for v in values], style, label=part)
                axes.legend()
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_title(title)
        axes.grid(alpha=0.3)
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=120)
    with atomic_write(path) as file:
        file.write(picture.getvalue())
    return None


def versions() -> dict[str, Any]:
    """What produced a result: versions, instruction set, threads and processor."""
    from .. import __version__

    return {
        "fastcnn": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "isa": _C.active_isa(),
        "threads": _C.num_threads(),
        "processor": processor_name(),
    }


def processor_name() -> str:
    """The CPU's name as the operating system gives it."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return next(line.split(":", 1)[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or os.uname().machine
