"""Reductions beyond the case table: random shapes, both layouts, accuracy, ties, dtypes, determinism."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import fastcnn as fc
from fastcnn import _C
from tests.cases import tolerance

LAYOUTS = ("channels_last", "row_major")


def in_layout(array: np.ndarray, layout: str, requires_grad: bool = False) -> fc.Tensor:
    """A tensor of a chosen memory layout."""
    dtype = {"float32": fc.float32, "float64": fc.float64, "int64": fc.int64}[str(array.dtype)]
    raw = _C.empty(array.shape, dtype, None, layout)
    raw.numpy()[...] = array
    return fc.Tensor(raw, requires_grad)


@st.composite
def reductions(draw: Any) -> tuple[np.ndarray, str, tuple[int, ...] | None, bool]:
    """(values, layout, dims, keepdim) of every rank up to 5."""
    shape = tuple(draw(st.lists(st.sampled_from((1, 2, 3, 5, 8, 17, 33)), max_size=5)))
    while int(np.prod(shape)) > 20_000:
        shape = shape[1:]
    dims = draw(st.none() | st.sets(st.integers(0, max(len(shape) - 1, 0)), min_size=1).map(tuple))
    if not shape:
        dims = None
    values = np.random.default_rng(draw(st.integers(0, 2**16))).standard_normal(shape)
    return values, draw(st.sampled_from(LAYOUTS)), dims, draw(st.booleans())


RANDOM = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
FUNCTIONS = {
    "sum": np.sum,
    "mean": np.mean,
    "amax": np.max,
    "amin": np.min,
    "std": np.std,
    "any": lambda x, **k: np.any(x != 0, **k),
    "all": lambda x, **k: np.all(x != 0, **k),
}


@pytest.mark.parametrize("name", FUNCTIONS)
@RANDOM
@given(case=reductions())
def test_reduction_equals_numpy(name: str, case: Any) -> None:
    values, layout, dims, keepdim = case
    for dtype in ("float64", "float32"):
        x = values.astype(dtype)
        extra = {"correction": 0} if name == "std" else {}
        result = getattr(fc, name)(in_layout(x, layout), dims, keepdim=keepdim, **extra)
        expected = np.asarray(FUNCTIONS[name](x.astype(np.float64), axis=dims, keepdims=keepdim))
        assert result.shape == expected.shape
        allowed = tolerance(dtype, x.size, max(np.abs(x).max(initial=0.0), 1.0)) * (x.size if name == "sum" else 1)
        np.testing.assert_allclose(result.numpy(), expected, atol=allowed, rtol=0)


@RANDOM
@given(case=reductions())
def test_gradient_of_sum_and_mean_repeats_the_cotangent(case: Any) -> None:
    values, layout, dims, keepdim = case
    for mean in (False, True):
        x = in_layout(values, layout, requires_grad=True)
        y = (fc.mean if mean else fc.sum)(x, dims, keepdim)
        cotangent = np.random.default_rng(0).standard_normal(y.shape)
        y.backward(fc.tensor(np.asarray(cotangent)))
        axes = tuple(range(values.ndim)) if dims is None else dims
        kept = np.asarray(cotangent).reshape([1 if d in axes else n for d, n in enumerate(values.shape)])
        count = np.prod([values.shape[d] for d in axes]) if mean else 1
        assert x.grad is not None
        np.testing.assert_allclose(x.grad.numpy(), np.broadcast_to(kept, values.shape) / count, rtol=1e-14)


@RANDOM
@given(case=reductions())
def test_max_along_a_dimension_equals_numpy(case: Any) -> None:
    values, layout, dims, keepdim = case
    if values.ndim == 0:
        return
    dim = dims[0] if dims else values.ndim - 1
    x = np.round(values, 1)  # many ties: the first one wins
    largest, where = fc.max(in_layout(x, layout), dim, keepdim)
    expected = np.argmax(x, axis=dim, keepdims=keepdim)
    np.testing.assert_array_equal(where.numpy(), expected)
    np.testing.assert_array_equal(largest.numpy(), np.max(x, axis=dim, keepdims=keepdim))
    np.testing.assert_array_equal(
        fc.argmin(in_layout(x, layout), dim, keepdim).numpy(), np.argmin(x, dim, keepdims=keepdim)
    )


@pytest.mark.parametrize("shape", [(10_000_000,), (10_000_000 // 3, 3), (100_000, 100), (4, 2_500_000)])
def test_sum_of_ten_million_numbers_is_accurate(shape: tuple[int, ...], isa: str, rng: np.random.Generator) -> None:
    x = rng.random(shape, dtype=np.float32)
    for dim in (None, 0):
        exact = x.astype(np.float64).sum(axis=dim)
        np.testing.assert_allclose(fc.sum(fc.tensor(x), dim).numpy(), exact, rtol=1e-6)


@pytest.mark.parametrize("shape", [(3_000_000,), (200_000, 3), (70_000, 33), (8, 33, 40, 50), (3, 100_000)])
def test_reductions_have_the_same_bits_for_any_number_of_threads(
    shape: tuple[int, ...], rng: np.random.Generator
) -> None:
    x = fc.tensor(rng.standard_normal(shape).astype(np.float32))
    results = []
    for threads in (1, 2, 3, 7):
        _C.set_num_threads(threads)
        results.append(
            [f(x, d).numpy().tobytes() for f in (fc.sum, fc.std, fc.logsumexp, fc.amax, fc.argmax) for d in (None, 0)]
        )
    assert all(result == results[0] for result in results)


def test_variance_does_not_cancel(isa: str, rng: np.random.Generator) -> None:
    x = (rng.standard_normal((300_000, 3)) + np.array([0.0, 1e3, 1e5])).astype(np.float32)
    exact = x.astype(np.float64)
    allowed = tolerance("float32", x.shape[0])
    np.testing.assert_allclose(fc.var(fc.tensor(x), 0).numpy(), exact.var(axis=0, ddof=1), rtol=allowed)
    column = np.ascontiguousarray(x[:, 2])
    np.testing.assert_allclose(fc.var(fc.tensor(column)).item(), exact[:, 2].var(ddof=1), rtol=allowed)


@pytest.mark.parametrize("shape", [(500_000,), (500_000, 3), (2, 200_000, 5)])
def test_variance_of_a_trend(shape: tuple[int, ...], isa: str, rng: np.random.Generator) -> None:
    """Chunks with different means: the variance between them counts."""
    dim = len(shape) - 2 if len(shape) > 1 else 0
    x = np.sort(rng.standard_normal(shape), axis=dim).astype(np.float32)
    expected = x.astype(np.float64).var(axis=dim, ddof=1)
    raw = in_layout(x, "row_major")
    np.testing.assert_allclose(fc.var(raw, dim).numpy(), expected, rtol=tolerance("float32", shape[dim]))


def test_variance_spellings_of_torch() -> None:
    x = fc.tensor([1.0, 2.0, 4.0])
    assert fc.var(x).item() == pytest.approx(7 / 3)
    assert fc.var(x, unbiased=False).item() == fc.var(x, False).item() == pytest.approx(14 / 9)
    assert np.isnan(fc.var(fc.tensor([1.0])).item())
    with pytest.raises(ValueError, match="unbiased and correction"):
        fc.var(x, unbiased=False, correction=0)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_nan_wins_and_is_found(layout: str, isa: str) -> None:
    for shape in ((5, 70), (3, 17, 5, 7)):
        x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
        place = tuple(n // 2 for n in shape)
        x[place] = np.nan
        x[(0,) * len(shape)] = np.inf
        tensor = in_layout(x, layout)
        for reduce in (fc.max, fc.min, fc.amax, fc.amin):
            assert np.isnan(reduce(tensor).item())
        flat = int(np.ravel_multi_index(place, shape))
        assert fc.argmax(tensor).item() == flat
        assert fc.argmin(tensor).item() == flat
        for dim in range(len(shape)):
            values, where = fc.max(tensor, dim)
            np.testing.assert_array_equal(values.numpy(), np.max(x, axis=dim))
            np.testing.assert_array_equal(where.numpy(), np.argmax(x, axis=dim))


def test_flat_argmax_counts_in_logical_order() -> None:
    x = np.zeros((2, 3, 4, 5), np.float32)
    x[1, 2, 0, 1] = 1
    x[1, 0, 3, 4] = 1  # first in (N, C, H, W) order, last in memory order
    assert fc.argmax(fc.tensor(x)).item() == np.argmax(x)


def test_ties_share_the_gradient_of_amax_and_route_that_of_max() -> None:
    x = fc.tensor([[1.0, 3.0, 3.0], [2.0, 2.0, 2.0]], requires_grad=True)
    fc.amax(x, 1).backward(fc.tensor([6.0, 6.0]))
    assert x.grad is not None
    np.testing.assert_array_equal(x.grad.numpy(), [[0, 3, 3], [2, 2, 2]])
    x.grad = None
    fc.max(x, 1).values.backward(fc.tensor([6.0, 6.0]))
    np.testing.assert_array_equal(x.grad.numpy(), [[0, 6, 0], [6, 0, 0]])
    x.grad = None
    fc.max(x).backward()
    np.testing.assert_array_equal(x.grad.numpy(), [[0, 0.5, 0.5], [0, 0, 0]])


@pytest.mark.parametrize("zeros", [0, 1, 2])
def test_gradient_of_prod_with_zeros(zeros: int) -> None:
    values = np.array([2.0, -3.0, 5.0, 0.5])
    values[:zeros] = 0.0
    x = fc.tensor(values, requires_grad=True)
    fc.prod(x).backward()
    expected = [np.prod(np.delete(values, i)) for i in range(values.size)]
    assert x.grad is not None
    np.testing.assert_allclose(x.grad.numpy(), expected)


@pytest.mark.parametrize("dtype", [np.int64, np.uint8, np.bool_])
@pytest.mark.parametrize("dim", [None, 0, 1, (0, 2)])
def test_integers_sum_and_multiply_as_int64(dtype: Any, dim: Any, rng: np.random.Generator) -> None:
    x = rng.integers(0, 4, (3, 5, 2)).astype(dtype)
    for name in ("sum", "prod"):
        result = getattr(fc, name)(fc.tensor(x), dim)
        assert result.dtype == fc.int64
        np.testing.assert_array_equal(result.numpy(), getattr(np, name)(x.astype(np.int64), axis=dim))
    assert fc.amax(fc.tensor(x), dim).numpy().dtype == dtype
    np.testing.assert_array_equal(fc.amin(fc.tensor(x), dim).numpy(), x.min(axis=dim))
    np.testing.assert_array_equal(fc.any(fc.tensor(x), dim).numpy(), x.any(axis=dim))
    np.testing.assert_array_equal(fc.all(fc.tensor(x), dim).numpy(), x.all(axis=dim))
    if isinstance(dim, int):
        np.testing.assert_array_equal(fc.argmax(fc.tensor(x), dim).numpy(), x.argmax(axis=dim))


def test_mean_of_integers_asks_for_floats() -> None:
    with pytest.raises(TypeError, match=r"mean: input is int64.*float32.*\.float\(\)"):
        fc.mean(fc.tensor([1, 2]))
    assert fc.mean(fc.tensor([1, 2]), dtype=fc.float32).item() == 1.5
    assert fc.sum(fc.tensor([1.5, 2.5]), dtype=fc.int64).item() == 3


def test_empty_reductions() -> None:
    nothing = fc.zeros((0, 3))
    assert fc.sum(nothing).item() == 0.0
    assert fc.prod(nothing, 0).numpy().tolist() == [1.0, 1.0, 1.0]
    assert np.isnan(fc.mean(nothing, 0).numpy()).all()
    assert fc.logsumexp(nothing, 0).numpy().tolist() == [-np.inf] * 3
    assert fc.max(nothing, 1).values.shape == (0,)
    assert not fc.any(nothing).item()
    assert fc.all(nothing).item()
    for reduce in (fc.max, fc.amin, fc.argmax):
        with pytest.raises(ValueError, match=r"\(0, 3\) has no elements|\(0,\) has no elements"):
            reduce(nothing)


def test_max_of_two_tensors_is_elementwise() -> None:
    a, b = fc.tensor([1.0, 5.0]), fc.tensor([3.0, 2.0])
    assert fc.max(a, b).numpy().tolist() == [3.0, 5.0]
    assert fc.min(a, b).numpy().tolist() == [1.0, 2.0]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_results_keep_the_layout_rule(layout: str) -> None:
    x = in_layout(np.random.default_rng(0).standard_normal((2, 3, 4, 5)).astype(np.float32), layout)
    for dim in range(4):
        assert fc.sum(x, dim)._data.layout == layout
        assert fc.sum(x, dim, keepdim=True)._data.layout == layout


def test_logsumexp_is_stable() -> None:
    for dtype in (fc.float32, fc.float64):
        x = fc.tensor([[1e4, 1e4], [-1e4, -1e4], [-np.inf, -np.inf], [np.inf, 0.0]], dtype=dtype)
        expected = [1e4 + np.log(2), -1e4 + np.log(2), -np.inf, np.inf]
        np.testing.assert_allclose(fc.logsumexp(x, 1).numpy(), expected, rtol=1e-6)
    tall = np.full((300_000, 1), -np.inf, np.float32)  # chunks that hold nothing but -inf
    tall[-1] = -2000.0
    assert fc.logsumexp(fc.tensor(tall)).item() == -2000.0
    assert fc.logsumexp(fc.tensor(np.repeat(tall, 3, 1)), 0).numpy().tolist() == [-2000.0] * 3


def test_out_of_memory_leaves_everything_usable() -> None:
    x = fc.tensor(np.ones((300_000, 3), np.float32))
    for nth in range(1, 4):
        _C.fail_nth_allocation(nth)
        try:
            fc.std(x, 0)
        except MemoryError:
            continue
        finally:
            _C.fail_nth_allocation(0)
    assert fc.sum(x).item() == 900_000.0
