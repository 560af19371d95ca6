"""The base of all schedules."""

from __future__ import annotations

import warnings
from typing import Any

from ...recording import on_replay
from ..optimizer import Optimizer


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
        """Learning rates of epoch 0, given the initial ones in the groups."""
        return self._present_lrs()

    def _restart(self) -> None:
        """Begins epoch 0 from the initial rates: a `SequentialLR` hands over to this schedule."""
        self.last_epoch = 0
        for group, lr in zip(self.optimizer.param_groups, self.base_lrs, strict=True):
            group["lr"] = lr
        self._write(self._first_lr())

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
        on_replay(after=self.step)
        self._step_count += 1
        self._advance()
        self._write(self.get_lr())

    def _advance(self) -> None:
        self.last_epoch += 1

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimizer."""
        return {key: value for key, value in self.__dict__.items() if key != "optimizer"}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on from a `state_dict()`. The learning rates themselves are part of the optimizer's state_dict."""
        self.__dict__.update({k: v for k, v in state_dict.items() if k in self.__dict__})
