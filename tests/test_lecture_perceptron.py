"""Group A of the lectures: units, perceptrons, what they can and cannot separate, small networks."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastcnn as fc
from fastcnn import functional as F
from fastcnn import nn, optim
from fastcnn.train import Perceptron, fit_delta_rule, fit_perceptron
from fastcnn.train.perceptron import epoch_rate
from fastcnn.utils import make_grid, save_image

CORNERS = fc.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
AND, OR, XOR = (fc.tensor(y) for y in ([-1.0, -1.0, -1.0, 1.0], [-1.0, 1.0, 1.0, 1.0], [-1.0, 1.0, 1.0, -1.0]))


def perceptron(weight: list[float], bias: float) -> Perceptron:
    model = Perceptron(len(weight), dtype=fc.float64)
    model.weight.detach().copy_(fc.tensor(weight, dtype=fc.float64))
    model.bias.detach().fill_(bias)
    return model


def test_a_layer_of_units() -> None:
    """A1: W is m x n, y = f(W x + b)."""
    layer = nn.Linear(4, 3)
    assert layer.weight.shape == (3, 4)
    x = np.array([0.5, -1.0, 2.0, 0.25], np.float32)
    w, b = layer.weight.detach().numpy(), layer.bias.detach().numpy()
    naive = [max(0.0, sum(w[i, j] * x[j] for j in range(4)) + b[i]) for i in range(3)]
    np.testing.assert_allclose(F.relu(layer(fc.tensor(x))).detach().numpy(), naive, rtol=1e-5, atol=1e-6)


def test_bias_is_the_weight_of_a_constant_feature() -> None:
    """A2."""
    layer, x = nn.Linear(4, 3), fc.randn(5, 4)
    augmented = fc.cat([layer.weight.detach(), layer.bias.detach().reshape(3, 1)], dim=1)
    ones = F.linear(fc.cat([x, fc.ones(5, 1)], dim=1), augmented)
    np.testing.assert_allclose(ones.numpy(), layer(x).detach().numpy(), rtol=1e-5, atol=1e-6)


def test_bias_shifts_the_threshold() -> None:
    """A3: starts at 0 in the perceptron, and is learned."""
    fc.manual_seed(0)
    model = Perceptron(1)
    assert model.bias.item() == 0.0
    x = fc.tensor([[1.0], [2.0], [3.0], [4.0]])
    fit_perceptron(model, x, fc.tensor([-1.0, -1.0, 1.0, 1.0]))
    assert 2.0 < -model.bias.item() / model.weight.item() < 3.0


@pytest.mark.parametrize(("activation", "knee"), [(F.sigmoid, 2.0), (F.relu, -1.5)])
def test_bias_shifts_sigmoid_and_relu_along_the_axis(activation: Any, knee: float) -> None:
    """A3: y = g(x + b), a bias that starts at 0 and learns where the unit of the data switches."""
    x = fc.linspace(-6, 6, 121)
    target = activation(x - knee)
    bias = nn.Parameter(fc.zeros(1))
    assert bias.item() == 0.0
    optimizer = optim.Adam([bias], lr=0.05)
    for _ in range(200):
        optimizer.zero_grad()
        F.mse_loss(activation(x + bias), target).backward()
        optimizer.step()
    assert bias.item() == pytest.approx(-knee, abs=0.02)


def test_outputs_and_the_tie() -> None:
    """A4, A6: 1 where w x + b > 0, -1 elsewhere, so also at 0."""
    model = perceptron([1.0, -1.0], 0.0)
    x = fc.tensor([[2.0, 1.0], [1.0, 2.0], [3.0, 3.0]], dtype=fc.float64)
    assert model(x).tolist() == [1.0, -1.0, -1.0]


def test_learning_rate_decays_with_the_epoch() -> None:
    """A5: 1000 / (1000 + t)."""
    assert [round(epoch_rate(t), 6) for t in (0, 1, 1000)] == [1.0, 0.999001, 0.5]


def test_only_wrong_answers_change_the_weights() -> None:
    """A5: a right answer leaves them bit for bit; a wrong one adds alpha (y - y') x = 2 alpha y x."""
    x = fc.tensor([[2.0, -1.0]], dtype=fc.float64)
    model = perceptron([0.3, 0.1], 0.0)
    assert fit_perceptron(model, x, fc.tensor([1.0], dtype=fc.float64), epochs=1) == [0]
    assert model.weight.tolist() == [0.3, 0.1]
    assert fit_perceptron(model, x, fc.tensor([-1.0], dtype=fc.float64), epochs=1, rate=lambda t: 0.25) == [1]
    np.testing.assert_allclose(model.weight.tolist(), [0.3 - 0.5 * 2, 0.1 + 0.5])
    assert model.bias.item() == -0.5


@pytest.mark.parametrize("targets", [AND, OR])
def test_online_training_separates_and_and_or(targets: fc.Tensor) -> None:
    """A5, A8."""
    for seed in range(5):
        fc.manual_seed(seed)
        model = Perceptron(2)
        assert fit_perceptron(model, CORNERS, targets)[-1] == 0
        assert model(CORNERS).tolist() == targets.tolist()


def test_xor_is_not_separable() -> None:
    """A8: never all four, whatever the start; and no line does it."""
    for seed in range(3):
        fc.manual_seed(seed)
        model = Perceptron(2)
        assert min(fit_perceptron(model, CORNERS, XOR, epochs=200)) > 0
        assert model(CORNERS).tolist() != XOR.tolist()
    grid = np.linspace(-2, 2, 17)
    points = CORNERS.numpy()
    for a, b, c in itertools.product(grid, grid, grid):
        assert (np.where(points @ [a, b] + c > 0, 1.0, -1.0) != XOR.numpy()).any()


@pytest.mark.parametrize("hidden", [2, 8])
def test_a_hidden_layer_learns_xor(hidden: int) -> None:
    """A8, A14: two hidden units are enough, though not from every start."""
    fc.manual_seed(2)
    model = nn.Sequential(nn.Linear(2, hidden), nn.Tanh(), nn.Linear(hidden, 1))
    optimizer = optim.Adam(model.parameters(), lr=0.05)
    labels = ((XOR + 1) / 2).reshape(4, 1)
    for _ in range(200):
        optimizer.zero_grad()
        F.binary_cross_entropy_with_logits(model(CORNERS), labels).backward()
        optimizer.step()
    assert ((model(CORNERS).detach().numpy() > 0) == (labels.numpy() > 0.5)).all()


def test_a_line_as_weights() -> None:
    """A9, A12: y = m x + b as <m, b, -1>; the signs of a grid split along the line."""
    for m, b in ((1.0, 0.0), (0.5, -1.0)):
        model = perceptron([m, -1.0], b)
        x, y = np.meshgrid(np.linspace(-3, 3, 13), np.linspace(-3, 3, 13) + 0.01)
        points = np.stack([x.ravel(), y.ravel()], axis=1)
        below = points[:, 1] < m * points[:, 0] + b
        np.testing.assert_array_equal(model(fc.tensor(points)).numpy() > 0, below)
    assert perceptron([1.0, -1.0], 0.0)(fc.tensor([[2.0, 1.0], [1.0, 2.0]], dtype=fc.float64)).tolist() == [1.0, -1.0]


def test_many_solutions() -> None:
    """A10, A11: other starts end at other weights, all without errors; the same seed at the same ones."""

    def direction(seed: int) -> np.ndarray:
        fc.manual_seed(seed)
        model = Perceptron(2)
        assert fit_perceptron(model, CORNERS, AND)[-1] == 0
        w = model.weight.detach().numpy()
        return w / np.linalg.norm(w)

    assert np.abs(direction(1) - direction(2)).max() > 1e-3
    np.testing.assert_array_equal(direction(1), direction(1))


def test_an_epoch_is_one_pass() -> None:
    """A11: the epoch counter is that of the passes over all samples."""
    epochs: list[int] = []

    def rate(epoch: int) -> float:
        epochs.append(epoch)
        return epoch_rate(epoch)

    fc.manual_seed(4)
    errors = fit_perceptron(Perceptron(2), CORNERS, XOR, epochs=7, rate=rate)
    assert len(errors) == 7
    assert sorted(set(epochs)) == list(range(7))
    assert [epochs.count(e) for e in range(7)] == [2 * wrong for wrong in errors]  # asked for w and for b


def test_delta_rule_updates_once_per_epoch() -> None:
    """A7: the sum of the samples' terms with frozen weights; g' = 1 for the threshold."""
    x, y = np.array([[1.0, 2.0], [-1.0, 0.5], [0.3, -2.0]]), np.array([1.0, -1.0, 1.0])
    w, b = np.array([-0.2, 0.4]), 0.1
    model = perceptron(w.tolist(), b)
    losses = fit_delta_rule(model, fc.tensor(x), fc.tensor(y), epochs=1, rate=1.5)
    error = y - np.where(x @ w + b > 0, 1.0, -1.0)
    assert losses == [0.5 * (error**2).sum()]
    np.testing.assert_allclose(model.weight.detach().numpy(), w + 1.5 * error @ x)
    online = perceptron(w.tolist(), b)
    fit_perceptron(online, fc.tensor(x), fc.tensor(y), epochs=1, rate=lambda t: 1.5)
    assert np.abs(online.weight.detach().numpy() - model.weight.detach().numpy()).max() > 1e-3


def test_delta_rule_with_a_sigmoid_is_gradient_descent() -> None:
    """A7, B16: E = sum of (y - g)^2 / 2."""
    x, y = np.array([[1.0, 2.0], [-1.0, 0.5]]), np.array([1.0, 0.0])
    w = fc.tensor([0.3, -0.2], dtype=fc.float64, requires_grad=True)
    (((F.sigmoid((fc.tensor(x) * w).sum(dim=1) + 0.1) - fc.tensor(y)) ** 2).sum() / 2).backward()
    model = perceptron([0.3, -0.2], 0.1)

    def g(net: Any) -> Any:
        return 1 / (1 + np.exp(-net))

    fit_delta_rule(model, fc.tensor(x), fc.tensor(y), 1, 0.5, lambda net: g(net) * (1 - g(net)), g)
    assert w.grad is not None
    np.testing.assert_allclose(model.weight.detach().numpy(), [0.3, -0.2] - 0.5 * w.grad.numpy(), rtol=1e-12)


def test_delta_rule_solves_and() -> None:
    fc.manual_seed(0)
    model = Perceptron(2)
    assert fit_delta_rule(model, CORNERS, AND)[-1] == 0.0
    assert model(CORNERS).tolist() == AND.tolist()


def test_targets_are_checked_and_the_layer_describes_itself() -> None:
    with pytest.raises(ValueError, match="only 1 and -1"):
        fit_perceptron(Perceptron(2), CORNERS, fc.tensor([0.0, 1.0, 1.0, 0.0]))
    assert repr(Perceptron(2)) == "Perceptron(in_features=2)"


def test_more_hidden_units_fit_better() -> None:
    """A13: the training error does not rise from 1 to 3 to 20 units."""
    fc.manual_seed(0)
    x = fc.randn(60, 2)
    labels = (fc.sin(x[:, 0] * 3) + x[:, 1] > 0).long()
    errors = []
    for hidden in (1, 3, 20):
        best = 1.0
        for seed in range(2):
            fc.manual_seed(seed)
            model = nn.Sequential(nn.Linear(2, hidden), nn.Tanh(), nn.Linear(hidden, 2))
            optimizer = optim.Adam(model.parameters(), lr=0.05)
            for _ in range(250):
                optimizer.zero_grad()
                F.cross_entropy(model(x), labels).backward()
                optimizer.step()
            best = min(best, float((model(x).detach().numpy().argmax(1) != labels.numpy()).mean()))
        errors.append(best)
    assert errors[0] >= errors[1] >= errors[2]
    assert errors[2] < errors[0]


def test_2_2_1_network_in_closed_form() -> None:
    """A15."""
    fc.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 2, dtype=fc.float64), nn.Sigmoid(), nn.Linear(2, 1, dtype=fc.float64),
                          nn.Sigmoid())  # fmt: skip
    (a, b), (c,) = model[0].weight.detach().numpy(), model[2].weight.detach().numpy()
    d, e = model[0].bias.detach().numpy(), model[2].bias.detach().numpy()

    def g(t: Any) -> Any:
        return 1 / (1 + np.exp(-t))

    x1, x2 = 0.7, -1.3
    third, fourth = g(a[0] * x1 + a[1] * x2 + d[0]), g(b[0] * x1 + b[1] * x2 + d[1])
    expected = g(c[0] * third + c[1] * fourth + e[0])
    assert model(fc.tensor([[x1, x2]], dtype=fc.float64)).item() == pytest.approx(expected, abs=1e-12)


