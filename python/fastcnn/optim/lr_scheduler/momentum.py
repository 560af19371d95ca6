"""Momentum that changes during training."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..optimizer import Optimizer
from .base import LRScheduler


def check_momentum(name: str, optimizer: Optimizer) -> None:
    """Raises ValueError for an optimizer with neither `momentum` nor `betas`."""
    if not {"momentum", "betas"} & set(optimizer.defaults):
        raise ValueError(
            f"{name}: {type(optimizer).__name__} has neither momentum nor betas; pass cycle_momentum=False"
            if name != "LambdaMomentum"
            else f"{name}: {type(optimizer).__name__} has neither momentum nor betas"
        )


def momentum_of(group: dict[str, Any]) -> float:
    """The momentum of a group, or the first of its betas."""
    return float(group["betas"][0] if "betas" in group else group["momentum"])


def set_momentum(group: dict[str, Any], momentum: float) -> None:
    """Changes the momentum of a group, or the first of its betas."""
    if "betas" in group:
        group["betas"] = (momentum, *group["betas"][1:])
    else:
        group["momentum"] = momentum


class LambdaMomentum(LRScheduler):
    """Sets the momentum (for Adam and its kin the first beta) to a function of the epoch. Not in torch.

    Args:
        optimizer: whose `param_groups` are changed.
        momentum_lambda: epoch -> momentum.
        last_epoch: -1 to start.

    Raises:
        ValueError: the optimizer has no momentum.

    Example:
        >>> import fastcnn as fc
        >>> from fastcnn.optim import SGD, lr_scheduler
        >>> optimizer = SGD([fc.nn.Parameter(fc.zeros(1))], lr=0.1, momentum=0.9)
        >>> schedule = lr_scheduler.LambdaMomentum(optimizer, lr_scheduler.momentum_warmup(0.5, 0.9, 10))
        >>> optimizer.param_groups[0]["momentum"]
        0.5
    """

    def __init__(self, optimizer: Optimizer, momentum_lambda: Callable[[int], float], last_epoch: int = -1) -> None:
        check_momentum("LambdaMomentum", optimizer)
        self.momentum_lambda = momentum_lambda
        super().__init__(optimizer, last_epoch)

    def _first_lr(self) -> list[float]:
        return self.get_lr()

    def get_lr(self) -> list[float]:
        """The learning rates stay; the momentum changes."""
        for group in self.optimizer.param_groups:
            set_momentum(group, self.momentum_lambda(self.last_epoch))
        return self._present_lrs()

    def state_dict(self) -> dict[str, Any]:
        """Everything but the optimizer and the function."""
        return {key: value for key, value in super().state_dict().items() if key != "momentum_lambda"}


def momentum_warmup(start: float = 0.5, end: float = 0.9, epochs: int = 10) -> Callable[[int], float]:
    """A line from `start` to `end` in `epochs` epochs, for `LambdaMomentum`."""
    return lambda epoch: start + (end - start) * min(epoch / epochs, 1.0)
