"""Every op of the case tables on device `cuda`, a GPU or the emulated one, against the CPU's float64 kernels."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import fastcnn as fc
from tests import walk
from tests.cases import Case, ErrorCase, Op, all_ops

if not fc.cuda.is_available():
    pytest.skip(f"no device cuda: {fc.cuda.why_unavailable()}", allow_module_level=True)


@pytest.fixture(autouse=True)
def true_float32() -> Iterator[None]:
    """Tests of exactness run without TF32; the lower precisions have tests of their own."""
    before = fc.get_precision()
    fc.set_precision("highest")
    yield
    fc.set_precision(before)


def differentiable(op: Op, case: Case) -> bool:
    return case.grad and bool(op.differentiable)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize(("op", "case"), walk.cases())
def test_equals_float64(op: Op, case: Case, dtype: str) -> None:
    walk.check_dtype(op, case, "cuda", dtype)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize(("op", "case"), walk.cases(differentiable))
def test_gradients_equal_float64(op: Op, case: Case, dtype: str) -> None:
    walk.check_dtype_gradients(op, case, "cuda", dtype)


@pytest.mark.parametrize(("op", "case"), walk.cases())
def test_results_are_bitwise_reproducible(op: Op, case: Case) -> None:
    walk.check_bitwise(op, case, "cuda")


@pytest.mark.parametrize(
    ("op", "case"),
    [pytest.param(op, case, id=f"{op.name}[{case.id}]") for op in all_ops() for case in op.errors],
)
def test_misuse_raises(op: Op, case: ErrorCase) -> None:
    walk.check_error(op, case, "cuda")
