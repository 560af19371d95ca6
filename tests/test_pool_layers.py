"""Pools, blurs and resampling layers against torch's, and what the lectures say about them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastcnn as fc
from fastcnn import functional as F
from fastcnn import nn

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


@pytest.mark.parametrize(("name", "args", "options", "shape"), PLAIN)
def test_layers_without_weights_equal_torch(
    name: str, args: Any, options: Any, shape: tuple[int, ...], torch: Any, rng: np.random.Generator
) -> None:
    x = rng.uniform(0.1, 1.0, shape).astype(np.float32)
    ours, theirs = getattr(nn, name)(*args, **options), getattr(torch.nn, name)(*args, **options)
    assert repr(ours) == repr(theirs)
    np.testing.assert_allclose(ours(fc.tensor(x)).numpy(), theirs(torch.from_numpy(x)).numpy(), rtol=2e-5, atol=1e-5)


def test_own_layers_call_their_functions(rng: np.random.Generator) -> None:
    x = fc.tensor(rng.standard_normal((2, 3, 12, 10)).astype(np.float32))
    samples = fc.tensor(rng.random((2, 3, 2)).astype(np.float32))
    for layer, expected, words in (
        (nn.SumPool2d(3, 2, 1), F.sum_pool2d(x, 3, 2, 1), "SumPool2d(kernel_size=3, stride=2, padding=1)"),
        (nn.SpatialPyramidPool2d((3, 1), "avg"), F.spatial_pyramid_pool2d(x, (3, 1), "avg"),
         "SpatialPyramidPool2d(output_sizes=(3, 1), mode='avg')"),
        (nn.BlurPool(3, 2, "replicate"), F.blur_pool2d(x, 3, 2, "replicate"),
         "BlurPool(filt_size=3, stride=2, pad_type='replicate')"),
        (nn.FractionalMaxPool2d(2, output_ratio=0.6, _random_samples=samples),
         F.fractional_max_pool2d(x, 2, output_ratio=0.6, _random_samples=samples), "FractionalMaxPool2d()"),
        (nn.MaxBlurPool2d(3, 2, 3), F.blur_pool2d(F.max_pool2d(x, 3, 1), 3, 2),
         "(1): BlurPool(filt_size=3, stride=2, pad_type='reflect')"),
    ):  # fmt: skip
        np.testing.assert_array_equal(layer(x).numpy(), expected.numpy())
        assert words in repr(layer)


def test_fractional_pooling_needs_a_size_or_a_ratio() -> None:
    with pytest.raises(ValueError, match="either"):
        nn.FractionalMaxPool2d(2)


# The lectures' rows.


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
