"""Parameter groups of optimizers: options of their own, mixed dtypes, groups by rule."""

from __future__ import annotations

import pytest

import fastcnn as fc
from fastcnn import optim
from fastcnn.nn import Parameter
from tests.optimizer_runs import leaf


def test_groups_have_options_of_their_own() -> None:
    a, b, c = (Parameter(fc.tensor([1.0])) for _ in range(3))
    optimizer = optim.SGD([{"params": [a]}, {"params": b, "lr": 0.5}], lr=0.25)
    optimizer.add_param_group({"params": [c], "lr": 0.125, "momentum": 0.5})
    for p in (a, b, c):
        p.grad = fc.tensor([1.0])
    optimizer.step()
    optimizer.step()
    assert [p.item() for p in (a, b, c)] == [0.5, 0.0, 1 - 0.125 - 0.125 * 1.5]
    assert [g["params"] for g in optimizer.state_dict()["param_groups"]] == [[0], [1], [2]]


def test_one_group_may_mix_dtypes() -> None:
    a, b = Parameter(fc.tensor([1.0])), Parameter(fc.tensor([1.0], dtype=fc.float64))
    a.grad, b.grad = fc.tensor([1.0]), fc.tensor([2.0], dtype=fc.float64)
    optimizer = optim.SGD([a, b], lr=0.5, momentum=0.9)
    optimizer.step()
    assert (a.item(), b.item()) == (0.5, 0.0)
    assert list(optimizer.state_dict()["state"]) == [0, 1]


def test_a_rejected_group_leaves_the_optimizer_usable() -> None:
    p = leaf()
    optimizer = optim.SGD([p], lr=0.5)
    with pytest.raises(ValueError, match="lr"):
        optimizer.add_param_group({"params": [leaf()], "lr": -1})
    p.grad = fc.tensor([1.0])
    optimizer.step()
    assert p.item() == 0.5
    assert len(optimizer.param_groups) == 1
