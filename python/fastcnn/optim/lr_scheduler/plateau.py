"""A schedule that watches a metric."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ...tensor import Tensor
from ..optimizer import Optimizer
from .base import LRScheduler


class ReduceLROnPlateau(LRScheduler):
    """Multiplies the rate by `factor` when a metric has not improved for more than `patience` epochs.

    Call `scheduler.step(validation_loss)` once per epoch.

    Args:
        optimizer: whose `param_groups` are changed.
        mode: "min" for a loss, "max" for an accuracy.
        factor: in (0, 1).
        patience: epochs without improvement that are let pass.
        threshold: how much counts as an improvement.
        threshold_mode: "rel" to the best so far, or "abs".
        cooldown: epochs after a change in which nothing is counted.
        min_lr: lowest rate; one or one per group.
        eps: smaller changes of the rate are not made.

    Raises:
        ValueError: options out of range, or a list of another length than the groups.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float | Sequence[float] = 0,
        eps: float = 1e-8,
    ) -> None:
        name = "ReduceLROnPlateau"
        if not factor < 1.0:
            raise ValueError(f"{name}: factor is {factor}, but must be below 1")
        if mode not in ("min", "max"):
            raise ValueError(f"{name}: mode is {mode!r}, but 'min' or 'max' is expected")
        if threshold_mode not in ("rel", "abs"):
            raise ValueError(f"{name}: threshold_mode is {threshold_mode!r}, but 'rel' or 'abs' is expected")
        groups = len(optimizer.param_groups)
        self.min_lrs: list[Any] = list(min_lr) if isinstance(min_lr, list | tuple) else [min_lr] * groups
        if len(self.min_lrs) != groups:
            raise ValueError(f"{name}: min_lr has {len(self.min_lrs)} values for {groups} parameter groups")
        self.mode = mode
        self.factor = factor
        self.patience = patience
        self.threshold = threshold
        self.threshold_mode = threshold_mode
        self.cooldown = cooldown
        self.eps = eps
        self.cooldown_counter = 0
        self.num_bad_epochs = 0
        self.best = math.inf if mode == "min" else -math.inf
        super().__init__(optimizer)

    def is_better(self, a: float, best: float) -> bool:
        """Whether the metric `a` is an improvement over `best`."""
        sign = -1.0 if self.mode == "min" else 1.0
        if self.threshold_mode == "abs" or math.isinf(best):
            return sign * a > sign * best + (self.threshold if self.threshold_mode == "abs" else 0.0)
        return sign * a > sign * best * (1.0 + sign * self.threshold)

    @property
    def in_cooldown(self) -> bool:
        """Whether nothing is counted yet."""
        return self.cooldown_counter > 0

    def step(self, metrics: Any = None) -> None:
        """Counts an epoch with this metric.

        Raises:
            TypeError: no metric.
        """
        if metrics is None:
            raise TypeError("ReduceLROnPlateau: step() needs the metric, e.g. scheduler.step(validation_loss)")
        value = float(metrics.item() if isinstance(metrics, Tensor) else metrics)
        self.last_epoch += 1
        if self.is_better(value, self.best):
            self.best = value
            self.num_bad_epochs = 0
        else:
            self.num_bad_epochs += 1
        if self.in_cooldown:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        lrs = self._present_lrs()
        if self.num_bad_epochs > self.patience:
            lowered = [max(lr * self.factor, low) for lr, low in zip(lrs, self.min_lrs, strict=True)]
            lrs = [new if old - new > self.eps else old for old, new in zip(lrs, lowered, strict=True)]
            self.cooldown_counter = self.cooldown
            self.num_bad_epochs = 0
        self._write(lrs)
