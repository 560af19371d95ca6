"""Cases of the functions of one tensor: activations, exp and friends, rounding."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

import fastcnn as fc
from fastcnn import functional as F

from . import Array, Case, ErrorCase, Op

NAN, INF = float("nan"), float("inf")

# Tails around the vector widths, both layouts' ranks, empty batches, one number.
SHAPES = ((), (1,), (3,), (7,), (8,), (15,), (16,), (17,), (33,), (5, 9), (2, 3, 5, 7), (0, 3, 4, 4), (1, 1, 1, 1))
BENCH = {"l2": (64, 32, 7, 7), "large": (32, 64, 56, 56)}


def _name(shape: tuple[int, ...]) -> str:
    return "x".join(str(n) for n in shape) or "scalar"


def _numpy(function: Callable[..., Any]) -> Callable[..., Any]:
    """Called with a case's arguments in order, without warnings about NaN and infinities."""

    def quiet(**arguments: Any) -> Any:
        with np.errstate(all="ignore"):
            return function(*arguments.values())

    return quiet


def _torch(path: str) -> Callable[..., Any]:
    def run(*args: Any, **kwargs: Any) -> Any:
        import torch

        function: Any = torch
        for part in path.split("."):
            function = getattr(function, part)
        return function(*args, **kwargs)

    return run


def _erf(x: np.ndarray) -> np.ndarray:
    return np.vectorize(math.erf, otypes=[np.float64])(x) if x.size else x


def _sigmoid(x: np.ndarray) -> np.ndarray:
    small = np.exp(-np.abs(x))
    return np.where(x < 0, small, 1.0) / (1.0 + small)


def _op(
    name: str,
    run: Callable[..., Any],
    reference: Callable[..., Any],
    torch: str | None = None,
    *,
    low: float = -3.0,
    high: float = 3.0,
    kind: str = "uniform",
    special: tuple[float, ...] = (NAN, INF, -INF, 0.0, -0.0),
    exact: bool = False,
    terms: int = 1,
    options: tuple[dict[str, Any], ...] = ({},),
    errors: tuple[ErrorCase, ...] = (),
) -> Op:
    """Cases of one function: every shape, every set of options, special values, benchmark sizes.

    terms: number of roundings that the conditioning of the function amplifies errors by.
    """
    cases = []
    for option in options:
        suffix = "".join(f"-{k}{v}" for k, v in option.items())
        cases += [
            Case(_name(s) + suffix, {"input": Array(s, kind, low, high)} | option, terms, terms_grad=terms)
            for s in SHAPES
        ]
        if special:
            array = Array((3, 41), kind, low, high, special=special)
            cases.append(Case(f"special{suffix}", {"input": array} | option, terms, grad=False))
    cases += [
        Case(k, {"input": Array(s, "uniform", low, high)} | options[0], terms, bench=True) for k, s in BENCH.items()
    ]
    return Op(
        name,
        run,
        tuple(cases),
        reference=_numpy(reference),
        torch=_torch(torch or name),
        differentiable=("input",),
        errors=errors,
        flops=lambda case: int(np.prod(case.args["input"].shape)),
        bytes=lambda case: 8 * int(np.prod(case.args["input"].shape)),
        exact=exact,
    )


def _not_tensor(name: str) -> tuple[ErrorCase, ...]:
    return (ErrorCase("not-a-tensor", {"input": 1.5}, TypeError, (name, "float", "Tensor")),)


def _leaky(input: Any, negative_slope: float = 0.01) -> Any:
    return np.where(input > 0, input, negative_slope * input)


def _gelu(input: Any, approximate: str = "none") -> Any:
    if approximate == "tanh":
        u = math.sqrt(2 / math.pi) * (input + 0.044715 * input**3)
        return input * _sigmoid(2 * u)
    return input * 0.5 * (1 + _erf(input / math.sqrt(2)))


