"""Convolutions, pools and resampling layers against torch's, and what the lectures say about them."""

from __future__ import annotations

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
PLAIN: list[tuple[str, tuple[Any, ...], dict[str, Any], tuple[int, ...]]] = [
    ("MaxPool1d", (3,), {"stride": 2, "padding": 1}, (2, 3, 9)),
    ("MaxPool3d", (2,), {"ceil_mode": True}, (2, 3, 5, 4, 7)),
    ("AvgPool1d", (3,), {"stride": 2, "padding": 1, "count_include_pad": False}, (2, 3, 9)),
    ("AvgPool3d", (2,), {"padding": 1}, (2, 3, 5, 4, 7)),
    ("AdaptiveAvgPool1d", (3,), {}, (2, 3, 10)),
    ("AdaptiveAvgPool3d", ((2, None, 3),), {}, (2, 3, 5, 4, 7)),
    ("AdaptiveMaxPool1d", (3,), {}, (2, 3, 10)),
    ("AdaptiveMaxPool3d", (2,), {}, (2, 3, 5, 4, 7)),
    ("LPPool1d", (2, 3), {"stride": 2}, (2, 3, 9)),
    ("LPPool2d", (2, 3), {}, (2, 3, 9, 7)),
    ("LPPool3d", (3, (2, 3, 2)), {"stride": 2, "ceil_mode": True}, (2, 3, 5, 6, 7)),
    ("PixelShuffle", (2,), {}, (2, 12, 3, 4)),
    ("PixelUnshuffle", (2,), {}, (2, 3, 6, 4)),
    ("ChannelShuffle", (3,), {}, (2, 6, 3, 4)),
    ("Upsample", (), {"scale_factor": 2}, (1, 2, 3, 4)),
    ("Upsample", (), {"size": (7, 5), "mode": "bilinear", "align_corners": True}, (1, 2, 3, 4)),
    ("Upsample", (), {"scale_factor": 1.5, "mode": "bicubic"}, (1, 2, 6, 4)),
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


@pytest.mark.parametrize(("name", "args", "options", "shape"), PLAIN)
def test_layers_without_weights_equal_torch(
    name: str, args: Any, options: Any, shape: tuple[int, ...], torch: Any, rng: np.random.Generator
) -> None:
    x = rng.uniform(0.1, 1.0, shape).astype(np.float32)
    ours = getattr(nn, name)(*args, **options)
    expected = getattr(torch.nn, name)(*args, **options)(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(ours(fc.tensor(x)).numpy(), expected, rtol=2e-5, atol=1e-5)
    assert "(" in repr(ours)


def test_transposed_layer_reaches_a_given_output_size(torch: Any) -> None:
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
        (lambda: nn.FractionalMaxPool2d(2), "either"),
    ],
)
def test_layers_reject(make: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make()


def test_own_layers_call_their_functions(rng: np.random.Generator) -> None:
    x = fc.tensor(rng.standard_normal((2, 3, 12, 10)).astype(np.float32))
    samples = fc.tensor(rng.random((2, 3, 2)).astype(np.float32))
    for layer, expected in (
        (nn.SumPool2d(3, 2, 1), F.sum_pool2d(x, 3, 2, 1)),
        (nn.SpatialPyramidPool2d((3, 1), "avg"), F.spatial_pyramid_pool2d(x, (3, 1), "avg")),
        (nn.BlurPool(3, 2, "replicate"), F.blur_pool2d(x, 3, 2, "replicate")),
        (nn.FractionalMaxPool2d(2, output_ratio=0.6, _random_samples=samples),
         F.fractional_max_pool2d(x, 2, output_ratio=0.6, _random_samples=samples)),
        (nn.MaxBlurPool2d(3, 2, 3), F.blur_pool2d(F.max_pool2d(x, 3, 1), 3, 2)),
    ):  # fmt: skip
        np.testing.assert_array_equal(layer(x).numpy(), expected.numpy())
        assert type(layer).__name__ in repr(layer)


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
    import inspect

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


def test_sum_pool_is_the_mean_times_the_window() -> None:
    """K6, K7, K8: also where windows overlap; the gradient is g for every window that covers a pixel."""
    image = fc.tensor([[[[1.0, 2.0], [3.0, 6.0]]]], requires_grad=True)
    mean = F.avg_pool2d(image, 2)
    assert mean.item() == 3.0
    mean.backward(fc.full((1, 1, 1, 1), 8.0))
    assert image.grad is not None
    assert image.grad.tolist() == [[[[2.0, 2.0], [2.0, 2.0]]]]  # g / K^2
    peak = fc.zeros(1, 1, 5, 5)
    peak[0, 0, 2, 2] = 1.0
    peak.requires_grad_(True)
    F.max_pool2d(peak, 3, 2).sum().backward()  # four overlapping windows have the same maximum
    assert peak.grad is not None
    assert peak.grad[0, 0, 2, 2].item() == 4.0
    x = fc.randn(1, 2, 7, 7, requires_grad=True)
    y = F.sum_pool2d(x, 3, 2)
    np.testing.assert_allclose(y.detach().numpy(), 9 * F.avg_pool2d(x.detach(), 3, 2).numpy(), rtol=1e-5, atol=1e-5)
    y.sum().backward()
    assert x.grad is not None
    cover = np.array([1, 1, 2, 1, 2, 1, 1.0])
    np.testing.assert_allclose(x.grad.numpy()[0, 0], np.outer(cover, cover))


def test_pool_sizes_and_parameters() -> None:
    """K2 to K5, K21: 224 -> 112; 55 -> 27 -> 13 -> 6 with overlapping windows; floor; nothing to learn."""
    pool = nn.MaxPool2d(2, 2)
    assert pool(fc.zeros(1, 64, 224, 224)).shape == (1, 64, 112, 112)
    assert not list(pool.parameters())
    size, sizes = fc.zeros(1, 1, 55, 55), []
    for _ in range(3):
        size = F.max_pool2d(size, 3, 2)
        sizes.append(size.shape[2])
    assert sizes == [27, 13, 6]
    assert F.max_pool2d(fc.zeros(1, 1, 5, 5), 2, 2).shape[2] == 2
    for side in (7, 10):
        maps = fc.randn(2, 3, side, side + 1)
        expected = maps.numpy().mean((2, 3))
        np.testing.assert_allclose(nn.AdaptiveAvgPool2d(1)(maps).numpy()[:, :, 0, 0], expected, atol=1e-6)


def test_pooled_maps_change_less_under_a_shift() -> None:
    """K10."""
    fc.manual_seed(0)
    x = F.avg_pool2d(fc.randn(1, 1, 40, 40), 3, 1)
    shifted = x[:, :, :, 1:]
    plain = (shifted[:, :, :36, :36] - x[:, :, :36, :36]).abs().mean().item()
    pooled = (F.max_pool2d(shifted[:, :, :36, :36], 4) - F.max_pool2d(x[:, :, :36, :36], 4)).abs().mean().item()
    assert pooled < 0.8 * plain


def test_c_cell_is_the_maximum_over_shifted_s_cells() -> None:
    """K13: responds if at least one of the S-cells does; its weights are fixed."""
    s_cells = fc.zeros(1, 1, 5, 5, requires_grad=True)
    s_cells.detach()[0, 0, 3, 1] = 0.9
    response = nn.MaxPool2d(5)(s_cells)
    assert response.item() == pytest.approx(0.9)
    response.sum().backward()
    assert s_cells.grad is not None
    assert s_cells.grad.numpy().sum() == 1.0
    assert not list(nn.MaxPool2d(5).parameters())
    for y, x in ((0, 0), (4, 4), (1, 3)):  # wherever it is
        moved = fc.zeros(1, 1, 5, 5)
        moved[0, 0, y, x] = 0.9
        assert nn.MaxPool2d(5)(moved).item() == pytest.approx(0.9)


def shift_error(layer: Any) -> float:
    """How much a layer's output changes when its input moves by one pixel, circularly, relative to its size."""
    fc.manual_seed(0)
    x = F.avg_pool2d(fc.randn(4, 3, 34, 34), 3, 1)
    moved = fc.cat([x[:, :, :, 1:], x[:, :, :, :1]], dim=3)
    a, b = layer(x).detach().numpy(), layer(moved).detach().numpy()
    return float(np.abs(a - b)[:, :, 2:-2, 2:-2].mean() / np.abs(a).mean())


def test_blurred_pools_depend_less_on_the_shift() -> None:
    """K14, K15, K16, K17: max, convolution and average, each with the blur before subsampling."""
    assert shift_error(nn.MaxBlurPool2d(2, 2, 5)) < 0.9 * shift_error(nn.MaxPool2d(2))
    fc.manual_seed(1)
    blurred = nn.ConvBlurPool2d(3, 8, 3, padding=1, filt_size=5)
    strided = nn.Conv2d(3, 8, 3, stride=2, padding=1)
    strided.load_state_dict(blurred[0].state_dict())
    assert shift_error(blurred) < 0.9 * shift_error(lambda x: F.relu(strided(x)))
    assert blurred(fc.zeros(1, 3, 15, 16)).shape == strided(fc.zeros(1, 3, 15, 16)).shape
    constant = fc.full((1, 2, 9, 8), 0.7)
    for size in range(1, 8):
        np.testing.assert_allclose(F.blur_pool2d(constant, size).numpy(), 0.7, rtol=1e-6)
    x = fc.randn(1, 2, 8, 8)
    np.testing.assert_allclose(F.blur_pool2d(x, 2).numpy(), F.avg_pool2d(x, 2).numpy(), atol=1e-6)


def test_subsampling_turns_high_frequencies_into_low_ones() -> None:
    """K17: a checkerboard looks constant, and the blur removes it."""
    board = fc.tensor(np.indices((8, 8)).sum(0)[None, None] % 2 * 2.0 - 1.0)
    assert set(board[:, :, ::2, ::2].numpy().ravel()) == {-1.0}
    assert np.abs(F.blur_pool2d(board, 3).numpy()).max() < 1e-12


def test_pyramid_has_21_bins_for_images_of_any_size() -> None:
    """K18: 16 + 4 + 1."""
    for size in ((13, 13), (10, 17)):
        assert nn.SpatialPyramidPool2d()(fc.zeros(2, 8, *size)).shape == (2, 21 * 8)


def test_unpooling_restores_the_maxima() -> None:
    """K19: switches."""
    x = fc.tensor([[[[1.0, 1, 2, 4], [5, 6, 7, 8], [3, 2, 1, 0], [1, 2, 3, 4]]]])
    values, switches = F.max_pool2d(x, 2, return_indices=True)
    restored = nn.MaxUnpool2d(2)(values, switches)
    expected = np.zeros((4, 4))
    expected[1, 1], expected[1, 3], expected[2, 0], expected[3, 3] = 6, 8, 3, 4
    np.testing.assert_array_equal(restored.numpy()[0, 0], expected)


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("batch", [(2,), ()])
def test_unpooling_layers_equal_torch(rank: int, batch: tuple[int, ...], torch: Any, rng: np.random.Generator) -> None:
    """Behind the pool whose positions they take, with padding and a size that the pool does not determine."""
    x = rng.standard_normal((*batch, 3, *(8, 9, 7)[:rank])).astype(np.float32)
    options = {"kernel_size": 3, "stride": 2, "padding": 1}
    a, b = fc.tensor(x, requires_grad=True), torch.from_numpy(x).requires_grad_(True)
    results = []
    for library, value in ((nn, a), (torch.nn, b)):
        maxima, positions = getattr(library, f"MaxPool{rank}d")(**options, return_indices=True)(value)
        unpool = getattr(library, f"MaxUnpool{rank}d")(**options)
        results.append((unpool, unpool(maxima, positions, output_size=x.shape[-rank:])))
    (ours, y), (theirs, z) = results
    assert repr(ours) == repr(theirs)
    assert y.shape == x.shape
    np.testing.assert_allclose(y.detach().numpy(), z.detach().numpy(), rtol=1e-6)  # means of up to 8 equal maxima
    assert np.count_nonzero(y.detach().numpy()) > 0
    g = rng.standard_normal(y.shape).astype(np.float32)
    y.backward(fc.tensor(g))
    z.backward(torch.from_numpy(g))
    assert a.grad is not None
    np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), rtol=1e-6)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_power_means_of_zeros_have_gradients_of_zero(rank: int, torch: Any) -> None:
    """Windows behind a ReLU are often all 0, where the root has no derivative."""
    x = np.zeros((1, 2, *(4,) * rank), np.float32)
    x[0, 1] = 2.0
    a, b = fc.tensor(x, requires_grad=True), torch.from_numpy(x).requires_grad_(True)
    getattr(nn, f"LPPool{rank}d")(2, 2)(a).sum().backward()
    getattr(torch.nn, f"LPPool{rank}d")(2, 2)(b).sum().backward()
    assert a.grad is not None
    assert not a.grad.numpy()[0, 0].any()
    np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), rtol=1e-6)


