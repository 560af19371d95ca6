"""Group B of the lectures beyond the worked numbers: layers with two inputs, sums over samples and over pixels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastcnn as fc
from fastcnn import functional as F
from fastcnn import nn

RNG = np.random.default_rng(0)


def check(model: nn.Module | Callable[[Any], Any], x: np.ndarray, num_checks: int = 10) -> float:
    """Largest relative error of the gradients by input and parameters, against central differences at random places."""
    weights = None
    parameters = [p for p in model.parameters() if p.requires_grad] if isinstance(model, nn.Module) else []

    def cost(input: Any) -> Any:
        nonlocal weights
        y = model(input)
        if weights is None:
            weights = fc.tensor(np.random.default_rng(1).uniform(0.5, 1.5, y.shape) * (-1.0) ** np.arange(y.shape[-1]))
        return (y * weights).sum()

    leaf = fc.tensor(x, requires_grad=True)
    cost(leaf).backward()
    worst = float(fc.grad_check_sparse(cost, fc.tensor(x), leaf.grad, num_checks).max())
    for p in parameters:
        kept = p.detach().clone()

        def of_parameter(values: Any, p: Any = p) -> Any:
            p.detach().copy_(values)
            return cost(fc.tensor(x))

        worst = max(worst, float(fc.grad_check_sparse(of_parameter, kept, p.grad, num_checks).max()))
        p.detach().copy_(kept)
    return worst


IMAGE, ROWS = RNG.normal(size=(2, 4, 6, 5)), RNG.normal(size=(5, 6))
LINE, VOLUME = RNG.normal(size=(2, 4, 9)), RNG.normal(size=(2, 4, 3, 4, 5))
LAYERS: dict[str, tuple[Callable[[], nn.Module], np.ndarray]] = {
    "Linear": (lambda: nn.Linear(6, 3), ROWS),
    "Conv1d": (lambda: nn.Conv1d(4, 3, 3, 2), LINE),
    "Conv2d": (lambda: nn.Conv2d(4, 6, 3, (2, 1), 1, groups=2), IMAGE),
    "Conv3d": (lambda: nn.Conv3d(4, 2, 2), VOLUME),
    "ConvTranspose2d": (lambda: nn.ConvTranspose2d(4, 3, 3, 2), IMAGE),
    "LocallyConnected2d": (lambda: nn.LocallyConnected2d(4, 3, (6, 5), 3), IMAGE),
    "BatchNorm1d": (lambda: nn.BatchNorm1d(6), ROWS),
    "BatchNorm2d": (lambda: nn.BatchNorm2d(4), IMAGE),
    "LayerNorm": (lambda: nn.LayerNorm(6), ROWS),
    "GroupNorm": (lambda: nn.GroupNorm(2, 4), IMAGE),
    "InstanceNorm2d": (lambda: nn.InstanceNorm2d(4, affine=True), IMAGE),
    "LocalResponseNorm": (lambda: nn.LocalResponseNorm(3, alpha=0.1), IMAGE),
    "LocalContrastNorm": (lambda: nn.LocalContrastNorm(), IMAGE),
    "MaxPool2d": (lambda: nn.MaxPool2d(2), IMAGE),
    "AvgPool2d": (lambda: nn.AvgPool2d(3, 2), IMAGE),
    "SumPool2d": (lambda: nn.SumPool2d(2), IMAGE),
    "SpatialPyramidPool2d": (lambda: nn.SpatialPyramidPool2d(), IMAGE),
    "BlurPool": (lambda: nn.BlurPool(3), IMAGE),
    "RBF": (lambda: nn.RBF(6, 3), ROWS),
    "Maxout": (lambda: nn.Maxout(2), ROWS),
    "PReLU": (lambda: nn.PReLU(4), IMAGE),
    "Flatten": (lambda: nn.Flatten(), IMAGE),
} | {
    name: (getattr(nn, name), ROWS)
    for name in ("Sigmoid", "Tanh", "ReLU", "LeakyReLU", "ELU", "SELU", "GELU", "SiLU", "Mish", "Softplus", "Hardswish")
} | {"Softmax": (lambda: nn.Softmax(1), ROWS), "LogSoftmax": (lambda: nn.LogSoftmax(1), ROWS)}  # fmt: skip


@pytest.mark.parametrize("name", LAYERS)
def test_every_layer_passes_the_sparse_gradient_check(name: str) -> None:
    """B2, B6, B25, B26: dX and dW of every layer, relative errors below 1e-5 in float64."""
    build, x = LAYERS[name]
    assert check(build().double(), x) < 1e-5


def test_the_sparse_gradient_check_catches_a_planted_sign() -> None:
    """B26."""
    layer = nn.Linear(6, 3).double()
    x = fc.tensor(ROWS)
    for p in layer.parameters():
        p.grad = None
    F.tanh(layer(x)).sum().backward()
    gradient = layer.weight.grad
    kept = layer.weight.detach().clone()

    def cost(w: Any) -> Any:
        return F.tanh(F.linear(x, w, layer.bias)).sum()

    assert fc.grad_check_sparse(cost, kept, gradient, num_checks=10, h=1e-7).max() < 1e-5
    assert fc.grad_check_sparse(cost, kept, -gradient, num_checks=10, h=1e-7).min() > 0.99


def test_numerical_gradient_is_a_limit() -> None:
    """B25: (f(x + h) - f(x)) / h approaches the analytic gradient like h, central differences like h^2."""
    x = fc.tensor([0.7], dtype=fc.float64, requires_grad=True)
    F.sigmoid(x).sum().backward()
    analytic = x.grad.item()

    def f(x: float) -> float:
        return F.sigmoid(fc.tensor([x], dtype=fc.float64)).item()

    one_sided = [abs((f(0.7 + h) - f(0.7)) / h - analytic) for h in (1e-2, 1e-3)]
    central = [abs((f(0.7 + h) - f(0.7 - h)) / (2 * h) - analytic) for h in (1e-2, 1e-3)]
    assert one_sided[0] / one_sided[1] == pytest.approx(10, rel=0.02)
    assert central[0] / central[1] == pytest.approx(100, rel=0.02)
    assert central[1] < 1e-7


def test_layers_compose() -> None:
    """B3: x_i = F_i(x_{i-1}, W_i), one after another; E is the sum of the samples' costs."""
    first, second = nn.Linear(6, 4).double(), nn.Linear(4, 3).double()
    model = nn.Sequential(first, nn.Tanh(), second)
    x, y = fc.tensor(ROWS), fc.tensor(RNG.normal(size=(5, 3)))
    by_hand = second(F.tanh(first(x)))
    np.testing.assert_array_equal(model(x).detach().numpy(), by_hand.detach().numpy())
    costs = [F.half_square_loss(model(x[i : i + 1]), y[i : i + 1], "sum").item() for i in range(5)]
    assert F.half_square_loss(model(x), y, "sum").item() == pytest.approx(sum(costs), rel=1e-12)
    assert F.half_square_loss(model(x), y).item() == pytest.approx(sum(costs) / 5, rel=1e-12)


