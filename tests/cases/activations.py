"""Activations beyond those of unary.py."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from fastcnn import functional as F

from . import Array, Case, ErrorCase, Op
from .unary import BENCH

NAN, INF = math.nan, math.inf
SHAPES = ((), (17,), (5, 9), (2, 3, 5, 7), (0, 3, 4, 4))


def torch_function(name: str) -> Callable[..., Any]:
    """`torch.nn.functional.<name>`."""

    def run(*args: Any, **kwargs: Any) -> Any:
        import torch

        with warnings.catch_warnings():  # torch's opinion about an argument is not what is tested
            warnings.simplefilter("ignore", UserWarning)
            return getattr(torch.nn.functional, name)(*args, **kwargs)

    return run


def quiet(function: Callable[..., Any]) -> Callable[..., Any]:
    """The NumPy function without its warnings."""

    def run(**arguments: Any) -> Any:
        with np.errstate(all="ignore"):
            return np.asarray(function(*arguments.values()))

    return run


def _op(
    run: Callable[..., Any],
    reference: Callable[..., Any],
    *options: dict[str, Any],
    terms: int = 4,
    special: tuple[float, ...] = (NAN, INF, -INF, 0.0, 100.0, -100.0),
    errors: tuple[ErrorCase, ...] = (),
    torch: Callable[..., Any] | None = None,
    bench: bool = False,
) -> Op:
    """Every shape with the first options, one shape and special values with each of the others; benchmark sizes."""
    name = run.__name__
    cases = []
    for i, option in enumerate(options or ({},)):
        suffix = "".join(f"-{k}{v}" for k, v in option.items())
        for shape in SHAPES if i == 0 else ((5, 9),):
            array = Array(shape, low=-7.0, high=7.0)
            title = "x".join(map(str, shape)) or "scalar"
            cases.append(Case(title + suffix, {"input": array} | option, terms, terms_grad=terms))
        array = Array((3, 11), low=-7.0, high=7.0, special=special)
        cases.append(Case(f"special{suffix}", {"input": array} | option, terms, grad=False))
    if bench:
        cases += [Case(k, {"input": Array(s, low=-7.0, high=7.0)}, terms, bench=True) for k, s in BENCH.items()]
    integers = {"input": Array((3,), "labels", high=4)} | (options or ({},))[0]
    errors = (*errors, ErrorCase("integers", integers, TypeError, (name, "int64", "float32")))
    return Op(
        name,
        run,
        tuple(cases),
        quiet(reference),
        torch or torch_function(name),
        ("input",),
        errors,
        bytes=lambda case: 8 * int(np.prod(case.args["input"].shape)),
    )


def _elu(x: Any, rise: float, alpha: float, steepness: float) -> Any:
    return np.where(x > 0, rise * x, rise * alpha * np.expm1(np.minimum(x, 0.0) * steepness))


def _gate(x: Any) -> Any:
    return np.clip(x + 3, 0, 6) / 6


def _torch_gate(input: Any) -> Any:
    """torch's own hardsigmoid multiplies float64 gradients by a float32 sixth."""
    return torch_function("relu6")(input + 3) / 6


SELU = (1.0507009873554804934193349852946, 1.6732632423543772848170429916717)


def _softplus(x: Any, beta: float = 1.0, threshold: float = 20.0) -> Any:
    return np.where(x * beta > threshold, x, np.logaddexp(0.0, x * beta) / beta)


def _softmin(x: Any, dim: int) -> Any:
    e = np.exp(x.min(axis=dim, keepdims=True) - x)
    return e / e.sum(axis=dim, keepdims=True)


def _glu(x: Any, dim: int = -1) -> Any:
    a, b = np.split(x, 2, axis=dim)
    return a / (1 + np.exp(-b))


