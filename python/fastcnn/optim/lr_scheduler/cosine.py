"""Schedules along a cosine, without and with restarts."""

from __future__ import annotations

import math

from ..optimizer import Optimizer
from .base import LRScheduler


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


class CosineAnnealingWarmRestarts(LRScheduler):
    """Half a cosine from the initial rate to `eta_min`, again and again: the first takes `T_0` epochs.

    lr = eta_min + (initial - eta_min) (1 + cos(pi T_cur / T_i)) / 2, T_cur epochs after the last restart, T_i the
    length of the present cycle.

    Args:
        optimizer: whose `param_groups` are changed.
        T_0: length of the first cycle, >= 1.
        T_mult: each cycle is so many times longer than the one before, an integer >= 1.
        eta_min: the minimum.
        last_epoch: -1 to start.

    Raises:
        ValueError: T_0 or T_mult below 1 or not an integer.

    Source: Loshchilov & Hutter, "SGDR", ICLR 2017.
    """

    def __init__(
        self, optimizer: Optimizer, T_0: int, T_mult: int = 1, eta_min: float = 0.0, last_epoch: int = -1
    ) -> None:
        for name, value in (("T_0", T_0), ("T_mult", T_mult)):
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"CosineAnnealingWarmRestarts: {name} is {value}, but an integer >= 1 is expected")
        self.T_0 = T_0
        self.T_i: float = T_0
        self.T_mult = T_mult
        self.eta_min = eta_min
        self.T_cur: float = max(last_epoch, 0)
        super().__init__(optimizer, last_epoch)
        self._locate(self.last_epoch)

    def _locate(self, epoch: float) -> None:
        """The cycle that a (fractional) epoch lies in."""
        if self.T_mult == 1:
            self.T_cur, self.T_i = epoch % self.T_0, self.T_0
            return
        length: float = self.T_0
        while epoch >= length:
            epoch -= length
            length *= self.T_mult
        self.T_cur, self.T_i = epoch, length

    def _first_lr(self) -> list[float]:
        self._locate(self.last_epoch)
        return self.get_lr()

    def get_lr(self) -> list[float]:
        """The rates T_cur epochs after the restart."""
        share = (1 + math.cos(math.pi * self.T_cur / self.T_i)) / 2
        return [self.eta_min + (base - self.eta_min) * share for base in self.base_lrs]

    def step(self, epoch: float | None = None) -> None:
        """Begins the next epoch, or the fractional `epoch` given: epoch + batch / batches after every batch."""
        if epoch is None:
            super().step()
            return
        if epoch < 0:
            raise ValueError(f"CosineAnnealingWarmRestarts: epoch is {epoch}, but must not be negative")
        self._step_count += 1
        self.last_epoch = math.floor(epoch)
        self._locate(epoch)
        self._write(self.get_lr())

    def _advance(self) -> None:
        self.last_epoch += 1
        self.T_cur += 1
        if self.T_cur >= self.T_i:
            self.T_cur -= self.T_i
            self.T_i *= self.T_mult
