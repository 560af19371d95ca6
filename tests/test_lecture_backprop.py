"""The worked backpropagation examples of the lectures, number by number, through fastcnn's own autograd in float64."""

from __future__ import annotations

import numpy as np
import pytest

import fastcnn as fc

PRINTED = 5e-5  # the lectures print four decimals


def parameter(values: object) -> fc.Tensor:
    return fc.tensor(np.asarray(values, np.float64), requires_grad=True)


def gradient(tensor: fc.Tensor) -> np.ndarray:
    assert tensor.grad is not None
    return tensor.grad.numpy()


def test_three_node_graph() -> None:
    """f = (x + y) z at x = -2, y = 5, z = -4."""
    x, y, z = parameter(-2.0), parameter(5.0), parameter(-4.0)
    q = x + y
    q.retain_grad()
    f = q * z
    f.backward()
    assert (q.item(), f.item()) == (3.0, -12.0)
    assert [gradient(t).item() for t in (q, z, x, y)] == [-4.0, 3.0, -4.0, -4.0]


class TwoLayers:
    """Two inputs, two sigmoid hidden units, two sigmoid outputs; loss sum of (target - output)^2 / 2."""

    inputs = fc.tensor([0.05, 0.10], dtype=fc.float64)
    target = fc.tensor([0.01, 0.99], dtype=fc.float64)

    def __init__(
        self, hidden: list[list[float]], out: list[list[float]], b_hidden: float = 0.35, b_out: float = 0.60
    ) -> None:
        self.hidden, self.out = parameter(hidden), parameter(out)  # (unit, source)
        self.b_hidden, self.b_out = parameter([0.35] * 2), parameter([0.60] * 2)
        self.parameters = [self.hidden, self.out, self.b_hidden, self.b_out]

    def forward(self) -> tuple[fc.Tensor, fc.Tensor, fc.Tensor]:
        """(hidden activations, outputs, loss per output)."""
        h = fc.sigmoid(fc.mv(self.hidden, self.inputs) + self.b_hidden)
        out = fc.sigmoid(fc.mv(self.out, h) + self.b_out)
        return h, out, 0.5 * (self.target - out) ** 2

    def loss(self) -> fc.Tensor:
        return self.forward()[2].sum()

    def step(self, rate: float, parameters: list[fc.Tensor]) -> None:
        """Plain gradient descent: all gradients first, then all updates."""
        for p in self.parameters:
            p.grad = None
        self.loss().backward()
        for p in parameters:
            p.detach().numpy()[...] -= rate * gradient(p)
            p._data.bump_version()


# The lecture's weights are in a lost figure. Its forward numbers follow from LECTURE; its backward numbers use 0.5 for
# w7, which is WITH_HALF (the forward numbers agree to four decimals).
HIDDEN = [[0.15, 0.25], [0.20, 0.30]]
LECTURE = [[0.40, 0.50], [0.45, 0.55]]
WITH_HALF = [[0.40, 0.50], [0.50, 0.50]]


def test_step_by_step_forward() -> None:
    h, out, losses = TwoLayers(HIDDEN, LECTURE).forward()
    assert h.detach().numpy()[0] == pytest.approx(0.5945, abs=PRINTED)
    np.testing.assert_allclose(out.detach().numpy(), [0.7569, 0.7677], atol=PRINTED)
    np.testing.assert_allclose(losses.detach().numpy(), [0.2790, 0.0247], atol=PRINTED)
    assert losses.sum().item() == pytest.approx(0.3037, abs=PRINTED)


@pytest.mark.parametrize(
    ("out", "before", "after"), [(LECTURE, 0.303658314, 0.285877), (WITH_HALF, 0.303661895, 0.285879)]
)
def test_step_by_step_loss_before_and_after_one_update(out: list[list[float]], before: float, after: float) -> None:
    net = TwoLayers(HIDDEN, out)
    assert net.loss().item() == pytest.approx(before, abs=5e-10)
    net.step(0.5, net.parameters)
    assert net.loss().item() == pytest.approx(after, abs=5e-7)


def test_step_by_step_w5() -> None:
    net = TwoLayers(HIDDEN, LECTURE)
    h, out, losses = net.forward()
    out.retain_grad()
    losses.sum().backward()
    o1, h1 = out.detach().numpy()[0], h.detach().numpy()[0]
    assert gradient(out)[0] == pytest.approx(0.7469, abs=PRINTED)
    assert o1 * (1 - o1) == pytest.approx(0.1840, abs=PRINTED)
    assert h1 == pytest.approx(0.5945, abs=PRINTED)
    assert gradient(net.out)[0, 0] == pytest.approx(0.081696, abs=5e-7)
    net.step(0.5, net.parameters)
    assert net.out.detach().numpy()[0, 0] == pytest.approx(0.359152, abs=5e-7)