def _maxout(x: Any, pieces: int, dim: int = 1) -> Any:
    shape = x.shape
    return x.reshape(*shape[:dim], shape[dim] // pieces, pieces, *shape[dim + 1 :]).max(axis=dim + 1)


def _torch_maxout(input: Any, pieces: int, dim: int = 1) -> Any:
    return input.unflatten(dim, (-1, pieces)).max(dim + 1).values


def _case(shape: tuple[int, ...], terms: int = 4, kind: str = "distinct", **options: Any) -> Case:
    name = "x".join(map(str, shape)) + "".join(f"-{k}{v}" for k, v in options.items())
    return Case(name, {"input": Array(shape, kind)} | options, terms, terms_grad=terms)


CHANNELS = (
    Op(
        "softmin",
        F.softmin,
        (_case((3, 7), 7, dim=1), _case((2, 5, 3), 5, dim=-2), _case((2, 3, 4, 5), 2, dim=0)),
        quiet(_softmin),
        torch_function("softmin"),
        ("input",),
        (ErrorCase("integers", {"input": Array((2, 3), "labels", high=4)}, TypeError, ("softmin", "int64")),),
    ),
    Op(
        "glu",
        F.glu,
        (_case((6,)), _case((3, 34)), _case((2, 6, 3, 5), dim=1), _case((2, 4, 3), dim=-2), _case((0, 4, 3), dim=1)),
        quiet(_glu),
        torch_function("glu"),
        ("input",),
        (
            ErrorCase("odd", {"input": Array((2, 5))}, ValueError, ("glu", "(2, 5)", "even")),
            ErrorCase("dim", {"input": Array((2, 4)), "dim": 2}, ValueError, ("glu", "dim is 2")),
            ErrorCase("integers", {"input": Array((2, 4), "labels", high=3)}, TypeError, ("glu", "int64")),
        ),
    ),
    Op(
        "maxout",
        F.maxout,
        (
            _case((3, 12), pieces=3),
            _case((2, 6, 3, 5), pieces=2),
            _case((2, 16, 3, 4), pieces=16),
            _case((4, 3, 2), pieces=2, dim=0),
            _case((2, 5, 3), pieces=1),
        ),
        quiet(_maxout),
        _torch_maxout,
        ("input",),
        (
            ErrorCase("divide", {"input": Array((2, 5)), "pieces": 2}, ValueError, ("maxout", "pieces is 2", "5")),
            ErrorCase(
                "integers", {"input": Array((2, 4), "labels", high=3), "pieces": 2}, TypeError, ("maxout", "int64")
            ),
        ),
    ),
)

OPS = (
    _op(F.relu6, lambda x: np.clip(x, 0, 6), bench=True),
    _op(
        F.hardtanh,
        lambda x, a=-1.0, b=1.0: np.clip(x, a, b),
        {},
        {"min_val": -2.5, "max_val": 3.0},
        errors=(ErrorCase("order", {"input": Array((3,)), "min_val": 2.0}, ValueError, ("hardtanh", "max_val", "2")),),
    ),
    _op(F.hardsigmoid, _gate, torch=_torch_gate, bench=True),
    _op(F.hardswish, lambda x: x * _gate(x), special=(NAN, INF, 0.0, 100.0, -100.0), bench=True),
    _op(
        F.threshold,
        lambda x, t, v: np.where(x <= t, v, x),
        {"threshold": 0.5, "value": -7.0},
        {"threshold": -1.0, "value": 0.0},
    ),
    _op(F.elu, lambda x, a=1.0: _elu(x, 1.0, a, 1.0), {}, {"alpha": 2.5}, bench=True),
    _op(F.selu, lambda x: _elu(x, *SELU, 1.0)),
    _op(
        F.celu,
        lambda x, a=1.0: _elu(x, 1.0, a, 1 / a),
        {},
        {"alpha": 2.5},
        errors=(ErrorCase("zero", {"input": Array((3,)), "alpha": 0.0}, ValueError, ("celu", "alpha is 0")),),
    ),
    _op(
        F.softshrink,
        lambda x, l=0.5: x - np.clip(x, -l, l),
        {},
        {"lambd": 2.0},
        special=(NAN, 0.0, 100.0, -100.0),
        errors=(ErrorCase("negative", {"input": Array((3,)), "lambd": -1.0}, ValueError, ("lambd is -1",)),),
    ),
    _op(F.hardshrink, lambda x, l=0.5: np.where(np.abs(x) <= l, 0.0, x), {}, {"lambd": 2.0}),
    _op(
        F.rrelu,
        lambda x, a=1 / 8, b=1 / 3: np.where(x > 0, x, (a + b) / 2 * x),
        {},
        {"lower": 0.1, "upper": 0.5},
        errors=(ErrorCase("order", {"input": Array((3,)), "lower": 0.9}, ValueError, ("rrelu", "0.9")),),
    ),
    _op(
        F.softplus,
        _softplus,
        {},
        {"beta": 2.0, "threshold": 3.0},
        special=(NAN, INF, 0.0, 100.0, -100.0),
        errors=(ErrorCase("zero", {"input": Array((3,)), "beta": 0.0}, ValueError, ("softplus", "beta is 0")),),
        bench=True,
    ),
    _op(F.mish, lambda x: x * np.tanh(np.logaddexp(0.0, x)), special=(NAN, INF, 0.0, 100.0, -100.0)),
    _op(F.logsigmoid, lambda x: -np.logaddexp(0.0, -x), special=(NAN, INF, 0.0, 100.0, -100.0, -1e4)),
    _op(F.softsign, lambda x: x / (1 + np.abs(x)), special=(NAN, 0.0, 1e4, -1e4)),
    _op(F.tanhshrink, lambda x: x - np.tanh(x)),
    *CHANNELS,
)
