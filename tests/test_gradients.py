"""Gradients: float64 against central differences, float32 of every instruction set against float64."""

from __future__ import annotations

import pytest

from tests import walk
from tests.cases import Case, Op


def has_gradient(op: Op, case: Case) -> bool:
    return case.grad and bool(op.differentiable)


@pytest.mark.parametrize(("op", "case"), walk.cases(has_gradient))
def test_float64_gradients_equal_central_differences(op: Op, case: Case) -> None:
    walk.check_numeric_gradients(op, case)


@pytest.mark.parametrize(("op", "case"), walk.cases(has_gradient))
def test_float32_gradients_equal_float64(op: Op, case: Case, device: str, isa: str) -> None:
    walk.check_float32_gradients(op, case, device)
