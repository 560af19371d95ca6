"""Schedules that lower the rate step by step, or by a function of the epoch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from ..optimizer import Optimizer
from .base import LRScheduler


class StepLR(LRScheduler):
    """Multiplies the learning rate by `gamma` every `step_size` epochs.

    Args:
        optimizer: whose `param_groups` are changed.
        step_size: epochs between changes, >= 1.
        gamma: factor.
        last_epoch: -1 to start.

    Raises:
        ValueError: step_size below 1.
    """

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1) -> None:
        if step_size < 1:
            raise ValueError(f"StepLR: step_size is {step_size}, but must be at least 1")
        self.step_size = step_size
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """The present rates, times `gamma` at every multiple of `step_size`."""
        factor = self.gamma if self.last_epoch % self.step_size == 0 else 1
        return [lr * factor for lr in self._present_lrs()]


class MultiStepLR(LRScheduler):
    """Multiplies the learning rate by `gamma` at every milestone.

    Args:
        optimizer: whose `param_groups` are changed.
        milestones: epochs; one that is listed twice counts twice.
        gamma: factor.
        last_epoch: -1 to start.
    """

    def __init__(
        self, optimizer: Optimizer, milestones: Iterable[int], gamma: float = 0.1, last_epoch: int = -1
    ) -> None:
        self.milestones = sorted(milestones)
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """The present rates, times `gamma` for every milestone that is this epoch."""
        return [lr * self.gamma ** self.milestones.count(self.last_epoch) for lr in self._present_lrs()]

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on from a `state_dict()`, also of torch, which keeps milestones in a Counter."""
        super().load_state_dict(state_dict)
        self.milestones = sorted(Counter(self.milestones).elements())


class ExponentialLR(LRScheduler):
    """Multiplies the learning rate by `gamma` every epoch.

    Args:
        optimizer: whose `param_groups` are changed.
        gamma: factor.
        last_epoch: -1 to start.
    """

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1) -> None:
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """The present rates times `gamma`."""
        return [lr * self.gamma for lr in self._present_lrs()]


class LambdaLR(LRScheduler):
    """Sets the learning rate to the initial one times a function of the epoch.

    Args:
        optimizer: whose `param_groups` are changed.
        lr_lambda: epoch -> factor; one for all groups or a list with one each.
        last_epoch: -1 to start.

    Raises:
        ValueError: a list of another length than the number of groups.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        lr_lambda: Callable[[int], float] | list[Callable[[int], float]],
        last_epoch: int = -1,
    ) -> None:
        groups = len(optimizer.param_groups) if isinstance(optimizer, Optimizer) else 1
        self.lr_lambdas = list(lr_lambda) if isinstance(lr_lambda, list | tuple) else [lr_lambda] * groups
        if len(self.lr_lambdas) != groups:
            raise ValueError(f"LambdaLR: {len(self.lr_lambdas)} functions for {groups} parameter groups")
        super().__init__(optimizer, last_epoch)

    def _first_lr(self) -> list[float]:
        return self.get_lr()

    def get_lr(self) -> list[float]:
        """Initial rates times the functions of the epoch."""
        return [base * f(self.last_epoch) for base, f in zip(self.base_lrs, self.lr_lambdas, strict=True)]

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimizer; functions are saved as None, callable objects as their attributes."""
        state = super().state_dict()
        state["lr_lambdas"] = [dict(f.__dict__) if not hasattr(f, "__code__") else None for f in self.lr_lambdas]
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on from a `state_dict()`, keeping this scheduler's functions."""
        super().load_state_dict({k: v for k, v in state_dict.items() if k != "lr_lambdas"})
        for f, saved in zip(self.lr_lambdas, state_dict["lr_lambdas"], strict=True):
            if saved is not None:
                f.__dict__.update(saved)


class MultiplicativeLR(LambdaLR):
    """Multiplies the learning rate by a function of the epoch, every epoch.

    Args:
        optimizer: whose `param_groups` are changed.
        lr_lambda: epoch -> factor on the present rate; one for all groups or a list with one each.
        last_epoch: -1 to start.

    Raises:
        ValueError: a list of another length than the number of groups.
    """

    def _first_lr(self) -> list[float]:
        return self._present_lrs()

    def get_lr(self) -> list[float]:
        """Present rates times the functions of the epoch."""
        return [lr * f(self.last_epoch) for lr, f in zip(self._present_lrs(), self.lr_lambdas, strict=True)]


class HyperbolicLR(LRScheduler):
    """Initial rate times half / (half + epoch): half of it after `half` epochs. Not in torch.

    The sum of all rates is infinite, that of their squares finite: Robbins and Monro's condition of convergence.

    Args:
        optimizer: whose `param_groups` are changed.
        half: epochs until half the rate, > 0.
        last_epoch: -1 to start.

    Raises:
        ValueError: `half` is not positive.
    """

    def __init__(self, optimizer: Optimizer, half: float = 1000.0, last_epoch: int = -1) -> None:
        if not half > 0:
            raise ValueError(f"HyperbolicLR: half is {half}, but must be positive")
        self.half = half
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """Initial rates times half / (half + epoch)."""
        return [base * self.half / (self.half + self.last_epoch) for base in self.base_lrs]
