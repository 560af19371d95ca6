"""Perceptron, multi-layer perceptron, LeNet-5 in its three forms, and the classic pattern."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastcnn as fc
from fastcnn import models, nn
from fastcnn.models.lenet import _DIGITS, DigitDistances, ScaledTanh
from tests.models import reference
from tests.models.compare import assert_equals_torch, assert_learns, assert_takes_sizes, modes

SMALL: dict[str, tuple[Any, reference.Definition, tuple[int, int, int]]] = {
    "perceptron": (lambda: models.perceptron(7, 3, 9), reference.multilayer, (3, 9, 9)),
    "mlp": (lambda: models.mlp(7, 3, 9, (20, 11, 8)), reference.multilayer, (3, 9, 9)),
    "lenet5-sigmoid": (lambda: models.lenet5_sigmoid(7), reference.lenet5_sigmoid, (1, 28, 28)),
    "lenet5-1998": (lambda: models.lenet5_1998(), reference.lenet5_1998, (1, 32, 32)),
    "classic": (lambda: models.classic_cnn(7, 2, 19, (5, 6, 7), (9,)), reference.classic, (2, 19, 19)),
    "classic-batch": (lambda: models.classic_cnn(7, 2, 19, (5, 6), (9, 4), "batch"), reference.classic, (2, 19, 19)),
}


@modes
@pytest.mark.parametrize("name", SMALL)
def test_small_network_equals_torch(torch: Any, name: str, dtype: str, training: bool) -> None:
    build, definition, size = SMALL[name]
    assert_equals_torch(torch, build(), definition, (4, *size), dtype, training)


@pytest.mark.parametrize("name", SMALL)
def test_small_network_learns(name: str) -> None:
    build, _, size = SMALL[name]
    assert_learns(build(), (8, *size), 7)


@pytest.mark.parametrize("name", ["lenet5-sigmoid", "classic"])
def test_small_network_takes_a_single_image(name: str) -> None:
    build, _, (channels, height, width) = SMALL[name]
    assert_takes_sizes(build(), channels, ((height, width),), 7)


def test_lenet5_1998_has_the_papers_parameters() -> None:
    with nn.init.skip():
        model = models.lenet5_1998()
    summary = models.summarize(model, (1, 32, 32))
    assert summary.trainable == 60_000
    trained = {name: sum(p.numel() for p in m.parameters()) for name, m in model.named_children() if m._parameters}
    assert trained == {"c1": 156, "s2": 12, "c3": 1_516, "s4": 32, "c5": 48_120, "f6": 10_164}
    assert not model.output.rbf.weight.requires_grad


def test_digit_pictures_are_distinct_and_score_best_for_themselves() -> None:
    assert all(len(rows.split()) == 12 and {len(row) for row in rows.split()} == {7} for rows in _DIGITS)
    layer = DigitDistances(12)
    scores = layer(layer.rbf.weight).numpy()
    np.testing.assert_array_equal(scores.argmax(1), np.arange(12))
    np.testing.assert_array_equal(np.diag(scores), 0)
    np.testing.assert_array_equal(DigitDistances(12).rbf.weight.numpy(), layer.rbf.weight.numpy())


def test_scaled_tanh_passes_one_through() -> None:
    np.testing.assert_allclose(ScaledTanh()(fc.tensor([-1.0, 0.0, 1.0])).numpy(), [-1, 0, 1], atol=1e-4)


@pytest.mark.parametrize(("pool", "activation"), [("avg", "tanh"), ("avg", "sigmoid"), ("max", "relu")])
def test_lenet5_has_variants(pool: str, activation: str) -> None:
    model = models.create_model("lenet5", pool=pool, activation=activation)
    kinds = [type(layer).__name__ for layer in model]
    assert kinds[2] == {"avg": "AvgPool2d", "max": "MaxPool2d"}[pool]
    assert kinds[1] == {"relu": "ReLU", "tanh": "Tanh", "sigmoid": "Sigmoid"}[activation]
    assert list(model.state_dict()) == list(models.create_model("lenet5").state_dict())


def test_mistakes_are_named() -> None:
    with pytest.raises(ValueError, match="pool is 'min', but one of max, avg"):
        models.lenet5(pool="min")
    with pytest.raises(ValueError, match="norm is 'layer'"):
        models.classic_cnn(norm="layer")
    with pytest.raises(ValueError, match="image_size is 3, too small for 2 poolings"):
        models.classic_cnn(image_size=3)


def test_the_classic_builder_emits_the_pattern() -> None:
    kinds = [type(layer).__name__ for layer in models.classic_cnn(channels=(4, 8), hidden=(16,))]
    assert kinds == ["Conv2d", "ReLU", "MaxPool2d"] * 2 + ["Flatten", "Linear", "ReLU", "Linear"]
    kinds = [type(layer).__name__ for layer in models.classic_cnn(channels=(4,), hidden=(), norm="response")]
    assert kinds == ["Conv2d", "ReLU", "MaxPool2d", "LocalResponseNorm", "Flatten", "Linear"]


def test_rows_of_the_perceptron_are_templates() -> None:
    """The score of a class is the dot product of the image with the class's template."""
    model = models.perceptron(4, 2, 5)
    x = fc.randn(3, 2, 5, 5)
    templates = model.fc.weight.detach().numpy().reshape(4, 2, 5, 5)
    expected = np.einsum("nchw,kchw->nk", x.numpy(), templates) + model.fc.bias.detach().numpy()
    np.testing.assert_allclose(model(x).detach().numpy(), expected, rtol=1e-5, atol=1e-5)
