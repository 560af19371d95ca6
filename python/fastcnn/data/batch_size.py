"""Mini-batches that grow while the training goes on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .loader import DataLoader


class BatchSizeScheduler:
    """Sets the batch size of a loader to a function of the epoch: call `step()` between epochs.

    Args:
        loader: whose `batch_size` is changed; epoch 0 begins at once.
        batch_size_lambda: epoch -> batch size, >= 1.

    Raises:
        ValueError: the function gives a size below 1.

    Example:
        >>> import numpy as np
        >>> from fastcnn.data import BatchSizeScheduler, DataLoader
        >>> loader = DataLoader((np.zeros((64, 3)),), batch_size=8)
        >>> schedule = BatchSizeScheduler(loader, lambda epoch: 8 * 2**epoch)
        >>> schedule.step()
        >>> loader.batch_size, len(loader)
        (16, 4)

    Source: Smith et al., "Don't decay the learning rate, increase the batch size", ICLR 2018.
    """

    def __init__(self, loader: DataLoader, batch_size_lambda: Callable[[int], int]) -> None:
        self.loader = loader
        self.batch_size_lambda = batch_size_lambda
        self.last_epoch = -1
        self.step()

    def step(self) -> None:
        """Begins the next epoch."""
        size = self.batch_size_lambda(self.last_epoch + 1)
        if size < 1:
            raise ValueError(f"BatchSizeScheduler: epoch {self.last_epoch + 1} has batch size {size}, but must be >= 1")
        self.last_epoch += 1
        self.loader.batch_size = size

    def state_dict(self) -> dict[str, Any]:
        """The epoch."""
        return {"last_epoch": self.last_epoch}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on from a `state_dict()`."""
        self.last_epoch = state_dict["last_epoch"] - 1
        self.step()
