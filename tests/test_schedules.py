"""Schedules that watch a metric, follow each other or change momentum and batch size; the lectures' numbers."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastcnn as fc
from fastcnn import optim
from fastcnn.data import BatchSizeScheduler, DataLoader
from fastcnn.nn import Parameter
from fastcnn.optim import lr_scheduler
from tests.test_lr_scheduler import BASE, SCHEDULES, sgd


def epochs(optimizer: Any, scheduler: Any, count: int) -> list[float]:
    """The first group's learning rate in epochs 0 to `count`."""
    seen = [optimizer.param_groups[0]["lr"]]
    for _ in range(count):
        scheduler.step()
        seen.append(optimizer.param_groups[0]["lr"])
    return seen


def torch_sgd(torch: Any) -> Any:
    params = [torch.nn.Parameter(torch.ones(1)) for _ in range(2)]
    optimizer = torch.optim.SGD([{"params": params[:1]}, {"params": params[1:], "lr": 0.5}], lr=BASE, momentum=0.9)
    optimizer.step()
    return optimizer


def warm_up_then_cosine(module: Any, optimizer: Any) -> Any:
    parts = [module.LinearLR(optimizer, 0.1, total_iters=4), module.CosineAnnealingLR(optimizer, 8)]
    return module.SequentialLR(optimizer, parts, [4])


def three_parts(module: Any, optimizer: Any) -> Any:
    parts = [
        module.ConstantLR(optimizer, 0.1, 2),
        module.LambdaLR(optimizer, lambda epoch: 1 / (2 + epoch)),
        module.ExponentialLR(optimizer, 0.5),
    ]
    return module.SequentialLR(optimizer, parts, [2, 6])


def chained(module: Any, optimizer: Any) -> Any:
    return module.ChainedScheduler(
        [module.ConstantLR(optimizer, 0.1, 3), module.ExponentialLR(optimizer, 0.9), module.StepLR(optimizer, 4)]
    )


def restarts_after_warm_up(module: Any, optimizer: Any) -> Any:
    parts = [module.ConstantLR(optimizer, 0.5, 3), module.CosineAnnealingWarmRestarts(optimizer, 3)]
    return module.SequentialLR(optimizer, parts, [3])


COMBINED = [warm_up_then_cosine, three_parts, chained, restarts_after_warm_up]


@pytest.mark.parametrize("make", COMBINED)
def test_combined_schedules_equal_torch(make: Callable[[Any, Any], Any], torch: Any) -> None:
    theirs = torch_sgd(torch)
    expected = epochs(theirs, make(torch.optim.lr_scheduler, theirs), 12)
    ours = sgd()
    assert epochs(ours, make(lr_scheduler, ours), 12) == pytest.approx(expected, rel=1e-12, abs=1e-15)


@pytest.mark.parametrize("make", [warm_up_then_cosine, chained])
def test_combined_schedules_resume(make: Callable[[Any, Any], Any]) -> None:
    optimizer = sgd()
    expected = epochs(optimizer, make(lr_scheduler, optimizer), 12)
    optimizer = sgd()
    scheduler = make(lr_scheduler, optimizer)
    epochs(optimizer, scheduler, 5)
    saved = json.loads(json.dumps([optimizer.state_dict()["param_groups"], scheduler.state_dict()]))
    resumed = sgd(lr=123.0)
    continued = make(lr_scheduler, resumed)
    resumed.load_state_dict({"state": {}, "param_groups": saved[0]})
    continued.load_state_dict(saved[1])
    assert epochs(resumed, continued, 7) == expected[5:]


@pytest.mark.parametrize(
    "options",
    [
        {"patience": 1},
        {"patience": 0, "factor": 0.5, "cooldown": 2, "min_lr": [0.02, 0.0]},
        {"mode": "max", "patience": 1, "threshold": 0.3, "threshold_mode": "abs"},
        {"mode": "max", "patience": 1, "threshold": 0.1},
    ],
)
def test_plateau_equals_torch(options: dict[str, Any], torch: Any) -> None:
    metrics = [1.0, 0.9, 0.95, 0.95, 0.89, 0.9, 0.9, 0.9, float("nan"), 0.2, 0.2, 0.19999, 0.3, 0.3, 0.3, 0.3]
    theirs, ours = torch_sgd(torch), sgd()
    peer = torch.optim.lr_scheduler.ReduceLROnPlateau(theirs, **options)
    schedule = lr_scheduler.ReduceLROnPlateau(ours, **options)
    for metric in metrics:
        peer.step(metric)
        schedule.step(fc.tensor(metric, dtype=fc.float64))
        expected = [g["lr"] for g in theirs.param_groups]
        assert schedule.get_last_lr() == pytest.approx(expected, rel=1e-12)
    again = lr_scheduler.ReduceLROnPlateau(sgd(), **options)
    again.load_state_dict(json.loads(json.dumps(schedule.state_dict())))
    assert (again.best, again.num_bad_epochs) == (schedule.best, schedule.num_bad_epochs)


