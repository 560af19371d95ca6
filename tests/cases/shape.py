"""Cases of the shape ops: reshape, permute, expand, cat, slices, gather and their relatives. Every result is exact."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

import fastcnn as fc
from fastcnn.ops import picking

from . import Array, Case, ErrorCase, Op

NAN, INF = float("nan"), float("inf")


def _bytes(case: Case) -> int:
    """Least traffic of a copy: read once, written once."""
    total = 0
    for value in case.args.values():
        for item in value if isinstance(value, tuple) else (value,):
            total += 8 * math.prod(item.shape) if isinstance(item, Array) else 0
    return total


def _op(
    name: str,
    run: Callable[..., Any],
    numpy: Callable[..., Any],
    torch: Callable[..., Any] | None,
    cases: tuple[Case, ...],
    errors: tuple[ErrorCase, ...] = (),
    differentiable: tuple[str, ...] = ("input",),
) -> Op:
    return Op(
        name,
        run,
        cases,
        reference=numpy,
        torch=torch,
        differentiable=differentiable,
        errors=errors,
        bytes=_bytes,
        exact=True,
    )


def _label(*parts: Any) -> str:
    return "-".join("x".join(map(str, p)) if isinstance(p, tuple | list) else str(p) for p in parts)


def _cases(
    option: str, *rows: tuple[tuple[int, ...], Any], big: tuple[tuple[int, ...], Any] | None = None
) -> tuple[Case, ...]:
    """One case per (input shape, value of `option`), NaN and Inf included; `big` is a benchmark."""
    table = [Case(_label(shape, value), {"input": Array(shape), option: value}, terms_grad=64) for shape, value in rows]
    shape, value = rows[0]
    table.append(Case("nan-inf", {"input": Array(shape, special=(NAN, INF, -INF)), option: value}, grad=False))
    if big:
        table.append(Case(_label(*big), {"input": Array(big[0]), option: big[1]}, bench=True))
    return tuple(table)


RESHAPE = _op(
    "reshape",
    fc.reshape,
    lambda input, shape: input.reshape(shape),
    lambda input, shape: input.reshape(shape),
    _cases(
        "shape",
        ((2, 3, 5, 7), (2, -1)),
        ((2, 3, 5, 7), (7, 5, 3, 2)),
        ((2, 3, 5, 7), (2, 3, 35)),
        ((2, 3, 5, 7), (3, 2, 7, 5)),
        ((4, 1, 6, 5), (4, 30)),
        ((4, 9, 1, 1), (4, 9)),
        ((6, 35), (6, 5, 7)),
        ((6, 35), (2, 3, 5, 7)),
        ((2, 17, 4, 4), (2, 17, 16)),
        ((2, 3, 2, 3, 2), (4, 18)),
        ((12,), (3, 4)),
        ((1,), ()),
        ((), (1, 1, 1, 1)),
        ((0, 3, 4), (0, 12)),
        ((3, 0, 2, 2), (5, 0)),
        big=((64, 64, 56, 56), (64, -1)),
    ),
    (
        ErrorCase(
            "count", {"input": Array((2, 3)), "shape": (4, 2)}, ValueError, ("reshape", "(2, 3)", "6", "(4, 2)", "8")
        ),
        ErrorCase(
            "two-unknown", {"input": Array((2, 3)), "shape": (-1, -1)}, ValueError, ("reshape", "more than one -1")
        ),
        ErrorCase("not-divisible", {"input": Array((2, 3)), "shape": (4, -1)}, ValueError, ("reshape", "6", "(4, -1)")),
        ErrorCase("negative", {"input": Array((2, 3)), "shape": (-2, 3)}, ValueError, ("reshape", "-2")),
        ErrorCase("ambiguous", {"input": Array((0, 3)), "shape": (0, -1)}, ValueError, ("reshape", "ambiguous")),
        ErrorCase("rank", {"input": Array((1,)), "shape": (1,) * 9}, ValueError, ("8 dimensions", "9")),
    ),
)

FLATTEN = _op(
    "flatten",
    fc.flatten,
    lambda input, start_dim, end_dim: input.reshape(
        (*input.shape[:start_dim], -1, *input.shape[input.ndim + end_dim + 1 :]) if input.size else (0, 35)
    ),
    lambda input, start_dim, end_dim: input.flatten(start_dim, end_dim),
    (
        *(
            Case(_label(shape, start, end), {"input": Array(shape), "start_dim": start, "end_dim": end})
            for shape, start, end in [
                ((2, 3, 5, 7), 1, -1),
                ((2, 50, 4, 4), 1, -1),
                ((2, 3, 5, 7), 0, -1),
                ((2, 3, 5, 7), 2, -1),
                ((2, 3, 5, 7), 0, -3),
                ((3, 16, 1, 1), 1, -1),
                ((0, 5, 7), 1, -1),
                ((6,), 0, -1),
            ]
        ),
        Case("64x50x14x14", {"input": Array((64, 50, 14, 14)), "start_dim": 1, "end_dim": -1}, bench=True),
    ),
    (
        ErrorCase(
            "order", {"input": Array((2, 3, 4)), "start_dim": 2, "end_dim": 0}, ValueError, ("flatten", "start_dim 2")
        ),
    ),
)

PERMUTE = _op(
    "permute",
    fc.permute,
    lambda input, dims: input.transpose(dims),
    lambda input, dims: input.permute(dims),
    _cases(
        "dims",
        ((2, 3, 5, 7), (0, 2, 3, 1)),
        ((2, 3, 5, 7), (0, 3, 1, 2)),
        ((2, 3, 5, 7), (3, 2, 1, 0)),
        ((2, 17, 5, 33), (0, 2, 3, 1)),
        ((2, 3, 5, 7), (1, 0, -1, -2)),
        ((33, 49), (1, 0)),
        ((16, 32), (1, 0)),
        ((5, 4, 3), (2, 0, 1)),
        ((2, 3, 2, 3, 2), (4, 1, 3, 0, 2)),
        ((4,), (0,)),
        ((), ()),
        ((0, 3, 2), (2, 0, 1)),
        big=((32, 64, 56, 56), (0, 2, 3, 1)),
    ),
    (
        ErrorCase("count", {"input": Array((2, 3)), "dims": (0,)}, ValueError, ("permute", "1 entries", "(2, 3)")),
        ErrorCase("twice", {"input": Array((2, 3)), "dims": (0, 0)}, ValueError, ("permute", "twice", "(2, 3)")),
        ErrorCase("range", {"input": Array((2, 3)), "dims": (0, 2)}, ValueError, ("permute", "2", "-2 to 1")),
    ),
)

EXPAND = _op(
    "expand",
    fc.expand,
    lambda input, shape: np.broadcast_to(
        input, [input.shape[d - len(shape)] if s == -1 else s for d, s in enumerate(shape)]
    ),
    lambda input, shape: input.expand(shape),
    _cases(
        "shape",
        ((1, 3, 1, 1), (2, 3, 5, 7)),
        ((5, 1), (5, 4)),
        ((3,), (2, 4, 3)),
        ((1, 3, 1), (-1, -1, 4)),
        ((), (3, 2)),
        ((1, 2), (0, 2)),
    ),
    (
        ErrorCase("size", {"input": Array((2, 3)), "shape": (2, 4)}, ValueError, ("expand", "(2, 3)", "(2, 4)")),
        ErrorCase("rank", {"input": Array((2, 3)), "shape": (3,)}, ValueError, ("expand", "(2, 3)", "(3,)")),
    ),
)

REPEAT = _op(
    "repeat",
    fc.repeat,
    lambda input, repeats: np.tile(np.asarray(input), repeats),
    lambda input, repeats: input.repeat(repeats),
    _cases(
        "repeats",
        ((2, 3, 2, 2), (1, 2, 3, 2)),
        ((2, 3), (3, 2)),
        ((3,), (2, 1, 2)),
        ((2, 2, 3), (2, 1, 1)),
        ((2, 3), (0, 1)),
    ),
    (ErrorCase("rank", {"input": Array((2, 3)), "repeats": (2,)}, ValueError, ("repeat", "(2, 3)", "(2,)")),),
)

FLIP = _op(
    "flip",
    fc.flip,
    lambda input, dims: np.flip(np.asarray(input), dims),
    lambda input, dims: input.flip(dims),
    _cases("dims", ((2, 3, 5, 7), (3,)), ((2, 3, 5, 7), (0, 1, 2)), ((5,), (0,)), ((2, 0, 3), (1, 2)), ((4, 3), ())),
)

CAT = _op(
    "cat",
    fc.cat,
    lambda tensors, dim: np.concatenate(tensors, axis=dim),
    lambda tensors, dim: __import__("torch").cat(tensors, dim),
    (
        *(
            Case(_label(*shapes, dim), {"tensors": tuple(map(Array, shapes)), "dim": dim})
            for shapes, dim in [
                (((2, 3, 5, 7), (2, 8, 5, 7), (2, 1, 5, 7)), 1),
                (((2, 3, 5, 7), (1, 3, 5, 7)), 0),
                (((2, 3, 5, 7), (2, 3, 4, 7)), -2),
                (((2, 3), (2, 0), (2, 4)), 1),
                (((3,), (2,)), 0),
                (((2, 3, 4),), 2),
            ]
        ),
        Case("channels", {"tensors": (Array((16, 64, 56, 56)), Array((16, 32, 56, 56))), "dim": 1}, bench=True),
    ),
    (
        ErrorCase(
            "sizes", {"tensors": (Array((2, 3)), Array((3, 4))), "dim": 1}, ValueError, ("cat", "(3, 4)", "(2, 3)")
        ),
        ErrorCase("dim", {"tensors": (Array((2, 3)), Array((2, 3))), "dim": 2}, ValueError, ("cat", "dim is 2")),
        ErrorCase("none", {"tensors": (), "dim": 0}, ValueError, ("cat", "at least one")),
        ErrorCase("scalar", {"tensors": (Array(()),), "dim": 0}, ValueError, ("cat", "stack")),
        ErrorCase(
            "dtype",
            {"tensors": (Array((2,)), Array((2,), "labels", high=3)), "dim": 0},
            TypeError,
            ("cat", "int64", "float32"),
        ),
    ),
    ("tensors",),
)

STACK = _op(
    "stack",
    fc.stack,
    lambda tensors, dim: np.stack(tensors, axis=dim),
    lambda tensors, dim: __import__("torch").stack(tensors, dim),
    tuple(
        Case(_label(shape, count, dim), {"tensors": (Array(shape),) * count, "dim": dim})
        for shape, count, dim in [((3, 5, 7), 2, 0), ((3, 5), 3, 1), ((3, 5), 2, -1), ((), 4, 0), ((2, 0), 2, 1)]
    ),
    (ErrorCase("shapes", {"tensors": (Array((2,)), Array((3,))), "dim": 0}, ValueError, ("stack", "(3,)", "(2,)")),),
    ("tensors",),
)

SPLIT = _op(
    "split",
    fc.split,
    lambda tensor, split_size_or_sections, dim: np.split(
        tensor,
        np.cumsum(split_size_or_sections)[:-1]
        if isinstance(split_size_or_sections, tuple)
        else range(split_size_or_sections, tensor.shape[dim], split_size_or_sections),
        dim,
    ),
    lambda tensor, split_size_or_sections, dim: tensor.split(
        list(split_size_or_sections) if isinstance(split_size_or_sections, tuple) else split_size_or_sections, dim
    ),
    tuple(
        Case(_label(shape, size, dim), {"tensor": Array(shape), "split_size_or_sections": size, "dim": dim})
        for shape, size, dim in [
            ((5, 3, 4, 2), 2, 0),
            ((2, 7, 3, 2), (3, 4), 1),
            ((6, 5), 3, 1),
            ((4, 4), (1, 0, 3), -1),
        ]
    ),
    (
        ErrorCase(
            "sum",
            {"tensor": Array((5, 2)), "split_size_or_sections": (2, 2), "dim": 0},
            ValueError,
            ("split", "(2, 2)", "5"),
        ),
        ErrorCase("zero", {"tensor": Array((5, 2)), "split_size_or_sections": 0, "dim": 0}, ValueError, ("split", "0")),
    ),
    ("tensor",),
)


def _gather_case(shape: tuple[int, ...], index: tuple[int, ...], dim: int) -> Case:
    high = shape[dim] if shape else 1
    args = {"input": Array(shape), "dim": dim, "index": Array(index, "labels", high=high)}
    return Case(_label(shape, index, dim), args, terms_grad=math.prod(index))


GATHER = _op(
    "gather",
    fc.gather,
    lambda input, dim, index: np.take_along_axis(
        input[tuple(slice(s) if d != dim % input.ndim else slice(None) for d, s in enumerate(index.shape))], index, dim
    ),
    lambda input, dim, index: input.gather(dim, index),
    (
        _gather_case((5, 10), (5, 1), 1),
        _gather_case((5, 10), (9, 10), 0),
        _gather_case((2, 3, 5, 7), (2, 8, 5, 7), 1),
        _gather_case((2, 3, 5, 7), (1, 2, 5, 9), -1),
        _gather_case((7,), (20,), 0),
        _gather_case((5, 10), (0, 10), 0),
    ),
    (
        ErrorCase(
            "range",
            {"input": Array((2, 3)), "dim": 1, "index": Array((2, 2), "labels", high=4)},
            IndexError,
            ("gather", "index(", "is 3", "0 to 2", "dim 1", "(2, 3)"),
        ),
        ErrorCase(
            "dtype",
            {"input": Array((2, 3)), "dim": 1, "index": Array((2, 2))},
            TypeError,
            ("gather", "float32", "int64"),
        ),
        ErrorCase(
            "rank",
            {"input": Array((2, 3)), "dim": 1, "index": Array((2,), "labels", high=2)},
            ValueError,
            ("gather", "(2,)", "(2, 3)"),
        ),
        ErrorCase(
            "larger",
            {"input": Array((2, 3)), "dim": 1, "index": Array((3, 1), "labels", high=2)},
            ValueError,
            ("gather", "(3, 1)", "(2, 3)"),
        ),
    ),
)


def _select_case(shape: tuple[int, ...], count: int, dim: int, bench: bool = False) -> Case:
    args = {"input": Array(shape), "dim": dim, "index": Array((count,), "labels", high=shape[dim])}
    return Case(_label(shape, count, dim), args, terms_grad=max(count, 1), bench=bench)


INDEX_SELECT = _op(
    "index_select",
    fc.index_select,
    lambda input, dim, index: np.take(input, index, dim),
    lambda input, dim, index: input.index_select(dim, index),
    (
        _select_case((5, 10), 7, 0),
        _select_case((5, 10), 4, 1),
        _select_case((4, 1), 3, 1),
        _select_case((2, 3, 5, 7), 4, 1),
        _select_case((2, 3, 5, 7), 4, 2),
        _select_case((2, 3, 5, 7), 9, -1),
        _select_case((6, 3, 2, 2), 4, 0),
        _select_case((5, 600), 3, 0),
        _select_case((5, 3), 0, 0),
        _select_case((5, 0), 3, 0),
        _select_case((50000, 784), 512, 0, bench=True),
    ),
    (
        ErrorCase(
            "range",
            {"input": Array((2, 3)), "dim": 0, "index": Array((9,), "labels", high=3)},
            IndexError,
            ("index_select", "index(", "is 2", "0 to 1", "dim 0", "(2, 3)"),
        ),
        ErrorCase(
            "rank",
            {"input": Array((2, 3)), "dim": 0, "index": Array((1, 1), "labels", high=1)},
            ValueError,
            ("index_select", "(1, 1)", "one is expected"),
        ),
    ),
)

ONE_HOT = Op(
    "one_hot",
    picking.one_hot,
    tuple(
        Case(
            _label(shape, classes),
            {"input": Array(shape, "labels", high=min(shape, default=3) or 1), "num_classes": classes},
            grad=False,
        )
        for shape, classes in [((7,), 7), ((4, 5), 9), ((2, 3, 4), 3), ((), 4), ((0,), 3)]
    ),
    reference=lambda input, num_classes: np.eye(num_classes, dtype=np.int64)[input],
    torch=lambda input, num_classes: __import__("torch").nn.functional.one_hot(input, num_classes=num_classes),
    errors=(
        ErrorCase(
            "range",
            {"input": Array((9,), "labels", high=4), "num_classes": 3},
            IndexError,
            ("one_hot", "is 3", "0 to 2", "num_classes=3"),
        ),
        ErrorCase("dtype", {"input": Array((4,)), "num_classes": 3}, TypeError, ("one_hot", "float32", "int64")),
    ),
    exact=True,
)

GETITEM = _op(
    "getitem",
    lambda input, key: input[key],
    lambda input, key: input[key],
    None,
    tuple(
        Case(name, {"input": Array(shape), "key": key}, terms_grad=64)
        for name, shape, key in [
            ("row", (3, 4, 5, 6), 1),
            ("last", (3, 4, 5, 6), (-1, -1)),
            ("rows", (5, 4, 3, 2), slice(1, 4)),
            ("window", (2, 3, 8, 9), (slice(None), slice(None), slice(1, -2), slice(2, 9, 3))),
            ("flip", (2, 3, 8, 9), (Ellipsis, slice(None, None, -2))),
            ("new", (3, 4), (None, slice(None), None, 1)),
            ("empty", (3, 4), slice(2, 1)),
            ("ellipsis", (3, 4, 5), (0, Ellipsis, 2)),
            ("scalar", (3, 4), (2, 3)),
            ("list", (5, 4, 3), [4, 0, -1, 4]),
            ("columns", (5, 4), (slice(None), [3, 3, 0])),
            ("pairs", (5, 4), ([0, 1, 4, 1], [3, 0, 2, 0])),
            ("matrix", (5, 4, 3), (slice(None), np.array([[0, 3], [2, -1], [1, 1]]))),
        ]
    ),
    (
        ErrorCase(
            "range", {"input": Array((3, 4)), "key": (0, 4)}, IndexError, ("index", "4", "dimension 1", "(3, 4)")
        ),
        ErrorCase("many", {"input": Array((3, 4)), "key": (0, 0, 0)}, IndexError, ("index", "3 indices", "(3, 4)")),
        ErrorCase("rows", {"input": Array((3, 4)), "key": [0, 3]}, IndexError, ("index", "3")),
        ErrorCase("type", {"input": Array((3, 4)), "key": "first"}, TypeError, ("index", "str")),
        ErrorCase("float", {"input": Array((3, 4)), "key": 1.5}, TypeError, ("index", "float")),
        ErrorCase("floats", {"input": Array((3, 4)), "key": [0.5]}, TypeError, ("index", "float64")),
    ),
)

OPS = (CAT, EXPAND, FLATTEN, FLIP, GATHER, GETITEM, INDEX_SELECT, ONE_HOT, PERMUTE, REPEAT, RESHAPE, SPLIT, STACK)
