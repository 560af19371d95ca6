"""The second oracle: PyTorch in float64, where it is installed."""

from __future__ import annotations

from typing import Any

import pytest

from tests import walk
from tests.cases import Case, Op


@pytest.mark.parametrize(("op", "case"), walk.cases(lambda op, case: op.torch is not None))
def test_float64_equals_torch(op: Op, case: Case, torch: Any) -> None:
    walk.check_torch(op, case)