def test_misuse_is_rejected() -> None:
    optimizer = sgd()
    rejected: list[tuple[Callable[[], Any], str]] = [
        (lambda: lr_scheduler.ReduceLROnPlateau(optimizer, factor=1.0), "factor is 1"),
        (lambda: lr_scheduler.ReduceLROnPlateau(optimizer, mode="least"), "'least'"),
        (lambda: lr_scheduler.ReduceLROnPlateau(optimizer, threshold_mode="x"), "'x'"),
        (lambda: lr_scheduler.ReduceLROnPlateau(optimizer, min_lr=[0.0]), "1 values for 2"),
        (lambda: lr_scheduler.ConstantLR(optimizer, 2.0), "factor is 2"),
        (lambda: lr_scheduler.LinearLR(optimizer, 0.0), "start_factor is 0"),
        (lambda: lr_scheduler.LinearLR(optimizer, end_factor=3.0), "end_factor is 3"),
        (lambda: lr_scheduler.LinearLR(optimizer, total_iters=0), "total_iters is 0"),
        (lambda: lr_scheduler.HyperbolicLR(optimizer, 0.0), "half is 0"),
        (lambda: lr_scheduler.CosineAnnealingWarmRestarts(optimizer, 0), "T_0 is 0"),
        (lambda: lr_scheduler.CosineAnnealingWarmRestarts(optimizer, 2).step(-1.0), "epoch is -1"),
        (lambda: lr_scheduler.CyclicLR(optimizer, 0.1, 0.2, mode="square"), "'square'"),
        (lambda: lr_scheduler.CyclicLR(optimizer, 0.1, 0.2, scale_mode="x"), "'x'"),
        (lambda: lr_scheduler.CyclicLR(optimizer, 0.1, [0.2]), "1 values for 2"),
        (lambda: lr_scheduler.OneCycleLR(optimizer, 0.1), "total_steps"),
        (lambda: lr_scheduler.OneCycleLR(optimizer, 0.1, 0), "total_steps is 0"),
        (lambda: lr_scheduler.OneCycleLR(optimizer, 0.1, 5, pct_start=2.0), "pct_start is 2"),
        (lambda: lr_scheduler.OneCycleLR(optimizer, 0.1, 5, anneal_strategy="x"), "'x'"),
        (lambda: epochs(optimizer, lr_scheduler.OneCycleLR(optimizer, 0.1, 5), 6), "beyond total_steps=5"),
        (lambda: lr_scheduler.SequentialLR(optimizer, [], []), "0 schedulers"),
        (lambda: lr_scheduler.ChainedScheduler([]), "empty"),
        (lambda: lr_scheduler.ChainedScheduler([lr_scheduler.StepLR(sgd(), 1)], optimizer), "another optimizer"),
        (lambda: lr_scheduler.CyclicLR(optim.Adagrad([Parameter(fc.ones(1))]), 0.1, 0.2), "Adagrad has neither"),
    ]
    for call, message in rejected:
        with pytest.raises(ValueError, match=message):
            call()
    with pytest.raises(TypeError, match="needs the metric"):
        lr_scheduler.ReduceLROnPlateau(optimizer).step()


# The lectures' rows.


def test_epoch_hyperbolic_schedule() -> None:
    """F1, E29: 1000 / (1000 + t); its sum diverges, that of its squares does not."""
    optimizer = sgd(1.0)
    seen = epochs(optimizer, lr_scheduler.HyperbolicLR(optimizer), 2000)
    assert [seen[t] for t in (0, 1, 9, 1000)] == pytest.approx([1.0, 0.999001, 0.991080, 0.5], abs=5e-7)
    t = np.arange(10_000_000)
    rates = 1000 / (1000 + t)
    assert rates.sum() > 9000  # 1000 log(t / 1000): without bound
    assert (rates**2).sum() < 1_000_500  # below 1000^2 (1 / 1000 + ...)
    assert (rates[: 10**6] ** 2).sum() > 0.998 * (rates**2).sum()  # it has settled, the sum itself has not:
    assert rates[: 10**6].sum() < 0.76 * rates.sum()
    constant = np.full(10**6, 0.1)  # a constant rate fails the second condition: ten times the steps, ten times the sum
    assert (constant**2).sum() == pytest.approx(10 * (constant[: 10**5] ** 2).sum())


