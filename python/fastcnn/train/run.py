"""The position of a training run, as checkpoints keep it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..data import DataLoader
from ..tensor import Tensor
from .metrics import Meter
from .progress import Progress

CHECKPOINT = "checkpoint.safetensors"
Record = dict[str, Any]


class Run:
    """Where one call of `fit` is: epoch, step, sums, best result, time."""

    def __init__(
        self, out: Path | None, loader: DataLoader, epochs: int, checkpoint_every: int | None, show: bool
    ) -> None:
        self.out = out
        self.checkpoint = None if out is None else out / CHECKPOINT
        self.loader = loader
        self.epochs = epochs
        self.checkpoint_every = checkpoint_every
        self.show = show
        self.progress = Progress("", 0, enabled=False)
        self.history: list[Record] = []
        self.finished = False  # stopped early
        self.best_score: float | None = None
        self.best_epoch = 0
        self.best_state: dict[str, Tensor] = {}
        self._before = 0.0  # seconds of the runs that this one continues
        self._start = time.perf_counter()
        self.start_epoch(0)

    def start_epoch(self, epoch: int) -> None:
        """Nothing of this epoch is done."""
        self.epoch = epoch
        self.step = 0  # steps of this epoch that are done
        self.meter = Meter()
        self.images = 0
        self.epoch_seconds = 0.0

    @property
    def elapsed(self) -> float:
        """Seconds since `fit` began, evaluations and checkpoints included, over all resumptions."""
        return self._before + time.perf_counter() - self._start

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {
            "epoch": self.epoch,
            "step": self.step,
            "meter": self.meter.state_dict(),
            "images": self.images,
            "epoch_seconds": self.epoch_seconds,
            "finished": self.finished,
            "best_score": self.best_score,
            "best_epoch": self.best_epoch,
            "best_state": self.best_state,
            "elapsed": self.elapsed,
            "history": self.history,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continues where `state_dict` was called."""
        self.start_epoch(state["epoch"])
        self.step = state["step"]
        self.meter = Meter(state["meter"])
        self.images = state["images"]
        self.epoch_seconds = state["epoch_seconds"]
        self.finished = state["finished"]
        self.best_score, self.best_epoch, self.best_state = (
            state["best_score"],
            state["best_epoch"],
            state["best_state"],
        )
        self._before = state["elapsed"]
        self.history[:] = state["history"]
