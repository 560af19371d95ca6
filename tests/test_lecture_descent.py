"""Group E of the lectures beyond the formulas of the optimizers: batches, noise, curvature, saddles, properties."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastcnn as fc
from fastcnn import functional as F
from fastcnn import nn, optim
from fastcnn.data import DataLoader
from fastcnn.nn import Parameter

RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((64, 3)), RNG.standard_normal(64)


def gradient(rows: Any, w: np.ndarray | None = None) -> np.ndarray:
    p = fc.tensor(np.ones(3) if w is None else w, requires_grad=True)
    F.mse_loss((fc.tensor(X[rows]) * p).sum(dim=1), fc.tensor(Y[rows])).backward()
    assert p.grad is not None
    return p.grad.numpy().copy()


def test_full_batch_gradient_is_the_mean_over_samples() -> None:
    """E1, E2, E4."""
    singles = [gradient([i]) for i in range(64)]
    np.testing.assert_allclose(np.mean(singles, axis=0), gradient(list(range(64))), rtol=1e-12)
    assert len(DataLoader((X, Y), batch_size=1)) == 64
    assert len(DataLoader((X, Y), batch_size=64)) == 1  # all samples: plain gradient descent; 1: online
    thousand = (np.zeros((1000, 3)), np.zeros(1000))
    assert [len(DataLoader(thousand, batch_size=b)) for b in (32, 64, 128, 256)] == [32, 16, 8, 4]
    mean = sum(gradient(list(range(i, i + 16))) for i in range(0, 64, 16)) / 4
    np.testing.assert_allclose(mean, gradient(list(range(64))), rtol=1e-12)


def test_negative_rate_with_a_plus_is_the_same_step() -> None:
    """E3, B10: theta + eta g with eta = -0.2."""
    p = Parameter(fc.tensor(np.ones(3)))
    p.grad = fc.tensor(gradient([0]))
    optim.SGD([p], lr=0.2).step()
    np.testing.assert_array_equal(p.detach().numpy(), 1.0 + -0.2 * gradient([0]))


def test_order_changes_every_epoch_and_repeats_with_the_seed() -> None:
    """E5."""
    loader, again = (DataLoader((X, Y), batch_size=64, shuffle=True, seed=3) for _ in range(2))
    epochs = [next(iter(loader))[1].numpy().copy() for _ in range(2)]
    assert (epochs[0] != epochs[1]).any()
    np.testing.assert_array_equal(next(iter(again))[1].numpy(), epochs[0])


def test_larger_batches_have_less_noise() -> None:
    """E6, E26: the variance halves when the batch doubles."""
    rng = np.random.default_rng(1)

    def variance(size: int) -> float:
        draws = [gradient(rng.integers(0, 64, size)) for _ in range(400)]
        return float(np.var(draws, axis=0).sum())

    small, large = variance(4), variance(8)
    assert 1.6 < small / large < 2.5


def test_properties_of_the_optimizers() -> None:
    """E21: first moments, second moments, leaky second moments, bias correction, as the lecture ticks them."""
    p = Parameter(fc.ones(1))
    p.grad = fc.ones(1)
    kinds = {
        "SGD": (optim.SGD([p], lr=0.1), set()),
        "Momentum": (optim.SGD([p], lr=0.1, momentum=0.9), {"momentum_buffer"}),
        "Nesterov": (optim.SGD([p], lr=0.1, momentum=0.9, nesterov=True), {"momentum_buffer"}),
        "AdaGrad": (optim.Adagrad([p]), {"step", "sum"}),
        "RMSProp": (optim.RMSprop([p]), {"step", "square_avg"}),
        "Adam": (optim.Adam([p]), {"step", "exp_avg", "exp_avg_sq"}),
    }
    for name, (optimizer, states) in kinds.items():
        p.grad = fc.ones(1)
        optimizer.step()
        assert set(optimizer.state.get(p, {})) == states, name
    ticks = {}
    for name, (optimizer, states) in kinds.items():
        state = optimizer.state.get(p, {})
        second = state.get("sum", state.get("square_avg", state.get("exp_avg_sq")))
        before = None if second is None else second.item()
        p.grad = fc.zeros(1)
        optimizer.step()
        leaky = second is not None and second.item() < before  # what was seen is forgotten
        first = bool(states & {"momentum_buffer", "exp_avg"})
        ticks[name] = (first, second is not None, leaky, bool(optimizer.defaults.get("bias_correction")))
    assert ticks == {
        "SGD": (False, False, False, False),
        "Momentum": (True, False, False, False),
        "Nesterov": (True, False, False, False),
        "AdaGrad": (False, True, False, False),
        "RMSProp": (False, True, True, False),
        "Adam": (True, True, True, True),
    }


def path(make: Any, start: list[float], steps: int, curvature: tuple[float, float] = (1.0, 100.0)) -> np.ndarray:
    """Iterates on f = (a x^2 + b y^2) / 2."""
    p = Parameter(fc.tensor(np.array(start)))
    scale = fc.tensor(np.array(curvature))
    optimizer = make([p])
    seen = [p.detach().numpy().copy()]
    for _ in range(steps):
        optimizer.zero_grad()
        (0.5 * (scale * p * p).sum()).backward()
        optimizer.step()
        seen.append(p.detach().numpy().copy())
    return np.array(seen)


def test_adagrad_evens_out_steep_and_flat_directions() -> None:
    """E23: its first steps are equally long along both axes; SGD's differ by the condition number."""
    adagrad = path(lambda ps: optim.Adagrad(ps, lr=0.1), [1.0, 1.0], 5)
    sgd = path(lambda ps: optim.SGD(ps, lr=0.001), [1.0, 1.0], 1)
    first = np.abs(adagrad[1] - adagrad[0])
    assert first[1] / first[0] == pytest.approx(1.0, abs=1e-6)
    assert (sgd[1] - sgd[0])[1] / (sgd[1] - sgd[0])[0] == pytest.approx(100.0)


