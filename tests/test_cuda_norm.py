"""Batch norm, pools, softmax, losses and reductions on device `cuda` beyond the case tables."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastcnn as fc
import fastcnn.functional as F
from fastcnn import nn

if not fc.cuda.is_available():
    pytest.skip(f"no device cuda: {fc.cuda.why_unavailable()}", allow_module_level=True)


def cuda(values: np.ndarray, dtype: Any = None) -> fc.Tensor:
    tensor = fc.tensor(values)
    return (tensor if dtype is None else tensor.to(dtype)).to("cuda")


def host(tensor: fc.Tensor) -> np.ndarray:
    tensor = tensor.detach().cpu()
    return np.array((tensor.float() if tensor.dtype == fc.bfloat16 else tensor).numpy())


def normalized(values: np.ndarray, eps: float) -> np.ndarray:
    wide = values.astype(np.float64)
    axes = (0, *range(2, values.ndim))
    return (wide - wide.mean(axes, keepdims=True)) / np.sqrt(wide.var(axes, keepdims=True) + eps)


# Batch norm.


@pytest.mark.parametrize("shape", [(64, 20), (8, 21, 7), (2, 3, 70, 60), (40, 128, 6, 5)])
@pytest.mark.parametrize(("mean", "deviation"), [(1e4, 1e-2), (-3e5, 1.0), (0.0, 1e20), (1e30, 1e28)])
def test_batch_norm_neither_cancels_nor_overflows(
    mean: float, deviation: float, shape: Any, rng: np.random.Generator
) -> None:
    values = (rng.normal(size=shape) * deviation + mean).astype(np.float32)
    output = F.batch_norm(cuda(values), None, None, training=True, eps=1e-12)
    np.testing.assert_allclose(host(output), normalized(values, 1e-12), rtol=2e-6, atol=2e-6)


def test_batch_norm_gradient_survives_a_large_mean(rng: np.random.Generator) -> None:
    values = (rng.normal(size=(4, 18, 9, 5)) * 1e-2 + 1e4).astype(np.float32)
    cotangent = rng.normal(size=values.shape).astype(np.float32)

    def gradients(dtype: Any, device: str) -> list[np.ndarray]:
        x = fc.tensor(values.astype(dtype), device=device, requires_grad=True)
        weight = fc.tensor(np.ones(18, dtype), device=device, requires_grad=True)
        F.batch_norm(x, None, None, weight, training=True).backward(fc.tensor(cotangent.astype(dtype), device=device))
        return [host(t.grad) for t in (x, weight) if t.grad is not None]

    for got, want in zip(gradients(np.float32, "cuda"), gradients(np.float64, "cpu"), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-5 * np.abs(want).max())


def test_batch_norm_momentum_none_averages_all_batches(rng: np.random.Generator) -> None:
    layer = nn.BatchNorm1d(3, momentum=None).to("cuda")
    batches = rng.normal(size=(4, 10, 3)).astype(np.float32)
    for batch in batches:
        layer(cuda(batch))
    assert layer.num_batches_tracked is not None
    assert layer.running_mean is not None
    assert layer.running_var is not None
    assert int(host(layer.num_batches_tracked).item()) == 4
    np.testing.assert_allclose(host(layer.running_mean), batches.mean(1).mean(0), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(host(layer.running_var), batches.var(1, ddof=1).mean(0), rtol=1e-5)


@pytest.mark.parametrize("shape", [(0, 3), (0, 3, 4, 5)])
def test_batch_norm_of_an_empty_batch_counts_it_and_no_more(shape: Any) -> None:
    layer = (nn.BatchNorm2d if len(shape) == 4 else nn.BatchNorm1d)(3).to("cuda")
    layer(fc.zeros(shape, device="cuda")).sum().backward()
    assert layer.num_batches_tracked is not None
    assert layer.running_mean is not None
    assert int(host(layer.num_batches_tracked).item()) == 1
    np.testing.assert_array_equal(host(layer.running_mean), 0.0)
    for parameter in layer.parameters():
        assert parameter.grad is not None
        np.testing.assert_array_equal(host(parameter.grad), 0.0)


def test_batch_norm_of_bfloat16_takes_parameters_of_both_dtypes(rng: np.random.Generator) -> None:
    x, weight = rng.normal(size=(6, 16, 3, 3)).astype(np.float32), rng.uniform(0.5, 1.5, 16).astype(np.float32)
    results = []
    for dtype in (fc.float32, fc.bfloat16):
        parameter = cuda(weight, fc.bfloat16).to(dtype).requires_grad_(True)
        mean, var = cuda(np.zeros(16, np.float32), dtype), cuda(np.ones(16, np.float32), dtype)
        output = F.batch_norm(cuda(x, fc.bfloat16), mean, var, parameter, training=True)
        output.backward(output.detach())
        assert output.dtype == fc.bfloat16
        assert parameter.grad is not None
        assert parameter.grad.dtype == mean.dtype == dtype
        results.append([host(output), host(parameter.grad), host(mean), host(var)])
    np.testing.assert_array_equal(results[0][0], results[1][0])
    for one, other in zip(*results, strict=True):
        np.testing.assert_allclose(one, other, rtol=2**-8, atol=2**-8)


# Layer and group norm.

NORMS = {
    "layer": lambda x, weight, bias, eps: F.layer_norm(x, x.shape[1:], weight, bias, eps),
    "group": lambda x, weight, bias, eps: F.group_norm(x, 2 - x.shape[1] % 2, weight, bias, eps),
}


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("shape", [(5, 30), (3, 1024), (2, 1032), (2, 8208), (1, 8194), (2, 6, 7, 5), (2, 16, 40, 33)])
@pytest.mark.parametrize(("mean", "deviation"), [(1e4, 1e-2), (-3e5, 1.0), (0.0, 1e20), (1e30, 1e28)])
def test_layer_and_group_norm_neither_cancel_nor_overflow(
    norm: str, mean: float, deviation: float, shape: Any, rng: np.random.Generator
) -> None:
    values = (rng.normal(size=shape) * deviation + mean).astype(np.float32)
    output = NORMS[norm](cuda(values), None, None, 1e-12)
    groups = values.astype(np.float64).reshape(shape[0], 2 if norm == "group" else 1, -1)
    want = (groups - groups.mean(2, keepdims=True)) / np.sqrt(groups.var(2, keepdims=True) + 1e-12)
    np.testing.assert_allclose(host(output), want.reshape(shape), rtol=2e-6, atol=4e-6)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize(
    "shape", [(70, 24), (300, 5), (40, 513), (37, 1040), (2, 8208), (3, 16, 21, 20), (65, 4, 3, 1)]
)
@pytest.mark.parametrize("wanted", [(True, True), (True, False), (False, True)])
def test_gradients_of_layer_and_group_norm_of_many_rows(
    norm: str, shape: Any, wanted: Any, rng: np.random.Generator
) -> None:
    values = (rng.normal(size=shape) + 3.0).astype(np.float32)
    sizes = shape[1:] if norm == "layer" else shape[1:2]
    scale, cotangent = rng.uniform(0.5, 2.0, sizes).astype(np.float32), rng.normal(size=shape).astype(np.float32)

    def gradients(dtype: Any, device: str) -> list[np.ndarray]:
        x = fc.tensor(values.astype(dtype), device=device, requires_grad=wanted[0])
        weight = fc.tensor(scale.astype(dtype), device=device, requires_grad=wanted[1])
        bias = fc.tensor(scale.astype(dtype), device=device, requires_grad=wanted[1])
        NORMS[norm](x, weight, bias, 1e-5).backward(fc.tensor(cotangent.astype(dtype), device=device))
        return [host(t.grad) for t in (x, weight, bias) if t.grad is not None]

    got, want = gradients(np.float32, "cuda"), gradients(np.float64, "cpu")
    assert len(got) == len(want) == wanted[0] + 2 * wanted[1]
    for one, other in zip(got, want, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5 * np.abs(other).max())


@pytest.mark.parametrize("norm", NORMS)
def test_norms_of_bfloat16_take_parameters_of_both_dtypes(norm: str, rng: np.random.Generator) -> None:
    x, scale = rng.normal(size=(6, 16)).astype(np.float32), rng.uniform(0.5, 1.5, 16).astype(np.float32)
    results = []
    for dtype in (fc.float32, fc.bfloat16):
        weight, bias = (cuda(scale, fc.bfloat16).to(dtype).requires_grad_(True) for _ in range(2))
        output = NORMS[norm](cuda(x, fc.bfloat16), weight, bias, 1e-5)
        output.backward(output.detach())
        assert output.dtype == fc.bfloat16
        assert weight.grad is not None
        assert bias.grad is not None
        assert weight.grad.dtype == bias.grad.dtype == dtype
        results.append([host(output), host(weight.grad), host(bias.grad)])
    np.testing.assert_array_equal(results[0][0], results[1][0])
    for one, other in zip(*results, strict=True):
        np.testing.assert_allclose(one, other, rtol=2**-8, atol=2**-8)
    wide = cuda(scale)
    with pytest.raises(TypeError, match=rf"{norm}_norm: weight is float32, but bias is bfloat16"):
        NORMS[norm](cuda(x, fc.bfloat16), wide, wide.to(fc.bfloat16), 1e-5)
    with pytest.raises(TypeError, match=rf"{norm}_norm: input is float32, but weight is bfloat16"):
        NORMS[norm](cuda(x), wide.to(fc.bfloat16), None, 1e-5)


# Labels.


@pytest.mark.parametrize("loss", [F.cross_entropy, F.nll_loss])
@pytest.mark.parametrize("label", [10, -1, -101, 2**40, -(2**63)])
def test_label_out_of_range_raises_later_and_counts_nothing(loss: Any, label: int, rng: np.random.Generator) -> None:
    values = rng.normal(size=(5, 10)).astype(np.float32)
    labels = np.array([3, label, 0, -100, 9])
    x = cuda(values)
    x.requires_grad_(True)
    rows = np.array([0, 2, 4])
    expected = host(loss(fc.tensor(values[rows]), fc.tensor(labels[rows])))

    def step() -> None:
        loss(x, cuda(labels)).backward()
        fc.cuda.synchronize()

    with pytest.raises(ValueError, match=rf"target\[1\].* is {label}, but labels from 0 to 9"):
        step()
    again = loss(cuda(values[rows]), cuda(labels[rows]))  # the context survives
    np.testing.assert_allclose(host(again), expected, rtol=1e-6)


def test_labels_may_be_bytes(rng: np.random.Generator) -> None:
    values, labels = rng.normal(size=(5, 10)).astype(np.float32), np.array([3, 1, 0, 2, 9])
    wide, narrow = (host(F.cross_entropy(cuda(values), cuda(labels.astype(t)))) for t in (np.int64, np.uint8))
    np.testing.assert_array_equal(wide, narrow)


@pytest.mark.parametrize("classes", [1, 33, 1000, 1024, 1025, 1032, 2600])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_of_many_classes(classes: int, smoothing: float, rng: np.random.Generator) -> None:
    values = rng.normal(size=(3, classes)).astype(np.float32) * 4
    labels, weight = rng.integers(0, classes, 3), rng.uniform(0.5, 1.5, classes).astype(np.float32)

    def run(device: str, dtype: Any) -> list[np.ndarray]:
        x = fc.tensor(values.astype(dtype), device=device, requires_grad=True)
        w = fc.tensor(weight.astype(dtype), device=device)
        loss = F.cross_entropy(x, fc.tensor(labels, device=device), w, label_smoothing=smoothing)
        loss.backward()
        assert x.grad is not None
        return [host(loss), host(x.grad)]

    for got, want in zip(run("cuda", np.float32), run("cpu", np.float64), strict=True):
        np.testing.assert_allclose(got, want, rtol=2e-5, atol=1e-6)


# Softmax.


@pytest.mark.parametrize(
    "shape_and_dim", [((3, 1024), 1), ((2, 1025), 1), ((2, 4096), 1), ((700, 3), 0), ((2, 90, 5, 8), 2)]
)
@pytest.mark.parametrize("log", [False, True])
def test_softmax_of_long_lines(shape_and_dim: Any, log: bool, rng: np.random.Generator) -> None:
    shape, dim = shape_and_dim
    values = (rng.normal(size=shape) * 5).astype(np.float32)
    softmax = F.log_softmax if log else F.softmax
    cotangent = rng.normal(size=shape).astype(np.float32)

    def run(device: str, dtype: Any) -> list[np.ndarray]:
        x = fc.tensor(values.astype(dtype), device=device, requires_grad=True)
        y = softmax(x, dim)
        y.backward(fc.tensor(cotangent.astype(dtype), device=device))
        assert x.grad is not None
        return [host(y), host(x.grad)]

    for got, want in zip(run("cuda", np.float32), run("cpu", np.float64), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=2e-5 if log else 2e-6)


@pytest.mark.parametrize("shape_and_dim", [((2, 6), 1), ((2, 300), 1), ((2, 2000), 1), ((40, 6), 0)])
@pytest.mark.parametrize("log", [False, True])
def test_softmax_of_infinities(shape_and_dim: Any, log: bool, rng: np.random.Generator) -> None:
    shape, dim = shape_and_dim
    softmax = F.log_softmax if log else F.softmax
    for special in (np.inf, np.nan, -np.inf):
        values = rng.normal(size=shape).astype(np.float32)
        values[1, 3] = special
        values[0] = -np.inf  # a whole line where dim is 1
        got = host(softmax(cuda(values), dim))
        with np.errstate(all="ignore"):
            want = host(softmax(fc.tensor(values), dim))
        np.testing.assert_allclose(got, want, rtol=2e-5, atol=1e-6)


# Reductions.


@pytest.mark.parametrize("shape", [(1, 40_000), (3, 9_001), (5_000, 6), (700, 16), (2, 900, 8), (40_000, 1)])
@pytest.mark.parametrize("dtype", [fc.float32, fc.bfloat16, fc.float64])
def test_reductions_of_long_lines(shape: Any, dtype: Any, rng: np.random.Generator) -> None:
    dim = 0 if shape[0] > 600 else 1
    x = cuda((rng.normal(size=shape) + 3.0).astype(np.float64)).to(dtype)
    values = host(x).astype(np.float64)
    eps = {fc.float32: 3e-7, fc.bfloat16: 2**-8, fc.float64: 1e-14}[dtype]
    for got, want in (
        (x.sum(dim), values.sum(dim)),
        (x.mean(dim), values.mean(dim)),
        (x.var(dim), values.var(dim, ddof=1)),
        (x.amax(dim), values.max(dim)),
        (x.norm(dim=dim), np.sqrt((values**2).sum(dim))),
        (x.logsumexp(dim), np.log(np.exp(values).sum(dim))),
    ):
        assert got.dtype == dtype
        np.testing.assert_allclose(host(got), want, rtol=4 * eps)
    np.testing.assert_array_equal(host(x.argmax(dim)), values.argmax(dim))
    np.testing.assert_array_equal(host(x.argmin(dim)), values.argmin(dim))


def test_variance_does_not_cancel(rng: np.random.Generator) -> None:
    values = (rng.normal(size=(30_000, 3)) * 1e-2 + 1e4).astype(np.float32)
    got = cuda(values).var(0)
    np.testing.assert_allclose(host(got), values.astype(np.float64).var(0, ddof=1), rtol=2e-6)


@pytest.mark.parametrize("kind", [np.int64, np.uint8, np.bool_])
@pytest.mark.parametrize("shape", [(4_000, 3), (2, 1_300), (3, 5, 7), (2, 16)])
def test_reductions_of_integers_are_exact(kind: Any, shape: Any, rng: np.random.Generator) -> None:
    values = rng.integers(0, 2 if kind is np.bool_ else 200, shape).astype(kind)
    x = cuda(values)
    for dim in range(len(shape)):
        np.testing.assert_array_equal(host(x.sum(dim)), values.sum(dim, dtype=np.int64))
        np.testing.assert_array_equal(host(x.amax(dim)), values.max(dim))
        np.testing.assert_array_equal(host(x.amin(dim)), values.min(dim))
        np.testing.assert_array_equal(host(x.any(dim)), values.any(dim))
        np.testing.assert_array_equal(host(x.all(dim)), values.all(dim))
        np.testing.assert_array_equal(host(x.argmax(dim)), values.argmax(dim))


def test_first_of_equal_values_wins_across_chunks() -> None:
    values = np.zeros((1, 20_000), np.float32)
    values[0, [700, 5_000, 19_999]] = 1.0
    assert host(cuda(values).argmax(1)).item() == 700
    values[0, 12_000] = np.nan
    assert host(cuda(values).argmax(1)).item() == 12_000
    assert np.isnan(host(cuda(values).amax(1)).item())


# Pools.


@pytest.mark.parametrize("channels", [1, 5, 8, 20])
@pytest.mark.parametrize("dtype", [fc.float32, fc.bfloat16])
def test_max_pool_finds_the_winners_that_the_cpu_finds(channels: int, dtype: Any, rng: np.random.Generator) -> None:
    values = rng.integers(-2, 3, (2, channels, 9, 11)).astype(np.float32)  # full of ties
    values[rng.random(values.shape) < 0.1] = np.nan
    values[rng.random(values.shape) < 0.1] = -np.inf
    uneven = {"kernel_size": (3, 2), "stride": (2, 1), "padding": (1, 0), "ceil_mode": True}
    dilated = {"kernel_size": 3, "stride": 2, "dilation": (1, 2)}
    for arguments in ({"kernel_size": 2}, uneven, dilated, {"kernel_size": (9, 11)}):
        got = F.max_pool2d(cuda(values, dtype), return_indices=True, **arguments)
        want = F.max_pool2d(fc.tensor(values), return_indices=True, **arguments)
        np.testing.assert_array_equal(host(got[0]), host(want[0]))
        np.testing.assert_array_equal(host(got[1]), host(want[1]))


def test_max_pool_with_more_taps_than_a_byte_counts(rng: np.random.Generator) -> None:
    values = rng.normal(size=(1, 8, 20, 17)).astype(np.float32)
    x, on_cpu = cuda(values).requires_grad_(True), fc.tensor(values, requires_grad=True)
    for tensor in (x, on_cpu):
        F.max_pool2d(tensor, 16, stride=2, padding=8).sum().backward()
    assert x.grad is not None
    assert on_cpu.grad is not None
    np.testing.assert_array_equal(host(x.grad), host(on_cpu.grad))