def test_rows_of_a_linear_classifier_are_templates(tmp_path: Path) -> None:
    """A16: a score is the inner product of image and template; the templates become a picture."""
    layer, image = nn.Linear(3 * 4 * 5, 10, bias=False), fc.randn(1, 3, 4, 5)
    templates = layer.weight.detach().numpy().reshape(10, 3, 4, 5)
    scores = layer(nn.Flatten()(image)).detach().numpy()[0]
    np.testing.assert_allclose(scores, (templates * image.numpy()).sum((1, 2, 3)), rtol=1e-4, atol=1e-5)
    save_image(fc.tensor(templates), tmp_path / "templates.png", nrow=5, normalize=True)
    assert (tmp_path / "templates.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    grid = make_grid(fc.tensor(templates), nrow=5, padding=1, normalize=True).numpy()
    scaled = (templates - templates.min()) / (templates.max() - templates.min())
    np.testing.assert_allclose(grid[:, 1:5, 1:6], scaled[0], atol=1e-6)
    np.testing.assert_allclose(grid[:, 6:10, 25:30], scaled[9], atol=1e-6)


def test_two_layer_relu_network() -> None:
    """A17: W2 max(0, W1 x), a bank of templates: the rows of W1 are images."""
    model, x = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3)), fc.randn(4, 6)
    w, b, v, c = (p.detach().numpy() for p in model.parameters())
    np.testing.assert_allclose(model(x).detach().numpy(), np.maximum(0, x.numpy() @ w.T + b) @ v.T + c, atol=1e-5)
    bank = make_grid(fc.tensor(w.reshape(5, 1, 2, 3)), padding=0, normalize=True).numpy()
    scaled = (w - w.min()) / (w.max() - w.min())
    np.testing.assert_allclose(bank[0], np.concatenate(list(scaled.reshape(5, 2, 3)), axis=1), atol=1e-6)


