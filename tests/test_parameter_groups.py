"""Parameter groups of optimizers: options of their own, mixed dtypes, groups by rule."""

from __future__ import annotations

import numpy as np
import pytest

import fastcnn as fc
from fastcnn import nn, optim
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


def test_no_decay_on_biases_and_norms() -> None:
    """H2, G10: decay for weights only; scales of norms may have a smaller rate."""
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Flatten(), nn.LayerNorm(8), nn.Linear(8, 2))
    groups = optim.parameter_groups(model, 0.1, lr=0.5, norm_lr_factor=0.01)
    assert [(len(g["params"]), g["weight_decay"], g["lr"]) for g in groups] == [
        (2, 0.1, 0.5), (4, 0.0, 0.5), (2, 0.0, 0.005),
    ]  # fmt: skip
    assert sum(len(g["params"]) for g in groups) == len(list(model.parameters()))
    optimizer = optim.SGD(groups, lr=0.5)
    before = [p.detach().numpy().copy() for p in model.parameters()]
    for p in model.parameters():
        p.grad = fc.zeros(*p.shape)
    optimizer.step()
    for p, old in zip(model.parameters(), before, strict=True):
        np.testing.assert_allclose(p.detach().numpy(), old * (0.95 if p.ndim >= 2 else 1.0), rtol=1e-6)
    with pytest.raises(ValueError, match="needs lr"):
        optim.parameter_groups(model, 0.1, norm_lr_factor=0.01)


def test_groups_leave_out_frozen_parameters_and_empty_groups() -> None:
    model = nn.Linear(3, 2, bias=False)
    assert len(optim.parameter_groups(model, 0.1)) == 1
    model.weight.requires_grad_(False)
    assert optim.parameter_groups(model, 0.1) == []
