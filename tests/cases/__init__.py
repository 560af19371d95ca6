"""Case tables: one module per op, read by the tests and by the benchmarks.

A module `tests/cases/<op>.py` defines `OPS: tuple[Op, ...]`. Everything else (float64 reference, parity of the
instruction sets, gradients, the PyTorch oracle, error messages, timing) walks these tables.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Array:
    """A random tensor argument.

    kind: "uniform" in [low, high), "normal", "labels" (int64 in [0, high)), "bool", "probabilities" (rows of dim 1 sum
    to 1), "distinct" (a shuffled arithmetic sequence: no ties, for max/sort).
    special: values written to random positions afterwards, e.g. (nan, inf).
    """

    shape: tuple[int, ...]
    kind: str = "uniform"
    low: float = -1.0
    high: float = 1.0
    special: tuple[float, ...] = ()

    def make(self, rng: np.random.Generator) -> np.ndarray:
        """float64 (or int64/bool) values; float32 runs use the same values rounded."""
        if self.kind == "labels":
            return rng.integers(0, int(self.high), self.shape, dtype=np.int64)
        if self.kind == "bool":
            return rng.random(self.shape) < 0.5
        if self.kind == "normal":
            values = rng.standard_normal(self.shape)
        elif self.kind == "probabilities":
            values = rng.random(self.shape) + 0.1
            values = values / values.sum(axis=1 if len(self.shape) > 1 else 0, keepdims=True)
        elif self.kind == "distinct":
            size = int(np.prod(self.shape))
            values = (rng.permutation(size) - size / 2.0).reshape(self.shape) / max(size, 1) * 4.0
        else:
            values = rng.uniform(self.low, self.high, self.shape)
        values = values.astype(np.float32).astype(np.float64)  # exactly representable in both precisions
        if self.special and values.size:
            flat = values.reshape(-1)
            flat[rng.choice(values.size, min(len(self.special), values.size), replace=False)] = self.special[
                : values.size
            ]
        return values


@dataclass(frozen=True)
class Case:
    """One call. `args` are keyword arguments in call order: `Array`s become tensors, anything else is passed as is.

    terms: length of the longest sum behind one output element; terms_grad the same for gradients (default: the number
    of elements of the largest argument). They set the tolerance, together with the dtype and nothing else.
    """

    id: str
    args: dict[str, Any]
    terms: int = 1
    terms_grad: int | None = None
    grad: bool = True  # False: forward only (NaN inputs, integer results)
    bench: bool = False  # True: a size worth timing; skipped by the tests unless small


@dataclass(frozen=True)
class ErrorCase:
    """A misuse: calling must raise `exception` with all of `words` in its message and change no argument."""

    id: str
    args: dict[str, Any]
    exception: type[Exception]
    words: tuple[str, ...]
    words_on_cuda: tuple[str, ...] | None = None  # where a kernel finds the mistake, after the call: no shapes known


@dataclass(frozen=True)
class Op:
    """An op of the public API with its oracles and its cases."""

    name: str
    run: Callable[..., Any]  # fastcnn: Tensors in, Tensor or tuple of Tensors out
    cases: tuple[Case, ...]
    reference: Callable[..., Any] | None = None  # NumPy, float64: arrays in, array or tuple of arrays out
    torch: Callable[..., Any] | None = None  # PyTorch: import torch inside; tensors in, tensor or tuple out
    differentiable: tuple[str, ...] = ()  # names of the tensor arguments that receive gradients
    errors: tuple[ErrorCase, ...] = ()
    flops: Callable[[Case], int] | None = None  # of one forward
    bytes: Callable[[Case], int] | None = None  # least memory traffic of one float32 forward
    exact: bool = False  # bitwise results expected (copies, comparisons, integer outputs)
    float32_arguments: tuple[str, ...] = ()  # stay float32 in bfloat16 runs: statistics, parameters with float32 state
    tags: frozenset[str] = field(default_factory=frozenset)


def all_ops() -> Iterator[Op]:
    """Every `Op` of every module in this package."""
    for module in sorted(pkgutil.iter_modules(__path__), key=lambda m: m.name):
        yield from importlib.import_module(f"{__name__}.{module.name}").OPS


def tolerance(dtype: str, terms: int, scale: float = 1.0) -> float:
    """Absolute tolerance for a sum of `terms` products whose operands are of magnitude `scale`.

    The one formula of the test suite: rounding errors of a sum grow like a random walk, sqrt(terms) * eps; the factor 8
    leaves room for several rounded steps per term (exp, division, fused epilogues).
    """
    if dtype == "bfloat16":  # sums are float32; a few values on the way, and the result, are rounded to 8 bits
        return 3.0 * 2.0**-8 * max(scale, 1e-3) + tolerance("float32", terms, scale)
    eps = {"float32": np.finfo(np.float32).eps, "float64": np.finfo(np.float64).eps}[dtype]
    return float(8.0 * eps * max(terms, 1) ** 0.5 * max(scale, 1e-3))
