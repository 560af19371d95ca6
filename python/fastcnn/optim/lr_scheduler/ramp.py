"""Schedules along a line or a power of the epochs: warm-up and decay to zero."""

from __future__ import annotations

from ..optimizer import Optimizer
from .base import LRScheduler


def _check_total(name: str, total_iters: int) -> None:
    if total_iters < 1:
        raise ValueError(f"{name}: total_iters is {total_iters}, but must be at least 1")


class ConstantLR(LRScheduler):
    """Initial rate times `factor` for `total_iters` epochs, then the initial rate.

    Args:
        optimizer: whose `param_groups` are changed.
        factor: in [0, 1].
        total_iters: epochs with the factor.
        last_epoch: -1 to start.

    Raises:
        ValueError: a factor outside [0, 1].
    """

    def __init__(
        self, optimizer: Optimizer, factor: float = 1.0 / 3, total_iters: int = 5, last_epoch: int = -1
    ) -> None:
        if not 0 <= factor <= 1:
            raise ValueError(f"ConstantLR: factor is {factor}, but must be in [0, 1]")
        self.factor = factor
        self.total_iters = total_iters
        super().__init__(optimizer, last_epoch)

    def _first_lr(self) -> list[float]:
        return [lr * self.factor for lr in self._present_lrs()]

    def get_lr(self) -> list[float]:
        """The present rates, divided by the factor at its end."""
        return [lr / self.factor if self.last_epoch == self.total_iters else lr for lr in self._present_lrs()]


class LinearLR(LRScheduler):
    """A line from initial rate * start_factor to initial rate * end_factor in `total_iters` epochs: a warm-up.

    Args:
        optimizer: whose `param_groups` are changed.
        start_factor: in (0, 1].
        end_factor: in [0, 1].
        total_iters: epochs until the end, >= 1.
        last_epoch: -1 to start.

    Raises:
        ValueError: factors out of range, or total_iters below 1.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1.0 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        if not 0 < start_factor <= 1:
            raise ValueError(f"LinearLR: start_factor is {start_factor}, but must be in (0, 1]")
        if not 0 <= end_factor <= 1:
            raise ValueError(f"LinearLR: end_factor is {end_factor}, but must be in [0, 1]")
        _check_total("LinearLR", total_iters)
        self.start_factor = start_factor
        self.end_factor = end_factor
        self.total_iters = total_iters
        super().__init__(optimizer, last_epoch)

    def _factor(self, epoch: int) -> float:
        share = min(epoch, self.total_iters) / self.total_iters
        return self.start_factor + (self.end_factor - self.start_factor) * share

    def _first_lr(self) -> list[float]:
        return [lr * self.start_factor for lr in self._present_lrs()]

    def get_lr(self) -> list[float]:
        """The present rates, moved along the line."""
        if self.last_epoch > self.total_iters:
            return self._present_lrs()
        growth = self._factor(self.last_epoch) / self._factor(self.last_epoch - 1)
        return [lr * growth for lr in self._present_lrs()]


class PolynomialLR(LRScheduler):
    """Initial rate times (1 - epoch / total_iters) ** power, 0 from `total_iters` on ("poly").

    Args:
        optimizer: whose `param_groups` are changed.
        total_iters: epochs until 0, >= 1.
        power: 1 is a line; 0.9 is common in segmentation.
        last_epoch: -1 to start.
        compound: multiply the rate of the epoch before by the factor instead of the initial one, so that all factors
            compound and the rate falls much faster. Not in torch.

    Raises:
        ValueError: total_iters below 1.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        total_iters: int = 5,
        power: float = 1.0,
        last_epoch: int = -1,
        *,
        compound: bool = False,
    ) -> None:
        _check_total("PolynomialLR", total_iters)
        self.total_iters = total_iters
        self.power = power
        self.compound = compound
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        """The present rates times the quotient of this epoch's and the last one's factor."""
        if self.last_epoch > self.total_iters:
            return self._present_lrs()
        left = 1.0 - self.last_epoch / self.total_iters
        if not self.compound:
            left /= 1.0 - (self.last_epoch - 1) / self.total_iters
        return [lr * left**self.power for lr in self._present_lrs()]
