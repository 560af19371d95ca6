"""Optimizers and schedules by name."""

from __future__ import annotations

import numpy as np
import pytest

import fastcnn as fc
from fastcnn.train.recipes import SCHEDULES, make_optimizer, make_scheduler


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedules_start_and_end_as_they_say(name: str) -> None:
    optimizer = make_optimizer("sgd", [fc.nn.Parameter(fc.tensor([1.0]))], lr=1.0)
    scheduler = make_scheduler(name, optimizer, 100)
    rates = []
    for _ in range(100):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if scheduler is not None:
            scheduler.step()
    assert max(rates) <= 1.0
    assert min(rates) > 0.0
    expected = {
        "warmup-cosine": (0.05, 10, 1.0, 0.001),
        "cosine": (1.0, 50, 0.5, 0.001),
        "linear": (0.995, 50, 0.5, 0.01),
        "step": (1.0, 60, 0.1, 0.01),
        "constant": (1.0, 50, 1.0, 1.0),
    }[name]
    first, place, middle, last = expected
    np.testing.assert_allclose([rates[0], rates[place]], [first, middle], atol=0.02)
    assert rates[-1] <= last + 1e-12
    with pytest.raises(ValueError, match="unknown schedule 'no'"):
        make_scheduler("no", optimizer, 10)
    with pytest.raises(ValueError, match="unknown optimizer 'no'"):
        make_optimizer("no", [], lr=1.0)
