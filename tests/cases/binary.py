"""Cases of the functions of two tensors: arithmetic, comparisons, where, prelu, with broadcasting."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import fastcnn as fc
from fastcnn import functional as F

from . import Array, Case, ErrorCase, Op
from .unary import INF, NAN, _numpy, _torch

# Equal shapes, scalars, per channel (short and long), per pixel, per sample, outer products, lower ranks, empty.
PAIRS = (
    ((), ()),
    ((17,), (17,)),
    ((33,), ()),
    ((), (2, 3, 5, 7)),
    ((2, 3, 5, 7), (2, 3, 5, 7)),
    ((2, 3, 5, 7), (3, 1, 1)),
    ((1, 17, 1, 1), (2, 17, 3, 5)),
    ((2, 3, 5, 7), (2, 1, 5, 7)),
    ((2, 3, 5, 7), (2, 3, 1, 1)),
    ((2, 3, 5, 7), (5, 1)),
    ((2, 3, 5, 7), (3, 5, 7)),
    ((4, 1), (1, 9)),
    ((2, 1, 5, 1), (1, 3, 1, 7)),
    ((1, 530), (6, 530)),
    ((3, 4, 5), (4, 5)),
    ((0, 3, 4, 4), (3, 1, 1)),
    ((2, 0), (1, 1)),
)
BENCH = {
    "l2": ((64, 32, 7, 7), (64, 32, 7, 7)),
    "large": ((32, 64, 56, 56), (32, 64, 56, 56)),
    "channel": ((32, 64, 56, 56), (64, 1, 1)),
}


def _id(a: tuple[int, ...], b: tuple[int, ...]) -> str:
    return "-".join("x".join(str(n) for n in s) or "scalar" for s in (a, b))


def _sum_length(a: tuple[int, ...], b: tuple[int, ...]) -> int:
    return max(int(np.prod(np.broadcast_shapes(a, b))), 1)


def _traffic(case: Case) -> int:
    a, b = case.args["input"].shape, case.args["other"].shape
    return 4 * (int(np.prod(a)) + int(np.prod(b)) + _sum_length(a, b))


def _positional(function: Callable[..., Any]) -> Callable[..., Any]:
    """torch names the second operand differently here and there."""
    return lambda input, other, **options: function(input, other, **options)


def _op(
    name: str,
    run: Callable[..., Any],
    reference: Callable[..., Any],
    *,
    torch: str | None = None,
    low: float = -2.0,
    high: float = 2.0,
    kind: str = "uniform",
    special: tuple[float, ...] = (NAN, INF, -INF, 0.0),
    smooth: bool = True,
    exact: bool = False,
    options: tuple[dict[str, Any], ...] = ({},),
    number: float = 1.25,
) -> Op:
    cases = []
    for option in options:
        suffix = "".join(f"-{k}{v}" for k, v in option.items())
        for a, b in PAIRS:
            args = {"input": Array(a, kind, low, high), "other": Array(b, "uniform", low, high)} | option
            cases.append(Case(_id(a, b) + suffix, args, terms_grad=_sum_length(a, b), grad=smooth))
    array = Array((3, 41), kind, low, high, special=special)
    cases.append(
        Case("special", {"input": array, "other": Array((3, 41), kind, low, high, special=special)}, grad=False)
    )
    cases += [
        Case(
            k,
            {"input": Array(a, "uniform", low, high), "other": Array(b, "uniform", low, high)},
            bench=True,
            grad=smooth,
        )
        for k, (a, b) in BENCH.items()
    ]
    misfit = {"input": Array((2, 3, 4, 5)), "other": Array((4, 1, 1))}
    return Op(
        name,
        run,
        tuple(cases),
        reference=_numpy(reference),
        torch=_positional(_torch(torch or name)),
        differentiable=("input", "other") if smooth else (),
        errors=(
            ErrorCase("shapes", misfit, ValueError, (name, "(2, 3, 4, 5)", "(4, 1, 1)", "broadcast")),
            ErrorCase("array", {"input": Array((3,)), "other": "x"}, TypeError, (name, "other", "str")),
        ),
        flops=lambda case: _sum_length(case.args["input"].shape, case.args["other"].shape),
        bytes=_traffic,
        exact=exact,
    )


def _where(condition: Any, input: Any, other: Any) -> Any:
    return np.where(condition, input, other)


def _prelu(input: Any, weight: Any) -> Any:
    shape = [1] * input.ndim
    if input.ndim > 1:
        shape[1] = -1
    return np.where(input > 0, input, input * weight.reshape(shape if input.ndim else ()))


def _prelu_case(shape: tuple[int, ...], weights: int, **options: Any) -> Case:
    args = {"input": Array(shape), "weight": Array((weights,), "uniform", 0.1, 0.9)}
    name = "x".join(str(n) for n in shape) or "scalar"
    return Case(f"{name}-a{weights}", args, terms_grad=max(int(np.prod(shape)), 1), **options)


_COMPARE: dict[str, Any] = {"smooth": False, "exact": True, "kind": "labels", "low": 0, "high": 3, "special": ()}

OPS = (
    _op(
        "add",
        fc.add,
        lambda input, other, alpha=1.0: input + alpha * other,
        options=({}, {"alpha": 2.5}),
    ),
    _op(
        "sub",
        fc.sub,
        lambda input, other, alpha=1.0: input - alpha * other,
        options=({}, {"alpha": -0.5}),
    ),
    _op("mul", fc.mul, np.multiply),
    _op("div", fc.div, np.divide, low=0.5, high=2),
    _op("pow", lambda input, other: fc.pow(input, other), np.power, low=0.3, high=2),
    _op("maximum", fc.maximum, np.maximum),
    _op("minimum", fc.minimum, np.minimum),
    _op("floor_divide", fc.floor_divide, np.floor_divide, smooth=False, low=0.4, high=9, special=()),
    _op("remainder", fc.remainder, np.remainder, low=1.1, high=1.9, special=()),
    *(
        _op(name, getattr(fc, name), reference, **_COMPARE)
        for name, reference in (
            ("eq", np.equal),
            ("ne", np.not_equal),
            ("lt", np.less),
            ("le", np.less_equal),
            ("gt", np.greater),
            ("ge", np.greater_equal),
            ("logical_and", np.logical_and),
            ("logical_or", np.logical_or),
            ("logical_xor", np.logical_xor),
        )
    ),
    Op(
        "where",
        fc.where,
        tuple(
            Case(
                "-".join("x".join(str(n) for n in s) or "scalar" for s in (c, a, b)),
                {"condition": Array(c, "bool"), "input": Array(a), "other": Array(b)},
                terms_grad=max(int(np.prod(np.broadcast_shapes(c, a, b))), 1),
            )
            for c, a, b in (
                ((33,), (33,), (33,)),
                ((), (), ()),
                ((2, 3, 5, 7), (2, 3, 5, 7), (2, 3, 5, 7)),
                ((2, 3, 5, 7), (), (3, 1, 1)),
                ((3, 1, 1), (2, 3, 5, 7), ()),
                ((2, 3, 5, 7), (), (2, 3, 5, 7)),
                ((4, 1), (1, 9), (4, 9)),
                ((0, 3), (3,), ()),
            )
        ),
        reference=_where,
        torch=_torch("where"),
        differentiable=("input", "other"),
        errors=(
            ErrorCase(
                "condition",
                {"condition": Array((3,)), "input": Array((3,)), "other": Array((3,))},
                TypeError,
                ("where", "condition", "float32", "bool"),
            ),
        ),
        exact=True,
    ),
    Op(
        "prelu",
        F.prelu,
        (
            *(_prelu_case((2, c, 5, 7), c) for c in (1, 3, 8, 17, 33)),
            *(_prelu_case(s, 1) for s in ((), (9,), (4, 5), (2, 3, 5, 7), (0, 3, 2, 2))),
            _prelu_case((6, 600), 600),
            _prelu_case((3, 4, 5), 4),
            _prelu_case((0, 3, 2, 2), 3),
        ),
        reference=_prelu,
        torch=_torch("nn.functional.prelu"),
        differentiable=("input", "weight"),
        errors=(
            ErrorCase(
                "channels",
                {"input": Array((2, 3, 4, 5)), "weight": Array((4,))},
                ValueError,
                ("prelu", "weight", "(4,)", "(3,)", "(2, 3, 4, 5)"),
            ),
        ),
    ),
)
