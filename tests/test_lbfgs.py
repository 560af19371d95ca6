"""L-BFGS against torch and on functions with a known minimum; its line search, options and refusals."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastcnn as fc
from fastcnn import functional as F
from fastcnn import nn, optim
from fastcnn.nn import Parameter
from fastcnn.optim.line_search import strong_wolfe


def rosenbrock(x: Any) -> Any:
    return (1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2


def closure_of(optimizer: Any, compute: Callable[[], Any]) -> Callable[[], Any]:
    """What L-BFGS calls as often as it likes: the loss, with fresh gradients."""

    def closure() -> Any:
        optimizer.zero_grad()
        loss = compute()
        loss.backward()
        return loss

    return closure


def minimise(make: Callable[[list[Any]], Any], function: Callable[[Any], Any], start: list[float], calls: int) -> Any:
    p = Parameter(fc.tensor(np.array(start)))
    optimizer = make([p])
    losses = [float(optimizer.step(closure_of(optimizer, lambda: function(p)))) for _ in range(calls)]
    return p.detach().numpy(), losses


def test_lbfgs_without_line_search_equals_torch(torch: Any) -> None:
    def bowl(x: Any) -> Any:
        return (x[0] - 1) ** 2 + 3 * (x[1] + 2) ** 2 + x[0] * x[1] + 0.1 * x[0] ** 4

    p = torch.nn.Parameter(torch.tensor([3.0, -1.0], dtype=torch.float64))
    optimizer = torch.optim.LBFGS([p], lr=0.7, max_iter=4)
    expected = [optimizer.step(closure_of(optimizer, lambda: bowl(p))).item() for _ in range(3)]
    got, losses = minimise(lambda ps: optim.LBFGS(ps, lr=0.7, max_iter=4), bowl, [3.0, -1.0], 3)
    np.testing.assert_allclose(losses, expected, rtol=1e-9)
    np.testing.assert_allclose(got, p.detach().numpy(), rtol=1e-7)


def test_lbfgs_finds_the_minimum_of_rosenbrocks_function() -> None:
    """E22."""
    got, losses = minimise(
        lambda ps: optim.LBFGS(ps, max_iter=30, tolerance_change=1e-14, line_search_fn="strong_wolfe"),
        rosenbrock,
        [-1.2, 1.0],
        4,
    )
    np.testing.assert_allclose(got, [1.0, 1.0], atol=1e-5)
    assert losses[0] == pytest.approx(24.2)
    assert losses[-1] < 1e-8


def test_lbfgs_fits_a_logistic_regression() -> None:
    """E22: to the optimum, where the gradient is 0."""
    fc.manual_seed(0)
    model = nn.Linear(3, 2)
    x = fc.randn(40, 3)
    labels = (x[:, 0] + 0.5 * fc.randn(40) > 0).long()
    optimizer = optim.LBFGS(model.parameters(), max_iter=50, line_search_fn="strong_wolfe")
    closure = closure_of(optimizer, lambda: F.cross_entropy(model(x), labels))
    first = float(optimizer.step(closure))
    final = closure()
    assert final.item() < 0.6 * first
    assert max(float(p.grad.abs().max()) for p in model.parameters()) < 1e-3


def test_lbfgs_warns_about_noise_and_needs_a_closure() -> None:
    """E22: no source of noise."""
    fc.manual_seed(0)
    p = Parameter(fc.randn(20))
    optimizer = optim.LBFGS([p], max_iter=2)
    with pytest.warns(RuntimeWarning, match="full batch"):
        optimizer.step(closure_of(optimizer, lambda: (F.dropout(p, 0.5) ** 2).sum()))
    with pytest.raises(TypeError, match="closure"):
        optimizer.step()


@pytest.mark.parametrize("step", [1e-3, 1.0, 50.0])
def test_line_search_satisfies_the_strong_wolfe_conditions(step: float) -> None:
    def evaluate(t: float) -> tuple[float, float]:
        return (t - 2) ** 2 + math.sin(3 * t), 2 * (t - 2) + 3 * math.cos(3 * t)

    loss, slope = evaluate(0.0)
    t, count = strong_wolfe(evaluate, loss, slope, step)
    value, here = evaluate(t)
    assert value <= loss + 1e-4 * t * slope
    assert abs(here) <= 0.9 * abs(slope)
    assert count <= 25


def test_line_search_survives_infinite_losses() -> None:
    def evaluate(t: float) -> tuple[float, float]:
        return (math.inf, math.nan) if t > 1 else ((t - 0.5) ** 2, 2 * (t - 0.5))

    t, _ = strong_wolfe(evaluate, 0.25, -1.0, 64.0)
    assert 0 < t <= 1


def test_lbfgs_is_refused_in_a_recording() -> None:
    p = Parameter(fc.ones(3))
    optimizer = optim.LBFGS([p])
    captured = fc.capture(lambda x: optimizer.step(closure_of(optimizer, lambda: (p * p).sum())))
    captured(fc.ones(3))
    with pytest.raises(fc.CaptureError, match=r"LBFGS\.step"):
        captured(fc.ones(3))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda p: optim.LBFGS(p, lr=-1.0), "LBFGS: lr"),
        (lambda p: optim.LBFGS(p, line_search_fn="armijo"), "'armijo'"),
        (lambda p: optim.LBFGS([{"params": p}, {"params": [Parameter(fc.ones(1))]}]), "2 parameter groups"),
    ],
)
def test_options_are_checked(make: Callable[[list[Any]], Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make([Parameter(fc.ones(2, 2))])
