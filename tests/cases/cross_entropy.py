"""cross_entropy and nll_loss."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fastcnn import functional as F

from . import Array, Case, ErrorCase, Op

INPUTS = (
    (4, 10),
    (1, 1),
    (3, 7),
    (5, 8),
    (3, 15),
    (3, 16),
    (2, 17),
    (70, 33),
    (6,),
    (2, 3, 5),
    (2, 5, 3, 4),
    (2, 3, 2, 3, 2),
)


def _labels_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    return shape[:1] + shape[2:] if len(shape) > 1 else ()


def _classes(shape: tuple[int, ...]) -> int:
    return shape[1] if len(shape) > 1 else shape[0]


def _case(shape: tuple[int, ...], tag: str = "", kind: str = "labels", bench: bool = False, **extra: Any) -> Case:
    classes = _classes(shape)
    target = Array(_labels_shape(shape), "labels", high=classes) if kind == "labels" else Array(shape, "probabilities")
    if extra.pop("weighted", False):
        extra["weight"] = Array((classes,), low=0.1, high=2.0)
    rows = max(math.prod(_labels_shape(shape)), 1)
    name = "x".join(map(str, shape)) + (f"-{tag}" if tag else "")
    args = {"input": Array(shape, "normal"), "target": target, **extra}
    return Case(name, args, terms=rows * classes, terms_grad=rows * classes, bench=bench)


PLAIN = (
    *(_case(shape) for shape in INPUTS),
    *(_case(shape, "sum", reduction="sum") for shape in INPUTS[2:4]),
    *(_case(shape, "none", reduction="none") for shape in INPUTS),
    *(_case(shape, "weight", weighted=True) for shape in INPUTS),
    _case((70, 33), "weight-none", weighted=True, reduction="none"),
    _case((70, 5), "ignore", ignore_index=2),
    _case((3, 5, 4, 2), "ignore-weight", ignore_index=0, weighted=True),
    Case(
        "all-ignored", {"input": Array((3, 4)), "target": Array((3,), "labels", high=1), "ignore_index": 0}, grad=False
    ),
    Case("batch0-sum", {"input": Array((0, 4)), "target": Array((0,), "labels", high=4), "reduction": "sum"}),
    Case("batch0-mean", {"input": Array((0, 4)), "target": Array((0,), "labels", high=4)}, grad=False),
    Case(
        "batch0-none", {"input": Array((0, 4, 2, 3)), "target": Array((0, 2, 3), "labels", high=4), "reduction": "none"}
    ),
)
SMOOTHED = (
    *(_case(shape, "smooth", label_smoothing=0.1) for shape in INPUTS),
    _case((70, 5), "smooth-ignore-weight", label_smoothing=0.2, ignore_index=2, weighted=True),
    _case((5, 4), "smooth1", label_smoothing=1.0),
)
PROBABILITIES = (
    *(_case(shape, "soft", "probabilities") for shape in INPUTS if len(shape) > 1),
    _case((70, 33), "soft-weight-smooth", "probabilities", weighted=True, label_smoothing=0.1),
    _case((2, 5, 3, 4), "soft-none", "probabilities", reduction="none", weighted=True),
    _case((3, 5), "soft-sum", "probabilities", reduction="sum"),
)
STABLE = (
    Case("large", {"input": Array((5, 33), low=-1e4, high=1e4), "target": Array((5,), "labels", high=33)}, terms=5),
    Case(
        "nan",
        {"input": Array((5, 33), special=(math.nan,)), "target": Array((5,), "labels", high=33)},
        terms=5,
        grad=False,
    ),
    Case(
        "inf",
        {"input": Array((5, 33), special=(math.inf,)), "target": Array((5,), "labels", high=33)},
        terms=5,
        grad=False,
    ),
    Case(
        "minus-inf",
        {"input": Array((5, 33), special=(-math.inf,)), "target": Array((5,), "labels", high=33)},
        terms=5,
        grad=False,
    ),
)
BENCH = (
    _case((64, 10), "bench", bench=True),
    _case((256, 1000), "bench", bench=True),
    _case((4, 21, 128, 128), "bench", bench=True),
)

LABELS = Array((4,), "labels", high=3)
ERRORS = (
    ErrorCase(
        "out-of-range",
        {"input": Array((4, 2)), "target": Array((4,), "labels", high=9)},
        ValueError,
        ("target[", "0 to 1", "(4, 2)"),
        ("target[", "0 to 1"),
    ),
    ErrorCase("batch", {"input": Array((5, 3)), "target": LABELS}, ValueError, ("(4,)", "(5,)", "(5, 3)")),
    ErrorCase(
        "extra-dim",
        {"input": Array((4, 3)), "target": Array((4, 1), "labels", high=3)},
        ValueError,
        ("(4, 1)", "squeeze(1)"),
    ),
    ErrorCase("float-labels", {"input": Array((4, 3)), "target": Array((4,))}, (TypeError), ("float32", "int64")),
    ErrorCase(
        "integer-input",
        {"input": Array((4, 3), "labels", high=3), "target": LABELS},
        TypeError,
        ("input is int64", "float32"),
    ),
    ErrorCase(
        "weight",
        {"input": Array((4, 3)), "target": LABELS, "weight": Array((4,))},
        ValueError,
        ("weight", "(4,)", "(3,)"),
    ),
    ErrorCase(
        "reduction",
        {"input": Array((4, 3)), "target": LABELS, "reduction": "avg"},
        ValueError,
        ("'avg'", "'none', 'mean' or 'sum'"),
    ),
)
CROSS_ENTROPY_ERRORS = (
    *(case for case in ERRORS if case.id != "float-labels"),
    ErrorCase("float-labels", {"input": Array((4, 3)), "target": Array((4,))}, ValueError, ("float32", ".long()")),
    ErrorCase(
        "smoothing",
        {"input": Array((4, 3)), "target": LABELS, "label_smoothing": 1.5},
        ValueError,
        ("label_smoothing is 1.5",),
    ),
    ErrorCase(
        "soft-ignore",
        {"input": Array((4, 3)), "target": Array((4, 3), "probabilities"), "ignore_index": 1},
        ValueError,
        ("ignore_index is 1", "class labels"),
    ),
)


def _rows(array: np.ndarray) -> np.ndarray:
    """(N, C, d1, ...) or (C,) as (rows, C)."""
    return np.moveaxis(array, 1 if array.ndim > 1 else 0, -1).reshape(-1, _classes(array.shape))


def _losses(
    log_p: np.ndarray, target: np.ndarray, weight: np.ndarray | None, ignore_index: int, smoothing: float
) -> tuple[np.ndarray, float]:
    """Loss per row and the divisor of the mean."""
    rows, classes = log_p.shape
    weights = np.ones(classes) if weight is None else weight
    if target.dtype.kind == "f":
        soft = target * (1 - smoothing) + smoothing / classes
        return -(soft * weights * log_p).sum(axis=1), float(rows)
    labels = target.reshape(-1)
    counted = labels != ignore_index
    safe = np.where(counted, labels, 0)
    losses = -(1 - smoothing) * weights[safe] * log_p[np.arange(rows), safe]
    if smoothing:
        losses = losses - smoothing / classes * (weights * log_p).sum(axis=1)
    return np.where(counted, losses, 0.0), float(weights[safe][counted].sum())


def _finish(losses: np.ndarray, divisor: float, reduction: str, shape: tuple[int, ...]) -> np.ndarray:
    if reduction == "none":
        return losses.reshape(_labels_shape(shape))
    with np.errstate(all="ignore"):
        return np.asarray(losses.sum() / (np.float64(divisor) if reduction == "mean" else 1.0))


def _cross_entropy(
    input: np.ndarray,
    target: np.ndarray,
    weight: np.ndarray | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> np.ndarray:
    x = _rows(input)
    with np.errstate(all="ignore"):
        shifted = x - x.max(axis=1, keepdims=True, initial=-math.inf)
        log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    rows = _rows(target) if target.dtype.kind == "f" else target
    return _finish(*_losses(log_p, rows, weight, ignore_index, label_smoothing), reduction, input.shape)


def _nll_loss(
    input: np.ndarray,
    target: np.ndarray,
    weight: np.ndarray | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> np.ndarray:
    return _finish(*_losses(_rows(input), target, weight, ignore_index, 0.0), reduction, input.shape)


def _torch(name: str) -> Any:
    def run(input: Any, target: Any, **extra: Any) -> Any:
        import torch

        return getattr(torch.nn.functional, name)(input, target, **extra)

    return run


def _flops(case: Case) -> int:
    return 20 * math.prod(case.args["input"].shape)


def _bytes(case: Case) -> int:
    return 4 * math.prod(case.args["input"].shape)


OPS = (
    Op(
        name="cross_entropy",
        run=F.cross_entropy,
        cases=PLAIN + SMOOTHED + STABLE + BENCH,
        reference=_cross_entropy,
        torch=_torch("cross_entropy"),
        differentiable=("input",),
        errors=CROSS_ENTROPY_ERRORS,
        flops=_flops,
        bytes=_bytes,
    ),
    Op(
        name="cross_entropy_of_probabilities",
        run=F.cross_entropy,
        cases=PROBABILITIES,
        reference=_cross_entropy,
        torch=_torch("cross_entropy"),
        differentiable=("input", "target"),
    ),
    Op(
        name="nll_loss",
        run=F.nll_loss,
        cases=PLAIN,
        reference=_nll_loss,
        torch=_torch("nll_loss"),
        differentiable=("input",),
        errors=ERRORS,
    ),
)