def test_step_by_step_w1() -> None:
    net = TwoLayers(HIDDEN, WITH_HALF)
    h, out, losses = net.forward()
    h.retain_grad()
    out.retain_grad()
    losses.sum().backward()
    o, h1 = out.detach().numpy(), h.detach().numpy()[0]
    delta = gradient(out) * o * (1 - o)  # dE/dnet of the outputs
    assert gradient(out)[1] == pytest.approx(-0.2223, abs=PRINTED)
    assert o[1] * (1 - o[1]) == pytest.approx(0.1783, abs=PRINTED)
    assert delta[0] * 0.40 == pytest.approx(0.0550, abs=PRINTED)
    assert delta[1] * 0.50 == pytest.approx(-0.0198, abs=PRINTED)
    assert gradient(h)[0] == pytest.approx(0.03515, abs=5e-6)  # printed as 0.0550 - 0.0198 = 0.0352
    assert h1 * (1 - h1) == pytest.approx(0.2411, abs=PRINTED)
    assert gradient(net.hidden)[0, 0] == pytest.approx(0.00042367, abs=5e-9)
    net.step(0.5, net.parameters)
    assert net.hidden.detach().numpy()[0, 0] == pytest.approx(0.1498, abs=PRINTED)


def test_step_by_step_w1_with_the_weights_of_the_forward_pass() -> None:
    net = TwoLayers(HIDDEN, LECTURE)
    h, _, losses = net.forward()
    h.retain_grad()
    losses.sum().backward()
    assert gradient(net.out)[1, 0] / h.detach().numpy()[0] * 0.45 == pytest.approx(-0.0178, abs=PRINTED)
    assert gradient(h)[0] == pytest.approx(0.0371, abs=PRINTED)
    assert gradient(net.hidden)[0, 0] == pytest.approx(0.00044758, abs=5e-9)


def test_delta_of_an_output_is_reused_for_all_its_weights() -> None:
    """B16: delta = dE/dnet, and dE/dw of every weight into the unit is delta times that weight's source."""
    net = TwoLayers(HIDDEN, LECTURE)
    h, out, losses = net.forward()
    out.retain_grad()
    losses.sum().backward()
    o, sources = out.detach().numpy(), h.detach().numpy()
    delta = gradient(out) * o * (1 - o)
    assert delta[0] == pytest.approx(0.1374, abs=PRINTED)
    np.testing.assert_allclose(gradient(net.out), np.outer(delta, sources), rtol=1e-12)
    np.testing.assert_allclose(gradient(net.b_out), delta, rtol=1e-12)


def test_backprop_exercise_with_a_negative_rate() -> None:
    """B10: input (1.0, 0.1), target 0.5, half the squared error, theta + eta gradient with eta = -0.2.

    The network is in a lost figure; ours has two sigmoid units with weights (0.2, -0.3) and (0.4, 0.1), joined by
    weights (0.5, -0.4) in a linear output, and no biases.
    """
    from fastcnn import optim

    x, target = fc.tensor([1.0, 0.1], dtype=fc.float64), 0.5
    updated = []
    for how in ("plus", "sgd"):
        w, v = parameter([[0.2, -0.3], [0.4, 0.1]]), parameter([0.5, -0.4])
        hidden = fc.sigmoid(fc.mv(w, x))
        y = (v * hidden).sum()
        (0.5 * (y - target) ** 2).backward()
        assert f"{y.item():.2f}" == "0.03"
        assert [f"{g:.2f}" for g in gradient(v)] == ["-0.25", "-0.28"]
        assert [f"{g:.2f}" for g in gradient(w)[:, 0]] == ["-0.06", "0.05"]
        if how == "plus":
            with fc.no_grad():
                w += -0.2 * w.grad
                v += -0.2 * v.grad
        else:
            optim.SGD([w, v], lr=0.2).step()
        updated.append(np.concatenate([w.detach().numpy().ravel(), v.detach().numpy()]))
    np.testing.assert_allclose(updated[0], updated[1], rtol=1e-15)
    assert [f"{value:.2f}" for value in updated[0]] == ["0.21", "-0.30", "0.39", "0.10", "0.55", "-0.34"]
    after = updated[0][4:] @ (1 / (1 + np.exp(-updated[0][:4].reshape(2, 2) @ x.numpy())))
    assert abs(after - target) < abs(0.03 - target)


def test_hidden_gradients_use_the_old_output_weights() -> None:
    net = TwoLayers(HIDDEN, LECTURE)
    net.loss().backward()
    with fc.no_grad():  # updating w5 to w8 first ...
        net.out -= 0.5 * net.out.grad
    assert gradient(net.hidden)[0, 0] == pytest.approx(0.00044758, abs=5e-9)  # ... leaves dE/dw1 as it was,
    changed = TwoLayers(HIDDEN, net.out.detach().numpy().tolist())
    changed.loss().backward()
    assert abs(gradient(changed.hidden)[0, 0] - 0.00044758) > 1e-5  # though the new weights would give another
    together, one_by_one = TwoLayers(HIDDEN, LECTURE), TwoLayers(HIDDEN, LECTURE)
    together.step(0.5, together.parameters)
    one_by_one.step(0.5, [one_by_one.out])
    one_by_one.step(0.5, [one_by_one.hidden])
    assert together.hidden.detach().numpy()[0, 0] != one_by_one.hidden.detach().numpy()[0, 0]


