"""Learning-rate schedules against closed forms and PyTorch."""

from __future__ import annotations

import json
import math
import warnings
from itertools import pairwise
from typing import Any

import pytest

import fastcnn as fc
from fastcnn import optim
from fastcnn.nn import Parameter
from fastcnn.optim import lr_scheduler

BASE = 0.1
SCHEDULES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("StepLR", {"step_size": 3}),
    ("StepLR", {"step_size": 1, "gamma": 0.5}),
    ("MultiStepLR", {"milestones": [7, 2, 2], "gamma": 0.5}),
    ("ExponentialLR", {"gamma": 0.9}),
    ("CosineAnnealingLR", {"T_max": 5}),
    ("CosineAnnealingLR", {"T_max": 4, "eta_min": 0.01}),
    ("CosineAnnealingLR", {"T_max": 1}),
    ("LambdaLR", {"lr_lambda": lambda epoch: 1 / (1 + epoch)}),
    ("LambdaLR", {"lr_lambda": [lambda epoch: 0.5**epoch, lambda epoch: epoch]}),
    ("MultiplicativeLR", {"lr_lambda": lambda epoch: 1 - 0.05 * epoch}),
    ("ConstantLR", {}),
    ("ConstantLR", {"factor": 0.5, "total_iters": 2}),
    ("LinearLR", {}),
    ("LinearLR", {"start_factor": 1.0, "end_factor": 0.0, "total_iters": 7}),
    ("PolynomialLR", {"total_iters": 8, "power": 0.9}),
    ("CosineAnnealingWarmRestarts", {"T_0": 4}),
    ("CosineAnnealingWarmRestarts", {"T_0": 2, "T_mult": 2, "eta_min": 0.01}),
    ("CyclicLR", {"base_lr": 0.01, "max_lr": [0.1, 0.3], "step_size_up": 3}),
    ("CyclicLR", {"base_lr": 0.01, "max_lr": 0.1, "step_size_up": 2, "step_size_down": 3, "mode": "triangular2"}),
    ("CyclicLR", {"base_lr": 0.01, "max_lr": 0.1, "step_size_up": 2, "mode": "exp_range", "gamma": 0.9}),
    ("CyclicLR", {"base_lr": 0.01, "max_lr": 0.1, "step_size_up": 2, "scale_fn": lambda x: 1 / x}),
    ("OneCycleLR", {"max_lr": [0.1, 0.5], "total_steps": 14}),
    ("OneCycleLR", {"max_lr": 0.1, "epochs": 4, "steps_per_epoch": 4, "anneal_strategy": "linear"}),
    ("OneCycleLR", {"max_lr": 0.1, "total_steps": 13, "three_phase": True, "pct_start": 0.4}),
)
IDS = [f"{name}-{i}" for i, (name, _) in enumerate(SCHEDULES)]
every_schedule = pytest.mark.parametrize(("name", "options"), SCHEDULES, ids=IDS)


def sgd(lr: float = BASE) -> optim.SGD:
    """An optimizer with two groups that has made a step."""
    a, b = (Parameter(fc.tensor([1.0])) for _ in range(2))
    optimizer = optim.SGD([{"params": [a]}, {"params": [b], "lr": 0.5}], lr=lr, momentum=0.9)
    optimizer.step()
    return optimizer


# Learning rate and momentum of both groups, before the first step and after each.
def rates(optimizer: Any, scheduler: Any, epochs: int) -> list[list[float]]:
    seen = [[g[k] for g in optimizer.param_groups for k in ("lr", "momentum")]]
    for _ in range(epochs):
        scheduler.step()
        seen.append([g[k] for g in optimizer.param_groups for k in ("lr", "momentum")])
        assert scheduler.get_last_lr() == seen[-1][::2]
    return seen


@every_schedule
def test_equals_torch(name: str, options: dict[str, Any]) -> None:
    torch = pytest.importorskip("torch")
    ours = sgd()
    params = [torch.nn.Parameter(torch.ones(1)) for _ in range(2)]
    theirs = torch.optim.SGD([{"params": params[:1]}, {"params": params[1:], "lr": 0.5}], lr=BASE, momentum=0.9)
    schedule = getattr(torch.optim.lr_scheduler, name)(theirs, **options)
    theirs.step()
    expected = rates(theirs, schedule, 12)
    actual = rates(ours, getattr(lr_scheduler, name)(ours, **options), 12)
    for got, want in zip(actual, expected, strict=True):
        assert got == pytest.approx(want, rel=1e-12, abs=1e-15)


@every_schedule
def test_saving_and_resuming(name: str, options: dict[str, Any]) -> None:
    undisturbed = sgd()
    expected = rates(undisturbed, getattr(lr_scheduler, name)(undisturbed, **options), 10)
    optimizer = sgd()
    scheduler = getattr(lr_scheduler, name)(optimizer, **options)
    rates(optimizer, scheduler, 4)
    saved = json.loads(json.dumps([optimizer.state_dict()["param_groups"], scheduler.state_dict()]))
    resumed = sgd(lr=123.0)
    continued = getattr(lr_scheduler, name)(resumed, **options)
    resumed.load_state_dict({"state": {}, "param_groups": saved[0]})
    continued.load_state_dict(saved[1])
    assert continued.last_epoch == 4
    assert rates(resumed, continued, 6) == expected[4:]


