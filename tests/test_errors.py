"""Bad arguments of the case tables raise the right exception with a message that helps, and touch nothing."""

from __future__ import annotations

import pytest

from tests import walk
from tests.cases import ErrorCase, Op, all_ops


@pytest.mark.parametrize(
    ("op", "case"),
    [pytest.param(op, case, id=f"{op.name}[{case.id}]") for op in all_ops() for case in op.errors],
)
def test_misuse_raises(op: Op, case: ErrorCase, device: str) -> None:
    walk.check_error(op, case, device)