def test_source_blog_network() -> None:
    """The network the lecture's example is drawn from, with weight-only steps."""
    net = TwoLayers([[0.15, 0.20], [0.25, 0.30]], [[0.40, 0.45], [0.50, 0.55]])
    weights = [net.hidden, net.out]
    _, out, losses = net.forward()
    assert losses.sum().item() == pytest.approx(0.298371109, abs=5e-10)
    np.testing.assert_allclose(out.detach().numpy(), [0.75136507, 0.77292847], atol=5e-9)
    net.step(0.5, weights)
    assert net.out.detach().numpy()[0, 0] == pytest.approx(0.35891648, abs=5e-9)
    assert net.hidden.detach().numpy()[0, 0] == pytest.approx(0.14978072, abs=5e-9)
    assert net.loss().item() == pytest.approx(0.291027774, abs=5e-10)
    for _ in range(9_999):
        net.step(0.5, weights)
    assert net.loss().item() == pytest.approx(3.510e-5, abs=5e-9)


GRID = np.array([[a, b] for a in (-1.0, 0.0, 1.0) for b in (-1.0, 0.0, 1.0)])
GRID_TARGET = np.abs(GRID[:, 0] + 1.1 * GRID[:, 1])


def relu_regression(first: list[list[float]], second: list[float]) -> tuple[fc.Tensor, ...]:
    """(z, y, first-layer weights, second-layer weights) of y = w31 relu(w1 . x) + w32 relu(w2 . x) on the grid."""
    w, w3 = parameter(first), parameter(second)
    z = fc.matmul(fc.tensor(GRID), w.transpose(0, 1))
    return z, fc.mv(fc.relu(z), w3), w, w3


@pytest.mark.parametrize(
    ("first", "second", "grad_first", "grad_second"),
    [
        ([[-1.0, -1.0], [1.0, 1.0]], [1.0, 1.0], [[-0.1, -0.2], [0.1, 0.2]], [0.3, 0.3]),
        ([[-100.0, -100.0], [100.0, 100.0]], [0.01, 0.01], [[-0.001, -0.002], [0.001, 0.002]], [30.0, 30.0]),
    ],
    ids=["well-scaled", "badly-scaled"],
)
def test_relu_regression(
    first: list[list[float]], second: list[float], grad_first: list[list[float]], grad_second: list[float]
) -> None:
    """Outputs, losses and the table of negative gradients (of half the squared error, summed over the nine rows)."""
    target = fc.tensor(GRID_TARGET)
    _, y, w, w3 = relu_regression(first, second)
    np.testing.assert_allclose(y.detach().numpy(), [2, 1, 0, 1, 0, 1, 0, 1, 2], atol=1e-13)
    losses = fc.functional.mse_loss(y, target, reduction="none")
    np.testing.assert_allclose(np.sort(losses.detach().numpy())[3:], 0.01, atol=1e-13)
    assert losses.sum().item() == pytest.approx(0.06)
    (losses.sum() * 0.5).backward(retain_graph=True)
    np.testing.assert_allclose(-gradient(w), grad_first, atol=1e-12)
    np.testing.assert_allclose(-gradient(w3), grad_second, atol=1e-12)
    w.grad = w3.grad = None
    losses.sum().backward()  # without the half, as the loss column is written: twice the table
    np.testing.assert_allclose(-gradient(w), 2 * np.array(grad_first), atol=1e-12)
    np.testing.assert_allclose(-gradient(w3), 2 * np.array(grad_second), atol=1e-12)


def test_badly_scaled_relu_regression_row_by_row() -> None:
    z, y, _, w3 = relu_regression([[-100.0, -100.0], [100.0, 100.0]], [0.01, 0.01])
    np.testing.assert_allclose(z.detach().numpy()[:2], [[200, -200], [100, -100]])
    rows = []
    for row in range(9):
        w3.grad = None
        upstream = np.zeros(9)
        upstream[row] = y.detach().numpy()[row] - GRID_TARGET[row]
        y.backward(fc.tensor(upstream), retain_graph=True)
        rows.append(gradient(w3)[0])
    np.testing.assert_allclose(rows, [-20, 0, 0, -10, 0, 0, 0, 0, 0], atol=1e-11)


def test_scaling_swaps_the_sizes_of_the_gradients() -> None:
    gradients = []
    for first, second in (([[-1.0, -1.0], [1.0, 1.0]], [1.0, 1.0]), ([[-100.0] * 2, [100.0] * 2], [0.01, 0.01])):
        _, y, w, w3 = relu_regression(first, second)
        ((y - fc.tensor(GRID_TARGET)) ** 2).sum().backward()
        gradients.append((gradient(w), gradient(w3)))
    np.testing.assert_allclose(gradients[0][0] / gradients[1][0], 100.0)
    np.testing.assert_allclose(gradients[0][1] / gradients[1][1], 0.01)
