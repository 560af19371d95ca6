"""Every algorithm of the float32 CPU convolution against float64: Winograd's edges, and random configurations.

FASTCNN_RANDOM_CASES sets how many random configurations run (300 by default; the extended run takes 20000).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import fastcnn as fc
from fastcnn import _C
from tests.cases import tolerance

RANDOM_CASES = int(os.environ.get("FASTCNN_RANDOM_CASES", "300"))
BATCHES = 10  # of random configurations, one test each

# N, C, H, W, O, padding (top, bottom, left, right), taps along a side: whole tiles, edges in both directions, channel
# tails of both vector widths, several slices of 64 channels, more than one split of the tiles.
WINOGRAD = [
    (2, 32, 16, 16, 32, (1, 1, 1, 1), 3),
    (3, 17, 13, 22, 40, (1, 1, 1, 1), 3),
    (2, 130, 9, 30, 70, (0, 0, 2, 2), 3),
    (1, 48, 21, 18, 33, (2, 0, 1, 0), 3),
    (5, 65, 8, 31, 64, (0, 1, 2, 1), 3),
    (9, 24, 30, 31, 24, (1, 1, 1, 1), 3),
    (4, 96, 8, 9, 200, (1, 1, 1, 1), 3),
    (4, 388, 9, 10, 66, (1, 1, 1, 1), 3),
    (2, 32, 16, 16, 32, (2, 2, 2, 2), 5),
    (3, 17, 13, 22, 40, (2, 2, 2, 2), 5),
    (2, 130, 9, 30, 70, (0, 4, 2, 2), 5),
    (1, 48, 21, 18, 33, (3, 0, 1, 0), 5),
    (20, 20, 14, 13, 50, (2, 2, 2, 2), 5),
    (4, 96, 5, 7, 200, (2, 2, 2, 2), 5),
]

# N, H, W, groups, channels of a group, kernel, stride, padding, dilation: every tap count and stride of the grouped
# kernels, whole and partial blocks of pixels, several vectors of channels, more than one band.
GROUPED = [
    (2, 9, 30, 8, 4, (3, 3), (1, 1), (1, 1, 1, 1), (1, 1)),
    (1, 40, 17, 16, 4, (3, 3), (2, 2), (1, 1, 1, 1), (1, 1)),
    (3, 8, 8, 16, 8, (3, 3), (1, 1), (1, 1, 1, 1), (1, 1)),
    (2, 11, 6, 8, 2, (2, 3), (1, 2), (0, 1, 2, 0), (2, 1)),
    (2, 7, 15, 8, 8, (1, 1), (1, 1), (0, 0, 0, 0), (1, 1)),
    (1, 5, 29, 16, 2, (5, 1), (2, 2), (2, 2, 0, 0), (1, 1)),
    (2, 6, 13, 4, 4, (3, 2), (1, 1), (1, 1, 1, 0), (1, 1)),
    (2, 14, 14, 3, 16, (3, 3), (1, 1), (1, 1, 1, 1), (1, 1)),
    (1, 15, 18, 2, 16, (3, 3), (2, 2), (1, 1, 1, 1), (1, 1)),
    (2, 5, 9, 2, 16, (2, 1), (1, 1), (0, 0, 1, 0), (1, 1)),
    (3, 6, 7, 21, 16, (3, 3), (1, 1), (1, 1, 1, 1), (1, 1)),  # slices of 176 and 160 channels
]

# N, C, H, W, kernel, stride, padding, dilation: pairs of rows and a last one alone, blocks of 8, 7, 4 and 1 pixels that
# fit or overlap, windows wider than the image, whole vectors of channels and parts, strided and dilated rows.
DEPTHWISE = [
    (2, 32, 9, 16, (3, 3), (1, 1), (1, 1, 1, 1), (1, 1)),
    (1, 40, 17, 14, (3, 3), (1, 1), (1, 1, 1, 1), (1, 1)),
    (2, 16, 11, 21, (5, 5), (1, 1), (2, 2, 2, 2), (1, 1)),
    (1, 24, 12, 19, (7, 7), (1, 1), (3, 3, 3, 3), (1, 1)),
    (2, 16, 3, 2, (7, 7), (1, 1), (3, 3, 3, 3), (1, 1)),
    (1, 16, 10, 5, (5, 3), (1, 1), (4, 0, 2, 2), (1, 1)),
    (1, 33, 10, 18, (3, 3), (1, 1), (2, 2, 1, 1), (2, 1)),
    (1, 16, 10, 18, (1, 3), (1, 1), (2, 2, 1, 1), (1, 1)),
    (2, 48, 19, 17, (3, 3), (2, 2), (1, 1, 1, 1), (1, 1)),
    (1, 16, 15, 33, (5, 5), (2, 2), (2, 2, 2, 2), (1, 1)),
    (1, 32, 15, 30, (7, 7), (2, 2), (3, 3, 3, 3), (1, 1)),
    (1, 16, 14, 20, (3, 5), (2, 1), (1, 1, 2, 2), (1, 1)),
]


@pytest.fixture(autouse=True)
def restore_precision() -> Iterator[None]:
    before = fc.get_precision()
    yield
    fc.set_precision(before)


def all_directions(arrays: dict[str, np.ndarray], dtype: type, options: tuple[Any, ...], relu: bool) -> list[Any]:
    """Output, input gradient, weight gradient, bias gradient."""
    x, w, b, g = (fc.tensor(arrays[name].astype(dtype))._data for name in ("input", "weight", "bias", "grad"))
    grads = _C.conv2d_backward_weight(g, x, w.shape, *options, True)
    return [
        _C.conv2d_forward(x, w, b, *options, "relu" if relu else "none").numpy(),
        _C.conv2d_backward_input(g, w, x.shape, *options).numpy(),
        grads[0].numpy(),
        grads[1].numpy(),  # type: ignore[union-attr]
    ]


def compare(shape: tuple[int, ...], weight: tuple[int, ...], options: tuple[Any, ...], relu: bool, seed: int) -> None:
    stride, padding, dilation, _groups = options
    rng = np.random.default_rng(seed)
    sizes = []
    for axis in (0, 1):
        amount = padding[2 * axis] + padding[2 * axis + 1]
        sizes.append((shape[2 + axis] + amount - dilation[axis] * (weight[2 + axis] - 1) - 1) // stride[axis] + 1)
    shapes = {"input": shape, "weight": weight, "bias": weight[:1], "grad": (shape[0], weight[0], *sizes)}
    arrays = {name: rng.uniform(-1, 1, size).astype(np.float32) for name, size in shapes.items()}
    expected = all_directions(arrays, np.float64, options, relu)
    pixels = shape[0] * sizes[0] * sizes[1]
    terms = [weight[1] * weight[2] * weight[3] + 1, weight[0] * weight[2] * weight[3], pixels, pixels]
    for what, got, want, count in zip(
        ("output", "grad_input", "grad_weight", "grad_bias"),
        all_directions(arrays, np.float32, options, relu),
        expected,
        terms,
        strict=True,
    ):
        allowed = tolerance("float32", count, max(float(np.abs(want).max(initial=0.0)), 1.0))
        error = float(np.abs(got - want).max(initial=0.0))
        assert error <= allowed, f"{what} of {shapes} {options}: error {error:.2e}, allowed {allowed:.2e}"


@pytest.mark.parametrize("case", WINOGRAD, ids=lambda c: f"n{c[0]}-c{c[1]}-h{c[2]}w{c[3]}-o{c[4]}-p{c[5]}-k{c[6]}")
def test_winograd_equals_float64(case: Any, isa: str) -> None:
    n, c, h, w, o, padding, taps = case
    options = ((1, 1), padding, (1, 1), 1)
    if isa != "scalar":
        algorithms = _C.conv2d_algorithms((n, c, h, w), (o, c, taps, taps), *options)
        assert any(name.startswith("winograd") for name in algorithms)
    for relu in (False, True):
        compare((n, c, h, w), (o, c, taps, taps), options, relu, seed=c + o)


@pytest.mark.parametrize(
    ("algorithm", "shape", "weight"),
    [
        ("direct", (2, 520, 7, 6), (70, 520, 3, 3)),  # the sums of some taps wait in the output
        ("winograd", (2, 40, 17, 22), (56, 40, 3, 3)),
        ("winograd", (2, 40, 17, 22), (56, 40, 5, 5)),
        ("winograd streamed", (2, 130, 9, 30), (70, 130, 3, 3)),
        ("product", (1, 135, 3, 5), (901, 135, 3, 3)),
    ],
)
@pytest.mark.parametrize("activation", ["none", "relu"])
def test_a_residual_is_added_before_the_activation(
    algorithm: str, shape: tuple[int, ...], weight: tuple[int, ...], activation: str, isa: str
) -> None:
    fc.set_precision("highest" if algorithm == "direct" else "high")
    rng = np.random.default_rng(0)
    options = ((1, 1), (weight[2] // 2,) * 2, (1, 1), 1)
    if isa == "avx512":
        assert _C.conv2d_algorithms(shape, weight, *options)[0] == algorithm
    sizes = (shape, weight, (weight[0],), (shape[0], weight[0], *shape[2:]))
    x, w, b, r = (fc.tensor(rng.uniform(-1, 1, size).astype(np.float32))._data for size in sizes)
    plain = _C.conv2d_forward(x, w, b, *options).numpy() + r.numpy()
    expected = np.maximum(plain, 0) if activation == "relu" else plain
    got = _C.conv2d_forward(x, w, b, *options, activation, r).numpy()
    np.testing.assert_allclose(got, expected, rtol=0, atol=tolerance("float32", 9, float(np.abs(plain).max())))


def test_winograd_of_many_channels_equals_direct(isa: str) -> None:
    """Several batches of streamed tiles, the last block and batch smaller; the plain float64 loops would take long."""
    rng = np.random.default_rng(0)
    shape, weight, options = (9, 386, 23, 21), (67, 386, 3, 3), ((1, 1), (1, 1, 1, 1), (1, 1), 1)
    x, w, b, g = (
        fc.tensor(rng.uniform(-1, 1, size).astype(np.float32))._data for size in (shape, weight, (67,), (9, 67, 23, 21))
    )
    results = []
    for precision in ("high", "highest"):
        fc.set_precision(precision)
        if isa != "scalar":
            expected = "winograd streamed" if precision == "high" else "direct"
            assert _C.conv2d_algorithms(shape, weight, *options)[0] == expected
        y = _C.conv2d_forward(x, w, b, *options, "relu").numpy()
        results.append((y, _C.conv2d_backward_input(g, w, x.shape, *options).numpy()))
    for got, want, terms in zip(*results, (386 * 9 + 1, 67 * 9), strict=True):
        allowed = 2 * tolerance("float32", terms, max(float(np.abs(want).max()), 1.0))
        assert float(np.abs(got - want).max()) <= allowed


@pytest.mark.parametrize("case", GROUPED, ids=lambda c: f"n{c[0]}-h{c[1]}w{c[2]}-g{c[3]}x{c[4]}-k{c[5]}-s{c[6]}")
def test_grouped_equals_float64(case: Any, isa: str) -> None:
    n, h, w, groups, per_group, kernel, *others = case
    options = (*others, groups)
    shape, weight = (n, groups * per_group, h, w), (groups * per_group, per_group, *kernel)
    if isa != "scalar" and not (isa == "avx2" and per_group == 16):
        assert _C.conv2d_algorithms(shape, weight, *options)[0] == "grouped"
    for relu in (False, True):
        compare(shape, weight, options, relu, seed=h)


@pytest.mark.parametrize("case", DEPTHWISE, ids=lambda c: f"n{c[0]}-c{c[1]}-h{c[2]}w{c[3]}-k{c[4]}-s{c[5]}-d{c[7]}")
def test_depthwise_equals_float64(case: Any, isa: str) -> None:
    n, c, h, w, kernel, *others = case
    options = (*others, c)
    assert _C.conv2d_algorithms((n, c, h, w), (c, 1, *kernel), *options) == ("depthwise",) * 3
    for relu in (False, True):
        compare((n, c, h, w), (c, 1, *kernel), options, relu, seed=h)


@pytest.mark.parametrize("channels", [(16, 80), (80, 16), (12, 72)], ids=["output", "gradient", "neither"])
def test_large_results_equal_float64(channels: tuple[int, int], isa: str) -> None:
    """Results past the caches, and those whose pixels are no whole blocks of vectors."""
    compare((2, channels[0], 182, 183), (channels[1], channels[0], 1, 1), ((1, 1), (0,) * 4, (1, 1), 1), True, seed=1)


@pytest.mark.parametrize("stride", [(1, 1), (2, 1)])
@pytest.mark.parametrize("dilation", [(1, 1), (1, 2)])
def test_few_pixels_under_large_weights_equal_float64(stride: tuple[int, int], dilation: Any, isa: str) -> None:
    weight, options = (901, 135, 3, 3), (stride, (1, 0, 2, 1), dilation, 1)
    for shape, forward in (((1, 135, 3, 4), "product"), ((2, 135, 5, 6), "direct")):
        assert _C.conv2d_algorithms(shape, weight, *options) == (forward, "direct", "product")
        for relu in (False, True):
            compare(shape, weight, options, relu, seed=stride[0])


@pytest.mark.parametrize("stride", [(1, 1), (2, 1)])
@pytest.mark.parametrize("padding", [(0, 0, 0, 0), (1, 0, 0, 2)])
def test_pointwise_weight_gradients_equal_float64(stride: tuple[int, int], padding: Any, isa: str) -> None:
    for shape, filters in (((2, 260, 17, 19), 35), ((1, 270, 5, 6), 18)):
        options = (stride, padding, (1, 1), 1)
        assert _C.conv2d_algorithms(shape, (filters, shape[1], 1, 1), *options)[2] == "product"
        compare(shape, (filters, shape[1], 1, 1), options, False, seed=filters)


def test_depthwise_of_large_maps_equals_float64(isa: str) -> None:
    """More than a cache holds: the next rows are fetched ahead, up to the end of the input."""
    for stride, size in ((1, 320), (2, 400)):
        compare((1, 32, size, size), (32, 1, 3, 3), ((stride, stride), (1, 1, 1, 1), (1, 1), 32), False, seed=stride)


@pytest.mark.parametrize(
    ("channels", "filters", "groups"),
    [(40, 56, 1), (40, 40, 40), (48, 48, 6)],
    ids=["winograd", "depthwise", "grouped"],
)
def test_results_do_not_depend_on_threads_or_old_memory(channels: int, filters: int, groups: int) -> None:
    rng = np.random.default_rng(0)
    weight = (filters, channels // groups, 3, 3)
    shapes = {"input": (3, channels, 17, 22), "weight": weight, "bias": (filters,), "grad": (3, filters, 17, 22)}
    arrays = {name: rng.uniform(-1, 1, size).astype(np.float32) for name, size in shapes.items()}
    options = ((1, 1), (1, 1, 1, 1), (1, 1), groups)
    results = []
    for threads, poison in ((1, False), (2, False), (3, True)):
        _C.set_num_threads(threads)
        _C.poison_allocations(poison)
        try:
            results.append([r.tobytes() for r in all_directions(arrays, np.float32, options, relu=True)])
        finally:
            _C.poison_allocations(False)
    assert results[0] == results[1] == results[2]


def test_each_algorithm_is_selected_where_it_pays(isa: str) -> None:
    def algorithms(n: int, c: int, h: int, o: int, k: int, s: int = 1, g: int = 1) -> tuple[str, str, str]:
        return _C.conv2d_algorithms((n, c, h, h), (o, c // g, k, k), (s, s), (k // 2, k // 2), (1, 1), g)

    fast, streamed, grouped = ("direct",) * 3 if isa == "scalar" else ("winograd", "winograd streamed", "grouped")
    assert algorithms(8, 64, 56, 64, 3) == (fast, fast, fast)
    assert algorithms(8, 512, 7, 512, 3) == (streamed, streamed, fast)
    assert algorithms(1, 256, 14, 256, 3)[:2] == (streamed, streamed)
    assert algorithms(32, 512, 14, 512, 3)[:2] == (streamed, streamed)  # many channels
    assert algorithms(8, 512, 14, 256, 3)[:2] == (streamed, fast)
    assert algorithms(8, 256, 14, 256, 3)[:2] == (fast, fast)
    assert algorithms(1, 512, 7, 512, 3) == ("direct", "direct", "product")  # few pixels, weights of 9 MB
    assert algorithms(2, 512, 7, 512, 3)[:2] == ("direct", "direct")  # 8 tiles
    assert algorithms(1, 512, 4, 512, 3)[0] == "product"
    assert algorithms(1, 512, 9, 512, 3)[0] == "direct"  # transforming the weights costs more
    assert algorithms(8, 256, 56, 64, 1) == ("direct", "direct", "product")
    assert algorithms(8, 64, 56, 256, 1) == ("direct", "direct", "direct")
    assert algorithms(8, 64, 56, 64, 3, s=2) == ("direct", "direct", "direct")
    assert algorithms(64, 20, 14, 50, 5) == (fast, fast, fast)
    assert algorithms(8, 64, 56, 64, 7) == ("direct", "direct", "direct")
    assert algorithms(8, 64, 56, 64, 3, g=2) == ("direct", "direct", "direct")
    assert algorithms(8, 128, 56, 128, 3, g=32) == (grouped, grouped, grouped)
    assert algorithms(8, 128, 56, 128, 3, s=2, g=32) == (grouped, grouped, grouped)
    assert algorithms(8, 256, 28, 256, 3, g=32) == (grouped, grouped, grouped)
    whole = grouped if isa == "avx512" else "direct"  # groups of 16 channels: one vector
    assert algorithms(8, 512, 14, 512, 3, g=32) == (whole, whole, whole)
    assert algorithms(8, 1024, 7, 1024, 3, g=32) == ("direct", "direct", "direct")
    assert algorithms(8, 64, 56, 64, 3, g=64) == ("depthwise", "depthwise", "depthwise")
    assert algorithms(8, 3, 56, 64, 3)[0] == "direct"
    fc.set_precision("highest")
    assert algorithms(8, 64, 56, 64, 3) == ("direct", "direct", "direct")


@pytest.mark.parametrize("batch", range(BATCHES))
def test_random_configurations_equal_float64(batch: int) -> None:
    isas = ("scalar", "avx2", "avx512")
    isas = isas[: isas.index(_C.best_isa()) + 1]
    active = _C.active_isa()
    try:
        for seed in range(batch, RANDOM_CASES, BATCHES):
            rng = np.random.default_rng(seed)
            groups = int(rng.choice([1, 1, 1, 2, 3]))
            per_group = int(rng.choice([1, 2, 3, 5, 8, 16, 17, 24, 33]))
            outputs = int(rng.choice([1, 2, 4, 7, 16, 20, 33]))
            if rng.random() < 0.15:
                groups, per_group, outputs = int(rng.integers(2, 40)), 1, int(rng.integers(1, 3))
            kernel = tuple(int(k) for k in (rng.integers(1, 6, 2) if rng.random() < 0.6 else (3, 3)))
            stride = tuple(int(s) for s in (rng.integers(1, 4, 2) if rng.random() < 0.5 else (1, 1)))
            dilation = tuple(int(d) for d in (rng.integers(1, 3, 2) if rng.random() < 0.3 else (1, 1)))
            padding = tuple(int(p) for p in rng.integers(0, 4, 4))
            extent = [dilation[i] * (kernel[i] - 1) + 1 - padding[2 * i] - padding[2 * i + 1] for i in (0, 1)]
            size = [max(int(rng.integers(1, 24)), extent[i], 1) for i in (0, 1)]
            shape = (int(rng.integers(1, 4)), groups * per_group, *size)
            fc.set_precision("highest" if rng.random() < 0.3 else "high")
            _C.set_isa(str(rng.choice(isas)))
            options = (stride, padding, dilation, groups)
            compare(shape, (groups * outputs, per_group, *kernel), options, bool(rng.random() < 0.5), seed)
    finally:
        _C.set_isa(active)
