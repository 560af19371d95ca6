"""The update rules of the lectures, with their worked numbers (course notes on optimization)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastcnn as fc
from fastcnn import optim
from fastcnn.nn import Parameter

RHO, LR = 0.9, 0.1


def parameter(value: float = 0.0) -> Parameter:
    return Parameter(fc.tensor([value], dtype=fc.float64))


def steps(make: Callable[[list[Any]], optim.Optimizer], grads: list[float], value: float = 0.0) -> list[float]:
    """The change of one parameter in every step with the given gradients."""
    p = parameter(value)
    optimizer = make([p])
    changes = []
    for g in grads:
        before = p.item()
        p.grad = fc.tensor([g], dtype=fc.float64)
        optimizer.step()
        changes.append(p.item() - before)
    return changes


def with_zero_momentum(params: list[Any], **options: Any) -> optim.SGD:
    """SGD whose running sum starts at v = 0, as the lectures write it, instead of at the first gradient."""
    optimizer = optim.SGD(params, **options)
    saved = optimizer.state_dict()
    saved["state"] = {0: {"momentum_buffer": np.zeros(1)}}
    optimizer.load_state_dict(saved)
    return optimizer


def test_momentum_as_a_moving_average() -> None:
    # v = lambda v - (1 - lambda) g, p += eta v: constant g = 1 gives -0.01, -0.019.
    dampened = steps(lambda p: with_zero_momentum(p, lr=LR, momentum=RHO, dampening=RHO), [1.0, 1.0])
    assert dampened == pytest.approx([-0.01, -0.019], abs=1e-15)
    grads = [1.0, -2.0, 0.5, 3.0]
    average = steps(lambda p: with_zero_momentum(p, lr=LR, momentum=RHO, dampening=RHO), grads)
    plain = steps(lambda p: optim.SGD(p, lr=LR, momentum=RHO), grads)
    assert average == pytest.approx([(1 - RHO) * change for change in plain], abs=1e-15)


def test_momentum_as_a_velocity() -> None:
    # v = alpha v - epsilon g, p += v: constant g = 1 gives -0.1, -0.19.
    assert steps(lambda p: optim.SGD(p, lr=LR, momentum=RHO), [1.0, 1.0]) == pytest.approx([-0.1, -0.19], abs=1e-15)


def quadratic(p: float) -> float:
    """Gradient of p^2 / 2 + sin(p)."""
    return p + math.cos(p)


def iterates(
    make: Callable[[list[Any]], optim.Optimizer], count: int, schedule: dict[int, float] | None = None
) -> list[float]:
    """Positions on the path that follows `quadratic`, with learning rates that change at the given steps."""
    p = parameter(3.0)
    optimizer = make([p])
    path = [p.item()]
    for t in range(count):
        if schedule and t in schedule:
            optimizer.param_groups[0]["lr"] = schedule[t]
        p.grad = fc.tensor([quadratic(p.item())], dtype=fc.float64)
        optimizer.step()
        path.append(p.item())
    return path


def velocity_form(count: int, schedule: dict[int, float] | None = None) -> list[float]:
    """v = rho v - lr g, p += v."""
    p, v, lr = 3.0, 0.0, LR
    path = [p]
    for t in range(count):
        lr = (schedule or {}).get(t, lr)
        v = RHO * v - lr * quadratic(p)
        p += v
        path.append(p)
    return path


def test_both_forms_of_momentum_agree_while_the_learning_rate_is_constant() -> None:
    # v = rho v + g, p -= lr v (which the library implements) and v = rho v - lr g, p += v.
    ours = iterates(lambda p: optim.SGD(p, lr=LR, momentum=RHO), 100)
    np.testing.assert_allclose(ours, velocity_form(100), atol=1e-6, rtol=0)
    change = {5: LR / 10}
    ours = iterates(lambda p: optim.SGD(p, lr=LR, momentum=RHO), 6, change)
    assert abs(ours[-1] - velocity_form(6, change)[-1]) > 0.1


def test_remembered_step_equals_the_velocity_form_and_momentum_may_be_scheduled() -> None:
    # delta = alpha g + beta delta, p -= delta, with beta from 0.5 to 0.9.
    p = parameter(3.0)
    optimizer = optim.SGD([p], lr=LR, momentum=0.5)
    position, delta = 3.0, 0.0
    for t in range(20):
        beta = optimizer.param_groups[0]["momentum"] = 0.5 if t < 10 else 0.9
        delta = LR * quadratic(position) + beta * delta
        position -= delta
        p.grad = fc.tensor([quadratic(p.item())], dtype=fc.float64)
        optimizer.step()
        assert p.item() == pytest.approx(position, abs=1e-12)


def test_nesterov_evaluates_the_gradient_ahead() -> None:
    # The lookahead form v = rho v - lr grad(p + rho v), p += v; SGD(nesterov) stores x = p + rho v, so its closure is
    # evaluated at the point ahead and p = x - rho v follows the lookahead iterates.
    ahead, path = [], []
    position, v = 3.0, 0.0
    for _ in range(50):
        ahead.append(position + RHO * v)
        v = RHO * v - LR * quadratic(ahead[-1])
        position += v
        path.append(position)
    p = parameter(3.0)
    optimizer = optim.SGD([p], lr=LR, momentum=RHO, nesterov=True)
    seen = []

    def closure() -> None:
        seen.append(p.item())
        p.grad = fc.tensor([quadratic(p.item())], dtype=fc.float64)

    for expected in path:
        optimizer.step(closure)
        buffer = optimizer.state[p]["momentum_buffer"].item()
        assert p.item() - RHO * (-LR * buffer) == pytest.approx(expected, abs=1e-12)
    np.testing.assert_allclose(seen, ahead, atol=1e-12, rtol=0)


def test_nesterov_with_changed_variables() -> None:
    # old = v; v = rho v - lr g; x -= rho old - (1 + rho) v.
    x, v, expected = 3.0, 0.0, [3.0]
    for _ in range(50):
        old = v
        v = RHO * v - LR * quadratic(x)
        x -= RHO * old - (1 + RHO) * v
        expected.append(x)
    ours = iterates(lambda p: optim.SGD(p, lr=LR, momentum=RHO, nesterov=True), 50)
    np.testing.assert_allclose(ours, expected, atol=1e-12, rtol=0)


@pytest.mark.parametrize("eps", [1e-7, 0.5])
def test_adagrad(eps: float) -> None:
    # p -= lr g / (sqrt(sum of g^2) + eps), eps outside the root: g = 1 gives lr, lr / sqrt 2, lr / sqrt 3.
    changes = steps(lambda p: optim.Adagrad(p, lr=LR, eps=eps), [1.0, 1.0, 1.0])
    assert changes == pytest.approx([-LR / (math.sqrt(t) + eps) for t in (1, 2, 3)], abs=1e-15)


def test_rmsprop_first_step() -> None:
    # decay 0.9, g = 1: v = 0.1, so the first step is lr / sqrt 0.1 = 3.16228 lr.
    (change,) = steps(lambda p: optim.RMSprop(p, lr=LR, alpha=0.9), [1.0])
    assert change == pytest.approx(-3.16228 * LR, rel=1e-6)


def test_adam_without_bias_correction_first_step() -> None:
    # m = 0.1, v = 0.001: 0.1 / sqrt 0.001 = 3.16228.
    (change,) = steps(lambda p: optim.Adam(p, lr=LR, eps=1e-7, bias_correction=False), [1.0])
    assert change == pytest.approx(-LR * 0.1 / (math.sqrt(0.001) + 1e-7), rel=1e-12)
    assert change == pytest.approx(-3.16228 * LR, rel=1e-5)


@pytest.mark.parametrize("gradient", [1.0, -0.003, 250.0])
def test_adam_first_step_is_the_sign_of_the_gradient(gradient: float) -> None:
    (change,) = steps(lambda p: optim.Adam(p, lr=LR), [gradient])
    assert change == pytest.approx(-math.copysign(LR, gradient), rel=1e-5)


def test_adam_follows_its_formula_for_100_steps() -> None:
    # s and r are running means of g and g^2; p -= lr s' / (sqrt(r') + delta), s' = s / (1 - rho1^t), r' likewise.
    position = 3.0
    s = r = 0.0
    expected = [position]
    for t in range(1, 101):
        g = quadratic(position)
        s = 0.9 * s + 0.1 * g
        r = 0.999 * r + 0.001 * g * g
        position -= LR * (s / (1 - 0.9**t)) / (math.sqrt(r / (1 - 0.999**t)) + 1e-8)
        expected.append(position)
    np.testing.assert_allclose(iterates(lambda p: optim.Adam(p, lr=LR), 100), expected, atol=1e-10, rtol=0)


def test_adam_defaults() -> None:
    group = optim.Adam([parameter()]).param_groups[0]
    assert group["betas"] == (0.9, 0.999)
    assert group["lr"] == 1e-3
    for lr in (5e-4, 1e-4):
        assert steps(lambda p, lr=lr: optim.Adam(p, lr=lr), [1.0]) == pytest.approx([-lr], rel=1e-6)