def test_direct_and_compound_polynomials() -> None:
    """F3: the usual form, and the one whose factors compound as printed."""
    optimizer = sgd()
    direct = epochs(optimizer, lr_scheduler.PolynomialLR(optimizer, 90, 0.9), 90)
    assert direct[45] == pytest.approx(0.0535887, abs=5e-8)
    assert direct[9] == pytest.approx(0.0909533, abs=5e-8)
    assert direct[90] == 0.0
    optimizer = sgd()
    compound = epochs(optimizer, lr_scheduler.PolynomialLR(optimizer, 90, 0.9, compound=True), 90)
    assert compound[9] == pytest.approx(0.0627054, abs=5e-8)


def test_cosine_with_restarts_moves_with_every_batch() -> None:
    """F4, F10: fractional epochs, and a jump of more than 10 at the restart."""
    optimizer = sgd()
    schedule = lr_scheduler.CosineAnnealingWarmRestarts(optimizer, T_0=10, T_mult=2)
    seen = {}
    for batch in range(400):
        schedule.step(batch / 10)
        seen[batch] = optimizer.param_groups[0]["lr"]
    assert seen[0] == 0.1
    assert seen[25] == pytest.approx(0.0853553, abs=5e-8)
    assert seen[50] == pytest.approx(0.05)
    assert seen[100] / seen[99] > 10
    assert seen[100] == 0.1
    assert seen[200] == pytest.approx(0.05)  # the second cycle is twice as long
    assert seen[300] == 0.1


def test_half_cosine_without_restarts_anneals_to_zero() -> None:
    """F5."""
    optimizer = sgd()
    seen = epochs(optimizer, lr_scheduler.CosineAnnealingLR(optimizer, 20), 20)
    assert all(a > b for a, b in pairwise(seen))
    assert seen[20] == 0.0


def test_snapshots_are_saved_at_the_minima_of_a_cyclic_schedule(tmp_path: Path) -> None:
    """F6: one file per cycle, and their models differ."""
    fc.manual_seed(0)
    model = fc.nn.Linear(2, 2)
    optimizer = optim.SGD(model.parameters(), lr=0.001)
    schedule = lr_scheduler.CyclicLR(optimizer, 0.001, 0.5, step_size_up=5, cycle_momentum=False)
    x, labels = fc.randn(32, 2), fc.arange(32) % 2
    for step in range(1, 31):
        optimizer.zero_grad()
        fc.functional.cross_entropy(model(x), labels).backward()
        optimizer.step()
        schedule.step()
        if optimizer.param_groups[0]["lr"] == pytest.approx(0.001):
            fc.save(model, tmp_path / f"snapshot{step}.safetensors")
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"snapshot{i}.safetensors" for i in (10, 20, 30)]
    weights = [fc.load(tmp_path / f"snapshot{i}.safetensors")["weight"].numpy() for i in (10, 20, 30)]
    assert np.abs(weights[0] - weights[1]).max() > 1e-3
    np.testing.assert_array_equal(weights[2], model.weight.detach().numpy())


def test_cyclic_schedule_ends_every_cycle_at_its_minimum() -> None:
    """F6: where snapshots of an ensemble are taken."""
    optimizer = sgd()
    seen = epochs(optimizer, lr_scheduler.CyclicLR(optimizer, 0.001, 0.1, step_size_up=5), 40)
    snapshots = [i for i in range(1, 40) if seen[i] < seen[i - 1] and seen[i] < seen[i + 1]]
    assert snapshots == [10, 20, 30]
    assert [seen[i] for i in snapshots] == pytest.approx([0.001] * 3)
    assert max(seen) == pytest.approx(0.1)


def test_manual_triple() -> None:
    """F8, E19: 1e-3, 5e-4, 1e-4 by hand."""
    optimizer = sgd(1e-3)
    schedule = lr_scheduler.LambdaLR(optimizer, lambda epoch: (1.0, 0.5, 0.1)[min(epoch, 2)])
    assert epochs(optimizer, schedule, 3) == pytest.approx([1e-3, 5e-4, 1e-4, 1e-4])


