"""Schedules that raise the rate as well: triangles again and again, or one cycle for a whole training."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from ..optimizer import Optimizer
from .base import LRScheduler
from .momentum import check_momentum, set_momentum


def _per_group(name: str, argument: str, value: Any, groups: int) -> list[float]:
    values = list(value) if isinstance(value, list | tuple) else [value] * groups
    if len(values) != groups:
        raise ValueError(f"{name}: {argument} has {len(values)} values for {groups} parameter groups")
    return [float(v) for v in values]


class CyclicLR(LRScheduler):
    """Triangles between `base_lr` and `max_lr`, to be stepped after every batch.

    Args:
        optimizer: whose `param_groups` are changed.
        base_lr: lowest rate; one or one per group.
        max_lr: highest rate of the first cycle; one or one per group.
        step_size_up: steps of the rise.
        step_size_down: steps of the fall; as many unless given.
        mode: "triangular", "triangular2" (half the height in every next cycle) or "exp_range" (height times
            gamma ** step).
        gamma: for "exp_range".
        scale_fn: own factor of the height instead of a mode.
        scale_mode: whether `scale_fn` takes the number of the "cycle" (from 1) or "iterations".
        cycle_momentum: move the momentum the other way, between max_momentum and base_momentum.
        base_momentum: momentum at the highest rate; one or one per group.
        max_momentum: momentum at the lowest rate; one or one per group.
        last_epoch: -1 to start.

    Raises:
        ValueError: unknown mode, an optimizer without momentum, or lists of another length than the groups.

    Source: Smith, "Cyclical learning rates for training neural networks", WACV 2017.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        base_lr: float | Sequence[float],
        max_lr: float | Sequence[float],
        step_size_up: int = 2000,
        step_size_down: int | None = None,
        mode: str = "triangular",
        gamma: float = 1.0,
        scale_fn: Callable[[float], float] | None = None,
        scale_mode: str = "cycle",
        cycle_momentum: bool = True,
        base_momentum: float | Sequence[float] = 0.8,
        max_momentum: float | Sequence[float] = 0.9,
        last_epoch: int = -1,
    ) -> None:
        if scale_fn is None and mode not in ("triangular", "triangular2", "exp_range"):
            raise ValueError(f"CyclicLR: mode is {mode!r}, but 'triangular', 'triangular2' or 'exp_range' is expected")
        if scale_mode not in ("cycle", "iterations"):
            raise ValueError(f"CyclicLR: scale_mode is {scale_mode!r}, but 'cycle' or 'iterations' is expected")
        groups = optimizer.param_groups
        lows = _per_group("CyclicLR", "base_lr", base_lr, len(groups))
        self.max_lrs = _per_group("CyclicLR", "max_lr", max_lr, len(groups))
        self.total_size = float(step_size_up + (step_size_up if step_size_down is None else step_size_down))
        self.step_ratio = step_size_up / self.total_size
        self.mode = mode
        self.gamma = gamma
        self.scale_fn = scale_fn
        self.scale_mode = scale_mode
        self.cycle_momentum = cycle_momentum
        if cycle_momentum:
            check_momentum("CyclicLR", optimizer)
            self.base_momentums = _per_group("CyclicLR", "base_momentum", base_momentum, len(groups))
            self.max_momentums = _per_group("CyclicLR", "max_momentum", max_momentum, len(groups))
        for group, low in zip(groups, lows, strict=True):
            if last_epoch == -1:
                group["lr"] = group["initial_lr"] = low
        super().__init__(optimizer, last_epoch)

    def _first_lr(self) -> list[float]:
        return self.get_lr()

    def _height(self) -> float:
        """Share of the way from the lowest to the highest rate."""
        cycle = math.floor(1 + self.last_epoch / self.total_size)
        x = 1.0 + self.last_epoch / self.total_size - cycle
        scale = x / self.step_ratio if x <= self.step_ratio else (x - 1) / (self.step_ratio - 1)
        if self.scale_fn is not None:
            return scale * self.scale_fn(cycle if self.scale_mode == "cycle" else self.last_epoch)
        if self.mode == "triangular2":
            return scale / 2.0 ** (cycle - 1)
        return scale * float(self.gamma**self.last_epoch) if self.mode == "exp_range" else scale

    def get_lr(self) -> list[float]:
        """The rates on the triangle; the momentum moves the other way."""
        height = self._height()
        if self.cycle_momentum:
            bounds = zip(self.optimizer.param_groups, self.base_momentums, self.max_momentums, strict=True)
            for group, low, high in bounds:
                set_momentum(group, high - (high - low) * height)
        return [low + (high - low) * height for low, high in zip(self.base_lrs, self.max_lrs, strict=True)]

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimizer and the function."""
        return {key: value for key, value in super().state_dict().items() if key != "scale_fn"}


class OneCycleLR(LRScheduler):
    """One rise to `max_lr` and one fall far below the start, to be stepped after every batch.

    Args:
        optimizer: whose `param_groups` are changed.
        max_lr: the peak; one or one per group.
        total_steps: steps of the training; or give the two next.
        epochs: of the training.
        steps_per_epoch: batches of an epoch.
        pct_start: share of the steps that rise, in [0, 1].
        anneal_strategy: "cos" or "linear".
        cycle_momentum: move the momentum the other way.
        base_momentum: momentum at the peak; one or one per group.
        max_momentum: momentum at both ends; one or one per group.
        div_factor: the start is max_lr / div_factor.
        final_div_factor: the end is the start / final_div_factor.
        three_phase: come back to the start symmetrically, then fall to the end.
        last_epoch: -1 to start.

    Raises:
        ValueError: no number of steps, options out of range, or a step beyond the last one.

    Source: Smith & Topin, "Super-convergence", 2017.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | Sequence[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: float | Sequence[float] = 0.85,
        max_momentum: float | Sequence[float] = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ) -> None:
        if total_steps is None:
            if epochs is None or steps_per_epoch is None:
                raise ValueError("OneCycleLR: give total_steps, or both epochs and steps_per_epoch")
            total_steps = epochs * steps_per_epoch
        if total_steps < 1:
            raise ValueError(f"OneCycleLR: total_steps is {total_steps}, but must be at least 1")
        if not 0 <= pct_start <= 1:
            raise ValueError(f"OneCycleLR: pct_start is {pct_start}, but must be in [0, 1]")
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(f"OneCycleLR: anneal_strategy is {anneal_strategy!r}, but 'cos' or 'linear' is expected")
        self.total_steps = total_steps
        self.anneal_strategy = anneal_strategy
        self.cycle_momentum = cycle_momentum
        rise = float(pct_start * total_steps)
        # (last step, what is at its beginning, what is at its end) of every phase
        self._phases = [(rise - 1, "initial", "max"), (total_steps - 1.0, "max", "min")]
        if three_phase:
            self._phases[1:] = [(2 * rise - 2, "max", "initial"), (total_steps - 1.0, "initial", "min")]
        peaks = _per_group("OneCycleLR", "max_lr", max_lr, len(optimizer.param_groups))
        self._ends = [
            {"max": peak, "initial": peak / div_factor, "min": peak / div_factor / final_div_factor} for peak in peaks
        ]
        if cycle_momentum:
            check_momentum("OneCycleLR", optimizer)
            groups = len(optimizer.param_groups)
            low = _per_group("OneCycleLR", "base_momentum", base_momentum, groups)
            high = _per_group("OneCycleLR", "max_momentum", max_momentum, groups)
            self._momenta = [{"max": a, "initial": b, "min": b} for a, b in zip(low, high, strict=True)]
        for group, ends in zip(optimizer.param_groups, self._ends, strict=True):
            if last_epoch == -1:
                group["lr"] = group["initial_lr"] = ends["initial"]
        super().__init__(optimizer, last_epoch)

    def _first_lr(self) -> list[float]:
        return self.get_lr()

    def get_lr(self) -> list[float]:
        """The rates of this step; the momentum moves the other way.

        Raises:
            ValueError: beyond the last step.
        """
        if self.last_epoch > self.total_steps:
            raise ValueError(f"OneCycleLR: step {self.last_epoch} is beyond total_steps={self.total_steps}")
        number = 0
        while number + 1 < len(self._phases) and self.last_epoch > self._phases[number][0]:
            number += 1
        last, start, end = self._phases[number]
        first = self._phases[number - 1][0] if number else 0.0
        share = (self.last_epoch - first) / (last - first)

        def between(ends: dict[str, float]) -> float:
            a, b = ends[start], ends[end]
            return (
                a + (b - a) * share
                if self.anneal_strategy == "linear"
                else b + (a - b) / 2 * (math.cos(math.pi * share) + 1)
            )

        if self.cycle_momentum:
            for group, momenta in zip(self.optimizer.param_groups, self._momenta, strict=True):
                set_momentum(group, between(momenta))
        return [between(ends) for ends in self._ends]
