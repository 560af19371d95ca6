"""Losses that compare element by element."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from fastcnn import functional as F

from . import Array, Case, ErrorCase, Op

SHAPES = ((), (1,), (7,), (3, 5), (4, 16), (2, 33), (130, 70), (2, 3, 5), (2, 17, 3, 4), (0, 3))


def _cases(
    weighted: bool = False,
    kind: dict[str, Any] | None = None,
    bench: bool = False,
    **extra: Any,
) -> tuple[Case, ...]:
    """Every shape with every reduction in turn, and once with a weight of the input's shape."""
    kind = kind or {"kind": "normal"}
    target = kind if "high" in kind else {"kind": "normal"}
    tag = "-".join(f"{k}{v:g}" for k, v in extra.items() if isinstance(v, float))
    cases = []
    for i, shape in enumerate((*SHAPES, (13, 9))):
        reduction = ("mean", "sum", "none")[i % 3] if 0 not in shape else "sum"
        args: dict[str, Any] = {"input": Array(shape, **kind), "target": Array(shape, **target)}
        args["reduction"] = reduction
        size = math.prod(shape)
        name = f"{'x'.join(map(str, shape)) or 'scalar'}-{reduction}-{tag}".rstrip("-")
        cases.append(Case(name, {**args, **extra}, terms=size, terms_grad=size))
        if weighted and size:
            args["weight"] = Array(shape, low=0.1, high=2.0)
            cases.append(Case(f"{name}-weight", {**args, **extra}, terms=size, terms_grad=size))
    if bench:
        args = {"input": Array((256, 1000), **kind), "target": Array((256, 1000), **target)}
        cases.append(Case("bench-256x1000", args, terms=256_000, bench=True))
    return tuple(cases)


def _nan() -> Case:
    return Case(
        "nan",
        {"input": Array((3, 9), special=(math.nan, math.inf)), "target": Array((3, 9)), "reduction": "none"},
        grad=False,
    )


VALUES = Array((3,))
UNIT = {"kind": "uniform", "low": 0.01, "high": 0.99}


def _broadcast(name: str, **shapes: tuple[int, ...]) -> Case:
    weights = {key: Array(shape, low=0.1, high=3.0) for key, shape in shapes.items()}
    return Case(
        name,
        {"input": Array((4, 3, 5, 2), **UNIT), "target": Array((4, 3, 5, 2), **UNIT), **weights},
        terms=120,
        terms_grad=120,
    )


ERRORS = (
    ErrorCase(
        "shapes",
        {"input": Array((4, 1)), "target": Array((4,))},
        ValueError,
        ("(4, 1)", "(4,)", "target.reshape(input.shape)"),
    ),
    ErrorCase("broadcast", {"input": Array((4, 3)), "target": Array((3,))}, ValueError, ("(4, 3)", "(3,)", "equal")),
    ErrorCase(
        "dtypes",
        {"input": Array((4,)), "target": Array((4,), "labels", high=2)},
        TypeError,
        ("float32", "int64", "target"),
    ),
    ErrorCase(
        "integers",
        {"input": Array((4,), "labels", high=2), "target": Array((4,), "labels", high=2)},
        TypeError,
        ("input is int64",),
    ),
    ErrorCase(
        "reduction",
        {"input": Array((4,)), "target": Array((4,)), "reduction": "avg"},
        ValueError,
        ("'avg'", "'none', 'mean' or 'sum'"),
    ),
)
WEIGHT_SHAPE = (
    ErrorCase(
        "weight",
        {"input": Array((4, 3), **UNIT), "target": Array((4, 3), **UNIT), "weight": Array((4,))},
        ValueError,
        ("(4,)", "(4, 3)"),
    ),
)


def _reduce(losses: np.ndarray, weight: np.ndarray | None, reduction: str, by_weight: bool) -> np.ndarray:
    weighted = losses if weight is None else losses * weight
    if reduction == "none":
        return weighted
    if reduction == "sum":
        return np.asarray(weighted.sum())
    return np.asarray(weighted.sum() / (weight.sum() if weight is not None and by_weight else losses.size))


def _numpy(formula: Callable[..., np.ndarray], by_weight: bool = False) -> Callable[..., np.ndarray]:
    def reference(
        input: np.ndarray,
        target: np.ndarray,
        reduction: str = "mean",
        weight: np.ndarray | None = None,
        **extra: Any,
    ) -> np.ndarray:
        with np.errstate(all="ignore"):
            return _reduce(np.asarray(formula(input, target, **extra)), weight, reduction, by_weight)

    return reference


