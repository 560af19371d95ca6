"""The walkers of the case tables can fail: each planted error of a made-up op is found, and the sound op passes."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import fastcnn as fc
from fastcnn import _C
from fastcnn.autograd import Function
from tests import walk
from tests.cases import Array, Case, ErrorCase, Op, tolerance

# scale(x, w) = x * w over equal shapes, computed with NumPy on the raw tensors; `plant` names the error to make.


def raw(values: np.ndarray, like: _C.Tensor) -> _C.Tensor:
    out = _C.empty(like.shape, like.dtype)
    out.numpy()[...] = values
    return out


class _Scale(Function):
    @staticmethod
    def forward(ctx: Any, x: Any, w: Any, plant: str) -> Any:
        if x.shape != w.shape:
            raise ValueError(f"scale: w has shape {w.shape}, but expected {x.shape}")
        ctx.save_for_backward(x, w)
        ctx.plant = plant
        product = x.numpy() * w.numpy()
        if plant == "off by 1 percent":
            product = product * 1.01
        if plant == "float32 off" and x.dtype == fc.float32:
            product = product + np.float32(1e-4)
        if plant == "writes its input":
            x.numpy()[...] = 0
        if plant == "loses NaN":
            product = np.nan_to_num(product)
        if plant == "depends on threads":
            product = product + 1e-9 * _C.num_threads()
        if plant == "reads fresh memory":
            fresh = _C.empty(x.shape, x.dtype)
            product = product + np.where(np.isnan(fresh.numpy()), 1, 0)
        return raw(product, x)

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        x, w = ctx.saved_tensors
        gx, gw = grad.numpy() * w.numpy(), grad.numpy() * x.numpy()
        if ctx.plant == "sign of a gradient":
            gw = -gw
        if ctx.plant == "permuted gradient":
            gx = np.roll(gx, 1)
        if ctx.plant == "one gradient element":
            gx = gx.copy()
            gx.flat[-1] += 1e-3
        if ctx.plant == "float32 gradient off" and grad.dtype == fc.float32:
            gx = gx + np.float32(1e-4)
        return raw(gx, x), (None if ctx.plant == "no gradient" else raw(gw, w)), None


CASE = Case("n5-c3", {"x": Array((5, 3)), "w": Array((5, 3))})
NAN_CASE = Case("nan", {"x": Array((5, 3), special=(float("nan"), float("inf"))), "w": Array((5, 3))}, grad=False)
ERROR = ErrorCase(
    "shape", {"x": Array((5, 3)), "w": Array((4, 3))}, ValueError, ("scale", "(4, 3)", "expected", "(5, 3)")
)


def make_op(plant: str = "") -> Op:
    return Op(
        name="scale",
        run=lambda x, w: _Scale.apply(x, w, plant),
        cases=(CASE, NAN_CASE),
        reference=lambda x, w: x * w,
        torch=lambda x, w: x * w,
        differentiable=("x", "w"),
        errors=(ERROR,),
    )


WALKERS = {
    "reference": walk.check_reference,
    "float32": lambda op, case: walk.check_float32(op, case, "cpu"),
    "numeric gradients": walk.check_numeric_gradients,
    "float32 gradients": lambda op, case: walk.check_float32_gradients(op, case, "cpu"),
    "bitwise": lambda op, case: walk.check_bitwise(op, case, "cpu"),
}


@pytest.mark.parametrize("walker", WALKERS)
def test_walkers_accept_a_sound_op(walker: str) -> None:
    WALKERS[walker](make_op(), CASE)


def test_torch_walker_accepts_a_sound_op(torch: Any) -> None:
    walk.check_torch(make_op(), CASE)


@pytest.mark.parametrize(
    ("walker", "plant", "message"),
    [
        ("reference", "off by 1 percent", "elements differ"),
        ("reference", "writes its input", "wrote to its argument"),
        ("float32", "float32 off", "float32 vs float64"),
        ("numeric gradients", "sign of a gradient", "gradient of w"),
        ("numeric gradients", "permuted gradient", "gradient of x"),
        ("numeric gradients", "one gradient element", "gradient of x along a random direction"),
        ("numeric gradients", "no gradient", "no gradient for w"),
        ("float32 gradients", "float32 gradient off", "gradient of x"),
        ("bitwise", "depends on threads", "with"),
        ("bitwise", "reads fresh memory", "full of NaN"),
    ],
)
def test_walkers_find_planted_errors(walker: str, plant: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if "along" in message:
        monkeypatch.setattr(walk, "PROBES", 0)
    op = make_op(plant)
    if plant == "depends on threads":  # 1e-9 is below float32's resolution
        with pytest.raises(AssertionError, match=message):
            walk.check_bitwise(op, CASE, "cpu", "float64")
        return
    with pytest.raises(AssertionError, match=message):
        WALKERS[walker](op, CASE)


def test_reference_walker_finds_a_lost_nan() -> None:
    walk.check_reference(make_op(), NAN_CASE)
    with pytest.raises(AssertionError, match="NaN differs"):
        walk.check_reference(make_op("loses NaN"), NAN_CASE)


def test_torch_walker_finds_planted_errors(torch: Any) -> None:
    with pytest.raises(AssertionError, match="output 0 vs torch"):
        walk.check_torch(make_op("off by 1 percent"), CASE)
    with pytest.raises(AssertionError, match="gradient of w vs torch"):
        walk.check_torch(make_op("sign of a gradient"), CASE)


def test_error_walker_finds_planted_errors() -> None:
    walk.check_error(make_op(), ERROR, "cpu")
    with pytest.raises(AssertionError, match="lacks"):
        walk.check_error(make_op(), replace(ERROR, words=("did you mean",)), "cpu")
    with pytest.raises(AssertionError, match="raised ValueError"):
        walk.check_error(make_op(), replace(ERROR, exception=TypeError), "cpu")
    with pytest.raises(AssertionError, match="was accepted"):
        walk.check_error(make_op(), replace(ERROR, args=CASE.args), "cpu")

    def destructive(x: Any, w: Any) -> Any:
        x.fill_(0)
        raise ValueError("scale: (4, 3), expected (5, 3)")

    with pytest.raises(AssertionError, match="changed an argument"):
        walk.check_error(replace(make_op(), run=destructive), ERROR, "cpu")


def test_assert_close_rejects_wrong_shapes_dtypes_and_infinities() -> None:
    one = np.ones((2, 3))

    def close(actual: np.ndarray, expected: np.ndarray, exact: bool = False) -> None:
        walk.assert_close(actual, expected, "float32", 1, [one], "op", exact)

    close(one, one + 1e-7)
    for actual, expected, message in [
        (one, one.T, "shape"),
        (one.astype(np.int64), one, "floating-point"),
        (one * np.inf, -one * np.inf, "op"),
        (one, one * np.inf, "Inf differs"),
        (one, one + 1e-5, "6 of 6 elements differ"),
        (one.astype(np.int64), 2 * one.astype(np.int64), "op"),
    ]:
        with pytest.raises(AssertionError, match=message):
            close(actual, expected)
    with pytest.raises(AssertionError):
        close(one, one + 1e-9, exact=True)


def test_assert_close_follows_the_one_tolerance_formula() -> None:
    """A long sum may differ by tolerance(dtype, terms) times its size, and not by more."""
    expected = np.full((4,), 10.0)
    allowed = tolerance("float32", 100) * 10.0
    walk.assert_close(expected + 0.9 * allowed, expected, "float32", 100, [expected], "op")
    with pytest.raises(AssertionError, match=re.escape("4 of 4")):
        walk.assert_close(expected + 1.1 * allowed, expected, "float32", 100, [expected], "op")


def test_large_benchmark_cases_are_not_run_as_tests() -> None:
    large = Case("big", {"x": Array((1000, 1000)), "w": Array((1000, 1000))}, bench=True)
    assert not walk.is_small(make_op(), large)
    assert walk.is_small(make_op(), CASE)
    assert walk.is_small(make_op(), replace(large, bench=False))
    assert not walk.is_small(replace(make_op(), flops=lambda case: 10**9), replace(CASE, bench=True))


def test_list_arguments_are_walked() -> None:
    arrays = walk.make_arrays({"tensors": (Array((2, 3)), Array((1, 3))), "dim": 0})
    op = replace(make_op(), differentiable=("tensors",))
    assert [name for name, _ in walk.differentiable(op, arrays)] == ["tensors[0]", "tensors[1]"]
    tensors = walk.to_tensors(arrays, "float32")
    assert [t.shape for t in tensors["tensors"]] == [(2, 3), (1, 3)]
    assert tensors["dim"] == 0
