"""Learning-rate schedules: call `scheduler.step()` after `optimizer.step()`, usually once per epoch."""

from __future__ import annotations

import math
import warnings
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from .optimizer import Optimizer


class LRScheduler:
    """Base class: counts epochs and writes `get_lr()` to the groups of an optimizer.

    Args:
        optimizer: whose `param_groups` are changed.
        last_epoch: -1 to start; the last finished epoch to go on (the groups then have "initial_lr").

    Raises:
        TypeError: `optimizer` is not an Optimizer.
        KeyError: going on with groups that have no "initial_lr".
    """

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(
                f"{type(self).__name__}: optimizer is {type(optimizer).__name__}, but an Optimizer is expected"
            )
        self.optimizer = optimizer
        for i, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", group["lr"])
            elif "initial_lr" not in group:
                raise KeyError(
                    f"{type(self).__name__}: param_groups[{i}] has no 'initial_lr', which last_epoch={last_epoch} "
                    f"needs; load the optimizer's state_dict first"
                )
        self.base_lrs: list[float] = [group["initial_lr"] for group in optimizer.param_groups]
        self.last_epoch = last_epoch + 1
        self._step_count = 1
        self._write(self._first_lr())

    def get_lr(self) -> list[float]:
        """Learning rates of the groups in epoch `last_epoch`, given those of the epoch before in the groups."""
        raise NotImplementedError(f"{type(self).__name__} does not define get_lr")

    def _first_lr(self) -> list[float]:
        return self._present_lrs()

    def _present_lrs(self) -> list[float]:
        return [group["lr"] for group in self.optimizer.param_groups]

    def _write(self, lrs: list[float]) -> None:
        for group, lr in zip(self.optimizer.param_groups, lrs, strict=True):
            group["lr"] = lr
        self._last_lr = self._present_lrs()

    def get_last_lr(self) -> list[float]:
        """The learning rate of every group, as set by the last `step()`."""
        return self._last_lr

    def step(self) -> None:
        """Begins the next epoch; warns when the optimizer has not made a step: its first rate would be skipped."""
        if self._step_count == 1 and self.optimizer.step_calls == 0:
            warnings.warn(
                "lr_scheduler.step() was called before optimizer.step(), so the first learning rate is skipped; "
                "call optimizer.step() first",
                UserWarning,
                stacklevel=2,
            )
        self._step_count += 1
        self.last_epoch += 1
        self._write(self.get_lr())

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimizer."""
        return {key: value for key, value in self.__dict__.items() if key != "optimizer"}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on from a `state_dict()`. The learning rates themselves are part of the optimizer's state_dict."""
        self.__dict__.update({k: v for k, v in state_dict.items() if k in self.__dict__})


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


class CosineAnnealingLR(LRScheduler):
    """Half a cosine from the initial learning rate to `eta_min` in `T_max` epochs (and back up in the next `T_max`).

    lr = eta_min + (initial - eta_min) (1 + cos(pi epoch / T_max)) / 2, computed from the rate of the epoch before as
    torch does, so that it goes together with other changes of the rate.

    Args:
        optimizer: whose `param_groups` are changed.
        T_max: epochs until the minimum, >= 1.
        eta_min: the minimum.
        last_epoch: -1 to start.

    Raises:
        ValueError: T_max below 1.

    Source: Loshchilov & Hutter, "SGDR", ICLR 2017, without restarts.
    """

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1) -> None:
        if T_max < 1:
            raise ValueError(f"CosineAnnealingLR: T_max is {T_max}, but must be at least 1")
        self.T_max = T_max
        self.eta_min = eta_min
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """The next rates on the cosine through the present ones."""
        if (self.last_epoch - 1 - self.T_max) % (2 * self.T_max) == 0:  # at the minimum: the quotient below is 0 / 0
            rise = (1 - math.cos(math.pi / self.T_max)) / 2
            return [
                lr + (base - self.eta_min) * rise for lr, base in zip(self._present_lrs(), self.base_lrs, strict=True)
            ]
        now = 1 + math.cos(math.pi * self.last_epoch / self.T_max)
        before = 1 + math.cos(math.pi * (self.last_epoch - 1) / self.T_max)
        return [now / before * (lr - self.eta_min) + self.eta_min for lr in self._present_lrs()]


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
