"""Several schedules one after another, or all at once."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

from ...recording import instead
from ..optimizer import Optimizer
from .base import LRScheduler


def _check_same_optimizer(name: str, schedulers: Sequence[LRScheduler], optimizer: Optimizer) -> None:
    for i, scheduler in enumerate(schedulers):
        if scheduler.optimizer is not optimizer:
            raise ValueError(f"{name}: schedulers[{i}] ({type(scheduler).__name__}) belongs to another optimizer")


def _saved(scheduler: LRScheduler) -> dict[str, Any]:
    state = {k: v for k, v in scheduler.__dict__.items() if k not in ("optimizer", "_schedulers")}
    return state | {"_schedulers": [s.state_dict() for s in scheduler.__dict__["_schedulers"]]}


class SequentialLR(LRScheduler):
    """One schedule after another: the next begins at its epoch 0 when its milestone is reached.

    Args:
        optimizer: whose `param_groups` are changed.
        schedulers: of this optimizer, in order.
        milestones: epochs at which the second, third, ... begin; one fewer than schedulers.
        last_epoch: -1 to start.

    Raises:
        ValueError: another number of milestones, or a schedule of another optimizer.

    Example:
        >>> import fastcnn as fc
        >>> from fastcnn.optim import SGD, lr_scheduler
        >>> optimizer = SGD([fc.nn.Parameter(fc.zeros(1))], lr=0.1)
        >>> warmup = lr_scheduler.LinearLR(optimizer, start_factor=0.1, total_iters=5)
        >>> cosine = lr_scheduler.CosineAnnealingLR(optimizer, T_max=95)
        >>> schedule = lr_scheduler.SequentialLR(optimizer, [warmup, cosine], milestones=[5])
        >>> round(schedule.get_last_lr()[0], 4)
        0.01
    """

    def __init__(
        self,
        optimizer: Optimizer,
        schedulers: Sequence[LRScheduler],
        milestones: Sequence[int],
        last_epoch: int = -1,
    ) -> None:
        if not schedulers or len(milestones) != len(schedulers) - 1:
            raise ValueError(
                f"SequentialLR: {len(milestones)} milestones for {len(schedulers)} schedulers, but one fewer is needed"
            )
        _check_same_optimizer("SequentialLR", schedulers, optimizer)
        self._schedulers = list(schedulers)
        self._milestones = list(milestones)
        super().__init__(optimizer, last_epoch)
        self._schedulers[0]._restart()
        self._last_lr = self._present_lrs()

    def step(self) -> None:
        """Begins the next epoch of the schedule whose turn it is."""
        self.last_epoch += 1
        index = bisect_right(self._milestones, self.last_epoch)
        scheduler = self._schedulers[index]
        with instead(after=self.step):
            if index > 0 and self._milestones[index - 1] == self.last_epoch:
                scheduler._restart()
            else:
                scheduler.step()
        self._last_lr = self._present_lrs()

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimizer, with the states of the schedules."""
        return _saved(self)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on from a `state_dict()`."""
        super().load_state_dict({k: v for k, v in state_dict.items() if k != "_schedulers"})
        for scheduler, state in zip(self._schedulers, state_dict["_schedulers"], strict=True):
            scheduler.load_state_dict(state)


class ChainedScheduler(LRScheduler):
    """Several schedules at once: each changes the rate that the one before has set.

    Args:
        schedulers: of one optimizer.
        optimizer: theirs unless given.

    Raises:
        ValueError: no schedules, or of different optimizers.
    """

    def __init__(self, schedulers: Sequence[LRScheduler], optimizer: Optimizer | None = None) -> None:
        if not schedulers:
            raise ValueError("ChainedScheduler: schedulers is empty, but at least one is expected")
        self.optimizer = optimizer or schedulers[0].optimizer
        _check_same_optimizer("ChainedScheduler", schedulers, self.optimizer)
        self._schedulers = list(schedulers)
        self.base_lrs = list(schedulers[0].base_lrs)
        self.last_epoch = schedulers[0].last_epoch
        self._last_lr = self._present_lrs()

    def step(self) -> None:
        """Begins the next epoch of every schedule, in order."""
        with instead(after=self.step):
            for scheduler in self._schedulers:
                scheduler.step()
        self.last_epoch += 1
        self._last_lr = self._present_lrs()

    def _restart(self) -> None:
        for group, lr in zip(self.optimizer.param_groups, self.base_lrs, strict=True):
            group["lr"] = lr
        for scheduler in self._schedulers:
            scheduler.last_epoch = 0
            scheduler._write(scheduler._first_lr())
        self.last_epoch = 0
        self._last_lr = self._present_lrs()

    def state_dict(self) -> dict[str, Any]:
        """The states of the schedules."""
        return _saved(self)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on from a `state_dict()`."""
        super().load_state_dict({k: v for k, v in state_dict.items() if k != "_schedulers"})
        for scheduler, state in zip(self._schedulers, state_dict["_schedulers"], strict=True):
            scheduler.load_state_dict(state)
