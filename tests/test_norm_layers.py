"""Normalisation layers against torch's, and what the lectures say about normalisation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastcnn as fc
from fastcnn import functional as F
from fastcnn import nn

LAYERS: list[tuple[str, tuple[Any, ...], dict[str, Any], tuple[int, ...]]] = [
    ("LayerNorm", (7,), {}, (3, 4, 7)),
    ("LayerNorm", ((4, 7),), {"bias": False, "eps": 0.1}, (3, 4, 7)),
    ("LayerNorm", (7,), {"elementwise_affine": False}, (3, 7)),
    ("RMSNorm", (7,), {"eps": 0.1}, (3, 4, 7)),
    ("GroupNorm", (2, 6), {}, (3, 6, 4, 5)),
    ("GroupNorm", (3, 6), {"affine": False, "eps": 0.1}, (3, 6)),
    ("InstanceNorm1d", (4,), {}, (3, 4, 7)),
    ("InstanceNorm1d", (4,), {"affine": True}, (4, 7)),
    ("InstanceNorm2d", (4,), {"affine": True, "track_running_stats": True, "momentum": 0.3}, (3, 4, 5, 7)),
    ("InstanceNorm2d", (4,), {}, (4, 5, 7)),
    ("InstanceNorm3d", (2,), {"track_running_stats": True}, (3, 2, 3, 4, 5)),
    ("BatchNorm3d", (2,), {}, (3, 2, 3, 4, 5)),
    ("LocalResponseNorm", (3,), {"alpha": 0.1, "k": 2.0}, (2, 5, 3, 4)),
]


@pytest.mark.parametrize(("name", "args", "options", "shape"), LAYERS)
def test_layers_equal_torch(
    name: str, args: Any, options: Any, shape: tuple[int, ...], torch: Any, rng: np.random.Generator
) -> None:
    ours, theirs = getattr(nn, name)(*args, **options), getattr(torch.nn, name)(*args, **options)
    assert repr(ours) == repr(theirs)
    assert [(k, v.shape) for k, v in ours.state_dict().items()] == [
        (k, tuple(v.shape)) for k, v in theirs.state_dict().items()
    ]
    for (key, mine), peer in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        assert (mine.detach().numpy() == (0.0 if key == "bias" else 1.0)).all()
        values = rng.standard_normal(mine.shape).astype(np.float32)
        mine.detach().copy_(fc.tensor(values))
        peer.data.copy_(torch.from_numpy(values))
    for _ in range(2):
        x = rng.standard_normal(shape).astype(np.float32)
        g = rng.standard_normal(shape).astype(np.float32)
        a, b = fc.tensor(x, requires_grad=True), torch.from_numpy(x).requires_grad_(True)
        y, z = ours(a), theirs(b)
        y.backward(fc.tensor(g))
        z.backward(torch.from_numpy(g))
        np.testing.assert_allclose(y.detach().numpy(), z.detach().numpy(), rtol=1e-4, atol=1e-5)
        assert a.grad is not None
        np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), rtol=1e-3, atol=1e-5)
    for mine, peer in zip(ours.parameters(), theirs.parameters(), strict=True):
        np.testing.assert_allclose(mine.grad.numpy(), peer.grad.numpy(), rtol=1e-3, atol=1e-4)
    for key, mine in ours.state_dict().items():
        if "running" in key:
            np.testing.assert_allclose(mine.numpy(), theirs.state_dict()[key].numpy(), rtol=1e-4, atol=1e-6)
    x = rng.standard_normal(shape).astype(np.float32)
    expected = theirs.eval()(torch.from_numpy(x)).detach().numpy()
    np.testing.assert_allclose(ours.eval()(fc.tensor(x)).detach().numpy(), expected, rtol=1e-4, atol=1e-5)


def test_layers_reject_what_does_not_fit() -> None:
    for call, words in (
        (lambda: nn.GroupNorm(4, 6), "num_groups is 4"),
        (lambda: nn.InstanceNorm2d(3)(fc.ones(2, 3)), "expected 3D or 4D"),
        (lambda: nn.InstanceNorm2d(3)(fc.ones(2, 4, 3, 3)), "4 channels"),
        (lambda: nn.LayerNorm(()), "normalized_shape is empty"),
        (lambda: nn.BatchNorm3d(3)(fc.ones(2, 3, 4, 4)), "expected 5D"),
    ):
        with pytest.raises(ValueError, match=words):
            call()


@pytest.mark.parametrize("scale", [1.0, 1e30])
def test_rows_of_large_mean_or_size_lose_nothing(scale: float, isa: str, rng: np.random.Generator) -> None:
    """Neither cancellation nor overflow of squares: the statistics are exact."""
    x = ((1e4 + rng.standard_normal((3, 8, 6, 5)) * 1e-1) * scale).astype(np.float32)
    for function, axes, shape in (
        (lambda t: F.layer_norm(t, (5,)), (3,), x.shape),
        (lambda t: F.group_norm(t, 2), (2,), (3, 2, -1)),
    ):
        wide = x.astype(np.float64).reshape(shape)
        expected = (wide - wide.mean(axes, keepdims=True)) / np.sqrt(wide.var(axes, keepdims=True) + 1e-5)
        np.testing.assert_allclose(function(fc.tensor(x)).numpy().reshape(shape), expected, rtol=1e-4, atol=1e-4)


def test_thread_count_does_not_matter(rng: np.random.Generator) -> None:
    before = fc.get_num_threads()
    x = rng.standard_normal((3, 32, 50, 60)).astype(np.float32)
    seen = set()
    try:
        for threads in (1, 2, 3):
            fc.set_num_threads(threads)
            seen.add(F.group_norm(fc.tensor(x), 8).numpy().tobytes() + F.layer_norm(fc.tensor(x), 60).numpy().tobytes())
    finally:
        fc.set_num_threads(before)
    assert len(seen) == 1


# The lectures' rows.


def test_which_axes_share_a_mean() -> None:
    """I3, I4, I14 to I17: batch, layer, instance and group norm as masks over (N, C, H, W)."""
    layers = {
        "batch": (nn.BatchNorm2d(6), (0, 2, 3), 1),
        "layer": (nn.LayerNorm((6, 4, 5)), (1, 2, 3), 1),
        "instance": (nn.InstanceNorm2d(6), (2, 3), 1),
        "group": (nn.GroupNorm(2, 6), (2, 3), 3),  # three neighbouring channels
    }
    for name, (layer, axes, group) in layers.items():
        x = fc.zeros(2, 6, 4, 5)
        x[1, 4, 2, 3] = 1.0
        touched = layer(x).detach().numpy() != 0  # everything that shares the mean of the one pixel
        expected = np.zeros((2, 6, 4, 5), bool)
        index: list[Any] = [slice(None) if axis in axes else at for axis, at in enumerate((1, 4, 2, 3))]
        if group > 1:
            index[1] = slice(3, 6)
        expected[tuple(index)] = True
        np.testing.assert_array_equal(touched, expected, err_msg=name)


def test_spatial_batch_norm_is_batch_norm_of_all_pixels(rng: np.random.Generator) -> None:
    """I4."""
    x = rng.standard_normal((3, 4, 5, 6)).astype(np.float32)
    flat = np.ascontiguousarray(x.transpose(0, 2, 3, 1)).reshape(-1, 4)
    expected = nn.BatchNorm1d(4)(fc.tensor(flat)).detach().numpy().reshape(3, 5, 6, 4).transpose(0, 3, 1, 2)
    np.testing.assert_allclose(nn.BatchNorm2d(4)(fc.tensor(x)).detach().numpy(), expected, atol=1e-6)


def test_group_norm_ends_are_layer_and_instance_norm(rng: np.random.Generator) -> None:
    """I16: one group is layer norm over (C, H, W), C groups are instance norm."""
    x = fc.tensor(rng.standard_normal((3, 4, 5, 6)).astype(np.float32))
    np.testing.assert_allclose(F.group_norm(x, 1).numpy(), F.layer_norm(x, (4, 5, 6)).numpy(), atol=1e-5)
    np.testing.assert_allclose(F.group_norm(x, 4).numpy(), F.instance_norm(x).numpy(), atol=1e-6)


def test_layer_norm_is_the_same_in_training_and_evaluation(rng: np.random.Generator) -> None:
    """I14."""
    layer, x = nn.LayerNorm(9), fc.tensor(rng.standard_normal((4, 9)).astype(np.float32))
    training = layer.train()(x).detach().numpy()
    np.testing.assert_array_equal(training, layer.eval()(x).detach().numpy())
    np.testing.assert_allclose(training.mean(1), 0, atol=1e-6)
    np.testing.assert_allclose(training.std(1), 1, atol=1e-4)
    np.testing.assert_array_equal(layer(x[1:2]).detach().numpy()[0], training[1])  # no other sample matters


def test_scale_and_shift_recover_the_identity(rng: np.random.Generator) -> None:
    """I1, I5, I24: mean 0 and variance 1; with gamma = sigma and beta = mu the layer does nothing."""
    x = (3 + 2 * rng.standard_normal((64, 5))).astype(np.float32)
    layer = nn.BatchNorm1d(5)
    y = layer(fc.tensor(x)).detach().numpy()
    np.testing.assert_allclose(y.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(y.var(0), 1, atol=1e-4)
    layer.weight.detach().copy_(fc.tensor(x.std(0)))
    layer.bias.detach().copy_(fc.tensor(x.mean(0)))
    np.testing.assert_allclose(layer(fc.tensor(x)).detach().numpy(), x, atol=1e-4)


def test_evaluation_uses_the_running_statistics() -> None:
    """I6, I10: eval() reaches the layer inside a model; a single sample works; forgetting it changes the result."""
    fc.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    for _ in range(20):
        model(fc.randn(8, 3, 6, 6))
    x = fc.randn(1, 3, 6, 6)
    before = model[1].running_mean.numpy().copy()
    evaluated = model.eval()(x).detach().numpy()
    np.testing.assert_array_equal(model[1].running_mean.numpy(), before)
    trained = model.train()(x).detach().numpy()
    assert np.abs(evaluated - trained).max() > 0.05


def test_cumulative_statistics_are_the_average_over_all_batches(rng: np.random.Generator) -> None:
    """I7: momentum=None."""
    layer = nn.BatchNorm1d(3, momentum=None)
    batches = [rng.standard_normal((10, 3)).astype(np.float32) for _ in range(7)]
    for batch in batches:
        layer(fc.tensor(batch))
    np.testing.assert_allclose(layer.running_mean.numpy(), np.mean([b.mean(0) for b in batches], axis=0), atol=1e-6)
    unbiased = np.mean([b.var(0, ddof=1) for b in batches], axis=0)
    np.testing.assert_allclose(layer.running_var.numpy(), unbiased, rtol=1e-5)


@pytest.mark.parametrize("bias", [True, False])
def test_batch_norm_folds_into_the_layer_before(bias: bool, rng: np.random.Generator) -> None:
    """I8."""
    fc.manual_seed(0)
    for layer, norm, shape in (
        (nn.Conv2d(3, 6, 3, groups=3, bias=bias), nn.BatchNorm2d(6), (2, 3, 7, 8)),
        (nn.Linear(5, 6, bias=bias), nn.BatchNorm1d(6), (4, 5)),
    ):
        norm.running_mean.copy_(fc.tensor(rng.standard_normal(6).astype(np.float32)))
        norm.running_var.copy_(fc.tensor(rng.uniform(0.5, 2, 6).astype(np.float32)))
        norm.weight.detach().copy_(fc.tensor(rng.standard_normal(6).astype(np.float32)))
        norm.eval()
        x = fc.tensor(rng.standard_normal(shape).astype(np.float32))
        fused = nn.fuse_bn_eval(layer, norm)
        np.testing.assert_allclose(fused(x).detach().numpy(), norm(layer(x)).detach().numpy(), atol=1e-5)
        assert (layer.bias is None) != bias
    with pytest.raises(ValueError, match="no running statistics"):
        nn.fuse_bn_eval(nn.Linear(2, 3), nn.BatchNorm1d(3, track_running_stats=False))
    with pytest.raises(ValueError, match="3 output channels"):
        nn.fuse_bn_eval(nn.Linear(2, 3), nn.BatchNorm1d(4))


@pytest.mark.parametrize("name", ["resnet18", "densenet121", "mobilenet_v2", "vgg11_bn"])
def test_batch_norms_of_a_model_fold_into_its_convolutions(name: str) -> None:
    """W10, I8: batch norms vanish into the convolutions before them, and the outputs stay."""
    small = {"hidden": 16} if name == "vgg11_bn" else {}
    model = fc.models.create_model(name, num_classes=7, **small).double()
    rng = np.random.default_rng(0)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.copy_(fc.tensor(rng.normal(0, 0.1, module.num_features)))
            module.running_var.copy_(fc.tensor(rng.uniform(0.8, 1.2, module.num_features)))
    fused = model.eval().fuse()
    left = [m for m in fused.modules() if isinstance(m, nn.BatchNorm2d)]
    assert len(left) == (62 if name == "densenet121" else 0)  # DenseNet has others in front of its convolutions
    x = fc.randn(1, 3, 32, 32, dtype=fc.float64)
    expected = model(x).detach().numpy()
    np.testing.assert_allclose(fused(x).detach().numpy(), expected, atol=1e-9 * np.abs(expected).max())
    assert not fused.training
    assert any(isinstance(m, nn.BatchNorm2d) for m in model.modules())


def test_batch_norm_makes_the_output_of_a_sample_depend_on_its_batch() -> None:
    """H18."""
    fc.manual_seed(0)
    layer, sample = nn.BatchNorm1d(4), fc.randn(1, 4)
    outputs = [layer(fc.cat([sample, fc.randn(7, 4)])).detach().numpy()[0] for _ in range(2)]
    assert np.abs(outputs[0] - outputs[1]).max() > 1e-2


def test_local_contrast_norm_of_a_constant_image_is_zero() -> None:
    """I18: also at the border."""
    assert np.abs(nn.LocalContrastNorm()(fc.full((1, 2, 9, 12), 0.7)).numpy()).max() < 1e-4


def test_local_contrast_norm_has_local_mean_0_and_deviation_1(rng: np.random.Generator) -> None:
    """I18: of a 7 x 7 Gaussian window, away from the border."""
    x = rng.standard_normal((1, 1, 40, 40)) * 5 + 100
    y = F.local_contrast_norm(fc.tensor(x)).numpy()[0, 0]
    line = np.exp(-0.5 * ((np.arange(7) - 3) / 1.75) ** 2)
    window = np.outer(line, line) / line.sum() ** 2
    patches = np.lib.stride_tricks.sliding_window_view(y, (7, 7))[10:-10, 10:-10]
    mean = (patches * window).sum((2, 3))
    assert np.abs(mean).max() < 0.4
    assert abs(np.sqrt((patches**2 * window).sum((2, 3))).mean() - 1) < 0.05


def test_local_contrast_norm_across_maps_and_its_parts(rng: np.random.Generator) -> None:
    """I19, I20: one mean and deviation for all maps; the subtractive and the divisive part alone."""
    x = fc.tensor(rng.standard_normal((2, 3, 10, 11)))
    shared = F.local_contrast_norm(x, subtractive=False, across_channels=True).numpy() / x.numpy()
    np.testing.assert_allclose(shared, np.broadcast_to(shared[:, :1], shared.shape))
    subtracted = F.local_contrast_norm(x, divisive=False)
    both = F.local_contrast_norm(subtracted, subtractive=False)
    np.testing.assert_allclose(both.numpy(), F.local_contrast_norm(x).numpy(), atol=1e-12)
    assert F.local_contrast_norm(x, subtractive=False, divisive=False) is x


def test_local_response_norm_has_no_parameters_and_alexnets_formula(rng: np.random.Generator) -> None:
    """I21: b = a / (k + alpha sum a^2)^beta with k=2, n=5, alpha=1e-4, beta=.75; torch divides alpha by n."""
    layer = nn.LocalResponseNorm(5, alpha=5 * 1e-4, beta=0.75, k=2.0)
    assert not list(layer.parameters())
    x = 30 * rng.standard_normal((1, 9, 2, 2)).astype(np.float32)
    expected = np.empty_like(x)
    for c in range(9):
        expected[:, c] = x[:, c] / (2 + 1e-4 * (x[:, max(c - 2, 0) : c + 3] ** 2).sum(1)) ** 0.75
    np.testing.assert_allclose(layer(fc.tensor(x)).numpy(), expected, rtol=1e-5)


def test_deep_network_with_batch_norm_trains_at_a_rate_that_stops_the_plain_one() -> None:
    """I11: linear layer, batch norm, nonlinearity: ten times the rate that the plain network can take."""
    from fastcnn import optim

    def final_loss(norm: bool, rate: float) -> float:
        fc.manual_seed(0)
        layers: list[nn.Module] = []
        for _ in range(8):
            layers += [nn.Linear(16, 16), *([nn.BatchNorm1d(16)] if norm else []), nn.ReLU()]
        model = nn.Sequential(*layers, nn.Linear(16, 2))
        for module in model:
            if isinstance(module, nn.Linear):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                nn.init.zeros_(module.bias)
        x = fc.randn(128, 16)
        labels = (x[:, 0] * x[:, 1] > 0).long()
        optimizer = optim.SGD(model.parameters(), lr=rate)
        loss = fc.zeros(())
        for _ in range(150):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), labels)
            loss.backward()
            optimizer.step()
        return loss.item()

    assert final_loss(False, 0.1) < 0.1
    assert not final_loss(False, 1.0) < 0.6
    assert final_loss(True, 1.0) < 0.01


def test_builders_put_batch_norm_between_convolution_and_nonlinearity() -> None:
    """I9, I22: and leave it out when asked to."""
    kinds = [type(m).__name__ for m in fc.models.classic_cnn(channels=(4, 8), hidden=(), norm="batch")]
    assert kinds == ["Conv2d", "BatchNorm2d", "ReLU", "MaxPool2d"] * 2 + ["Flatten", "Linear"]
    kinds = [type(m).__name__ for m in fc.models.classic_cnn(channels=(4, 8), hidden=())]
    assert kinds == ["Conv2d", "ReLU", "MaxPool2d"] * 2 + ["Flatten", "Linear"]
    with nn.init.skip():
        kinds = [type(m).__name__ for m in fc.models.vgg11_bn().features]
    assert kinds[:4] == ["Conv2d", "BatchNorm2d", "ReLU", "MaxPool2d"]


def test_epsilon_stands_inside_the_root_and_vanishes() -> None:
    """I1, I2: (x - mu) / sqrt(var + eps); as eps goes to 0 it becomes (x - E) / sqrt(Var)."""
    x = np.random.default_rng(0).normal(2, 3, (50, 4))
    mean, var = x.mean(0), x.var(0)  # the biased variance
    for eps in (10.0, 0.1):
        got = nn.BatchNorm1d(4, eps=eps, dtype=fc.float64)(fc.tensor(x)).detach().numpy()
        np.testing.assert_allclose(got, (x - mean) / np.sqrt(var + eps), rtol=1e-12)
        assert np.abs(got - (x - mean) / (np.sqrt(var) + eps)).max() > 1e-3
    limit = (x - mean) / np.sqrt(var)
    errors = [
        np.abs(F.batch_norm(fc.tensor(x), None, None, training=True, eps=eps).numpy() - limit).max()
        for eps in (1e-2, 1e-4, 1e-6)
    ]
    assert errors[0] / errors[1] == pytest.approx(100, rel=0.01)
    assert errors[2] < 1e-6


def test_batch_norm_of_features_takes_axis_0() -> None:
    """I3: x is N x D, mean and variance have length D."""
    x = np.random.default_rng(0).normal(size=(7, 5)).astype(np.float32)
    layer = nn.BatchNorm1d(5, momentum=1.0)
    y = layer(fc.tensor(x)).detach().numpy()
    assert layer.running_mean.shape == layer.running_var.shape == (5,)
    np.testing.assert_allclose(layer.running_mean.numpy(), x.mean(0), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(y, (x - x.mean(0)) / np.sqrt(x.var(0) + 1e-5), atol=1e-5)


def test_affine_tail_is_optional_and_starts_as_the_identity() -> None:
    """I24: the head whitens, the tail scales by 1 and shifts by 0 at first; affine=False leaves it out."""
    x = fc.randn(20, 3)
    with_tail, without = nn.BatchNorm1d(3), nn.BatchNorm1d(3, affine=False)
    assert with_tail.weight.tolist() == [1.0] * 3
    assert with_tail.bias.tolist() == [0.0] * 3
    assert not list(without.parameters())
    np.testing.assert_array_equal(without(x).numpy(), with_tail(x).detach().numpy())


def test_running_average_and_population_average_differ() -> None:
    """I6, I7: exponential by default, with the unbiased variance; momentum=None averages over mini-batches."""
    layer = nn.BatchNorm1d(2)
    batches = [np.random.default_rng(i).normal(i, 1, (8, 2)).astype(np.float32) for i in range(3)]
    mean, var = np.zeros(2), np.ones(2)
    for batch in batches:
        layer(fc.tensor(batch))
        mean, var = 0.9 * mean + 0.1 * batch.mean(0), 0.9 * var + 0.1 * batch.var(0, ddof=1)
    np.testing.assert_allclose(layer.running_mean.numpy(), mean, rtol=1e-5)
    np.testing.assert_allclose(layer.running_var.numpy(), var, rtol=1e-5)
