"""Bitwise reproducibility: repeated runs, numbers of threads, and memory full of NaN."""

from __future__ import annotations

import pytest

from tests import walk
from tests.cases import Case, Op


@pytest.mark.parametrize(("op", "case"), walk.cases())
def test_results_are_bitwise_reproducible(op: Op, case: Case, device: str, isa: str) -> None:
    walk.check_bitwise(op, case, device)


@pytest.mark.parametrize(("op", "case"), walk.cases())
def test_float64_results_are_bitwise_reproducible(op: Op, case: Case, device: str) -> None:
    walk.check_bitwise(op, case, device, "float64")
