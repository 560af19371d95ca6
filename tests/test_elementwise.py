"""Elementwise functions beyond the case tables: activation facts, broadcasting and dtypes against NumPy, accuracy."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import mutually_broadcastable_shapes

import fastcnn as fc
from fastcnn import _C, nn
from fastcnn import functional as F
from fastcnn.ops import inplace

DTYPES = {fc.bool_: np.bool_, fc.uint8: np.uint8, fc.int64: np.int64, fc.float32: np.float32, fc.float64: np.float64}


def grad_of(function: Any, values: list[float]) -> list[float]:
    x = fc.tensor(values, requires_grad=True)
    y = function(x)
    y.backward(fc.ones_like(y))
    assert x.grad is not None
    return x.grad.numpy().tolist()


# --- The activation functions of the lectures


def test_sigmoid_and_its_slope_at_zero() -> None:
    assert F.sigmoid(fc.tensor([0.0])).item() == 0.5
    assert grad_of(F.sigmoid, [0.0]) == [0.25]
    assert F.sigmoid(fc.tensor([1e4, -1e4])).numpy().tolist() == [1.0, 0.0]


def test_tanh_is_a_scaled_sigmoid() -> None:
    x = fc.linspace(-5, 5, 101)
    np.testing.assert_allclose(F.tanh(x).numpy(), 2 * F.sigmoid(x * 2).numpy() - 1, atol=1e-6)


def test_relu_gradient_is_zero_at_zero() -> None:
    assert grad_of(F.relu, [-1.0, -0.0, 0.0, 2.0]) == [0.0, 0.0, 0.0, 1.0]


def test_leaky_relu_default_slope() -> None:
    assert F.leaky_relu(fc.tensor([-1.0, 3.0])).numpy().tolist() == pytest.approx([-0.01, 3.0])
    assert grad_of(F.leaky_relu, [-1.0, 0.0, 3.0]) == pytest.approx([0.01, 0.01, 1.0])


def test_prelu_starts_at_a_quarter_and_collects_gradients_of_the_negative_side() -> None:
    layer = nn.PReLU(2)
    assert layer.weight.detach().numpy().tolist() == [0.25, 0.25]
    x = fc.tensor(np.array([[[[-2.0, 1.0]], [[0.0, -3.0]]]], np.float32))
    y = layer(x)
    assert y.detach().numpy().ravel().tolist() == [-0.5, 1.0, 0.0, -0.75]
    y.backward(fc.tensor(np.array([[[[10.0, 20.0]], [[30.0, 40.0]]]], np.float32)))
    assert layer.weight.grad is not None
    assert layer.weight.grad.numpy().tolist() == [-20.0, -120.0]


@pytest.mark.parametrize(
    "layer", [nn.ReLU(), nn.LeakyReLU(), nn.PReLU(), nn.Sigmoid(), nn.Tanh(), nn.GELU(), nn.SiLU()]
)
def test_layers_equal_torch(layer: nn.Module, torch: Any) -> None:
    x = np.linspace(-4, 4, 60, dtype=np.float32).reshape(1, 3, 4, 5)
    theirs = getattr(torch.nn, type(layer).__name__)()
    np.testing.assert_allclose(
        layer(fc.tensor(x)).detach().numpy(), theirs(torch.from_numpy(x)).detach().numpy(), atol=2e-6
    )
    assert repr(layer).startswith(type(layer).__name__)


def test_inplace_relu_replaces_the_input() -> None:
    x = fc.tensor([-1.0, 2.0])
    assert nn.ReLU(inplace=True)(x) is x
    assert x.numpy().tolist() == [0.0, 2.0]
    leaf = fc.tensor([-1.0, 2.0], requires_grad=True)
    with pytest.raises(RuntimeError, match="relu"):
        F.relu(leaf, inplace=True)
    hidden = fc.mul(leaf, 3.0)
    F.relu(hidden, inplace=True).backward(fc.tensor([1.0, 1.0]))
    assert hidden.detach().numpy().tolist() == [0.0, 6.0]
    assert leaf.grad is not None
    assert leaf.grad.numpy().tolist() == [0.0, 3.0]


# --- Accuracy of the vector functions


@pytest.mark.parametrize(
    ("function", "oracle", "ulps"),
    [
        (fc.exp, math.exp, 2.0),
        (fc.log, math.log, 2.0),
        (F.tanh, math.tanh, 3.0),
        (F.sigmoid, lambda x: 0.0 if x < -700 else 1 / (1 + math.exp(-x)), 3.0),
        (fc.erf, math.erf, 3.0),
    ],
    ids=["exp", "log", "tanh", "sigmoid", "erf"],
)
def test_vector_functions_are_accurate_to_few_ulp(function: Any, oracle: Any, ulps: float, isa: str) -> None:
    bits = np.arange(0, 2**32, 2**32 // 40000, dtype=np.uint64).astype(np.uint32)
    near = np.random.default_rng(0).normal(0, 3, 20000).astype(np.float32)
    x = np.concatenate([bits.view(np.float32), near])
    y = function(fc.tensor(x)).numpy().astype(np.float64)
    with np.errstate(invalid="ignore"):  # signalling NaN among the patterns
        wide = x.astype(np.float64)
    for value, got in zip(wide, y, strict=True):
        try:
            want = oracle(value)
        except OverflowError:
            want = math.inf
        except ValueError:
            want = -math.inf if value == 0 else math.nan
        if math.isnan(want) or math.isinf(want) or abs(want) > 3.4028235e38:
            limit = math.inf if want > 3.4028235e38 else want
            assert got == limit or (math.isnan(limit) and math.isnan(got)), (value, got, want)
            continue
        spacing = max(2.0 ** (math.frexp(want)[1] - 24), 2.0**-149)
        assert abs(got - want) <= ulps * spacing, (value, got, want)


# --- Broadcasting and dtypes against NumPy

SHAPES = mutually_broadcastable_shapes(num_shapes=2, max_dims=5, min_side=0, max_side=6)
FUNCTIONS = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "maximum": np.maximum,
    "minimum": np.minimum,
    "eq": np.equal,
    "lt": np.less,
    "ge": np.greater_equal,
    "logical_xor": np.logical_xor,
}


@settings(max_examples=150, deadline=None)
@given(
    shapes=SHAPES,
    names=st.sampled_from(sorted(FUNCTIONS)),
    dtypes=st.tuples(st.sampled_from(sorted(DTYPES, key=str)), st.sampled_from(sorted(DTYPES, key=str))),
    layouts=st.tuples(*[st.sampled_from(["channels_last", "row_major"])] * 2),
    seed=st.integers(0, 2**31),
)
def test_broadcasting_equals_numpy(shapes: Any, names: str, dtypes: Any, layouts: Any, seed: int) -> None:
    rng = np.random.default_rng(seed)
    arrays = [rng.integers(0, 6, shape).astype(DTYPES[d]) for shape, d in zip(shapes.input_shapes, dtypes, strict=True)]
    operands = []
    for array, layout in zip(arrays, layouts, strict=True):
        raw = fc.from_numpy(array)._data
        operands.append(fc.Tensor(_C.to_layout(raw, layout) if array.ndim >= 3 else raw))
    wanted = _C.result_type(*[t._data for t in operands])
    if names == "sub" and wanted == fc.bool_:
        with pytest.raises(TypeError, match="sub"):
            fc.sub(*operands)
        return
    result = getattr(fc, names)(*operands)
    a, b = [array.astype(DTYPES[wanted]) for array in arrays]
    expected = FUNCTIONS[names](a, b)
    assert result.shape == shapes.result_shape
    assert result.dtype == (fc.bool_ if expected.dtype == np.bool_ else wanted)
    np.testing.assert_array_equal(result.numpy(), expected)


@settings(max_examples=80, deadline=None)
@given(shapes=SHAPES, layout=st.sampled_from(["channels_last", "row_major"]), seed=st.integers(0, 2**31))
def test_sum_to_shape_is_the_adjoint_of_broadcasting(shapes: Any, layout: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    shape, full = shapes.input_shapes[0], shapes.result_shape
    array = rng.integers(-9, 9, full).astype(np.float32)  # sums of small integers are exact
    raw = fc.from_numpy(array)._data
    got = _C.sum_to_shape(_C.to_layout(raw, layout) if len(full) >= 3 else raw, shape)
    lead = array.sum(axis=tuple(range(len(full) - len(shape))))
    axes = tuple(d for d in range(len(shape)) if shape[d] == 1)
    np.testing.assert_array_equal(got.numpy(), lead.sum(axis=axes, keepdims=True).reshape(shape))


@pytest.mark.parametrize("shape", [(8, 5, 30, 31), (3, 300, 20, 11), (70000, 3), (2, 40, 4000)])
@pytest.mark.parametrize("layout", ["channels_last", "row_major"])
def test_sums_over_many_splits(shape: tuple[int, ...], layout: str, isa: str) -> None:
    array = np.random.default_rng(0).integers(-9, 9, shape).astype(np.float32)
    raw = _C.to_layout(fc.from_numpy(array)._data, layout if len(shape) > 2 else "row_major")
    channels = (shape[1],) + (1,) * (len(shape) - 2)
    axes = tuple(d for d in range(len(shape)) if d != 1)
    np.testing.assert_array_equal(_C.sum_to_shape(raw, channels).numpy(), array.sum(axis=axes).reshape(channels))
    assert _C.sum_to_shape(raw, ()).numpy() == array.sum(dtype=np.float64)


def test_mixed_layouts_broadcast_logically() -> None:
    a = np.arange(120, dtype=np.float32).reshape(2, 3, 4, 5)
    row_major = fc.Tensor(_C.to_layout(fc.tensor(a)._data, "row_major"))
    np.testing.assert_array_equal(fc.add(fc.tensor(a), row_major).numpy(), a + a)
    np.testing.assert_array_equal(fc.mul(row_major, fc.tensor(a[0])).numpy(), a * a[0])
    assert fc.add(row_major, row_major)._data.layout == "row_major"
    assert fc.add(row_major, fc.tensor(a))._data.layout == "channels_last"


def test_result_types_equal_torch(torch: Any) -> None:
    theirs = {
        fc.bool_: torch.bool,
        fc.uint8: torch.uint8,
        fc.int64: torch.int64,
        fc.bfloat16: torch.bfloat16,
        fc.float32: torch.float32,
        fc.float64: torch.float64,
    }
    ours = {v: k for k, v in theirs.items()}
    operands: list[Any] = [True, 3, 2.5]
    for dtype, other in theirs.items():
        operands += [(fc.ones(*s, dtype=dtype), torch.ones(s, dtype=other)) for s in ((), (2,))]
    for left in operands:
        for right in operands:
            if not isinstance(left, tuple) and not isinstance(right, tuple):
                continue
            a, ta = left if isinstance(left, tuple) else (left, left)
            b, tb = right if isinstance(right, tuple) else (right, right)
            what = f"{getattr(a, 'dtype', a)} {getattr(b, 'dtype', b)}"
            assert fc.mul(a, b).dtype == ours[torch.mul(ta, tb).dtype], what
            assert fc.div(a, b).dtype == ours[torch.div(ta, tb).dtype], what
            assert fc.lt(a, b).dtype == fc.bool_


def test_bfloat16_rounds_to_nearest_even(torch: Any) -> None:
    x = np.random.default_rng(0).normal(0, 1e3, 10001).astype(np.float32)
    x[:4] = [np.nan, np.inf, 3.3e38, 1.00390625]
    ours = fc.Tensor(_C.cast(_C.cast(fc.tensor(x)._data, fc.bfloat16), fc.float32)).numpy()
    np.testing.assert_array_equal(ours, torch.from_numpy(x).bfloat16().float().numpy())
    # One rounding, not two: this double lies just above the middle of two bfloat16 values, and its float in the middle.
    value = fc.tensor(np.array([1.00390625 + 2.0**-40, -1.00390625 - 2.0**-40, 1.00390625 - 2.0**-40]))
    rounded = _C.cast(_C.cast(value._data, fc.bfloat16), fc.float32).numpy().tolist()
    assert rounded == [1.0078125, -1.0078125, 1.0]


def test_bfloat16_arithmetic_and_gradients() -> None:
    a = fc.Tensor(_C.cast(fc.tensor([1.0, 2.0, 3.0])._data, fc.bfloat16)).requires_grad_()
    b = fc.tensor([0.5], requires_grad=True)
    assert fc.mul(a, 2.0).dtype == fc.bfloat16
    y = fc.mul(a, b)
    assert y.dtype == fc.float32
    y.backward(fc.tensor([1.0, 1.0, 1.0]))
    assert a.grad is not None
    assert b.grad is not None
    assert a.grad.dtype == fc.bfloat16
    assert b.grad.numpy().tolist() == [6.0]


@pytest.mark.parametrize("source", list(DTYPES), ids=str)
@pytest.mark.parametrize("target", list(DTYPES), ids=str)
def test_cast_equals_numpy(source: Any, target: Any, isa: str) -> None:
    values = np.array([0, 1, 2, 200, 0, 7, 255, 3, 1] * 5).astype(DTYPES[source])
    if source in (fc.float32, fc.float64):
        values = values + np.array(0.75, values.dtype)
    got = _C.cast(fc.from_numpy(values)._data, target).numpy()
    np.testing.assert_array_equal(got, values.astype(DTYPES[target]))


def test_cast_of_values_out_of_range() -> None:
    x = fc.tensor(np.array([np.nan, np.inf, -np.inf, 1e30, -1.5, 300.0, -1.0]))
    low = -(2**63)
    assert _C.cast(x._data, fc.int64).numpy().tolist() == [low, low, low, low, -1, 300, -1]
    assert _C.cast(x._data, fc.uint8).numpy().tolist()[4:] == [255, 44, 255]
    assert _C.cast(x._data, fc.bool_).numpy().all()


def test_integer_arithmetic() -> None:
    a = fc.tensor(np.array([7, -7, 7, -7, 2**62]))
    b = fc.tensor(np.array([2, 2, -2, -2, 3]))
    assert fc.floor_divide(a, b).numpy().tolist() == [3, -4, -4, 3, 2**62 // 3]
    assert fc.remainder(a, b).numpy().tolist() == [1, 1, -1, -1, 2**62 % 3]
    assert fc.div(a, 2).dtype == fc.float32
    assert fc.pow(fc.tensor(np.array([2, -3])), 3).numpy().tolist() == [8, -27]
    assert fc.mul(a, 4).numpy()[-1] == 0  # wraps around
    assert fc.abs(fc.tensor(np.array([-3, 3]))).numpy().tolist() == [3, 3]
    assert fc.clamp(fc.tensor(np.array([-3, 300], np.int64)), 0).numpy().tolist() == [0, 300]
    assert fc.clamp(fc.tensor(np.array([1, 2])), 1.5).dtype == fc.float32
    assert fc.exp(fc.tensor(np.array([0]))).dtype == fc.float32
    with pytest.raises(ValueError, match="division by zero"):
        fc.remainder(a, 0)
    with pytest.raises(ValueError, match=r"pow.*non-negative"):
        fc.pow(a, -1)
    with pytest.raises(TypeError, match="bool"):
        fc.neg(fc.tensor(np.array([True])))


def test_nan_and_infinity_predicates() -> None:
    x = fc.tensor([math.nan, math.inf, -math.inf, 0.0])
    assert fc.isnan(x).numpy().tolist() == [True, False, False, False]
    assert fc.isinf(x).numpy().tolist() == [False, True, True, False]
    assert fc.isfinite(x).numpy().tolist() == [False, False, False, True]
    assert fc.logical_not(x).numpy().tolist() == [False, False, False, True]


@pytest.mark.parametrize("n", [1, 7, 33])
def test_nan_propagates(n: int, isa: str) -> None:
    x = fc.full((n,), math.nan)
    one = fc.ones(n)
    results = [
        F.relu(x),
        F.leaky_relu(x),
        fc.clamp(x, -1, 1),
        fc.maximum(x, one),
        fc.maximum(one, x),
        fc.minimum(x, one),
    ]
    results += [fc.minimum(one, x), F.gelu(x), F.silu(x), fc.sign(x), F.prelu(x, fc.ones(1)), fc.clamp(x, one, one)]
    for result in results:
        assert np.isnan(result.numpy()).all()


def test_maximum_shares_the_gradient_of_ties() -> None:
    a, b = fc.tensor([1.0, 2.0, 3.0], requires_grad=True), fc.tensor([2.0], requires_grad=True)
    fc.maximum(a, b).backward(fc.tensor([1.0, 1.0, 1.0]))
    assert a.grad is not None
    assert b.grad is not None
    assert a.grad.numpy().tolist() == [0.0, 0.5, 1.0]
    assert b.grad.numpy().tolist() == [1.5]


def test_streamed_results_equal_small_ones(isa: str) -> None:
    """Results beyond half of L3 are written past the caches by other code."""
    n = (4 << 20) + 37
    x = np.random.default_rng(0).normal(size=n).astype(np.float32)
    t = fc.tensor(x)
    part = fc.tensor(x[-1000:])
    for function in (F.relu, F.sigmoid, lambda v: fc.add(v, v), lambda v: fc.mul(v, 3.0)):
        big = function(t).numpy()
        np.testing.assert_array_equal(big[-1000:], function(part).numpy())
    assert (F.relu(t).numpy() == np.maximum(x, 0)).all()


# --- In place


def test_in_place_changes_bump_the_version() -> None:
    x = fc.tensor([1.0, 2.0, 3.0])
    before = x._data.version
    inplace.add_(x, fc.tensor([1.0, 1.0, 1.0]), alpha=2)
    inplace.mul_(x, 2)
    inplace.sub_(x, 1)
    inplace.div_(x, fc.tensor([5.0]))
    assert x.numpy().tolist() == [1.0, 7 / 5, 9 / 5] or np.allclose(x.numpy(), [1, 1.4, 1.8])
    inplace.clamp_(x, max=1.5)
    assert x.numpy().max() == 1.5
    inplace.copy_(x, fc.tensor([4], dtype=fc.int64))
    assert x.numpy().tolist() == [4.0, 4.0, 4.0]
    inplace.zero_(x)
    assert not x.numpy().any()
    assert x._data.version >= before + 7


def test_in_place_change_of_a_saved_tensor_is_noticed() -> None:
    x = fc.tensor([1.0, 2.0], requires_grad=True)
    h = fc.mul(x, 1.0)
    y = fc.exp(h)
    with fc.no_grad():
        inplace.add_(y, 1.0)
    with pytest.raises(RuntimeError, match="modified in place"):
        y.backward(fc.tensor([1.0, 1.0]))


def test_in_place_misuse() -> None:
    x = fc.tensor(np.array([1, 2]))
    with pytest.raises(TypeError, match="int64"):
        inplace.add_(x, 1.5)
    with pytest.raises(ValueError, match="broadcast"):
        inplace.add_(fc.ones(3), fc.ones(2, 3))
    leaf = fc.ones(2, requires_grad=True)
    with pytest.raises(RuntimeError, match="add_"):
        inplace.add_(leaf, 1)
    with pytest.raises(RuntimeError, match="other requires a gradient"):
        inplace.mul_(fc.ones(2), leaf)


def test_in_place_with_an_overlapping_operand() -> None:
    x = np.arange(1800, dtype=np.float32).reshape(3, 600)
    t = fc.tensor(x)
    row = fc.Tensor(t._data.batch_slice(0, 1))
    inplace.add_(t, row)  # the row is read before it is overwritten
    np.testing.assert_array_equal(t.numpy(), x + x[:1])