@pytest.mark.parametrize("kind", [optim.SGD, optim.Adam])
def test_momentum_warms_up(kind: Any) -> None:
    """F9, E11: beta starts at .5 and ends at .9."""
    options = {"momentum": 0.9} if kind is optim.SGD else {}
    p = Parameter(fc.tensor([1.0]))
    optimizer = kind([p], lr=0.1, **options)
    schedule = lr_scheduler.LambdaMomentum(optimizer, lr_scheduler.momentum_warmup(0.5, 0.9, 4))
    seen = []
    for _ in range(6):
        seen.append(optimizer.param_groups[0].get("momentum") or optimizer.param_groups[0]["betas"][0])
        p.grad = fc.tensor([1.0])
        optimizer.step()
        schedule.step()
    assert seen == pytest.approx([0.5, 0.6, 0.7, 0.8, 0.9, 0.9])
    assert "momentum_lambda" not in schedule.state_dict()
    with pytest.raises(ValueError, match="Adagrad has neither"):
        lr_scheduler.LambdaMomentum(optim.Adagrad([Parameter(fc.ones(1))]), lambda epoch: 0.5)


def test_momentum_schedule_reaches_the_kernel() -> None:
    p = Parameter(fc.tensor([0.0]))
    optimizer = optim.SGD([p], lr=1.0, momentum=0.5)
    schedule = lr_scheduler.LambdaMomentum(optimizer, lambda epoch: 0.5 if epoch < 2 else 0.9)
    seen, velocity = [], 0.0
    for epoch in range(4):
        velocity = (0.5 if epoch < 2 else 0.9) * velocity + 1.0
        p.grad = fc.tensor([1.0])
        before = p.item()
        optimizer.step()
        schedule.step()
        seen.append(before - p.item())
        assert seen[-1] == pytest.approx(velocity)


def test_batch_size_grows() -> None:
    """F11: fewer steps per epoch."""
    loader = DataLoader((np.zeros((64, 2), np.float32),), batch_size=1)
    schedule = BatchSizeScheduler(loader, lambda epoch: min(8 * 2**epoch, 32))
    steps = []
    for _ in range(4):
        steps.append(sum(1 for _ in loader))
        schedule.step()
    assert steps == [8, 4, 2, 2]
    other = DataLoader((np.zeros((64, 2), np.float32),))
    resumed = BatchSizeScheduler(other, lambda epoch: 1 + epoch)
    resumed.load_state_dict(schedule.state_dict())
    assert other.batch_size == 5
    with pytest.raises(ValueError, match="batch size 0"):
        BatchSizeScheduler(loader, lambda epoch: 0)


def test_every_schedule_composes_with_every_optimizer() -> None:
    """F7: any schedule, any optimizer; from a large rate downwards."""
    kinds = (
        optim.SGD, optim.Adam, optim.AdamW, optim.RMSprop, optim.Adagrad, optim.NAdam, optim.RAdam, optim.Adamax,
        optim.Adadelta, optim.Lion, optim.LAMB,
    )  # fmt: skip
    for kind in kinds:
        for name, options in SCHEDULES:
            p = Parameter(fc.tensor([3.0]))
            optimizer = kind([p, Parameter(fc.tensor([1.0]))], lr=0.05)
            numbers = {
                k: v[0] if isinstance(v, list) and k in ("max_lr", "lr_lambda") else v for k, v in options.items()
            }
            if name in ("CyclicLR", "OneCycleLR") and kind in (optim.Adagrad, optim.Adadelta):
                numbers["cycle_momentum"] = False  # they have none
            elif name in ("CyclicLR", "OneCycleLR") and kind in (optim.SGD, optim.RMSprop):
                optimizer = kind([p], lr=0.05, momentum=0.9)
            schedule = getattr(lr_scheduler, name)(optimizer, **numbers)
            p.grad = fc.tensor([1.0])
            optimizer.step()
            schedule.step()
            assert optimizer.param_groups[0]["lr"] == schedule.get_last_lr()[0]
            assert math.isfinite(p.item())
    for kind in kinds[:5]:
        p = Parameter(fc.tensor([3.0]))
        optimizer = kind([p], lr=0.05)
        schedule = warm_up_then_cosine(lr_scheduler, optimizer)
        for _ in range(12):
            p.grad = fc.tensor([2 * p.item()])
            optimizer.step()
            schedule.step()
        assert 0 < p.item() < 3.0
        assert optimizer.param_groups[0]["lr"] == pytest.approx(0.0, abs=1e-12)


def test_linear_warm_up_closed_form() -> None:
    optimizer = sgd()
    seen = epochs(optimizer, lr_scheduler.LinearLR(optimizer, 0.25, total_iters=3), 5)
    assert seen == pytest.approx([BASE * f for f in (0.25, 0.5, 0.75, 1.0, 1.0, 1.0)])
    assert math.isclose(seen[-1], BASE)
