"""softmax and log_softmax."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fastcnn import functional as F

from . import Array, Case, ErrorCase, Op

SHAPES = (
    ((), 0),
    ((1,), 0),
    ((7,), -1),
    ((3, 1), 1),
    ((2, 3), 1),
    ((3, 7), 0),
    ((4, 8), 1),
    ((5, 15), 1),
    ((3, 16), 1),
    ((2, 17), 1),
    ((64, 10), 1),
    ((37, 21), 1),
    ((17, 64), 1),
    ((17, 65), 1),
    ((2, 21, 5, 7), 1),
    ((3, 130), 1),
    ((130, 33), 0),
    ((2, 5, 3), 1),
    ((2, 5, 3), 2),
    ((2, 17, 3, 5), 1),
    ((2, 3, 4, 5), 0),
    ((2, 3, 4, 5), 2),
    ((2, 33, 4, 5), 3),
    ((2, 3, 2, 3, 4), 1),
    ((0, 10), 1),
    ((0, 3, 4, 5), 1),
)


def _name(shape: tuple[int, ...], dim: int) -> str:
    return f"{'x'.join(map(str, shape)) or 'scalar'}-dim{dim}"


def _length(shape: tuple[int, ...], dim: int) -> int:
    return shape[dim] if shape else 1


CASES = (
    *(
        Case(_name(shape, dim), {"input": Array(shape, "normal"), "dim": dim}, terms=_length(shape, dim),
             terms_grad=_length(shape, dim), grad=0 not in shape)
        for shape, dim in SHAPES
    ),
    Case("large", {"input": Array((5, 33), low=-1e4, high=1e4), "dim": 1}, terms=33, grad=False),
    Case("nan", {"input": Array((5, 33), special=(math.nan,)), "dim": 1}, terms=33, grad=False),
    Case("inf", {"input": Array((5, 33), special=(math.inf,)), "dim": 1}, terms=33, grad=False),
    Case("minus-inf", {"input": Array((5, 33), special=(-math.inf, -math.inf)), "dim": 1}, terms=33, grad=False),
    Case("minus-inf-columns", {"input": Array((33, 5), special=(-math.inf,)), "dim": 0}, terms=33, grad=False),
    Case("bench-64x10", {"input": Array((64, 10), "normal"), "dim": 1}, terms=10, bench=True),
    Case("bench-256x1000", {"input": Array((256, 1000), "normal"), "dim": 1}, terms=1000, bench=True),
    Case("bench-8x21x128x128", {"input": Array((8, 21, 128, 128), "normal"), "dim": 1}, terms=21, bench=True),
)  # fmt: skip

ERRORS = (
    ErrorCase("dim", {"input": Array((2, 3)), "dim": 2}, ValueError, ("softmax", "dim is 2", "-2 to 1")),
    ErrorCase(
        "integers", {"input": Array((2, 3), "labels", high=4), "dim": 1}, TypeError, ("softmax", "int64", "float32")
    ),
)


def _log_softmax(input: np.ndarray, dim: int) -> np.ndarray:
    with np.errstate(all="ignore"):
        shifted = input - np.max(input, axis=dim, keepdims=True, initial=-math.inf) if input.ndim else input - input
        return shifted - np.log(np.sum(np.exp(shifted), axis=dim, keepdims=True)) if input.ndim else shifted


def _softmax(input: np.ndarray, dim: int) -> np.ndarray:
    return np.exp(_log_softmax(input, dim))


def _torch(name: str) -> Any:
    def run(input: Any, dim: int) -> Any:
        import torch

        return getattr(torch, name)(input, dim)

    return run


def _flops(case: Case) -> int:
    return 20 * math.prod(case.args["input"].shape)


def _bytes(case: Case) -> int:
    return 8 * math.prod(case.args["input"].shape)


OPS = (
    Op("softmax", F.softmax, CASES, _softmax, _torch("softmax"), ("input",), ERRORS, _flops, _bytes),
    Op("log_softmax", F.log_softmax, CASES, _log_softmax, _torch("log_softmax"), ("input",), ERRORS, _flops, _bytes),
)
