"""Reductions: sum, mean, var, std, extremes, prod, logsumexp, norms, any, all."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fastcnn.ops import reduction

from . import Array, Case, ErrorCase, Op

# (id, shape, dim): lines along the vector lanes, across them, narrower than a vector, and runs separated in memory.
SHAPES = (
    ("scalar", (), None),
    ("all-1", (1,), None),
    ("all-n17", (17,), None),
    ("all-r4", (2, 3, 5, 7), None),
    ("rows-c1", (5, 1), 1),
    ("rows-c7", (3, 7), 1),
    ("rows-c8", (3, 8), -1),
    ("rows-c33", (4, 33), 1),
    ("rows-c129", (2, 129), 1),
    ("columns-c3", (130, 3), 0),
    ("columns-c16", (9, 16), 0),
    ("columns-c65", (70, 65), 0),
    ("channel", (2, 15, 3, 5), 1),
    ("spatial", (3, 17, 6, 7), (2, 3)),
    ("batch-and-space", (3, 5, 6, 7), (0, 2, 3)),
    ("height", (2, 3, 4, 5), 2),
    ("batch", (4, 3, 2, 5), 0),
    ("batch-and-width", (2, 3, 4, 5), (0, 3)),
    ("batch-and-channel", (2, 3, 4, 5), (0, 1)),
    ("rank3", (2, 5, 7), (0, 2)),
    ("rank5", (2, 3, 2, 3, 4), (1, 3)),
    ("one-channel", (3, 1, 4, 5), (1, 2)),
)
BENCH = (
    ("bench-all", (256, 64, 32, 32), None),
    ("bench-channels", (64, 64, 56, 56), (0, 2, 3)),
    ("bench-rows", (4096, 1000), 1),
)


def _count(shape: tuple[int, ...], dim: Any) -> int:
    if dim is None:
        return math.prod(shape)
    return math.prod(shape[d] for d in ((dim,) if isinstance(dim, int) else dim))


def _cases(kind: str = "uniform", shapes: Any = SHAPES, bench: bool = False, **extra: Any) -> tuple[Case, ...]:
    cases = []
    for i, (name, shape, dim) in enumerate(shapes):
        args = {"input": Array(shape, kind), "dim": dim, "keepdim": i % 2 == 1, **extra}
        cases.append(Case(name, args, terms=_count(shape, dim), terms_grad=_count(shape, dim)))
    if bench:
        for name, shape, dim in BENCH:
            args = {"input": Array(shape, kind), "dim": dim, "keepdim": False, **extra}
            cases.append(Case(name, args, terms=_count(shape, dim), bench=True))
    return tuple(cases)


def _special(*values: float) -> tuple[Case, ...]:
    """NaN and infinities, forward only."""
    label = "_".join(map(str, values))
    return tuple(
        Case(f"{label}-{name}", {"input": Array(shape, special=values), "dim": dim, "keepdim": False}, grad=False)
        for name, shape, dim in (("all", (41,), None), ("rows", (3, 70), 1), ("columns", (70, 5), 0))
    )


def _empty(shape: tuple[int, ...], dim: Any) -> Case:
    return Case(f"empty-{shape}-{dim}", {"input": Array(shape), "dim": dim, "keepdim": False}, grad=False)


NAN, INF = math.nan, math.inf
EMPTY = (
    _empty((0,), None),
    _empty((0, 3), 0),
    _empty((3, 0), 0),
    _empty((0, 3, 2, 2), (2, 3)),
    _empty((2, 0, 3, 4), 1),
)
WRONG_DIM = (
    ErrorCase(
        "dim-out-of-range", {"input": Array((2, 3)), "dim": 2, "keepdim": False}, ValueError, ("dim", "2", "-2 to 1")
    ),
    ErrorCase("dim-twice", {"input": Array((2, 3)), "dim": (1, -1), "keepdim": False}, ValueError, ("more than once",)),
)
NOT_FLOAT = (
    ErrorCase(
        "integers",
        {"input": Array((2, 3), "labels", high=5), "dim": 0, "keepdim": False},
        TypeError,
        ("int64", "float32", ".float()"),
    ),
)
NOTHING = (
    ErrorCase("empty", {"input": Array((0, 3)), "dim": 0, "keepdim": False}, ValueError, ("(0, 3)", "no elements")),
)


def _bytes(case: Case) -> int:
    return 4 * math.prod(case.args["input"].shape)


def _flops(case: Case) -> int:
    return math.prod(case.args["input"].shape)


def _numpy(function: Any) -> Any:
    def reference(input: np.ndarray, dim: Any, keepdim: bool, **extra: Any) -> np.ndarray:
        with np.errstate(all="ignore"):
            return function(input, axis=dim, keepdims=keepdim, **extra)

    return reference


def _torch(name: str) -> Any:
    def run(input: Any, dim: Any, keepdim: bool, **extra: Any) -> Any:
        import torch

        if dim is None:
            dim = tuple(range(input.ndim))
        return getattr(torch, name)(input, dim=dim, keepdim=keepdim, **extra)

    return run


def _logsumexp(input: np.ndarray, axis: Any, keepdims: bool) -> np.ndarray:
    shift = np.max(input, axis=axis, keepdims=True, initial=-INF)
    shift = np.where(np.isfinite(shift), shift, 0.0)
    result = np.log(np.sum(np.exp(input - shift), axis=axis, keepdims=True)) + shift
    return result if keepdims else result.reshape(np.sum(input, axis=axis).shape)


def _mean(input: np.ndarray, axis: Any, keepdims: bool) -> np.ndarray:
    total = np.sum(input, axis=axis, keepdims=keepdims)
    return total / np.asarray(input.size / max(total.size, 1))


def _norm(input: np.ndarray, p: float, dim: Any, keepdim: bool) -> np.ndarray:
    size = np.abs(input)
    if p == INF:
        return np.max(size, axis=dim, keepdims=keepdim)
    return np.sum(size**p, axis=dim, keepdims=keepdim) ** (1.0 / p)


def _torch_norm(input: Any, p: float, dim: Any, keepdim: bool) -> Any:
    import torch

    return torch.linalg.vector_norm(input, p, dim=dim, keepdim=keepdim)


def _norm_cases(p: float) -> tuple[Case, ...]:
    return tuple(
        Case(f"p{p:g}-{name}", {"input": Array(shape, "distinct"), "p": p, "dim": dim, "keepdim": False},
             terms=_count(shape, dim), terms_grad=_count(shape, dim))
        for name, shape, dim in SHAPES
        if shape
    )  # fmt: skip


def _arg(function: Any) -> Any:
    def reference(input: np.ndarray, dim: Any, keepdim: bool) -> np.ndarray:
        return np.asarray(function(input, axis=dim, keepdims=keepdim))

    return reference


def _torch_arg(name: str) -> Any:
    def run(input: Any, dim: Any, keepdim: bool) -> Any:
        import torch

        return getattr(torch, name)(input, dim=dim, keepdim=keepdim)

    return run


ONE_DIM = tuple((name, shape, dim) for name, shape, dim in SHAPES if isinstance(dim, int))
FLAT_OR_ONE = tuple((name, shape, dim) for name, shape, dim in SHAPES if not isinstance(dim, tuple))


def _with_index(largest: bool) -> Any:
    def reference(input: np.ndarray, dim: int, keepdim: bool) -> tuple[np.ndarray, np.ndarray]:
        pick = np.argmax if largest else np.argmin
        index = pick(input, axis=dim, keepdims=True)
        values = np.take_along_axis(input, index, axis=dim)
        return (values, index) if keepdim else (values.squeeze(dim), index.squeeze(dim))

    return reference


def _extreme(name: str, run: Any, largest: bool) -> Op:
    return Op(
        name=name,
        run=run,
        cases=_cases("distinct", ONE_DIM) + _special(NAN, NAN)[1:] + _special(INF, -INF)[1:],
        reference=_with_index(largest),
        torch=_torch(name),
        differentiable=("input",),
        errors=WRONG_DIM[:1] + NOTHING,
    )


def _position(name: str, run: Any) -> Op:
    return Op(
        name=name,
        run=run,
        cases=_cases("distinct", FLAT_OR_ONE) + _special(NAN, NAN) + _special(INF, -INF),
        reference=_arg(getattr(np, name)),
        torch=_torch_arg(name),
        errors=WRONG_DIM[:1] + NOTHING,
        exact=True,
    )


def _reduction(name: str, run: Any, reference: Any, kind: str = "uniform", **fields: Any) -> Op:
    defaults: dict[str, Any] = {
        "cases": _cases(kind, bench=name in ("sum", "mean")),
        "torch": _torch(name),
        "differentiable": ("input",),
        "errors": WRONG_DIM,
        "flops": _flops,
        "bytes": _bytes,
    }
    defaults.update(fields)
    return Op(name=name, run=run, reference=_numpy(reference), **defaults)


def _scatter_cases() -> tuple[Case, ...]:
    shapes = tuple(case for case in SHAPES if _count(case[1], case[2]) > 1)
    return tuple(
        Case(f"correction{correction:g}-{case.id}", case.args, terms=case.terms, terms_grad=case.terms_grad)
        for correction in (0, 1)
        for case in _cases("normal", shapes, correction=correction)
    )


def _var(root: bool) -> Any:
    def reference(input: np.ndarray, axis: Any, keepdims: bool, correction: float) -> np.ndarray:
        return (np.std if root else np.var)(input, axis=axis, keepdims=keepdims, ddof=correction)

    return reference


_PROD = tuple((name, shape, dim) for name, shape, dim in SHAPES if not isinstance(dim, tuple))


def _torch_prod(input: Any, dim: Any, keepdim: bool) -> Any:
    if dim is None:
        result = input.prod()
        return result.reshape((1,) * input.ndim) if keepdim else result
    return input.prod(dim, keepdim)


OPS = (
    _reduction("sum", reduction.sum, np.sum, cases=_cases(bench=True) + EMPTY + _special(NAN, INF), errors=WRONG_DIM),
    _reduction(
        "mean",
        reduction.mean,
        _mean,
        cases=_cases(bench=True) + EMPTY[1:2] + _special(INF),
        errors=WRONG_DIM + NOT_FLOAT,
    ),
    _reduction("var", reduction.var, _var(False), cases=_scatter_cases(), errors=WRONG_DIM + NOT_FLOAT),
    _reduction("std", reduction.std, _var(True), cases=_scatter_cases(), errors=WRONG_DIM + NOT_FLOAT),
    _reduction(
        "amax",
        reduction.amax,
        np.max,
        cases=_cases("distinct") + _special(NAN) + _special(INF, -INF),
        errors=WRONG_DIM + NOTHING,
    ),
    _reduction(
        "amin",
        reduction.amin,
        np.min,
        cases=_cases("distinct") + _special(NAN) + _special(INF, -INF),
        errors=WRONG_DIM + NOTHING,
    ),
    _extreme("max", reduction.max, True),
    _extreme("min", reduction.min, False),
    _position("argmax", reduction.argmax),
    _position("argmin", reduction.argmin),
    _reduction("prod", reduction.prod, np.prod, cases=_cases("uniform", _PROD) + EMPTY[:3], torch=_torch_prod),
    _reduction(
        "logsumexp",
        reduction.logsumexp,
        _logsumexp,
        cases=_cases("normal") + EMPTY[:2] + _special(INF) + _special(-INF),
        errors=WRONG_DIM + NOT_FLOAT,
    ),
    Op(
        name="norm",
        run=reduction.norm,
        cases=_norm_cases(1) + _norm_cases(2) + _norm_cases(INF),
        reference=_norm,
        torch=_torch_norm,
        differentiable=("input",),
        errors=(ErrorCase("p3", {"input": Array((3,)), "p": 3}, ValueError, ("p is 3", "inf")),),
    ),
    _reduction("any", reduction.any, np.any, "bool", differentiable=(), errors=WRONG_DIM, exact=True),
    _reduction("all", reduction.all, np.all, "bool", differentiable=(), errors=WRONG_DIM, exact=True),
)
