"""What the lectures say about starting weights, and the initialisers that torch's formulas define exactly."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastcnn as fc
from fastcnn import functional as F
from fastcnn import nn, optim
from fastcnn.nn import init


def activations(std: float, layers: int, width: int, function: Any) -> list[np.ndarray]:
    """Activations of `layers` square layers with normal weights, from 16 normal inputs."""
    fc.manual_seed(0)
    x = fc.randn(16, width)
    seen = []
    for _ in range(layers):
        x = function(F.linear(x, init.normal_(fc.empty(width, width), std=std)))
        seen.append(x.numpy())
    return seen


def two_layers() -> nn.Sequential:
    return nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1))


def train(model: nn.Module, steps: int = 5) -> None:
    fc.manual_seed(0)
    x, y = fc.randn(32, 3), fc.randn(32, 1)
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    for _ in range(steps):
        optimizer.zero_grad()
        F.mse_loss(model(x), y).backward()
        optimizer.step()


def test_equal_weights_stay_equal_and_random_ones_do_not() -> None:
    """G1: with all hidden units alike, they receive the same gradients for ever; with zeros, none at all."""
    zero = two_layers()
    for p in zero.parameters():
        init.zeros_(p)
    train(zero)
    assert not zero[0].weight.detach().numpy().any()
    assert not zero[2].weight.detach().numpy().any()
    assert zero[2].bias.item() != 0.0  # all that it learns
    alike, random = two_layers(), two_layers()
    for p in alike.parameters():
        init.constant_(p, 0.0)
    init.constant_(alike[2].weight, 0.3)  # all-zero output weights would not even move
    train(alike)
    train(random)
    hidden = alike[0].weight.detach().numpy()
    assert np.abs(hidden).max() > 0
    assert (hidden == hidden[0]).all()
    assert len(np.unique(random[0].weight.detach().numpy()[:, 0])) == 8


def test_small_random_weights() -> None:
    """G2: N(0, 1) times 0.001."""
    fc.manual_seed(0)
    assert abs(init.normal_(fc.empty(500, 500), std=0.001).numpy().std() / 0.001 - 1) < 0.02


def test_kaiming_keeps_the_rms_of_relu_layers() -> None:
    """G3, G14: std sqrt(2 / n) keeps it near 1; 1 / sqrt(n) halves the power in every layer."""
    width = 1024
    kept = [np.sqrt((a**2).mean()) for a in activations((2 / width) ** 0.5, 6, width, F.relu)]
    assert all(0.9 < rms < 1.1 for rms in kept)
    halved = [np.sqrt((a**2).mean()) for a in activations((1 / width) ** 0.5, 6, width, F.relu)]
    np.testing.assert_allclose(halved, [0.71, 0.50, 0.35, 0.25, 0.18, 0.125], rtol=0.1)


def test_lecun_scale_keeps_tanh_layers_alive() -> None:
    """G4: standard deviations of 6 tanh layers, weights of std 1 / sqrt(D_in)."""
    width = 1024
    seen = [a.std() for a in activations(width**-0.5, 6, width, F.tanh)]
    np.testing.assert_allclose(seen, [0.63, 0.49, 0.41, 0.36, 0.32, 0.30], atol=0.02)


def test_bad_scales_vanish_or_saturate() -> None:
    """G5, for layers of 4096 units: std 0.01 vanishes, std 0.05 saturates; here the same products at 1024."""
    width = 1024
    small = [a.std() for a in activations(0.01 * 2, 6, width, F.tanh)]  # 0.01 sqrt(4096) = 0.02 sqrt(1024)
    np.testing.assert_allclose(small, [0.49, 0.29, 0.18, 0.11, 0.07, 0.05], atol=0.02)
    large = [a.std() for a in activations(0.05 * 2, 3, width, F.tanh)]
    np.testing.assert_allclose(large, [0.87, 0.85, 0.85], atol=0.02)


@pytest.mark.parametrize(
    ("fill", "variance"),
    [
        (init.xavier_normal_, 2 / (300 + 200)),
        (init.xavier_uniform_, 2 / (300 + 200)),
        (init.lecun_normal_, 1 / 300),
        (init.lecun_uniform_, 1 / 300),
        (lambda t: init.kaiming_normal_(t, nonlinearity="relu"), 2 / 300),
        (lambda t: init.kaiming_normal_(t, mode="fan_out", nonlinearity="relu"), 2 / 200),
    ],
)
def test_variances(fill: Any, variance: float) -> None:
    """G4, G6, G7: both definitions of Xavier, both of He."""
    fc.manual_seed(0)
    assert abs(fill(fc.empty(200, 300)).numpy().var() / variance - 1) < 0.03


def test_kaiming_of_a_convolution_counts_its_window() -> None:
    """G7: fan_in = C_in kH kW."""
    fc.manual_seed(0)
    weight = init.kaiming_normal_(fc.empty(256, 64, 3, 3), nonlinearity="relu")
    assert abs(weight.numpy().var() / (2 / (64 * 9)) - 1) < 0.03


def test_batch_norm_starts_as_the_identity_of_normalised_values() -> None:
    """G8, G9: scale 1, shift 0; biases of convolutions may be set to 0 by hand."""
    layer = nn.BatchNorm2d(5)
    assert (layer.weight.detach().numpy() == 1).all()
    assert (layer.bias.detach().numpy() == 0).all()
    linear = nn.Linear(4, 3)
    init.zeros_(linear.bias)
    assert (linear.bias.detach().numpy() == 0).all()


@pytest.mark.parametrize("name", ["vgg11", "efficientnet_b0", "mobilenet_v2", "alexnet_2012", "nin_cifar"])
def test_biases_of_networks_start_at_zero(name: str) -> None:
    """G8: where a network's paper says so; alexnet_2012 has the ones of its paper in five layers. `nn.Linear` and the
    convolutions by themselves start as torch's do, uniformly."""
    small = {"hidden": 8} if name == "vgg11" else {}
    model = fc.models.create_model(name, num_classes=3, **small)
    biases = {path: p.detach().numpy() for path, p in model.named_parameters() if path.endswith("bias")}
    assert biases
    ones = {"conv2.bias", "conv4.bias", "conv5.bias", "fc6.bias", "fc7.bias"} if name == "alexnet_2012" else set()
    for path, bias in biases.items():
        assert (bias == (1.0 if path in ones else 0.0)).all(), path


