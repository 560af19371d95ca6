"""Forward results: float64 against NumPy, float32 of every instruction set against float64."""

from __future__ import annotations

import pytest

from tests import walk
from tests.cases import Case, Op


@pytest.mark.parametrize(("op", "case"), walk.cases(lambda op, case: op.reference is not None))
def test_float64_equals_numpy(op: Op, case: Case) -> None:
    walk.check_reference(op, case)


@pytest.mark.parametrize(("op", "case"), walk.cases())
def test_float32_equals_float64(op: Op, case: Case, device: str, isa: str) -> None:
    walk.check_float32(op, case, device)
