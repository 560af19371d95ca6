"""Convolutional layers against torch's, and what the lectures say about them."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest

import fastcnn as fc
from fastcnn import functional as F
from fastcnn import nn, optim

WITH_WEIGHTS: list[tuple[str, tuple[Any, ...], dict[str, Any], tuple[int, ...]]] = [
    ("Conv1d", (4, 6, 3), {"stride": 2, "padding": 1, "groups": 2}, (2, 4, 9)),
    ("Conv1d", (4, 6, 4), {"padding": "same", "padding_mode": "reflect", "bias": False}, (2, 4, 9)),
    ("Conv3d", (2, 4, (3, 2, 3)), {"padding": (1, 0, 2), "stride": (1, 2, 1)}, (2, 2, 4, 5, 6)),
    ("Conv3d", (2, 4, 3), {"padding": 1, "padding_mode": "circular", "dilation": (1, 2, 1)}, (1, 2, 4, 5, 6)),
    ("Conv3d", (2, 3, (1, 3, 3)), {"padding": "same"}, (2, 4, 5, 6)),
    ("ConvTranspose1d", (4, 6, 3), {"stride": 2, "output_padding": 1}, (2, 4, 5)),
    ("ConvTranspose2d", (4, 6, (3, 2)), {"stride": (2, 1), "padding": 1, "groups": 2, "bias": False}, (2, 4, 5, 6)),
    ("ConvTranspose3d", (2, 3, 2), {"stride": 2, "dilation": (1, 2, 1)}, (1, 2, 3, 2, 3)),
]


@pytest.mark.parametrize(("name", "args", "options", "shape"), WITH_WEIGHTS)
def test_layers_with_weights_equal_torch(
    name: str, args: Any, options: Any, shape: tuple[int, ...], torch: Any, rng: np.random.Generator
) -> None:
    ours, theirs = getattr(nn, name)(*args, **options), getattr(torch.nn, name)(*args, **options)
    assert repr(ours) == repr(theirs)
    theirs.load_state_dict({k: torch.from_numpy(v.numpy().copy()) for k, v in ours.state_dict().items()})
    x = rng.standard_normal(shape).astype(np.float32)
    a, b = fc.tensor(x, requires_grad=True), torch.from_numpy(x).requires_grad_(True)
    y, z = ours(a), theirs(b)
    np.testing.assert_allclose(y.detach().numpy(), z.detach().numpy(), rtol=1e-4, atol=1e-5)
    g = rng.standard_normal(y.shape).astype(np.float32)
    y.backward(fc.tensor(g))
    z.backward(torch.from_numpy(g))
    assert a.grad is not None
    np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), rtol=1e-3, atol=1e-5)
    for mine, peer in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert mine.grad is not None
        np.testing.assert_allclose(mine.grad.numpy(), peer.grad.numpy(), rtol=1e-3, atol=1e-4)
    bound = 1 / np.sqrt(np.prod(ours.weight.shape[1:]))
    assert 0.8 * bound < np.abs(ours.weight.detach().numpy()).max() <= bound


def test_transposed_layer_reaches_a_given_output_size() -> None:
    ours = nn.ConvTranspose2d(3, 2, 3, stride=2, padding=1)
    assert ours(fc.zeros(1, 3, 5, 5), output_size=(1, 2, 10, 9)).shape == (1, 2, 10, 9)
    with pytest.raises(ValueError, match=r"output_size is \(12, 9\)"):
        ours(fc.zeros(1, 3, 5, 5), output_size=(12, 9))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: nn.Conv1d(3, 4, 3, groups=2), "in_channels is 3"),
        (lambda: nn.Conv1d(3, 4, 3, groups=0), "groups is 0"),
        (lambda: nn.Conv3d(3, 4, 0), "kernel_size is 0"),
        (lambda: nn.Conv3d(3, 4, (3, 3)), r"kernel_size is \(3, 3\)"),
        (lambda: nn.Conv1d(3, 4, 3, padding="full"), "'full'"),
        (lambda: nn.Conv1d(3, 4, 3, padding="same", stride=2), "stride 1"),
        (lambda: nn.ConvTranspose2d(3, 4, 3, padding_mode="reflect"), "'reflect'"),
        (lambda: nn.LocallyConnected2d(3, 4, 3, 5), "exceeds"),
    ],
)
def test_layers_reject(make: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make()


# The lectures' rows.


def test_transposed_convolution_is_the_adjoint() -> None:
    """J33: <conv(x), y> = <x, transposed(y)>."""
    fc.manual_seed(0)
    w = fc.randn(5, 3, 3, 2, dtype=fc.float64)
    x, y = fc.randn(2, 3, 9, 8, dtype=fc.float64), fc.randn(2, 5, 5, 4, dtype=fc.float64)
    forward = (F.conv2d(x, w, stride=2, padding=(1, 0)) * y).sum().item()
    backward = (x * F.conv_transpose2d(y, w, stride=2, padding=(1, 0))).sum().item()
    assert forward == pytest.approx(backward, rel=1e-12)


def test_locally_connected_with_equal_filters_is_a_convolution() -> None:
    """J23: and it has H_out W_out times as many weights."""
    fc.manual_seed(0)
    conv = nn.Conv2d(3, 4, 3, padding=1, stride=2)
    local = nn.LocallyConnected2d(3, 4, (8, 6), 3, stride=2, padding=1)
    assert local.weight.numel() == 4 * 3 * conv.weight.numel()
    local.weight.detach().copy_(conv.weight.detach().reshape(1, 1, 4, 3, 3, 3).expand(*local.weight.shape))
    local.bias.detach().copy_(conv.bias.detach().reshape(4, 1, 1).expand(*local.bias.shape))
    x = fc.randn(2, 3, 8, 6)
    np.testing.assert_allclose(local(x).detach().numpy(), conv(x).detach().numpy(), atol=1e-5)


def test_output_sizes_of_the_lectures() -> None:
    """J1, J2, J4, J8 to J10, J17, J26: W - K + 1, + 2 P, / S; floor where the stride does not divide."""
    image = fc.zeros(2, 3, 32, 32)
    for filters in (1, 2):
        assert nn.Conv2d(3, filters, 5)(image[:1]).shape == (1, filters, 28, 28)
    assert nn.Conv2d(3, 6, 5)(image).shape == (2, 6, 28, 28)
    small = fc.zeros(1, 1, 7, 7)
    for options, size in (({}, 5), ({"padding": 1}, 7), ({"stride": 2}, 3), ({"stride": 3}, 2)):
        assert nn.Conv2d(1, 1, 3, **options)(small).shape == (1, 1, size, size)
    for kernel, padding, stride, size in ((3, 1, 1, 32), (5, 2, 1, 32), (1, 0, 1, 32), (3, 1, 2, 16)):
        for filters in (32, 64, 128, 256):
            assert nn.Conv2d(3, filters, kernel, stride, padding)(image[:1]).shape == (1, filters, size, size)


def test_numbers_of_the_lectures_beyond_sizes() -> None:
    """J3 to J7, J9, J10, J26, J27: batch independence, order of the indices, zeros at the border, biases."""
    fc.manual_seed(0)
    six = nn.Conv2d(3, 6, 5)
    batch = fc.randn(2, 3, 32, 32)
    maps = six(batch).detach()
    assert maps.permute(0, 2, 3, 1)[0].shape == (28, 28, 6)  # a 28 x 28 grid of 6-vectors
    np.testing.assert_allclose(six(batch[1:]).detach().numpy()[0], maps.numpy()[1], atol=1e-5)
    assert six.bias.shape == (6,)
    tall = nn.Conv2d(3, 4, (5, 2))
    assert tall.weight.shape == (4, 3, 5, 2)  # C_out, C_in, K_H, K_W
    assert tall(fc.zeros(1, 3, 9, 9)).shape == (1, 4, 5, 8)
    corner = fc.zeros(1, 1, 2, 3)
    corner[0, 0, 0, 1] = 1.0  # neither flipped nor transposed: output = input one to the right
    line = fc.arange(20, dtype=fc.float32).reshape(1, 1, 4, 5)
    np.testing.assert_array_equal(F.conv2d(line, corner).numpy()[0, 0], line.numpy()[0, 0, :3, 1:4])
    ones = F.conv2d(fc.ones(1, 1, 4, 4), fc.ones(1, 1, 3, 3), padding=1).numpy()[0, 0]
    np.testing.assert_array_equal(ones[0], [4, 6, 6, 4])
    assert ones[1, 1] == 9
    assert F.conv2d(fc.zeros(1, 1, 8, 8), fc.zeros(1, 1, 3, 3), stride=2).shape[2:] == (3, 3)  # 3.5, rounded down
    assert nn.Conv2d(64, 128, 3).weight.shape == (128, 64, 3, 3)  # across all output maps of the stage before
    with pytest.raises(ValueError, match="4 channels"):
        six(fc.zeros(1, 4, 8, 8))


def test_signature_of_conv2d() -> None:
    """J20, W3: as the slide prints it."""
    parameters = list(inspect.signature(nn.Conv2d).parameters.values())
    printed = [
        ("in_channels", inspect.Parameter.empty), ("out_channels", inspect.Parameter.empty),
        ("kernel_size", inspect.Parameter.empty), ("stride", 1), ("padding", 0), ("dilation", 1), ("groups", 1),
        ("bias", True), ("padding_mode", "zeros"),
    ]  # fmt: skip
    assert [(p.name, p.default) for p in parameters[:9]] == printed
    layer = nn.Conv2d(4, 6, 3)
    assert (layer.stride, layer.padding, layer.dilation, layer.groups) == ((1, 1), (0, 0), (1, 1), 1)


@pytest.mark.parametrize("size", [1, 3, 5, 7, 11])
def test_filter_sizes_of_the_lectures(size: int) -> None:
    """J28, J35: each equals the naive sweep, position by position."""
    rng = np.random.default_rng(size)
    x, w = rng.normal(size=(1, 3, 13, 12)).astype(np.float32), rng.normal(size=(4, 3, size, size)).astype(np.float32)
    got = F.conv2d(fc.tensor(x), fc.tensor(w)).numpy()
    for y, z in np.ndindex(*got.shape[2:]):
        expected = (x[0, :, y : y + size, z : z + size].astype(np.float64) * w).sum((1, 2, 3))
        np.testing.assert_allclose(got[0, :, y, z], expected, rtol=1e-4, atol=1e-4)


def test_parameter_counts_of_the_lectures() -> None:
    """J3, J24, J25, J27, J29, J30: six filters 456, one 3x3 filter 9, 64 filters of 3x3x3 1,728 (+64), AlexNet."""

    def count(layer: nn.Module) -> int:
        return sum(p.numel() for p in layer.parameters())

    assert count(nn.Conv2d(3, 6, 5)) == 456
    assert count(nn.Conv2d(1, 1, 3, bias=False)) == 9
    assert count(nn.Conv2d(1, 1, 3)) == 10
    assert nn.Conv2d(3, 1, 3)(fc.zeros(1, 3, 5, 5)).shape[1] == 1  # one cube, one map
    assert count(nn.Conv2d(3, 64, 3, bias=False)) == 1728
    assert count(nn.Conv2d(3, 64, 3)) == 1792
    assert count(nn.Conv2d(3, 64, 11)) == 23_296
    assert count(nn.Conv2d(3, 96, 11)) == 34_944
    with nn.init.skip():
        assert count(nn.Linear(3072, 4704)) == 14_455_392


def test_one_by_one_convolution_is_a_linear_layer_per_pixel() -> None:
    """J15."""
    conv, x = nn.Conv2d(5, 7, 1), fc.randn(2, 5, 3, 4)
    pixels = F.linear(x.permute(0, 2, 3, 1).reshape(24, 5), conv.weight.detach().reshape(7, 5), conv.bias.detach())
    expected = pixels.reshape(2, 3, 4, 7).permute(0, 3, 1, 2)
    np.testing.assert_allclose(conv(x).detach().numpy(), expected.numpy(), atol=1e-5)


def test_two_convolutions_are_one_until_a_relu_comes_between() -> None:
    """J16: two 3x3 filters without padding make one 5x5 filter, the full correlation of both."""
    fc.manual_seed(0)
    a, b, x = (fc.randn(1, 1, *s, dtype=fc.float64) for s in ((3, 3), (3, 3), (9, 9)))
    combined = F.conv_transpose2d(a, b)
    both = F.conv2d(F.conv2d(x, a), b)
    np.testing.assert_allclose(both.numpy(), F.conv2d(x, combined).numpy(), atol=1e-12)
    assert np.abs(F.conv2d(F.relu(F.conv2d(x, a)), b).numpy() - both.numpy()).max() > 0.1


def test_receptive_field_grows_by_k_minus_1_per_layer() -> None:
    """J11, J12, K11: 1 + L (K - 1), measured by which pixels have a gradient; a stride doubles the steps after it."""

    def field(layers: list[nn.Module]) -> int:
        x = fc.zeros(1, 1, 33, 33, requires_grad=True)
        y = x
        for layer in layers:
            y = layer(y)
        centre = fc.zeros(*y.shape)
        centre[0, 0, y.shape[2] // 2, y.shape[3] // 2] = 1.0
        y.backward(centre)
        assert x.grad is not None
        return int((x.grad.numpy()[0, 0] != 0).any(axis=0).sum())

    def conv(stride: int = 1) -> nn.Module:
        return init_ones(nn.Conv2d(1, 1, 3, stride, bias=False))

    assert [field([conv()] * n) for n in (1, 2, 3)] == [3, 5, 7]
    assert field([conv(2), conv()]) == 3 + 2 * 2
    assert field([nn.AvgPool2d(2), conv()]) == 2 + 2 * 2


def init_ones(layer: nn.Module) -> nn.Module:
    nn.init.ones_(layer.weight)
    return layer


def test_dilation_sees_further_with_the_same_weights() -> None:
    """J22: effective kernel K + (K - 1)(d - 1), equal to a filter with zeros between its taps."""
    fc.manual_seed(0)
    x, w = fc.randn(1, 2, 11, 11, dtype=fc.float64), fc.randn(3, 2, 3, 3, dtype=fc.float64)
    stuffed = np.zeros((3, 2, 7, 7))
    stuffed[:, :, ::3, ::3] = w.numpy()
    np.testing.assert_allclose(F.conv2d(x, w, dilation=3).numpy(), F.conv2d(x, fc.tensor(stuffed)).numpy(), atol=1e-12)
    assert nn.Conv2d(2, 3, 3, dilation=3).weight.numel() == nn.Conv2d(2, 3, 3).weight.numel()


def test_convolution_shifts_with_its_input_and_a_stride_subsamples() -> None:
    """J31, J34."""
    fc.manual_seed(0)
    w, x = fc.randn(2, 1, 3, 3), fc.randn(1, 1, 12, 12)
    y = F.conv2d(x, w).numpy()
    np.testing.assert_allclose(F.conv2d(x[:, :, 2:, 1:], w).numpy(), y[:, :, 2:, 1:], atol=1e-6)
    np.testing.assert_allclose(F.conv2d(x, w, stride=2).numpy(), y[:, :, ::2, ::2], atol=1e-6)


def test_sobel_filter_finds_the_edge() -> None:
    """J32, J6: cross-correlation, the filter is not flipped."""
    image = fc.zeros(1, 1, 6, 8)
    image[:, :, :, 4:] = 1.0
    sobel = fc.tensor([[[[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]]]])
    edges = F.conv2d(image, sobel).numpy()[0, 0]
    assert (edges == np.array([0, 0, 4, 4, 0, 0])).all()


def test_convolution_learns_a_known_filter() -> None:
    """J37."""
    fc.manual_seed(0)
    truth, x = fc.randn(1, 1, 3, 3), fc.randn(8, 1, 12, 12)
    target = F.conv2d(x, truth)
    conv = nn.Conv2d(1, 1, 3, bias=False)
    optimizer = optim.SGD(conv.parameters(), lr=0.2, momentum=0.5)
    for _ in range(100):
        optimizer.zero_grad()
        F.mse_loss(conv(x), target).backward()
        optimizer.step()
    assert np.abs(conv.weight.detach().numpy() - truth.numpy()).max() < 1e-3


def test_groups_and_depthwise_convolutions() -> None:
    """J21, J36: G groups have a G-th of the weights; groups = C is depthwise."""
    assert nn.Conv2d(8, 8, 3, groups=4, bias=False).weight.numel() * 4 == nn.Conv2d(8, 8, 3, bias=False).weight.numel()
    assert nn.Conv2d(8, 8, 3, groups=8).weight.shape == (8, 1, 3, 3)
    fc.manual_seed(0)
    for groups in (4, 8):
        layer, x = nn.Conv2d(8, 8, 3, groups=groups), fc.randn(2, 8, 6, 5)
        width = 8 // groups
        parts = [
            F.conv2d(
                x[:, at : at + width], layer.weight.detach()[at : at + width], layer.bias.detach()[at : at + width]
            )
            for at in range(0, 8, width)
        ]  # as many separate convolutions
        np.testing.assert_allclose(layer(x).detach().numpy(), fc.cat(parts, dim=1).numpy(), atol=1e-5)
    with pytest.raises(ValueError, match="4 channels"):
        nn.Conv2d(3, 4, 3)(fc.zeros(1, 4, 5, 5))  # J7: filters extend the full depth
