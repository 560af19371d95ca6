"""A training of 18 steps that the tests of the trainer share."""

from __future__ import annotations

from typing import Any

import numpy as np

import fastcnn as fc
from fastcnn.train import Trainer
from fastcnn.train.recipes import make_optimizer, make_scheduler
from tests.small_data import small_net, stripes

TRAIN, VAL, TEST = stripes(96), stripes(48, seed=1), stripes(48, seed=2)
FIT: dict[str, Any] = {"epochs": 3, "batch_size": 16, "progress": False}


def make_trainer(seed: int = 0, optimizer: str = "adam", lr: float = 0.01, steps: int = 18, **more: Any) -> Trainer:
    fc.manual_seed(seed)
    model = small_net()
    chosen = make_optimizer(optimizer, model.parameters(), lr)
    return Trainer(model, chosen, scheduler=make_scheduler("cosine", chosen, steps), schedule_every="step", **more)


def weights(trainer: Trainer) -> bytes:
    return b"".join(np.ascontiguousarray(t.numpy()).tobytes() for t in trainer.model.state_dict().values())
