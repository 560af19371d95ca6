"""Optimizers and learning-rate schedules by name, as the command line offers them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

from .. import optim

_WARMUP = 0.1  # share of the steps in which "warmup-cosine" raises the rate


def _cosine(t: float) -> float:
    return 0.5 * (1.0 + math.cos(math.pi * t))


OPTIMIZERS = ("sgd", "adam", "adamw", "rmsprop", "adagrad")
# step / total -> factor of the learning rate
SCHEDULES: dict[str, Callable[[float], float] | None] = {
    "warmup-cosine": lambda t: t / _WARMUP if t < _WARMUP else _cosine((t - _WARMUP) / (1 - _WARMUP)),
    "cosine": _cosine,
    "linear": lambda t: 1.0 - t,
    "step": lambda t: 0.1 ** ((t >= 0.5) + (t >= 0.75)),
    "constant": None,
}


def make_optimizer(
    name: str, parameters: Iterable[Any], lr: float, momentum: float = 0.9, weight_decay: float = 0.0
) -> optim.Optimizer:
    """One of `OPTIMIZERS`; SGD uses Nesterov's form of the momentum.

    Args:
        name: the optimizer.
        parameters: of the model.
        lr: learning rate.
        momentum: for sgd and rmsprop.
        weight_decay: for all.

    Raises:
        ValueError: unknown name or impossible hyper-parameters.
    """
    if name == "sgd":
        return optim.SGD(parameters, lr=lr, momentum=momentum, weight_decay=weight_decay, nesterov=momentum > 0)
    if name == "rmsprop":
        return optim.RMSprop(parameters, lr=lr, momentum=momentum, weight_decay=weight_decay)
    simple: dict[str, Callable[..., optim.Optimizer]] = {
        "adam": optim.Adam,
        "adamw": optim.AdamW,
        "adagrad": optim.Adagrad,
    }
    if name not in simple:
        raise ValueError(f"unknown optimizer {name!r}: {', '.join(OPTIMIZERS)} are known")
    return simple[name](parameters, lr=lr, weight_decay=weight_decay)


def make_scheduler(name: str, optimizer: optim.Optimizer, steps: int) -> optim.lr_scheduler.LRScheduler | None:
    """A schedule over `steps` optimizer steps, to be stepped after each: one of `SCHEDULES`; None for "constant".

    "warmup-cosine" rises linearly for the first tenth and falls as half a cosine to 0; "cosine" only falls; "linear"
    falls to 0; "step" divides by ten after half and after three quarters.

    Raises:
        ValueError: unknown name.
    """
    if name not in SCHEDULES:
        raise ValueError(f"unknown schedule {name!r}: {', '.join(SCHEDULES)} are known")
    factor = SCHEDULES[name]
    if factor is None:
        return None
    shape = factor
    # Step k of n runs at the middle of its interval, so that neither the first nor the last has the rate 0.
    return optim.lr_scheduler.LambdaLR(optimizer, lambda step: shape(min((step + 0.5) / steps, 1.0)))
