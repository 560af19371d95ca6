"""Layers that leave out parts in training."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastcnn as fc
from fastcnn import functional as F
from fastcnn import nn
from fastcnn.data import mixup


def test_stochastic_depth_row_drops_whole_samples_and_keeps_the_mean() -> None:
    x = fc.ones(20_000, 1, 2, 1, requires_grad=True)
    y = F.stochastic_depth(x, 0.2, "row")
    rows = y.detach().numpy().reshape(20_000, 2)
    assert set(np.unique(rows)) == {np.float32(0), np.float32(1.25)}
    assert (rows[:, 0] == rows[:, 1]).all()
    assert abs(rows.mean() - 1) < 5 * (0.25 / 20_000) ** 0.5
    y.sum().backward()
    assert x.grad is not None
    np.testing.assert_array_equal(x.grad.numpy(), y.detach().numpy())


def test_stochastic_depth_batch_decides_once() -> None:
    means = [float(F.stochastic_depth(fc.ones(8, 3), 0.5, "batch").numpy().mean()) for _ in range(64)]
    assert set(means) == {0.0, 2.0}


@pytest.mark.parametrize("mode", ["batch", "row"])
def test_stochastic_depth_is_the_identity_in_eval_and_at_p_0(mode: str) -> None:
    x = fc.ones(4, 3)
    assert nn.StochasticDepth(0.7, mode).eval()(x) is x
    assert nn.StochasticDepth(0.0, mode)(x) is x
    assert not nn.StochasticDepth(1.0, mode)(x).numpy().any()


def test_stochastic_depth_with_p_0_is_the_residual_block() -> None:
    fc.manual_seed(0)
    branch, x = nn.Linear(3, 3), fc.randn(4, 3)
    np.testing.assert_array_equal((x + nn.StochasticDepth(0.0, "row")(branch(x))).detach().numpy(),
                                  (x + branch(x)).detach().numpy())  # fmt: skip


def test_stochastic_depth_rejects_other_modes_and_probabilities() -> None:
    with pytest.raises(ValueError, match="'rows'"):
        nn.StochasticDepth(0.5, "rows")
    with pytest.raises(ValueError, match=r"1\.5"):
        F.stochastic_depth(fc.ones(2), 1.5, "row")


@pytest.mark.parametrize(
    ("function", "shape", "channels"),
    [
        (F.dropout1d, (40, 50, 3), 2),
        (F.dropout1d, (2000, 3), 1),
        (F.dropout3d, (40, 50, 2, 3, 2), 2),
        (F.dropout3d, (2000, 2, 3, 2), 1),
    ],
)
def test_channel_dropout_drops_whole_channels(function: Any, shape: tuple[int, ...], channels: int) -> None:
    x = fc.ones(*shape, requires_grad=True)
    y = function(x, 0.4)
    flat = y.detach().numpy().reshape(2000, -1)
    assert (flat == flat[:, :1]).all()
    assert set(np.unique(flat)) == {np.float32(0), np.float32(1 / (1 - 0.4))}
    assert abs((flat[:, 0] == 0).mean() - 0.4) < 5 * (0.24 / 2000) ** 0.5
    y.sum().backward()
    assert x.grad is not None
    np.testing.assert_array_equal(x.grad.numpy(), y.detach().numpy())
    assert function(x, 0.4, training=False) is x
    with pytest.raises(ValueError, match=function.__name__):
        function(fc.ones(2), 0.4)


@pytest.mark.parametrize("p", [0.1, 0.5])
def test_alpha_dropout_keeps_mean_and_variance(p: float) -> None:
    """On normal numbers, whose mean is 0 and variance 1."""
    fc.manual_seed(0)
    x = fc.randn(400_000)
    y = F.alpha_dropout(x, p, training=True).numpy()
    assert abs(y.mean()) < 0.02
    assert abs(y.var() - 1) < 0.02
    values, counts = np.unique(y, return_counts=True)
    assert abs(counts.max() / len(y) - p) < 0.005  # dropped elements have one value
    scale = 1 / np.sqrt((1.7580993408473766**2 * p + 1) * (1 - p))
    dropped = values[counts.argmax()]
    assert abs(dropped - scale * -1.7580993408473766 * (1 - p)) < 1e-5
    kept = y != dropped
    slope = np.polyfit(x.numpy()[kept], y[kept], 1)
    np.testing.assert_allclose(slope, [scale, scale * 1.7580993408473766 * p], rtol=1e-4)


def test_alpha_dropout_is_the_identity_in_eval_and_0_at_p_1() -> None:
    x = fc.ones(3, 4)
    assert F.alpha_dropout(x) is x
    assert nn.AlphaDropout(0.3).eval()(x) is x
    assert not nn.AlphaDropout(1.0)(x).numpy().any()


def test_feature_alpha_dropout_drops_channels() -> None:
    y = nn.FeatureAlphaDropout(0.5)(fc.ones(30, 40, 2, 3)).numpy().reshape(1200, 6)
    assert (y == y[:, :1]).all()
    assert len(np.unique(y)) == 2
    with pytest.raises(ValueError, match=r"\(N, C, ...\)"):
        F.feature_alpha_dropout(fc.ones(3), 0.5, training=True)


def test_scaling_in_training_or_in_evaluation_has_one_expectation() -> None:
    """H7, H8: with p = 0.25 dropped, the share that is kept is 0.75."""
    x = fc.full((100_000,), 2.0)
    old, new = nn.UnscaledDropout(0.25), nn.Dropout(0.25)
    assert set(np.unique(old(x).numpy())) == {0.0, 2.0}
    assert abs(old(x).numpy().mean() / old.eval()(x).numpy().mean() - 1) < 0.01
    assert abs(new(x).numpy().mean() / new.eval()(x).numpy().mean() - 1) < 0.01
    np.testing.assert_allclose(old.eval()(x).numpy(), 1.5)
    assert F.unscaled_dropout(x, 0.0) is x


def test_dropout_of_a_unit_gives_its_weights_no_gradient() -> None:
    """H12."""
    fc.manual_seed(3)
    first, second = nn.Linear(4, 50), nn.Linear(50, 1)
    hidden = F.dropout(first(fc.ones(1, 4)), 0.5)
    second(hidden).sum().backward()
    assert first.weight.grad is not None
    dropped = hidden.detach().numpy()[0] == 0
    assert 10 < dropped.sum() < 40
    assert not first.weight.grad.numpy()[dropped].any()
    assert first.weight.grad.numpy()[~dropped].all()


def test_number_of_masks_of_a_layer() -> None:
    """H11: 2^4096 is about 10^1233."""
    assert len(str(2**4096)) == 1234
    assert 4096 * np.log10(2) == pytest.approx(1233.02, abs=0.005)


@pytest.mark.parametrize("name", ["alexnet", "alexnet_2012", "vgg16"])
def test_dropout_stands_between_the_linear_layers(name: str) -> None:
    """H10: useful for fully connected layers, so the classic networks have it there and not behind convolutions."""
    entry = fc.models.model_entry(name)
    with nn.init.skip():
        model = fc.models.create_model(name)
        kinds = [layer.kind for layer in fc.models.summarize(model, entry.input_shape).layers]
    dropouts = [i for i, kind in enumerate(kinds) if kind == "Dropout"]
    assert len(dropouts) == 2
    assert max(i for i, kind in enumerate(kinds) if kind == "Conv2d") < min(dropouts)
    assert all("Linear" in kinds[i + 1 : i + 2] for i in dropouts)
    assert {m.p for m in model.modules() if isinstance(m, nn.Dropout)} == {0.5}


def test_survival_falls_linearly_with_depth() -> None:
    """H14: the schedule of stochastic depth; evaluation takes all branches."""
    with nn.init.skip():
        model = fc.models.create_model("efficientnet_b0")
    rates = [m.p for m in model.modules() if isinstance(m, nn.StochasticDepth)]
    np.testing.assert_allclose(np.diff(rates), 0.2 / 16, rtol=1e-9)
    assert rates[0] == 0.0
    x = fc.randn(4, 3)
    branch = nn.Linear(3, 3)
    drop = nn.StochasticDepth(0.4, "row")
    trained = np.mean([(x + drop(branch(x))).detach().numpy() for _ in range(3000)], axis=0)
    np.testing.assert_allclose(trained, (x + drop.eval()(branch(x))).detach().numpy(), atol=0.12)


def test_drop_connect_drops_weights_and_keeps_the_expectation() -> None:
    """H13."""
    fc.manual_seed(0)
    layer = nn.DropConnectLinear(64, 64, p=0.3)
    x = fc.eye(64)
    seen = layer(x).detach().numpy().T - layer.bias.detach().numpy()[:, None]  # the masked weight
    zeros = seen == 0
    assert abs(zeros.mean() - 0.3) < 5 * (0.21 / 64**2) ** 0.5
    np.testing.assert_allclose(seen[~zeros], layer.weight.detach().numpy()[~zeros] / 0.7, rtol=1e-4, atol=1e-7)
    average = np.mean([layer(x).detach().numpy() for _ in range(400)], axis=0)
    np.testing.assert_allclose(average, layer.eval()(x).detach().numpy(), atol=0.03)
    assert "p=0.3" in repr(layer)
    with pytest.raises(ValueError, match="p is 2"):
        nn.DropConnectLinear(2, 2, p=2)


def test_cutout_zeros_one_square_clipped_at_the_border() -> None:
    """H15."""
    fc.manual_seed(1)
    layer = nn.Cutout(4)
    x = fc.ones(300, 2, 8, 9)
    y = layer(x).numpy()
    assert (y[:, 0] == y[:, 1]).all()
    areas = []
    for image in y[:, 0]:
        rows, columns = np.nonzero((image == 0).any(1))[0], np.nonzero((image == 0).any(0))[0]
        assert (image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] == 0).all()
        assert (image == 0).sum() == len(rows) * len(columns)
        assert max(len(rows), len(columns)) <= 4
        areas.append(len(rows) * len(columns))
    assert max(areas) == 16
    assert min(areas) < 16
    assert layer.eval()(x) is x
    assert F.cutout(x, 0) is x
    for arguments, words in (((fc.ones(2, 3), 2), "images"), ((x, -1), "size is -1")):
        with pytest.raises(ValueError, match=words):
            F.cutout(*arguments)


def test_gaussian_noise_in_training_only() -> None:
    """H20."""
    layer = nn.GaussianNoise(0.2)
    x = fc.full((100_000,), 3.0)
    assert abs(layer(x).numpy().std() / 0.2 - 1) < 0.02
    assert layer.eval()(x) is x
    with pytest.raises(ValueError, match="std is -1"):
        F.gaussian_noise(x, -1.0)


STOCHASTIC = [
    nn.AlphaDropout(0.5), nn.Cutout(2), nn.DropConnectLinear(4, 4), nn.Dropout(0.5), nn.FeatureAlphaDropout(0.5),
    nn.GaussianNoise(), nn.RReLU(), nn.StochasticDepth(0.5, "row"),
]  # fmt: skip


@pytest.mark.parametrize("layer", STOCHASTIC, ids=lambda layer: type(layer).__name__)
def test_every_stochastic_layer_is_deterministic_in_eval(layer: nn.Module) -> None:
    """H21: random in training, fixed in evaluation, reproducible with a seed."""
    x = fc.randn(16, 3, 4, 4)
    layer.train()

    def run(seed: int) -> np.ndarray:
        fc.manual_seed(seed)
        return np.array(layer(x).detach().numpy())

    np.testing.assert_array_equal(run(1), run(1))
    assert (run(1) != run(2)).any()
    layer.eval()
    np.testing.assert_array_equal(run(1), run(2))


def test_mixup_mixes_images_and_targets_alike() -> None:
    """H16."""
    fc.manual_seed(0)
    images = fc.arange(6, dtype=fc.float32).reshape(6, 1, 1, 1)
    shares = []
    for _ in range(50):
        mixed, targets = mixup(images, fc.arange(6), 6, alpha=1.0)
        np.testing.assert_allclose(targets.numpy().sum(1), 1.0, rtol=1e-6)
        np.testing.assert_allclose((targets.numpy() @ np.arange(6)), mixed.numpy().ravel(), atol=1e-5)
        shares.append(np.sort(targets.numpy(), axis=1)[:, -1].min())
    assert min(shares) < 0.7
    assert max(shares) > 0.9
    with pytest.raises(ValueError, match="alpha is 0"):
        mixup(images, fc.arange(6), 6, alpha=0.0)