def test_fractional_pooling_is_random_with_a_seed() -> None:
    """H17."""
    layer, x = nn.FractionalMaxPool2d(2, output_ratio=0.7), fc.randn(1, 2, 20, 20)
    fc.manual_seed(1)
    first = layer(x).numpy().copy()
    second = layer(x).numpy().copy()
    fc.manual_seed(1)
    np.testing.assert_array_equal(layer(x).numpy(), first)
    assert first.shape == (1, 2, 14, 14)
    assert (first != second).any()


def test_strided_convolution_in_place_of_a_pool() -> None:
    """K12: a 2x2 convolution with stride 2 gives the pool's shape, and equals it for weights of 1/4."""
    conv, x = nn.Conv2d(1, 1, 2, stride=2, bias=False), fc.randn(1, 1, 8, 6)
    nn.init.constant_(conv.weight, 0.25)
    np.testing.assert_allclose(conv(x).detach().numpy(), F.avg_pool2d(x, 2).numpy(), atol=1e-6)


def test_region_pool_takes_the_maximum_of_every_cell() -> None:
    """K20: h x w cells; the gradient goes to the largest values; all regions become 7 x 7."""
    image = np.arange(48, dtype=np.float64).reshape(1, 1, 6, 8)
    x = fc.tensor(image, requires_grad=True)
    boxes = [fc.tensor([[1.0, 1.0, 6.0, 4.0]])]  # 4 rows, 6 columns
    y = nn.RoIPool((2, 3))(x, boxes)
    assert y.tolist() == [[[[18, 20, 22], [34, 36, 38]]]]
    y.backward(fc.tensor([[[[1.0, 2, 3], [4, 5, 6]]]], dtype=fc.float64))
    assert x.grad is not None
    expected = np.zeros(48)
    expected[[18, 20, 22, 34, 36, 38]] = [1, 2, 3, 4, 5, 6]
    np.testing.assert_array_equal(x.grad.numpy().ravel(), expected)
    maps = fc.randn(2, 16, 14, 20)
    regions = [fc.tensor([[0.0, 0.0, 304.0, 208.0], [16.0, 32.0, 100.0, 180.0]]), fc.tensor([[40.0, 8.0, 90.0, 60.0]])]
    pooled = nn.RoIPool(7, 1 / 16)(maps, regions)
    assert pooled.shape == (3, 16, 7, 7)
    np.testing.assert_array_equal(pooled[0].numpy(), F.adaptive_max_pool2d(maps[:1], 7)[0].numpy())
    assert repr(nn.RoIPool(7, 0.5)) == "RoIPool(output_size=7, spatial_scale=0.5)"
    with pytest.raises(ValueError, match="boxes holds 1 tensors, but input has 2 images"):
        nn.RoIPool(7)(maps, regions[:1])
    with pytest.raises(ValueError, match=r"boxes\[0\] has shape \(2, 5\)"):
        nn.RoIPool(7)(maps[:1], [fc.zeros(2, 5)])