def test_energy_gradient_is_the_sum_over_samples() -> None:
    """B27: dE/dtheta = sum over m of dC/dtheta."""
    model = nn.Sequential(nn.Linear(6, 4), nn.Sigmoid(), nn.Linear(4, 2)).double()
    x, y = fc.tensor(ROWS), fc.tensor(RNG.normal(size=(5, 2)))

    def gradients(rows: Any) -> list[np.ndarray]:
        model.zero_grad()
        F.half_square_loss(model(x[rows]), y[rows], "sum").backward()
        return [p.grad.numpy().copy() for p in model.parameters()]

    singles = [gradients(slice(i, i + 1)) for i in range(5)]
    for whole, *parts in zip(gradients(slice(None)), *singles, strict=True):
        np.testing.assert_allclose(whole, sum(parts), rtol=1e-12, atol=1e-15)


def test_pointwise_module() -> None:
    """B7: x_out = h(x_in + b): both gradients are dC/dx_out h'(x_in + b), the bias's summed over the batch."""
    x, b = fc.tensor(ROWS, requires_grad=True), fc.tensor(RNG.normal(size=6), requires_grad=True)
    upstream = RNG.normal(size=(5, 6))
    F.tanh(x + b).backward(fc.tensor(upstream))
    expected = upstream * (1 - np.tanh(ROWS + b.detach().numpy()) ** 2)
    np.testing.assert_allclose(x.grad.numpy(), expected, rtol=1e-12)
    np.testing.assert_allclose(b.grad.numpy(), expected.sum(0), rtol=1e-12)
    one = fc.tensor(ROWS[:1], requires_grad=True)
    b.grad = None
    F.tanh(one + b).backward(fc.tensor(upstream[:1]))
    np.testing.assert_array_equal(one.grad.numpy()[0], b.grad.numpy())


def test_gradient_of_a_shared_weight_is_a_sum_over_positions() -> None:
    """B28: every position of a convolution adds its outer product of upstream gradient and patch (im2col)."""
    conv = nn.Conv2d(4, 3, (3, 2), bias=False).double()
    upstream = RNG.normal(size=(2, 3, 4, 4))
    conv(fc.tensor(IMAGE)).backward(fc.tensor(upstream))
    total = np.zeros(conv.weight.shape)
    for n, y, x in np.ndindex(2, 4, 4):
        total += np.einsum("o,chw->ochw", upstream[n, :, y, x], IMAGE[n, :, y : y + 3, x : x + 2])
    np.testing.assert_allclose(conv.weight.grad.numpy(), total, rtol=1e-12)
    columns = F.unfold(fc.tensor(IMAGE), (3, 2)).numpy()  # (N, C kH kW, positions)
    product = np.einsum("nop,nkp->ok", upstream.reshape(2, 3, 16), columns)
    np.testing.assert_allclose(conv.weight.grad.numpy().reshape(3, -1), product, rtol=1e-12)
