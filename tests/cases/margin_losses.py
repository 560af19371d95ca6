"""Losses with a margin."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastcnn import functional as F

from . import Array, Case, ErrorCase, Op
from .activations import torch_function

REDUCTIONS = ("mean", "sum", "none")


def signs(*shape: int) -> np.ndarray:
    """1 and -1 in turn, as float64."""
    return (1.0 - 2.0 * (np.arange(int(np.prod(shape))) % 3 == 1)).reshape(shape)


def reduce(losses: Any, reduction: str) -> Any:
    """What torch's `reduction` does."""
    return {"none": losses, "mean": losses.mean(), "sum": losses.sum()}[reduction]


def _hinges(x: Any, t: Any, margin: float) -> Any:
    x = np.atleast_2d(x)
    t = np.atleast_1d(t)
    z = np.maximum(0.0, margin + x - x[np.arange(len(t)), t][:, None])
    z[np.arange(len(t)), t] = 0.0
    return z


def _multi_margin(
    input: Any, target: Any, p: int = 1, margin: float = 1.0, weight: Any = None, reduction: str = "mean"
) -> Any:
    losses = (_hinges(input, target, margin) ** p).mean(axis=1)
    if weight is not None:
        losses = losses * weight[np.atleast_1d(target)]
    return reduce(losses.reshape(np.shape(target)), reduction)


def _multiclass(input: Any, target: Any, margin: float = 1.0, reduction: str = "mean") -> Any:
    return reduce(_hinges(input, target, margin).sum(axis=1).reshape(np.shape(target)), reduction)


def _torch_multiclass(input: Any, target: Any, margin: float = 1.0, reduction: str = "mean") -> Any:
    return torch_function("multi_margin_loss")(input, target, margin=margin, reduction=reduction) * input.shape[-1]


def _multilabel(input: Any, target: Any, reduction: str = "mean") -> Any:
    losses = []
    for scores, labels in zip(np.atleast_2d(input), np.atleast_2d(target), strict=True):
        own = [int(label) for label in labels]
        own = own[: own.index(-1)] if -1 in own else own
        others = [i for i in range(len(scores)) if i not in own]
        losses.append(sum(max(0.0, 1.0 - (scores[j] - scores[i])) for j in own for i in others) / len(scores))
    return reduce(np.array(losses).reshape(np.shape(target)[:-1]), reduction)


def _hinge_embedding(input: Any, target: Any, margin: float = 1.0, reduction: str = "mean") -> Any:
    return reduce(np.where(target == 1, input, np.maximum(0.0, margin - input)), reduction)


def _ranking(input1: Any, input2: Any, target: Any, margin: float = 0.0, reduction: str = "mean") -> Any:
    return reduce(np.maximum(0.0, margin - target * (input1 - input2)), reduction)