def test_scales_of_norms_may_start_below_one_with_a_smaller_rate() -> None:
    """G10: off by default."""
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.GroupNorm(2, 4), nn.BatchNorm2d(4, affine=False))
    assert model[1].weight.tolist() == [1.0] * 4
    init.norm_weight_(model, 0.1)
    np.testing.assert_array_equal(model[1].weight.detach().numpy(), np.float32(0.1))
    np.testing.assert_array_equal(model[2].weight.detach().numpy(), np.float32(0.1))
    assert not model[1].bias.detach().numpy().any()
    groups = optim.parameter_groups(model, 1e-4, lr=0.1, norm_lr_factor=1 / 100)
    scales = groups[-1]
    assert (len(scales["params"]), scales["lr"], scales["weight_decay"]) == (2, pytest.approx(0.001), 0.0)


def test_layers_pre_trained_one_by_one_as_auto_encoders() -> None:
    """G11: every layer learns to reconstruct what the layers below give it; the stack is fine-tuned as a whole."""
    fc.manual_seed(0)
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 120)
    patterns = rng.normal(size=(3, 16))
    x = fc.tensor((patterns[labels] + 0.3 * rng.normal(size=(120, 16))).astype(np.float32))
    targets, encoders, below = fc.tensor(labels), [], x
    for inputs, units in ((16, 10), (10, 6)):
        encoder, decoder = nn.Sequential(nn.Linear(inputs, units), nn.Tanh()), nn.Linear(units, inputs)
        optimizer = optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=0.02)
        losses = []
        for _ in range(150):
            optimizer.zero_grad()
            loss = F.mse_loss(decoder(encoder(below)), below)
            losses.append(loss.item())
            loss.backward()
            optimizer.step()
        assert losses[-1] < 0.5 * losses[0]
        frozen = [p.detach().numpy().copy() for e in encoders for p in e.parameters()]
        encoders.append(encoder)
        below = encoder(below).detach()
        for p, before in zip((p for e in encoders[:-1] for p in e.parameters()), frozen, strict=True):
            np.testing.assert_array_equal(p.detach().numpy(), before)  # while one layer learns, those below rest
    model = nn.Sequential(*encoders, nn.Linear(6, 3))
    optimizer = optim.Adam(model.parameters(), lr=0.01)
    for _ in range(60):
        optimizer.zero_grad()
        F.cross_entropy(model(x), targets).backward()
        optimizer.step()
    assert (model(x).detach().numpy().argmax(1) == labels).mean() > 0.98


