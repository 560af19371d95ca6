"""Cases of F.linear."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastcnn import functional as F

from . import Array, Case, ErrorCase, Op


def _reference(input: Any, weight: Any, bias: Any = None, activation: str | None = None) -> Any:
    with np.errstate(invalid="ignore"):
        output = input @ weight.T
    if bias is not None:
        output = output + bias
    return np.where(output <= 0, 0.0, output) if activation == "relu" else output


def _torch(input: Any, weight: Any, bias: Any = None, activation: str | None = None) -> Any:
    import torch

    output = torch.nn.functional.linear(input, weight, bias)
    return torch.relu(output) if activation == "relu" else output


def _case(rows: tuple[int, ...], K: int, N: int, bias: bool = True, relu: bool = False, **options: Any) -> Case:
    label = "x".join(str(r) for r in rows) or "vector"
    args: dict[str, Any] = {"input": Array((*rows, K)), "weight": Array((N, K))}
    args["bias"] = Array((N,)) if bias else None
    if relu:
        args["activation"] = "relu"
    name = f"r{label}-k{K}-n{N}{'' if bias else '-nobias'}{'-relu' if relu else ''}"
    return Case(name, args, terms=K + 1, terms_grad=max(K, N, int(np.prod(rows)), 1), **options)


CASES = (
    # The tails of every tile: rows around 4, 6, 14, 28; columns around the vector widths; K around the block of 256.
    *(
        _case((m,), 70, n)
        for m, n in ((1, 1), (1, 17), (2, 7), (3, 16), (4, 33), (5, 8), (6, 15), (7, 32), (9, 3), (13, 31))
    ),
    *(
        _case((m,), 5, n, bias=m % 2 == 0)
        for m, n in ((1, 40), (10, 65), (14, 34), (15, 9), (19, 130), (28, 48), (29, 33))
    ),
    *(_case((m,), k, n) for m, k, n in ((3, 255, 20), (30, 256, 18), (70, 257, 35), (2, 600, 5), (65, 513, 17))),
    *(_case((m,), k, n) for m, k, n in ((63, 64, 72), (65, 40, 128), (129, 24, 63), (64, 192, 8))),  # GPU tiles
    _case((70,), 64, 20, relu=True, grad=False),  # so many outputs that some lie at the kink
    _case((6,), 70, 20, relu=True),
    _case((30,), 10, 17, bias=False, relu=True),
    _case((), 9, 4),
    _case((), 70, 4),
    _case((2, 3), 10, 7),
    _case((2, 3, 5), 66, 7, relu=True),
    _case((0,), 4, 3),
    _case((0, 2), 4, 3, bias=False),
    _case((3,), 0, 5),
    _case((4,), 6, 0),
    _case((500,), 3, 2),
    Case(
        "nan-inf",
        {
            "input": Array((5, 70), special=(float("nan"), float("inf"))),
            "weight": Array((9, 70)),
            "bias": Array((9,)),
            "activation": "relu",
        },
        terms=70,
        grad=False,
    ),
    *(_case((batch,), k, n, bench=True) for batch in (1, 16, 64, 256) for k, n in ((2450, 500), (500, 10))),
    *(_case((batch,), 4096, 4096, bench=True) for batch in (1, 16)),
)

ERRORS = (
    ErrorCase(
        "features", {"input": Array((3, 5)), "weight": Array((4, 6))}, ValueError, ("linear", "(3, 5)", "(4, 6)", "6")
    ),
    ErrorCase(
        "not-flattened",
        {"input": Array((2, 3, 4, 5)), "weight": Array((7, 60))},
        ValueError,
        ("expects 60", "did you mean input.flatten(1)?"),
    ),
    ErrorCase(
        "transposed-input",
        {"input": Array((6, 3)), "weight": Array((4, 6))},
        ValueError,
        ("did you mean the transposed",),
    ),
    ErrorCase(
        "bias-size",
        {"input": Array((3, 5)), "weight": Array((4, 5)), "bias": Array((5,))},
        ValueError,
        ("bias", "(5,)", "(4,)"),
    ),
    ErrorCase(
        "weight-rank", {"input": Array((3, 5)), "weight": Array((5,))}, ValueError, ("weight", "(5,)", "in_features")
    ),
    ErrorCase(
        "integer-input",
        {"input": Array((3, 5), "labels", high=3), "weight": Array((4, 5))},
        TypeError,
        ("input", "int64"),
    ),
    ErrorCase(
        "activation",
        {"input": Array((3, 5)), "weight": Array((4, 5)), "bias": None, "activation": "tanh"},
        ValueError,
        ("activation", "tanh", "relu"),
    ),
)


def _flops(case: Case) -> int:
    return 2 * int(np.prod(case.args["input"].shape)) * int(case.args["weight"].shape[0])


def _bytes(case: Case) -> int:
    x, w = case.args["input"].shape, case.args["weight"].shape
    rows = int(np.prod(x[:-1]))
    return 4 * (rows * x[-1] + w[0] * w[1] + rows * w[0])


OPS = (
    Op(
        name="linear",
        run=F.linear,
        cases=CASES,
        reference=_reference,
        torch=_torch,
        differentiable=("input", "weight", "bias"),
        errors=ERRORS,
        flops=_flops,
        bytes=_bytes,
    ),
)