def _smooth_l1(x: np.ndarray, t: np.ndarray, beta: float = 1.0) -> np.ndarray:
    d = np.abs(x - t)
    return np.where(d < beta, 0.5 * d * d / beta if beta else d, d - 0.5 * beta)


def _huber(x: np.ndarray, t: np.ndarray, delta: float = 1.0) -> np.ndarray:
    d = np.abs(x - t)
    return np.where(d <= delta, 0.5 * d * d, delta * (d - 0.5 * delta))


def _bce(x: np.ndarray, t: np.ndarray) -> np.ndarray:
    return -(t * np.maximum(np.log(x), -100.0) + (1 - t) * np.maximum(np.log1p(-x), -100.0))


def _bce_logits(x: np.ndarray, t: np.ndarray, pos_weight: np.ndarray | float = 1.0) -> np.ndarray:
    softplus = np.logaddexp(0.0, -x)  # log(1 + e^-x)
    return (1 - t) * x + (1 + (pos_weight - 1) * t) * softplus


def _torch(name: str) -> Callable[..., Any]:
    def run(input: Any, target: Any, **extra: Any) -> Any:
        import torch

        return getattr(torch.nn.functional, name)(input, target, **extra)

    return run


def _op(run: Callable[..., Any], reference: Callable[..., Any], cases: tuple[Case, ...], errors: Any = ERRORS) -> Op:
    name = run.__name__
    return Op(
        name=name,
        run=run,
        cases=cases,
        reference=reference,
        torch=_torch(name),
        differentiable=("input", "target"),
        errors=errors,
        flops=lambda case: 4 * math.prod(case.args["input"].shape),
        bytes=lambda case: 8 * math.prod(case.args["input"].shape),
    )


LARGE_LOGITS = Case(
    "large",
    {"input": Array((5, 9), low=-1e4, high=1e4), "target": Array((5, 9), **UNIT), "reduction": "none"},
    terms=2,
)
EXTREME_PROBABILITIES = Case(
    "extremes",
    {"input": Array((5, 9), **UNIT, special=(0.0, 1.0, 1e-30)), "target": Array((5, 9), **UNIT), "reduction": "none"},
    terms=2,
    grad=False,
)

OPS = (
    _op(
        F.mse_loss,
        _numpy(lambda x, t: (x - t) ** 2, True),
        (*_cases(weighted=True, bench=True), _nan()),
        ERRORS + WEIGHT_SHAPE,
    ),
    _op(F.l1_loss, _numpy(lambda x, t: np.abs(x - t), True), (*_cases(weighted=True), _nan()), ERRORS + WEIGHT_SHAPE),
    _op(
        F.smooth_l1_loss,
        _numpy(_smooth_l1),
        (*_cases(), *_cases(beta=0.3), *_cases(beta=0.0), _nan()),
        (*ERRORS, ErrorCase("beta", {"input": VALUES, "target": VALUES, "beta": -1.0}, ValueError, ("beta is -1",))),
    ),
    _op(
        F.huber_loss,
        _numpy(_huber),
        (*_cases(weighted=True), *_cases(delta=0.3), _nan()),
        (*ERRORS, ErrorCase("delta", {"input": VALUES, "target": VALUES, "delta": 0.0}, ValueError, ("delta is 0",))),
    ),
    _op(
        F.binary_cross_entropy,
        _numpy(_bce),
        (*_cases(weighted=True, kind=UNIT), _broadcast("channels", weight=(3, 1, 1)), EXTREME_PROBABILITIES),
        (
            *ERRORS,
            *WEIGHT_SHAPE,
            ErrorCase(
                "logits",
                {"input": Array((9,), low=2.0, high=3.0), "target": Array((9,), **UNIT)},
                ValueError,
                ("from 0 to 1", "with_logits"),
            ),
        ),
    ),
    _op(
        F.binary_cross_entropy_with_logits,
        _numpy(_bce_logits),
        (
            *_cases(weighted=True, kind={"kind": "normal"}, bench=True),
            _broadcast("pos-weight", pos_weight=(3, 1, 1)),
            _broadcast("both-weights", weight=(2,), pos_weight=(4, 1, 5, 1)),
            LARGE_LOGITS,
            _nan(),
        ),
        ERRORS + WEIGHT_SHAPE,
    ),
)