def test_two_linear_layers_are_one() -> None:
    """A18."""
    first, second, x = nn.Linear(6, 5, bias=False), nn.Linear(5, 3, bias=False), fc.randn(4, 6)
    product = fc.matmul(second.weight.detach(), first.weight.detach())
    np.testing.assert_allclose(F.linear(x, product).numpy(), second(first(x)).detach().numpy(), atol=1e-5)


def test_pixels_stretch_into_a_column() -> None:
    """A19."""
    assert nn.Flatten()(fc.tensor([[[56.0, 231.0], [24.0, 2.0]]])).tolist() == [[56.0, 231.0, 24.0, 2.0]]
    assert nn.Flatten()(fc.zeros(1, 3, 32, 32)).shape == (1, 3072)


def test_minibatch_is_a_matrix() -> None:
    """A20: S = X W^T, dW = dS^T X, dX = dS W."""
    fc.manual_seed(0)
    w, x, g = fc.randn(3, 4, requires_grad=True), fc.randn(5, 4, requires_grad=True), fc.randn(5, 3)
    s = F.linear(x, w)
    for i in range(5):
        np.testing.assert_allclose(s.detach().numpy()[i], F.linear(x.detach()[i], w.detach()).numpy(), atol=1e-6)
    s.backward(g)
    assert w.grad is not None
    assert x.grad is not None
    np.testing.assert_allclose(w.grad.numpy(), g.numpy().T @ x.detach().numpy(), atol=1e-5)
    np.testing.assert_allclose(x.grad.numpy(), g.numpy() @ w.detach().numpy(), atol=1e-5)


def test_diamond_sums_its_gradients() -> None:
    """A21: a graph without cycles, one value used twice."""
    x = fc.tensor([3.0], requires_grad=True)
    a = x * 2
    (a * a + a).sum().backward()
    assert x.grad is not None
    assert x.grad.item() == 2 * (2 * 6 + 1)


def test_graphs_have_no_cycles() -> None:
    """A21: a value that is written into its own input is rejected, and every call reads only what was made before."""
    x = fc.tensor([3.0], requires_grad=True)
    y = x * 2
    with pytest.raises(RuntimeError, match="in-place changes are not recorded"):
        x.mul_(y)
    out = fc.tanh(y * y + y)
    waiting = [out._node]
    while waiting:
        node = waiting.pop()
        sources = [edge[0] for edge in node.edges if isinstance(edge, tuple)]
        assert all(source.sequence < node.sequence for source in sources)
        waiting += sources