def test_condition_number_costs_steps_and_momentum_its_root() -> None:
    """E24: steps until the distance is a hundredth, at the best rates."""

    def steps(kappa: float, momentum: bool) -> int:
        root = np.sqrt(kappa)
        rate, beta = (4 / (root + 1) ** 2, ((root - 1) / (root + 1)) ** 2) if momentum else (2 / (kappa + 1), 0.0)
        seen = path(lambda ps: optim.SGD(ps, lr=rate, momentum=beta), [1.0, 1.0], 600, (1.0, kappa))
        return int(np.argmax(np.linalg.norm(seen, axis=1) < 0.01))

    plain, heavy = [steps(k, False) for k in (10.0, 100.0)], [steps(k, True) for k in (10.0, 100.0)]
    assert 7 < plain[1] / plain[0] < 13
    assert heavy[1] / heavy[0] < 6
    assert heavy[1] < plain[1] / 4


def test_descent_stays_on_the_ridge_of_a_saddle_and_noise_leaves_it() -> None:
    """E25, E30: f = x^2 - y^2 from (1, 0)."""

    def last(noise: float) -> np.ndarray:
        rng = np.random.default_rng(0)
        p = Parameter(fc.tensor(np.array([1.0, 0.0])))
        optimizer = optim.SGD([p], lr=0.1, momentum=0.5)
        for _ in range(60):
            x, y = p.detach().numpy()
            p.grad = fc.tensor(np.array([2 * x, -2 * y]) + noise * rng.standard_normal(2))
            optimizer.step()
        return p.detach().numpy()

    still, noisy = last(0.0), last(1e-3)
    assert np.abs(still).max() < 1e-3
    assert still[1] == 0.0
    assert abs(noisy[1]) > 1.0


def test_trajectories_on_one_surface() -> None:
    """E27: five optimizers on one valley; momentum overshoots, all arrive."""
    makers = {
        "sgd": lambda ps: optim.SGD(ps, lr=0.015),
        "momentum": lambda ps: optim.SGD(ps, lr=0.005, momentum=0.9),
        "nesterov": lambda ps: optim.SGD(ps, lr=0.005, momentum=0.9, nesterov=True),
        "rmsprop": lambda ps: optim.RMSprop(ps, lr=0.02, alpha=0.9),
        "adam": lambda ps: optim.Adam(ps, lr=0.05),
    }
    paths = {name: path(make, [1.0, 1.0], 250, (1.0, 50.0)) for name, make in makers.items()}
    losses = {name: float((p[-1] ** 2 * [0.5, 25.0]).sum()) for name, p in paths.items()}
    assert all(loss < 0.05 for loss in losses.values()), losses
    assert losses["momentum"] < losses["sgd"]
    assert paths["momentum"][:, 0].min() < -0.02
    assert paths["sgd"][:, 0].min() >= 0.0


def test_constant_gradient_is_amplified_by_momentum() -> None:
    """E28: 1 / (1 - 0.9) = 10 times the step."""
    p = Parameter(fc.tensor([0.0]))
    optimizer = optim.SGD([p], lr=0.1, momentum=0.9)
    before = 0.0
    for _ in range(200):
        before = p.item()
        p.grad = fc.tensor([1.0])
        optimizer.step()
    assert before - p.item() == pytest.approx(1.0, rel=1e-4)


def test_published_recipes_run() -> None:
    """E20: Adam at 1e-4, 1e-3 and .001 with a half cosine and no restarts."""
    for rate, batch in ((1e-4, 32), (1e-3, 12), (1e-3, 64)):
        fc.manual_seed(0)
        model = nn.Linear(3, 1, dtype=fc.float64)
        optimizer = optim.Adam(model.parameters(), lr=rate)
        schedule = optim.lr_scheduler.CosineAnnealingLR(optimizer, 4)
        for _ in range(4):
            for x, y in DataLoader((X, Y), batch_size=batch):
                optimizer.zero_grad()
                F.mse_loss(model(x)[:, 0], y).backward()
                optimizer.step()
            schedule.step()
        assert optimizer.param_groups[0]["lr"] == 0.0


def test_loss_curves_are_narrower_with_larger_batches() -> None:
    """E26: the width of the curve, once the loss has settled."""

    def width(batch: int) -> float:
        rng = np.random.default_rng(0)
        w = Parameter(fc.tensor(np.linalg.lstsq(X, Y, rcond=None)[0]))  # starts at the optimum
        optimizer = optim.SGD([w], lr=0.02)
        losses = []
        for _ in range(150):
            rows = rng.integers(0, 64, batch)
            optimizer.zero_grad()
            loss = F.mse_loss((fc.tensor(X[rows]) * w).sum(dim=1), fc.tensor(Y[rows]))
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        return float(np.std(losses))

    widths = [width(b) for b in (2, 8, 32)]
    assert widths[0] > 1.5 * widths[1] > 1.5 * 1.5 * widths[2]


def test_adagrads_path_is_rounder_on_an_ill_conditioned_bowl() -> None:
    """E23: kappa = 100; the ratio of the ways along both axes stays near 1 for AdaGrad."""

    def ratio(path: np.ndarray) -> float:
        way = np.abs(np.diff(path, axis=0)).sum(axis=0)
        return float(way.max() / way.min())

    adagrad = path(lambda ps: optim.Adagrad(ps, lr=0.1), [1.0, 1.0], 30)
    sgd = path(lambda ps: optim.SGD(ps, lr=0.015), [1.0, 1.0], 30)
    assert ratio(adagrad) < 1.05
    assert ratio(sgd) > 2.0