def _distance(x1: Any, x2: Any, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> Any:
    d = np.abs(x1 - x2 + eps)
    return d.max(axis=-1, keepdims=keepdim) if p == np.inf else (d**p).sum(axis=-1, keepdims=keepdim) ** (1 / p)


def _triplet(
    anchor: Any,
    positive: Any,
    negative: Any,
    margin: float = 1.0,
    p: float = 2.0,
    swap: bool = False,
    reduction: str = "mean",
) -> Any:
    far = _distance(anchor, negative, p)
    if swap:
        far = np.minimum(far, _distance(positive, negative, p))
    return reduce(np.maximum(0.0, _distance(anchor, positive, p) - far + margin), reduction)


def _cosine(x1: Any, x2: Any, dim: int = 1, eps: float = 1e-8) -> Any:
    def unit(x: Any) -> Any:
        return x / np.maximum(np.linalg.norm(x, axis=dim, keepdims=True), eps)

    return (unit(x1) * unit(x2)).sum(axis=dim)


def _cosine_embedding(input1: Any, input2: Any, target: Any, margin: float = 0.0, reduction: str = "mean") -> Any:
    squares = ((input1**2).sum(-1) + 1e-12) * ((input2**2).sum(-1) + 1e-12)
    cosine = (input1 * input2).sum(-1) / np.sqrt(squares)
    return reduce(np.where(target == 1, 1 - cosine, np.maximum(0.0, cosine - margin)), reduction)


def _labels(shape: tuple[int, ...], reduction: str, **options: Any) -> Case:
    args = {"input": Array(shape, "distinct"), "target": Array(shape[:-1], "labels", high=shape[-1])}
    name = "x".join(map(str, shape)) + f"-{reduction}" + "".join(f"-{k}" for k in options)
    terms = int(np.prod(shape))
    return Case(name, args | options | {"reduction": reduction}, terms=terms, terms_grad=terms)


def _pairs(names: tuple[str, ...], shape: tuple[int, ...], title: str = "", **options: Any) -> Case:
    args = {name: Array(shape, "normal") for name in names} | options
    terms = 4 * int(np.prod(shape))
    return Case("x".join(map(str, shape)) + title, args, terms=terms, terms_grad=terms)


def _shapes(a: str, b: str, **rest: Any) -> ErrorCase:
    args = {a: Array((4, 3)), b: Array((4, 2))} | rest
    return ErrorCase("shapes", args, ValueError, ("(4, 2)", "(4, 3)", "equal"))


LABEL_ERRORS = (
    ErrorCase("shapes", {"input": Array((4, 3)), "target": Array((3,), "labels", high=3)}, ValueError, ("(3,)",)),
    ErrorCase("dtype", {"input": Array((4, 3)), "target": Array((4,))}, TypeError, ("int64", "labels")),
    ErrorCase("range", {"input": Array((2, 3)), "target": np.array([0, 3])}, IndexError, ("3",)),
)
LABEL_SETS = np.array([[3, 0, -1, 1, 4], [2, -1, -1, -1, -1], [4, 1, 0, 3, -1], [1, 1, 2, -1, 0]])  # -1 ends a set
POINTS = ("anchor", "positive", "negative")

OPS = (
    Op(
        "multi_margin_loss",
        F.multi_margin_loss,
        (
            *(_labels((5, 7), r) for r in REDUCTIONS),
            _labels((3,), "mean"),
            _labels((9, 4), "none", p=2, margin=0.5),
            _labels((9, 4), "mean", weight=np.array([0.5, 1.0, 2.0, 4.0])),
        ),
        _multi_margin,
        torch_function("multi_margin_loss"),
        ("input",),
        (
            *LABEL_ERRORS,
            ErrorCase(
                "p", {"input": Array((2, 3)), "target": np.array([0, 1]), "p": 3}, ValueError, ("p is 3", "1 or 2")
            ),
        ),
    ),
    Op(
        "multilabel_margin_loss",
        F.multilabel_margin_loss,
        (
            *(_pairs(("input",), (4, 5), f"-{r}", target=LABEL_SETS, reduction=r) for r in REDUCTIONS),
            _pairs(("input",), (5,), target=LABEL_SETS[0]),
            _pairs(("input",), (3, 4), "-all", target=np.array([[0, 1, 2, 3], [-1] * 4, [2, 2, -1, 0]])),
            _pairs(("input",), (1, 1), "-one", target=np.array([[0]])),
        ),
        _multilabel,
        torch_function("multilabel_margin_loss"),
        ("input",),
        (
            ErrorCase(
                "shapes",
                {"input": Array((4, 3)), "target": Array((4,), "labels", high=3)},
                ValueError,
                ("multilabel_margin_loss", "(4,)", "(4, 3)"),
            ),
            ErrorCase(
                "rank",
                {"input": Array((2, 2, 3)), "target": Array((2, 2, 3), "labels", high=3)},
                ValueError,
                ("(2, 2, 3)", "(N, C)"),
            ),
            ErrorCase("dtype", {"input": Array((4, 3)), "target": Array((4, 3))}, TypeError, ("int64", "labels")),
            ErrorCase(
                "range", {"input": Array((2, 3)), "target": np.array([[0, -1, -1], [1, 3, -1]])}, IndexError, ("3",)
            ),
            ErrorCase(
                "negative",
                {"input": Array((2, 3)), "target": np.array([[0, -1, -1], [1, -2, -1]])},
                IndexError,
                ("-2",),
            ),
        ),
    ),
    Op(
        "multiclass_hinge_loss",
        F.multiclass_hinge_loss,
        (*(_labels((5, 7), r) for r in REDUCTIONS), _labels((3,), "none"), _labels((9, 4), "mean", margin=0.25)),
        _multiclass,
        _torch_multiclass,
        ("input",),
        LABEL_ERRORS,
    ),
    Op(
        "hinge_embedding_loss",
        F.hinge_embedding_loss,
        tuple(_pairs(("input",), (5, 3), f"-{r}", target=signs(5, 3), margin=0.5, reduction=r) for r in REDUCTIONS),
        _hinge_embedding,
        torch_function("hinge_embedding_loss"),
        ("input",),
        (_shapes("input", "target"),),
    ),
    Op(
        "margin_ranking_loss",
        F.margin_ranking_loss,
        tuple(
            _pairs(("input1", "input2"), (17,), f"-{r}", target=signs(17), margin=0.3, reduction=r) for r in REDUCTIONS
        ),
        _ranking,
        torch_function("margin_ranking_loss"),
        ("input1", "input2"),
        (_shapes("input1", "input2", target=Array((4, 3))),),
    ),
    Op(
        "pairwise_distance",
        F.pairwise_distance,
        (
            _pairs(("x1", "x2"), (5, 7)),
            _pairs(("x1", "x2"), (7,)),
            _pairs(("x1", "x2"), (5, 7), "-p1", p=1.0),
            _pairs(("x1", "x2"), (5, 7), "-p3-keep", p=3.0, keepdim=True),
            _pairs(("x1", "x2"), (5, 7), "-inf", p=float("inf")),
        ),
        _distance,
        torch_function("pairwise_distance"),
        ("x1", "x2"),
        (
            _shapes("x1", "x2"),
            ErrorCase("p", {"x1": Array((4, 3)), "x2": Array((4, 3)), "p": -1.0}, ValueError, ("p is -1",)),
        ),
    ),
    Op(
        "triplet_margin_loss",
        F.triplet_margin_loss,
        (
            *(_pairs(POINTS, (5, 7), f"-{r}", reduction=r) for r in REDUCTIONS),
            _pairs(POINTS, (7,), "-margin", margin=2.0),
            _pairs(POINTS, (5, 7), "-swap-p1", swap=True, p=1),
        ),
        _triplet,
        torch_function("triplet_margin_loss"),
        POINTS,
        (
            _shapes("anchor", "positive", negative=Array((4, 3))),
            ErrorCase("margin", {k: Array((2, 3)) for k in POINTS} | {"margin": 0.0}, ValueError, ("margin is 0",)),
        ),
    ),
    Op(
        "cosine_similarity",
        F.cosine_similarity,
        (
            _pairs(("x1", "x2"), (5, 7)),
            _pairs(("x1", "x2"), (2, 5, 3), "-last", dim=-1),
            Case("eps", {"x1": Array((4,)), "x2": Array((4,)), "dim": 0, "eps": 5.0}, terms=8, grad=False),
        ),
        _cosine,
        torch_function("cosine_similarity"),
        ("x1", "x2"),
        (ErrorCase("dim", {"x1": Array((4, 3)), "x2": Array((4, 3)), "dim": 2}, ValueError, ("dim",)),),
    ),
    Op(
        "cosine_embedding_loss",
        F.cosine_embedding_loss,
        tuple(
            _pairs(("input1", "input2"), (6, 5), f"-{r}", target=signs(6), margin=0.1, reduction=r) for r in REDUCTIONS
        ),
        _cosine_embedding,
        torch_function("cosine_embedding_loss"),
        ("input1", "input2"),
        (
            _shapes("input1", "input2", target=Array((4,))),
            ErrorCase(
                "target",
                {"input1": Array((4, 3)), "input2": Array((4, 3)), "target": Array((3,))},
                ValueError,
                ("(3,)", "(4,)"),
            ),
        ),
    ),
)
