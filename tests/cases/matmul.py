"""Cases of fastcnn.matmul."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastcnn.ops import linalg

from . import Array, Case, ErrorCase, Op


def _reference(input: Any, other: Any) -> Any:
    return np.matmul(input, other)


def _torch(input: Any, other: Any) -> Any:
    import torch

    return torch.matmul(input, other)


def _case(a: tuple[int, ...], b: tuple[int, ...], **options: Any) -> Case:
    label = "x".join(map(str, a)) + "@" + "x".join(map(str, b))
    sizes = [int(np.prod(a)), int(np.prod(b)), 1]
    return Case(label, {"input": Array(a), "other": Array(b)}, terms=max(a[-1], 1), terms_grad=max(sizes), **options)


CASES = (
    _case((7,), (7,)),
    _case((300,), (300,)),
    _case((5,), (5, 9)),
    _case((4, 70), (70,)),
    _case((3, 5), (5, 2)),
    _case((33, 18), (18, 49)),
    _case((2, 300), (300, 7)),
    _case((40, 300), (300, 65)),
    *(_case((m, 40), (40, n)) for m, n in ((1, 130), (4, 200), (6, 64), (8, 75), (13, 33), (19, 70), (28, 100))),
    _case((3, 4, 5), (3, 5, 6)),
    _case((3, 1, 5), (3, 5, 1)),
    _case((3, 4, 5), (5, 6)),
    _case((3, 4, 5), (5,)),
    _case((4, 5), (3, 5, 6)),
    _case((5,), (3, 5, 6)),
    _case((3, 4, 5), (1, 5, 6)),
    _case((2, 3, 4, 5), (3, 5, 6)),
    _case((2, 1, 4, 5), (3, 5, 6)),
    _case((2, 3, 4, 5), (5,)),
    _case((2, 3, 4, 70), (2, 3, 70, 6)),
    _case((6, 40, 33), (6, 33, 35)),
    _case((64, 64), (64, 128)),  # GPU tiles
    _case((65, 32), (32, 72)),
    _case((2, 1, 66, 40), (3, 40, 64)),
    _case((0, 4, 5), (0, 5, 6)),
    _case((2, 0, 5), (2, 5, 6)),
    _case((2, 4, 0), (2, 0, 6)),
    Case(
        "nan-inf",
        {"input": Array((5, 20), special=(float("nan"), float("inf"))), "other": Array((20, 9))},
        20,
        grad=False,
    ),
    _case((512, 512), (512, 512), bench=True),
    _case((1024, 1024), (1024, 1024), bench=True),
    _case((32, 128, 64), (32, 64, 128), bench=True),
    _case((1, 4096), (4096, 4096), bench=True),
)

ERRORS = (
    ErrorCase(
        "inner", {"input": Array((3, 5)), "other": Array((4, 6))}, ValueError, ("matmul", "(3, 5)", "(4, 6)", "5", "4")
    ),
    ErrorCase(
        "transposed", {"input": Array((3, 5)), "other": Array((6, 5))}, ValueError, ("did you mean other.transpose",)
    ),
    ErrorCase("batch", {"input": Array((2, 3, 5)), "other": Array((4, 5, 3))}, ValueError, ("broadcast", "2 and 4")),
    ErrorCase("scalar", {"input": Array(()), "other": Array((3, 2))}, ValueError, ("at least 1 dimension",)),
    ErrorCase(
        "integers",
        {"input": Array((3, 5), "labels", high=4), "other": Array((5, 2))},
        TypeError,
        ("input", "int64", "float32"),
    ),
)


def _flops(case: Case) -> int:
    a, b = case.args["input"].shape, case.args["other"].shape
    return 2 * int(np.prod(a)) * (b[-1] if len(b) > 1 else 1)


OPS = (
    Op(
        name="matmul",
        run=linalg.matmul,
        cases=CASES,
        reference=_reference,
        torch=_torch,
        differentiable=("input", "other"),
        errors=ERRORS,
        flops=_flops,
        bytes=lambda case: 4 * sum(int(np.prod(case.args[k].shape)) for k in ("input", "other")),
    ),
)