def test_the_seed_fixes_the_run() -> None:
    """G13: the same seed gives the same bits, for weights and for the order of the data; another one does not."""
    from fastcnn.data import DataLoader

    def run(seed: int) -> bytes:
        fc.manual_seed(seed)
        model = two_layers()
        rng = np.random.default_rng(0)
        data = (rng.normal(size=(32, 3)).astype(np.float32), rng.normal(size=(32, 1)).astype(np.float32))
        optimizer = optim.SGD(model.parameters(), lr=0.1)
        for x, y in DataLoader(data, batch_size=4, shuffle=True, seed=seed):
            optimizer.zero_grad()
            F.mse_loss(model(x), y).backward()
            optimizer.step()
        return model[0].weight.detach().numpy().tobytes()

    assert run(1) == run(1)
    assert run(1) != run(2)


def test_orthogonal_rows_or_columns() -> None:
    fc.manual_seed(0)
    for shape in ((5, 9), (9, 5), (6, 2, 3, 2)):
        matrix = init.orthogonal_(fc.empty(*shape, dtype=fc.float64), gain=2.0).numpy().reshape(shape[0], -1)
        small = matrix @ matrix.T if matrix.shape[0] <= matrix.shape[1] else matrix.T @ matrix
        np.testing.assert_allclose(small, 4 * np.eye(min(matrix.shape)), atol=1e-12)
    assert init.orthogonal_(fc.empty(0, 3)).shape == (0, 3)
    with pytest.raises(ValueError, match="orthogonal_"):
        init.orthogonal_(fc.empty(3))


@pytest.mark.parametrize(("shape", "groups"), [((4, 4, 3), 1), ((6, 2, 3, 5), 3), ((2, 5, 3, 3, 3), 1)])
def test_dirac_equals_torch(shape: tuple[int, ...], groups: int, torch: Any) -> None:
    expected = torch.nn.init.dirac_(torch.empty(shape), groups).numpy()
    np.testing.assert_array_equal(init.dirac_(fc.empty(*shape), groups).numpy(), expected)


def test_dirac_passes_the_input_on() -> None:
    layer = nn.Conv2d(3, 3, 3, padding=1, bias=False)
    init.dirac_(layer.weight)
    x = fc.randn(2, 3, 5, 4)
    np.testing.assert_allclose(layer(x).detach().numpy(), x.numpy(), rtol=1e-6)
    for shape, groups in (((3, 3), 1), ((3, 3, 3), 2)):
        with pytest.raises(ValueError, match="dirac_"):
            init.dirac_(fc.empty(*shape), groups)


def test_sparse_columns() -> None:
    fc.manual_seed(0)
    values = init.sparse_(fc.empty(10, 2000), 0.25, std=0.5).numpy()
    assert ((values == 0).sum(axis=0) == 3).all()
    assert abs(values[values != 0].std() - 0.5) < 0.02
    assert abs((values == 0).mean(axis=1) - 0.3).max() < 0.06
    with pytest.raises(ValueError, match="sparse_"):
        init.sparse_(fc.empty(3), 0.1)
