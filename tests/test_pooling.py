"""Pools beyond the case tables: worked examples, layers, memory, and known bugs of other frameworks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastcnn as fc
import fastcnn.functional as F
from fastcnn import _C, nn

NAN, INF = float("nan"), float("inf")
DTYPES = ("float32", "float64")


def gradient_of(function: Any, values: np.ndarray, grad_output: np.ndarray) -> np.ndarray:
    x = fc.tensor(values, requires_grad=True)
    function(x).backward(fc.tensor(grad_output.astype(values.dtype)))
    assert x.grad is not None
    return x.grad.numpy()


@pytest.mark.parametrize("dtype", DTYPES)
def test_worked_example_of_the_lecture(dtype: str, isa: str) -> None:
    image = np.array([[[[1, 1, 2, 4], [5, 6, 7, 8], [3, 2, 1, 0], [1, 2, 3, 4]]]], dtype)
    output, indices = F.max_pool2d(fc.tensor(image), 2, return_indices=True)
    assert output.numpy().tolist() == [[[[6, 8], [3, 4]]]]
    assert indices.numpy().tolist() == [[[[5, 7], [8, 15]]]]
    assert indices.dtype == fc.int64
    gradient = gradient_of(lambda x: F.max_pool2d(x, 2), image, np.array([[[[10, 20], [30, 40]]]]))
    assert gradient.tolist() == [[[[0, 0, 0, 0], [0, 10, 0, 20], [30, 0, 0, 0], [0, 0, 0, 40]]]]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("size", "kernel", "stride", "padding"), [(2, 1, 3, 0), (4, 2, 5, 0), (5, 2, 6, 1)])
def test_ceil_mode_drops_windows_outside_the_input(
    size: int, kernel: int, stride: int, padding: int, dtype: str, isa: str
) -> None:
    # pytorch 45357: a last window beyond the input gives -inf.
    x = fc.tensor(np.ones((1, 17, size, size), dtype))
    output = F.max_pool2d(x, kernel, stride, padding, ceil_mode=True).numpy()
    assert np.isfinite(output).all()
    assert output.shape == (1, 17, 1, 1)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("include", [True, False])
def test_ceil_mode_average_divides_by_what_it_covers(include: bool, dtype: str, isa: str) -> None:
    # pytorch 36977: what lies beyond the padding must not count, and no window may divide by 0.
    x = fc.tensor(np.ones((2, 19, 3, 5), dtype))
    output = F.avg_pool2d(x, 2, ceil_mode=True, count_include_pad=include).numpy()
    assert output.shape == (2, 19, 2, 3)
    np.testing.assert_array_equal(output, 1.0)
    padded = F.avg_pool2d(x, 3, 2, 1, ceil_mode=True, count_include_pad=include).numpy()
    assert padded.shape == (2, 19, 2, 3)
    np.testing.assert_allclose(padded[0, 0, 0], [4 / 9, 6 / 9, 4 / 9] if include else [1, 1, 1], rtol=1e-6)
    alone = F.avg_pool2d(fc.tensor(np.ones((1, 1, 2, 2), dtype)), 1, 3, ceil_mode=True, count_include_pad=include)
    assert alone.numpy().tolist() == [[[[1.0]]]]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("pool", [F.max_pool2d, F.avg_pool2d])
def test_last_window_does_not_start_in_the_right_padding(pool: Any, dtype: str, isa: str) -> None:
    x = fc.tensor(np.ones((1, 3, 3, 3), dtype))
    output = pool(x, 2, 2, 1, ceil_mode=True).numpy()  # a third window would start at 3, in the padding
    assert output.shape == (1, 3, 2, 2)
    assert np.isfinite(output).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("channels", [1, 5, 16, 19, 40])
@pytest.mark.parametrize("kernel", [2, 3])
def test_max_pool_keeps_nan(kernel: int, channels: int, dtype: str, isa: str) -> None:
    # pytorch 7645, 1465: NaN anywhere in the window, NaN everywhere, and NaN next to Inf.
    for position in range(kernel * kernel):
        window = np.zeros((1, channels, kernel, kernel), dtype)
        window.reshape(1, channels, -1)[:, :, position] = NAN
        window[:, ::2, 0, 0] = np.where(np.isnan(window[:, ::2, 0, 0]), NAN, INF)
        output, indices = F.max_pool2d(fc.tensor(window), kernel, return_indices=True)
        assert np.isnan(output.numpy()).all(), f"NaN at {position} was lost"
        assert (indices.numpy() == position).all()
        assert np.isnan(F.adaptive_max_pool2d(fc.tensor(window), 1).numpy()).all()
    everywhere = np.full((1, channels, kernel, kernel), NAN, dtype)
    assert np.isnan(F.max_pool2d(fc.tensor(everywhere), kernel).numpy()).all()
    gradient = gradient_of(lambda x: F.max_pool2d(x, kernel), everywhere, np.ones((1, channels, 1, 1)))
    assert gradient.sum() == channels, "the gradient of an all-NaN window goes to one tap"


@pytest.mark.parametrize("dtype", DTYPES)
def test_minus_infinity_is_a_value(dtype: str, isa: str) -> None:
    output, indices = F.max_pool2d(fc.tensor(np.full((1, 18, 2, 3), -INF, dtype)), (2, 3), return_indices=True)
    assert np.isneginf(output.numpy()).all()
    assert (indices.numpy() == 0).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_first_of_equal_values_receives_the_gradient(dtype: str, isa: str) -> None:
    gradient = gradient_of(lambda x: F.max_pool2d(x, (2, 3)), np.ones((2, 17, 4, 6), dtype), np.ones((2, 17, 2, 2)))
    expected = np.zeros((4, 6))
    expected[::2, ::3] = 1
    np.testing.assert_array_equal(gradient, np.broadcast_to(expected, gradient.shape))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("kernel", "stride"), [((2, 3), (2, 3)), ((3, 2), (1, 2)), ((2, 4), (1, 3))])
def test_max_pool_gradient_does_not_swap_height_and_width(kernel: Any, stride: Any, dtype: str, isa: str) -> None:
    # pytorch 36820: every gradient must land where the maximum was.
    image = np.arange(2 * 17 * 6 * 12, dtype=dtype).reshape(2, 17, 6, 12) % 97
    output, indices = F.max_pool2d(fc.tensor(image), kernel, stride, return_indices=True)
    flat = image.reshape(2, 17, -1)
    picked = np.take_along_axis(flat, indices.numpy().reshape(2, 17, -1), 2).reshape(output.shape)
    np.testing.assert_array_equal(picked, output.numpy())
    cotangent = np.arange(1, output.numel() + 1).reshape(output.shape) % 7 + 1
    expected = np.zeros_like(flat)
    for n, c in np.ndindex(2, 17):
        np.add.at(expected[n, c], indices.numpy()[n, c].ravel(), cotangent[n, c].ravel())
    gradient = gradient_of(lambda x: F.max_pool2d(x, kernel, stride), image, cotangent)
    np.testing.assert_array_equal(gradient, expected.reshape(image.shape))


@pytest.mark.parametrize("dtype", DTYPES)
def test_adaptive_windows_overlap_when_sizes_do_not_divide(dtype: str, isa: str) -> None:
    # pytorch 62250: 5 -> 3 covers [0, 2), [1, 4), [3, 5).
    row = np.array([[[[1.0, 2.0, 4.0, 8.0, 16.0]]]], dtype)
    mean = F.adaptive_avg_pool2d(fc.tensor(row), (1, 3)).numpy()
    np.testing.assert_allclose(mean[0, 0, 0], [1.5, 14 / 3, 12], rtol=1e-6)
    assert F.adaptive_max_pool2d(fc.tensor(row), (1, 3)).numpy().tolist() == [[[[2, 8, 16]]]]
    cotangent = np.array([[[[2.0, 3.0, 4.0]]]])
    of_mean = gradient_of(lambda x: F.adaptive_avg_pool2d(x, (1, 3)), row, cotangent)
    np.testing.assert_allclose(of_mean[0, 0, 0], [1, 2, 1, 3, 2], rtol=1e-6)
    of_max = gradient_of(lambda x: F.adaptive_max_pool2d(x, (1, 3)), row, cotangent)
    assert of_max.tolist() == [[[[0, 2, 0, 3, 4]]]]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "layer", [nn.MaxPool2d(2), nn.AvgPool2d(2), nn.AdaptiveAvgPool2d((2, 3)), nn.AdaptiveMaxPool2d(1)], ids=repr
)
def test_empty_batch(layer: nn.Module, dtype: str, isa: str) -> None:
    x = fc.tensor(np.ones((0, 3, 6, 7), dtype), requires_grad=True)
    output = layer(x)
    assert output.shape == (0, *layer(fc.tensor(np.ones((1, 3, 6, 7), dtype))).shape[1:])
    output.backward(fc.tensor(np.ones(output.shape, dtype)))
    assert x.grad is not None
    assert x.grad.shape == x.shape


def test_window_outside_the_input_has_no_winner(isa: str) -> None:
    # Dilation can step over a small input: such a window is -inf and sends its gradient nowhere.
    for dtype in DTYPES:
        x = np.ones((1, 18, 1, 1), dtype)
        output, indices = F.max_pool2d(fc.tensor(x), 2, 1, 1, 2, return_indices=True)
        assert output.shape == (1, 18, 1, 1)
        assert np.isneginf(output.numpy()).all()
        assert (indices.numpy() == -1).all()
        assert (gradient_of(lambda t: F.max_pool2d(t, 2, 1, 1, 2), x, np.ones((1, 18, 1, 1))) == 0).all()


def test_winners_are_remembered_in_one_byte() -> None:
    x = fc.tensor(np.ones((2, 3, 40, 40), np.float32))
    geometry = lambda kernel: ((kernel,), (kernel,), (0,), (1,), False)  # noqa: E731
    assert _C.max_pool2d_forward(x._data, *geometry(15), True)[1].dtype == fc.uint8
    assert _C.max_pool2d_forward(x._data, *geometry(16), True)[1].dtype == fc.int64  # 256 taps and a mark
    assert _C.max_pool2d_forward(x._data, *geometry(2), False)[1] is None


@pytest.mark.parametrize(
    "pool",
    [
        lambda x: F.max_pool2d(x, (2, 3), (1, 2)),
        lambda x: F.avg_pool2d(x, (2, 3), 1, 1),
        lambda x: F.adaptive_avg_pool2d(x, (2, 3)),
        lambda x: F.adaptive_max_pool2d(x, 2),
    ],
)
def test_one_image_without_batch_dimension(pool: Any, rng: np.random.Generator) -> None:
    image = rng.normal(size=(3, 7, 8)).astype(np.float32)
    output = pool(fc.tensor(image))
    np.testing.assert_array_equal(output.numpy(), pool(fc.tensor(image[None])).numpy()[0])
    cotangent = rng.normal(size=output.shape)
    np.testing.assert_array_equal(
        gradient_of(pool, image, cotangent), gradient_of(pool, image[None], cotangent[None])[0]
    )


def test_row_major_input_gives_the_same_result(rng: np.random.Generator) -> None:
    x = fc.tensor(rng.normal(size=(2, 3, 6, 8)).astype(np.float32))
    plain = fc.Tensor(_C.to_layout(x._data, "row_major"))
    for pool in (lambda t: F.max_pool2d(t, 2), lambda t: F.avg_pool2d(t, 3, 1), lambda t: F.adaptive_avg_pool2d(t, 1)):
        np.testing.assert_array_equal(pool(plain).numpy(), pool(x).numpy())


def test_layers_print_as_in_torch() -> None:
    assert repr(nn.MaxPool2d(3, 2, 1)) == "MaxPool2d(kernel_size=3, stride=2, padding=1, dilation=1, ceil_mode=False)"
    assert repr(nn.AvgPool2d((2, 3))) == "AvgPool2d(kernel_size=(2, 3), stride=(2, 3), padding=0)"
    assert repr(nn.AdaptiveAvgPool2d((None, 3))) == "AdaptiveAvgPool2d(output_size=(None, 3))"
    assert repr(nn.AdaptiveMaxPool2d(1)) == "AdaptiveMaxPool2d(output_size=1)"


def test_layers_pass_their_arguments_on(rng: np.random.Generator) -> None:
    x = fc.tensor(rng.normal(size=(2, 5, 9, 8)).astype(np.float32))
    got = nn.MaxPool2d(3, 2, 1, 2, return_indices=True, ceil_mode=True)(x)
    for a, b in zip(got, F.max_pool2d(x, 3, 2, 1, 2, True, True), strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())
    average = nn.AvgPool2d(3, 2, 1, True, False, 4)(x)
    np.testing.assert_array_equal(average.numpy(), F.avg_pool2d(x, 3, 2, 1, True, False, 4).numpy())
    values, indices = nn.AdaptiveMaxPool2d((2, None), True)(x)
    assert values.shape == indices.shape == (2, 5, 2, 8)


@pytest.mark.parametrize(
    "pool", [lambda x: F.max_pool2d(x, 3, 2, 1), lambda x: F.avg_pool2d(x, 2), lambda x: F.adaptive_max_pool2d(x, 3)]
)
def test_running_out_of_memory_is_an_exception_and_no_more(pool: Any, rng: np.random.Generator) -> None:
    values = rng.normal(size=(2, 3, 8, 8)).astype(np.float32)
    failures = 0
    for nth in range(1, 20):
        x = fc.tensor(values, requires_grad=True)
        _C.fail_nth_allocation(nth)
        try:
            y = pool(x)
            y.backward(y.detach())
        except MemoryError:
            failures += 1
        finally:
            _C.fail_nth_allocation(0)
    assert failures >= 4, "output, codes or tables, and the gradient are allocations"
    assert np.isfinite(pool(fc.tensor(values)).numpy()).all()


def test_recorded_pools_replay_on_new_values(rng: np.random.Generator) -> None:
    x = fc.tensor(rng.normal(size=(2, 3, 6, 6)).astype(np.float32), requires_grad=True)
    _C.begin_recording()
    y = F.max_pool2d(F.avg_pool2d(x, 2, 1), 2)
    recording = _C.end_recording()
    new = rng.normal(size=x.shape).astype(np.float32)
    x.detach().numpy()[...] = new
    recording.replay()
    np.testing.assert_array_equal(y.detach().numpy(), F.max_pool2d(F.avg_pool2d(fc.tensor(new), 2, 1), 2).numpy())


LARGE_POOLS = {
    "max": lambda x: F.max_pool2d(x, 2),
    "max-overlapping": lambda x: F.max_pool2d(x, 3, 2, 1),
    "max-stride1": lambda x: F.max_pool2d(x, 2, 1),
    "avg": lambda x: F.avg_pool2d(x, 2),
    "avg-overlapping": lambda x: F.avg_pool2d(x, 3, 2, 1),
    "avg-stride1": lambda x: F.avg_pool2d(x, 2, 1),
    "global": lambda x: F.adaptive_avg_pool2d(x, 1),
}


@pytest.mark.parametrize("pool", LARGE_POOLS)
def test_results_larger_than_the_caches_are_those_of_single_images(pool: str, isa: str) -> None:
    """Large results are written past the caches, those of one image are not."""
    images = np.resize(np.random.default_rng(0).standard_normal(1_000_003, dtype=np.float32), (5, 16, 256, 256))
    x = fc.tensor(images, requires_grad=True)
    y = LARGE_POOLS[pool](x)
    g = np.resize(np.random.default_rng(1).standard_normal(100_003, dtype=np.float32), y.shape)
    y.backward(fc.tensor(g))
    assert x.grad is not None
    for i in (0, 4):
        one = fc.tensor(images[i : i + 1], requires_grad=True)
        expected = LARGE_POOLS[pool](one)
        expected.backward(fc.tensor(g[i : i + 1]))
        assert one.grad is not None
        np.testing.assert_array_equal(y.detach().numpy()[i], expected.detach().numpy()[0])
        np.testing.assert_array_equal(x.grad.numpy()[i], one.grad.numpy()[0])


@pytest.mark.parametrize("channels", [1, 3, 6, 15, 16, 17, 33, 50, 130])
@pytest.mark.parametrize("kernel", [(2, 2), (2, 3), (3, 1)])
def test_gradients_of_disjoint_windows(kernel: tuple[int, int], channels: int, isa: str) -> None:
    """Every tap of an average gets its share, only the winner of a maximum does, what lies between windows nothing."""
    rng = np.random.default_rng(0)
    kh, kw = kernel
    sh, sw = kh + 1, kw  # a row of the input between the windows
    x = rng.permutation(2 * channels * 11 * 10).reshape(2, channels, 11, 10).astype(np.float32)
    out = ((11 - kh) // sh + 1, (10 - kw) // sw + 1)
    g = rng.standard_normal((2, channels, *out)).astype(np.float32)
    average, maximum = np.zeros_like(x), np.zeros_like(x)
    for oh, ow in np.ndindex(*out):
        rows, columns = slice(oh * sh, oh * sh + kh), slice(ow * sw, ow * sw + kw)
        window, share = x[:, :, rows, columns], g[:, :, oh, ow, None, None]
        average[:, :, rows, columns] = share * np.float32(1 / (kh * kw))
        maximum[:, :, rows, columns] = np.where(window == window.max((2, 3), keepdims=True), share, 0)
    np.testing.assert_allclose(gradient_of(lambda t: F.avg_pool2d(t, kernel, (sh, sw)), x, g), average, rtol=2e-7)
    np.testing.assert_array_equal(gradient_of(lambda t: F.max_pool2d(t, kernel, (sh, sw)), x, g), maximum)
