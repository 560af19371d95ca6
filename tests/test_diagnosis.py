"""Diagnoses of training runs, dead units, and predictions averaged over views."""

from __future__ import annotations

import numpy as np
import pytest

import fastcnn as fc
from fastcnn import functional as F
from fastcnn import nn, optim
from fastcnn.data import five_crop, ten_crop
from fastcnn.train import Trainer, average_over_views, dead_units, diagnose_fit


def run(samples: int, hidden: int, weight_decay: float = 0.0) -> list[dict[str, float]]:
    """Trains a network of one hidden layer on two classes that a line through noise separates."""
    fc.manual_seed(0)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(samples + 400, 20)).astype(np.float32)
    y = (x[:, 0] * x[:, 1] > 0).astype(np.int64)
    model = nn.Sequential(nn.Linear(20, hidden), nn.Tanh(), nn.Linear(hidden, 2))
    optimizer = optim.Adam(model.parameters(), lr=0.02, weight_decay=weight_decay)
    return Trainer(model, optimizer).fit(
        (x[:samples], y[:samples]), (x[samples:], y[samples:]), epochs=40, batch_size=32, progress=False
    )


def test_few_samples_overfit_and_few_units_underfit() -> None:
    """H23: a big gap asks for more regularisation, and no gap at low accuracy for more capacity."""
    assert diagnose_fit(run(samples=64, hidden=64)) == "overfit"
    assert diagnose_fit(run(samples=800, hidden=1), gap=0.08) == "underfit"
    regularised = run(samples=64, hidden=64, weight_decay=1.0)[-1]
    assert regularised["train_accuracy"] - regularised["val_accuracy"] < 0.1


def test_diagnoses_by_the_numbers() -> None:
    """H23."""
    for train, val, verdict in ((0.99, 0.80, "overfit"), (0.60, 0.59, "underfit"), (0.97, 0.95, "fit")):
        history = [{"train_accuracy": 0.1, "val_accuracy": 0.9}, {"train_accuracy": train, "val_accuracy": val}]
        assert diagnose_fit(history) == verdict
    assert diagnose_fit([{"train_accuracy": 0.97, "val_accuracy": 0.95}], gap=0.01) == "overfit"
    assert diagnose_fit([{"train_accuracy": 0.97, "val_accuracy": 0.95}], goal=0.98) == "underfit"
    with pytest.raises(ValueError, match="history is empty"):
        diagnose_fit([])
    with pytest.raises(ValueError, match="no val_accuracy"):
        diagnose_fit([{"train_accuracy": 0.9}])


def test_dead_units_are_counted() -> None:
    """C14: a large negative bias kills every rectified unit; a leaky one always passes something on."""
    fc.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 10), nn.LeakyReLU())
    x = fc.randn(200, 8)
    assert dead_units(model, x) == {"1": 0.0, "3": 0.0}
    for linear in (model[0], model[2]):
        nn.init.constant_(linear.bias, -50.0)
    assert dead_units(model, x) == {"1": 1.0, "3": 0.0}
    model[0].bias.detach()[:16] = 0.0
    assert dead_units(model, x)["1"] == 0.75
    assert model.training
    assert not model[1]._forward_hooks


def test_dead_channels_of_feature_maps() -> None:
    conv = nn.Conv2d(1, 3, 1)
    nn.init.constant_(conv.weight, 1.0)
    conv.bias.detach().copy_(fc.tensor([0.0, -5.0, -0.5]))
    images = fc.zeros(2, 1, 4, 4)
    images[1, 0, 3, 3] = 1.0  # one pixel of one sample is enough to be alive
    assert dead_units(nn.Sequential(conv, nn.ReLU()), images) == {"1": pytest.approx(1 / 3)}
    with pytest.raises(ValueError, match="at least one sample"):
        dead_units(conv, fc.zeros(0, 1, 4, 4))


def test_average_over_views_is_the_mean_of_the_predictions() -> None:
    """H19: randomness in training is averaged out in testing, here over ten crops and over mirror images."""
    fc.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Dropout(0.5), nn.Linear(4 * 36, 5))
    images = fc.randn(6, 3, 10, 11)
    crops = ten_crop(images, 8)
    assert len(crops) == 10
    model.eval()
    singles = [F.softmax(model(crop), 1).detach().numpy() for crop in crops]
    model.train()
    averaged = average_over_views(model, images, crops).numpy()
    np.testing.assert_allclose(averaged, np.mean(singles, axis=0), atol=1e-6)
    np.testing.assert_allclose(averaged.sum(1), 1.0, rtol=1e-5)
    assert model.training
    small = crops[4]
    twice = average_over_views(model, small).numpy()
    np.testing.assert_allclose(twice, average_over_views(model, small.flip(-1)).numpy(), atol=1e-6)
    shifted = average_over_views(model, images, [lambda x: x[..., :8, :8], lambda x: x[..., 2:, 3:]]).numpy()
    np.testing.assert_allclose(shifted, (singles[0] + singles[3]) / 2, atol=1e-6)
    with pytest.raises(ValueError, match="views is empty"):
        average_over_views(model, small, [])


def test_crops_are_the_corners_and_the_centre() -> None:
    x = fc.arange(2 * 7 * 9, dtype=fc.float32).reshape(1, 2, 7, 9)
    a = x.numpy()
    expected = [a[..., :4, :5], a[..., :4, 4:], a[..., 3:, :5], a[..., 3:, 4:], a[..., 2:6, 2:7]]
    for crop, want in zip(five_crop(x, (4, 5)), expected, strict=True):
        np.testing.assert_array_equal(crop.numpy(), want)
    for mirrored, plain in zip(ten_crop(x, 4)[5:], five_crop(x.flip(3), 4), strict=True):
        np.testing.assert_array_equal(mirrored.numpy(), plain.numpy())
    np.testing.assert_array_equal(ten_crop(x, 4, vertical_flip=True)[5].numpy(), a[..., ::-1, :][..., :4, :4])
    assert five_crop(x[0], 7)[0].shape == (2, 7, 7)
    for size in (8, (3, 0)):
        with pytest.raises(ValueError, match="do not fit into images"):
            five_crop(x, size)  # type: ignore[arg-type]