# The limits of x * gate(x) at -inf are 0; torch and the plain formulas give NaN there.
WITHOUT_MINUS_INF = (NAN, INF, 0.0, -0.0, 100.0, -100.0)

OPS = (
    _op("relu", F.relu, lambda input: np.where(input < 0, 0.0, input), errors=_not_tensor("relu")),
    _op(
        "leaky_relu",
        F.leaky_relu,
        _leaky,
        "nn.functional.leaky_relu",
        options=({}, {"negative_slope": 0.2}),
    ),
    _op("sigmoid", F.sigmoid, _sigmoid, low=-9, high=9, special=(NAN, INF, -INF, 1e4, -1e4)),
    _op("tanh", F.tanh, np.tanh, special=(NAN, INF, -INF, 1e4, -1e4, 1e-20)),
    _op(
        "gelu",
        F.gelu,
        _gelu,
        "nn.functional.gelu",
        low=-6,
        high=6,
        special=WITHOUT_MINUS_INF,
        terms=4,
        options=({}, {"approximate": "tanh"}),
        errors=(
            ErrorCase(
                "approximate",
                {"input": Array((3,)), "approximate": "erf"},
                ValueError,
                ("gelu", "approximate", "'erf'", "tanh"),
            ),
        ),
    ),
    _op("silu", F.silu, lambda input: input * _sigmoid(input), "nn.functional.silu", special=WITHOUT_MINUS_INF),
    _op("exp", fc.exp, np.exp, special=(NAN, INF, -INF, 88.0, 90.0, -87.0, -90.0, -100.0, -110.0)),
    _op("log", fc.log, np.log, low=0.05, high=8, special=(NAN, INF, 0.0, -1.0, 1e-40, 3e38)),
    _op("sqrt", fc.sqrt, np.sqrt, low=0.05, high=8, special=(NAN, INF, 0.0, -1.0)),
    _op("rsqrt", fc.rsqrt, lambda input: 1 / np.sqrt(input), low=0.05, high=8, special=(NAN, INF, -1.0), terms=4),
    _op("erf", fc.erf, _erf),
    _op("sin", fc.sin, np.sin, special=(NAN,)),
    _op("cos", fc.cos, np.cos, special=(NAN,)),
    _op("log1p", fc.log1p, np.log1p, low=-0.9, high=8, special=(NAN, INF, -1.0, 1e-10)),
    _op("expm1", fc.expm1, np.expm1, special=(NAN, INF, -INF, 1e-10)),
    _op("abs", fc.abs, np.abs, exact=True),
    _op("neg", fc.neg, np.negative, exact=True),
    _op("reciprocal", fc.reciprocal, lambda input: 1 / input, low=0.3, high=4, special=(NAN, INF, 0.0)),
    _op("square", fc.square, np.square),
    _op("sign", fc.sign, np.sign, exact=True, special=(INF, -INF, 0.0)),  # torch gives 0 for NaN
    _op("floor", fc.floor, np.floor, exact=True),
    _op("ceil", fc.ceil, np.ceil, exact=True),
    _op("round", fc.round, np.round, exact=True, special=(NAN, INF, 0.5, 1.5, 2.5, -0.5), low=1.51, high=2.49),
    _op(
        "pow_scalar",
        lambda input, exponent: fc.pow(input, exponent),
        np.power,
        "pow",
        low=0.3,
        high=2,
        special=(NAN, INF, 0.0),
        terms=8,
        options=tuple({"exponent": e} for e in (0.7, 2, 3, 0, 1, -1, -2.5, 0.5)),
    ),
    _op(
        "clamp",
        fc.clamp,
        lambda input, min=None, max=None: np.clip(input, min, max),
        exact=True,
        options=({"min": -0.5, "max": 0.75}, {"min": 0.3}, {"min": None, "max": -0.2}, {"min": 1.0, "max": -1.0}),
        errors=(ErrorCase("no-bound", {"input": Array((3,))}, ValueError, ("clamp", "min and max", "None")),),
    ),
)
