"""Mixtures of training samples."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..functional import one_hot
from ..ops.creation import randperm
from ..random import Generator
from ..tensor import Tensor


def mixup(
    images: Tensor, labels: Tensor, num_classes: int, alpha: float = 0.2, generator: Generator | None = None
) -> tuple[Tensor, Tensor]:
    """Convex combinations of the samples of a batch and of their one-hot labels, for `cross_entropy`.

    lambda ~ Beta(alpha, alpha), one for the batch; sample i becomes lambda x_i + (1 - lambda) x_j, with j from a random
    permutation, and its target lambda y_i + (1 - lambda) y_j.

    Args:
        images: (N, ...), floating.
        labels: (N,) int64 in [0, num_classes).
        num_classes: C.
        alpha: > 0; small values mix little.
        generator: the default generator unless given.

    Returns:
        The mixed images, and targets (N, C) whose rows sum to 1.

    Raises:
        ValueError: alpha is not positive.

    Source: Zhang et al., "mixup: beyond empirical risk minimization", ICLR 2018.
    """
    if not alpha > 0:
        raise ValueError(f"mixup: alpha is {alpha}, but must be positive")
    key: Any = randperm(2**15, generator=generator)[:8].numpy().tolist()
    share = float(np.random.Generator(np.random.Philox(seed=key)).beta(alpha, alpha))
    order = randperm(images.shape[0], generator=generator)
    targets = one_hot(labels, num_classes).to(images.dtype)
    mixed = images * share + images[order.to(images.device)] * (1 - share)
    return mixed, targets * share + targets[order.to(targets.device)] * (1 - share)
