"""Group C of the lectures: activation functions, saturation, dying units, sparsity."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastcnn as fc
from fastcnn import functional as F
from fastcnn import nn, optim


def slope(function: Any, x: float) -> float:
    t = fc.tensor([x], dtype=fc.float64, requires_grad=True)
    function(t).sum().backward()
    assert t.grad is not None
    return float(t.grad.item())


def test_sigmoid() -> None:
    """C1, C12: 1/2 and slope 1/4 at 0, stable at 1e4, flat far out."""
    assert F.sigmoid(fc.tensor([0.0, 1e4, -1e4])).tolist() == [0.5, 1.0, 0.0]
    assert slope(F.sigmoid, 0.0) == 0.25
    assert slope(F.sigmoid, 10.0) == pytest.approx(4.54e-5, rel=1e-3)
    y = F.sigmoid(fc.tensor([0.3], dtype=fc.float64)).item()
    assert slope(F.sigmoid, 0.3) == pytest.approx(y * (1 - y))


def test_tanh_is_a_stretched_sigmoid() -> None:
    """C2."""
    x = fc.linspace(-4, 4, 41)
    np.testing.assert_allclose(F.tanh(x).numpy(), 2 * F.sigmoid(2 * x).numpy() - 1, atol=1e-6)
    assert slope(F.tanh, 0.7) == pytest.approx(1 - np.tanh(0.7) ** 2)
    above, below = (F.tanh(fc.tensor([at], dtype=fc.float64)).item() for at in (0.7 + 1e-5, 0.7 - 1e-5))
    assert slope(F.tanh, 0.7) == pytest.approx((above - below) / 2e-5, rel=1e-8)


def test_rectifiers() -> None:
    """C3, C4, C5, C6, C16: slopes of relu, leaky relu, prelu and the identity."""
    assert [slope(F.relu, x) for x in (-1.0, 0.0, 1.0, 100.0)] == [0.0, 0.0, 1.0, 1.0]
    assert F.leaky_relu(fc.tensor([-1.0, 2.0])).numpy().tolist() == [np.float32(-0.01), 2.0]
    layer = nn.PReLU(2)
    assert layer.weight.tolist() == [0.25, 0.25]
    x = fc.tensor([[-2.0, 3.0], [-1.0, -4.0]])
    layer(x).backward(fc.tensor([[1.0, 1.0], [10.0, 100.0]]))
    assert layer.weight.grad is not None
    assert layer.weight.grad.tolist() == [-2.0 - 10.0, -400.0]
    assert nn.Identity()(x) is x
    assert slope(nn.Identity(), -3.0) == 1.0
    pixels = nn.PReLU(2)
    pixels(fc.tensor([[[[-1.0, -2.0]], [[-3.0, 4.0]]]])).backward(fc.ones(1, 2, 1, 2))  # one slope per channel
    assert pixels.weight.grad is not None
    assert pixels.weight.grad.tolist() == [-3.0, -3.0]


def test_softmax_as_an_activation() -> None:
    """C7: rows sum to 1, the Jacobian is diag(p) - p p^T."""
    x = fc.tensor([[0.3, -1.0, 2.0]], dtype=fc.float64)
    p = F.softmax(x, 1).numpy()[0]
    assert p.sum() == pytest.approx(1.0)
    for i in range(3):
        t = x.detach().clone().requires_grad_(True)
        F.softmax(t, 1)[0, i].backward()
        assert t.grad is not None
        np.testing.assert_allclose(t.grad.numpy()[0], (np.diag(p) - np.outer(p, p))[i], atol=1e-12)


def test_sign_has_no_gradient_and_threshold_passes_it_above() -> None:
    """C8: the derivative of the step is 0 wherever it exists; documented in `fastcnn.sign`."""
    assert fc.sign(fc.tensor([-2.0, 0.0, 3.0])).tolist() == [-1.0, 0.0, 1.0]
    assert slope(fc.sign, 1.0) == 0.0
    assert slope(lambda x: F.threshold(x, 0.5, 0.0), 1.0) == 1.0
    assert slope(lambda x: F.threshold(x, 0.5, 0.0), 0.2) == 0.0


def test_models_end_in_logits() -> None:
    """C10: no model ends in an activation; the scores are neither positive nor normalised."""
    activations = {"Softmax", "LogSoftmax", "Sigmoid", "Tanh", "ReLU", "SiLU", "Hardswish", "ScaledTanh"}
    for name in ("alexnet_2012", "classic_cnn", "densenet40", "efficientnet_b0", "googlenet", "inception_v3", "lenet5",
                 "lenet5_sigmoid", "mlp", "mobilenet_v2", "mobilenet_v3_small", "nin_cifar", "perceptron", "resnet18",
                 "resnet20", "squeezenet1_1", "vgg11"):  # fmt: skip
        entry = fc.models.model_entry(name)
        with nn.init.skip():
            layers = fc.models.summarize(fc.models.create_model(name), entry.input_shape).layers
        kinds = [layer.kind for layer in layers if layer.kind not in ("AdaptiveAvgPool2d", "Flatten", "Dropout")]
        # Network in Network and SqueezeNet have a ReLU before they average their score maps, as published.
        assert kinds[-1] == "ReLU" if name.startswith(("nin", "squeezenet")) else kinds[-1] not in activations, name
    fc.manual_seed(0)
    logits = fc.models.create_model("lenet5").eval()(fc.randn(4, 1, 28, 28)).detach().numpy()
    assert (logits < 0).any()
    assert np.abs(logits.sum(1) - 1).min() > 1e-3


def test_activation_after_every_element_of_a_feature_map() -> None:
    """C11: on each element independently, one bias per map; fused into the convolution or not."""
    fc.manual_seed(0)
    x, w, b = fc.randn(2, 3, 7, 6), fc.randn(4, 3, 3, 3), fc.randn(4)
    fused = F.conv2d(x, w, b, activation="relu").numpy()
    plain = F.conv2d(x, w, b).numpy()
    np.testing.assert_array_equal(fused, np.maximum(plain, 0))
    unbiased = F.conv2d(x, w).numpy()
    np.testing.assert_allclose(plain - unbiased, np.broadcast_to(b.numpy()[:, None, None], plain.shape), atol=2e-6)
    for layer, function in ((nn.Sigmoid(), lambda v: 1 / (1 + np.exp(-v))), (nn.Tanh(), np.tanh), (nn.ReLU(),
                            lambda v: np.maximum(v, 0))):  # fmt: skip
        np.testing.assert_allclose(layer(F.conv2d(x, w, b)).numpy(), function(plain.astype(np.float64)), atol=1e-6)


def gradient_ratio(activation: Any) -> float:
    """Norm of the first layer's gradient relative to the last hidden one's, 10 layers."""
    fc.manual_seed(0)
    layers: list[nn.Module] = []
    for _ in range(10):
        linear = nn.Linear(32, 32)
        nn.init.kaiming_normal_(linear.weight, nonlinearity="relu")
        layers += [linear, activation()]
    model = nn.Sequential(*layers)
    model(fc.randn(16, 32)).square().mean().backward()
    first, last = layers[0], layers[-2]
    return float(first.weight.grad.norm().item() / last.weight.grad.norm().item())  # type: ignore[operator]


def test_gradients_vanish_behind_sigmoids() -> None:
    """C13."""
    assert gradient_ratio(nn.Sigmoid) < 1e-3
    assert gradient_ratio(nn.ReLU) > 0.05


def test_dead_units() -> None:
    """C14: a large negative bias kills relu units for ever, leaky ones stay alive."""
    fc.manual_seed(0)
    layer, x = nn.Linear(8, 64), fc.randn(100, 8)
    nn.init.constant_(layer.bias, -50.0)
    for function, dead in ((F.relu, 1.0), (F.leaky_relu, 0.0)):
        layer.zero_grad()
        function(layer(x)).sum().backward()
        assert layer.weight.grad is not None
        assert (layer.weight.grad.numpy() == 0).all(axis=1).mean() == dead


def test_relu_makes_half_of_everything_zero() -> None:
    """C15."""
    fc.manual_seed(0)
    assert abs((F.relu(fc.randn(100_000)).numpy() == 0).mean() - 0.5) < 0.01


def test_relu_trains_faster_than_the_sigmoid() -> None:
    """C16: the same network, rate and data; steps until 90 % of the training samples are right."""

    def steps(activation: Any) -> int:
        fc.manual_seed(0)
        model = nn.Sequential(nn.Linear(8, 32), activation(), nn.Linear(32, 32), activation(), nn.Linear(32, 2))
        x = fc.randn(128, 8)
        labels = (x[:, 0] + x[:, 1] > 0).long()
        optimizer = optim.SGD(model.parameters(), lr=0.1)
        for step in range(400):
            optimizer.zero_grad()
            scores = model(x)
            if float((scores.argmax(1) == labels).float().mean()) >= 0.9:
                return step
            F.cross_entropy(scores, labels).backward()
            optimizer.step()
        return 400

    assert 3 * steps(nn.ReLU) < steps(nn.Sigmoid)