def test_step_divides_by_ten_every_thirty_epochs() -> None:
    optimizer = sgd()
    seen = rates(optimizer, lr_scheduler.StepLR(optimizer, 30), 90)
    for epoch, lr in ((0, 0.1), (29, 0.1), (30, 0.01), (59, 0.01), (60, 0.001), (90, 0.0001)):
        assert seen[epoch][0] == pytest.approx(lr, rel=1e-12)


def test_half_cosine_falls_to_zero() -> None:
    optimizer = sgd()
    seen = [lr[0] for lr in rates(optimizer, lr_scheduler.CosineAnnealingLR(optimizer, 50), 50)]
    assert seen == pytest.approx([BASE * (1 + math.cos(math.pi * t / 50)) / 2 for t in range(51)], abs=1e-12)
    assert all(a > b for a, b in pairwise(seen))
    assert seen[-1] == 0.0


def test_exponential_and_lambda_closed_forms() -> None:
    optimizer = sgd()
    seen = rates(optimizer, lr_scheduler.ExponentialLR(optimizer, 0.9), 20)
    assert [lr[0] for lr in seen] == pytest.approx([BASE * 0.9**t for t in range(21)], rel=1e-12)
    optimizer = sgd()
    seen = rates(optimizer, lr_scheduler.LambdaLR(optimizer, lambda t: 1000 / (1000 + t)), 9)
    assert seen[9] == pytest.approx([BASE * 0.991080, 0.9, 0.5 * 0.991080, 0.9], rel=1e-6)


def test_schedules_work_on_every_optimizer_and_reach_the_kernel() -> None:
    for kind in (optim.SGD, optim.Adam, optim.AdamW, optim.RMSprop, optim.Adagrad):
        p = Parameter(fc.tensor([1.0]))
        optimizer = kind([p], lr=BASE)
        scheduler = lr_scheduler.LambdaLR(optimizer, lambda epoch: 0.0 if epoch else 1.0)
        p.grad = fc.tensor([1.0])
        optimizer.step()
        scheduler.step()
        before = p.item()
        assert before < 1.0
        optimizer.step()
        assert p.item() == before


def test_callable_objects_keep_their_attributes() -> None:
    class Factor:
        def __init__(self, base: float) -> None:
            self.base = base

        def __call__(self, epoch: int) -> float:
            return self.base**epoch

    optimizer = sgd()
    saved = lr_scheduler.LambdaLR(optimizer, Factor(0.5)).state_dict()
    assert saved["lr_lambdas"] == [{"base": 0.5}, {"base": 0.5}]
    other = lr_scheduler.LambdaLR(optimizer, Factor(0.25))
    other.load_state_dict(saved)
    assert other.lr_lambdas[0].base == 0.5


def test_loads_milestones_of_torch() -> None:
    torch = pytest.importorskip("torch")
    theirs = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=BASE)
    saved = torch.optim.lr_scheduler.MultiStepLR(theirs, [3, 1, 1]).state_dict()
    scheduler = lr_scheduler.MultiStepLR(sgd(), [9])
    scheduler.load_state_dict(saved)
    assert scheduler.milestones == [1, 1, 3]


def test_stepping_the_scheduler_first_warns_once() -> None:
    optimizer = optim.SGD([Parameter(fc.tensor([1.0]))])
    scheduler = lr_scheduler.StepLR(optimizer, 2)
    with pytest.warns(UserWarning, match=r"before optimizer.step\(\)"):
        scheduler.step()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scheduler.step()
        optimizer.step()
        scheduler.step()


def test_misuse_is_rejected() -> None:
    with pytest.raises(TypeError, match="an Optimizer is expected"):
        lr_scheduler.StepLR("sgd", 3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="an Optimizer is expected"):
        lr_scheduler.LambdaLR("sgd", lambda epoch: 1.0)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="step_size is 0"):
        lr_scheduler.StepLR(sgd(), 0)
    with pytest.raises(ValueError, match="T_max is 0"):
        lr_scheduler.CosineAnnealingLR(sgd(), 0)
    with pytest.raises(ValueError, match="1 functions for 2 parameter groups"):
        lr_scheduler.LambdaLR(sgd(), [lambda epoch: 1.0])
    with pytest.raises(KeyError, match="initial_lr"):
        lr_scheduler.StepLR(sgd(), 3, last_epoch=4)
    with pytest.raises(NotImplementedError, match="get_lr"):
        lr_scheduler.LRScheduler(sgd()).step()


def test_going_on_from_an_epoch() -> None:
    optimizer = sgd()
    rates(optimizer, lr_scheduler.StepLR(optimizer, 3), 4)
    again = lr_scheduler.StepLR(optimizer, 3, last_epoch=3)
    assert again.last_epoch == 4
    assert again.base_lrs == [BASE, 0.5]
    assert rates(optimizer, again, 2)[-1] == pytest.approx([BASE * 0.01, 0.9, 0.5 * 0.01, 0.9])
