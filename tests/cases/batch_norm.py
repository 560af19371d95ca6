"""batch_norm: its output, and as an op of its own what becomes of the running statistics."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import fastcnn as fc
import fastcnn.functional as F
from tests.cases import Array, Case, ErrorCase, Op


def run_both(
    input: fc.Tensor, running_mean: fc.Tensor | None, running_var: fc.Tensor | None, **arguments: Any
) -> tuple[fc.Tensor, ...]:
    """The output and the new running statistics; the arguments stay as they are."""
    running = [None if b is None else fc.tensor(b) for b in (running_mean, running_var)]
    output = F.batch_norm(input, *running, **arguments)
    return (output, *(b for b in running if b is not None))


def along_channels(values: np.ndarray, rank: int) -> np.ndarray:
    return values.reshape(1, -1, *(1,) * (rank - 2))


def reference_both(
    input: np.ndarray,
    running_mean: np.ndarray | None,
    running_var: np.ndarray | None,
    weight: np.ndarray | None = None,
    bias: np.ndarray | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
    activation: str | None = None,
    residual: np.ndarray | None = None,
) -> Any:
    axes = (0, *range(2, input.ndim))
    count = input.size // input.shape[1]
    mean, var = running_mean, running_var
    running = [running_mean, running_var]
    if training and count:
        mean, var = input.mean(axes), input.var(axes)
        new = (mean, var * count / (count - 1))
        running = [
            None if old is None else (1 - momentum) * old + momentum * n for old, n in zip(running, new, strict=True)
        ]
    output = np.zeros_like(input)
    if count:
        assert mean is not None
        assert var is not None
        scale = (1.0 if weight is None else weight) / np.sqrt(var + eps)
        output = (input - along_channels(mean, input.ndim)) * along_channels(scale, input.ndim)
        output = output if bias is None else output + along_channels(bias, input.ndim)
        output = output if residual is None else output + residual
        output = output if activation is None else np.maximum(output, 0.0)
    return (output, *(b for b in running if b is not None))


def torch_both(
    input: Any, running_mean: Any, running_var: Any, activation: Any = None, residual: Any = None, **arguments: Any
) -> Any:
    import torch.nn.functional

    running = [None if b is None else b.clone() for b in (running_mean, running_var)]
    output = torch.nn.functional.batch_norm(input, *running, **arguments)
    output = output if residual is None else output + residual
    output = output if activation is None else output.relu()
    return (output, *(b for b in running if b is not None))


def case(
    shape: tuple[int, ...],
    training: bool = True,
    tracked: bool = True,
    affine: bool | str = True,
    activation: str | None = None,
    residual: bool = False,
    momentum: float = 0.1,
    bench: bool = False,
) -> Case:
    C = shape[1]
    names = (("eval", not training), ("untracked", not tracked), (f"affine-{affine}".lower(), affine is not True))
    more = (("relu", activation), ("residual", residual), (f"momentum{momentum}", momentum != 0.1))
    args = {
        "input": Array(shape, low=-2.0, high=3.0),
        "running_mean": Array((C,)) if tracked else None,
        "running_var": Array((C,), low=0.5, high=2.0) if tracked else None,
        "weight": Array((C,), low=0.5, high=1.5) if affine in (True, "weight") else None,
        "bias": Array((C,)) if affine in (True, "bias") else None,
        "training": training,
        "momentum": momentum,
        "eps": 1e-5,
        "activation": activation,
        "residual": Array(shape) if residual else None,
    }
    rows = max(int(np.prod(shape)) // C, 1)
    name = "-".join(["x".join(map(str, shape)), *(text for text, used in (*names, *more) if used)])
    return Case(name, args, terms=rows, terms_grad=rows, bench=bench)


# The dtype of the parameters and their state beside bfloat16 activations.
FLOAT32 = ("weight", "bias", "running_mean", "running_var")


def error(name: str, words: tuple[str, ...], exception: type[Exception] = ValueError, **arguments: Any) -> ErrorCase:
    args = {
        "input": Array((4, 3, 2, 2)),
        "running_mean": Array((3,)),
        "running_var": Array((3,), low=0.5),
        "training": True,
        **arguments,
    }
    return ErrorCase(name, args, exception, words)


def flops(case: Case) -> int:
    return (7 if case.args["training"] else 2) * int(np.prod(case.args["input"].shape))


def traffic(case: Case) -> int:
    return (12 if case.args["training"] else 8) * int(np.prod(case.args["input"].shape))


def first(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda **arguments: function(**arguments)[0]


def rest(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda **arguments: function(**arguments)[1:]


OPS = (
    Op(
        "batch_norm",
        first(run_both),
        (
            *(case((5, c, 3, 4)) for c in (1, 3, 7, 8, 15, 16, 17, 31, 33, 48, 65)),
            case((7, 5)),
            case((3, 20, 6)),
            case((2, 3, 2, 3, 4)),
            case((300, 18)),
            case((40, 2, 5, 7)),
            case((3, 260, 2, 2)),
            case((4, 5, 3, 2), training=False),
            case((1, 19, 1, 1), training=False),
            case((4, 5, 3, 2), tracked=False),
            case((4, 5, 3, 2), affine=False),
            case((4, 5, 3, 2), affine="weight"),
            case((4, 5, 3, 2), affine="bias"),
            case((4, 5, 3, 2), training=False, affine=False),
            case((4, 5, 3, 2), momentum=0.7),
            case((4, 18, 3, 2), activation="relu"),
            case((4, 18, 3, 2), residual=True),
            case((4, 18, 3, 2), activation="relu", residual=True),
            case((4, 18, 3, 2), training=False, activation="relu"),
            case((4, 18, 3, 2), training=False, activation="relu", residual=True),
            case((0, 3, 4, 5)),
            case((0, 3), residual=True),
            case((0, 3, 4, 5), training=False),
            case((8, 64, 56, 56), bench=True),
            case((8, 256, 14, 14), bench=True),
            case((8, 64, 56, 56), training=False, bench=True),
            case((8, 256, 56, 56), activation="relu", bench=True),
            case((8, 256, 56, 56), activation="relu", residual=True, bench=True),
            case((8, 1024, 14, 14), activation="relu", residual=True, bench=True),
        ),
        first(reference_both),
        first(torch_both),
        ("input", "weight", "bias", "residual"),
        (
            error("one-dimensional", ("(3,)", "(N, C)"), input=Array((3,))),
            error("one-value", ("more than 1 value per channel", "(1, 3, 1, 1)"), input=Array((1, 3, 1, 1))),
            error("one-row", ("more than 1 value per channel", "(1, 3)"), input=Array((1, 3))),
            error("wrong-channels", ("running_mean", "(3,)", "4 channels"), input=Array((2, 4, 2, 2))),
            error("wrong-weight", ("weight", "(5,)", "3 channels"), weight=Array((5,))),
            error("wrong-residual", ("residual", "(4, 3, 2, 1)"), residual=Array((4, 3, 2, 1))),
            error("no-statistics", ("running_mean", "training"), running_mean=None, running_var=None, training=False),
            error("zero-eps", ("eps is 0", "positive"), eps=0.0),
            error("nan-eps", ("eps is nan", "positive"), eps=float("nan")),
            error("unknown-activation", ("activation is 'gelu'", "'relu'"), activation="gelu"),
            error("no-momentum", ("momentum None", "num_batches_tracked"), momentum=None),
            error("labels", ("int64", "float32"), TypeError, input=Array((4, 3, 2, 2), "labels", high=4)),
        ),
        flops,
        traffic,
        float32_arguments=FLOAT32,
    ),
    Op(
        "batch_norm_running",
        rest(run_both),
        (
            *(case((5, c, 3, 4)) for c in (1, 3, 16, 33)),
            case((300, 18), momentum=0.7),
            case((3, 20, 6), momentum=1.0, affine=False),
            case((4, 5, 3, 2), training=False),
            case((0, 3, 4, 5)),
        ),
        rest(reference_both),
        rest(torch_both),
        float32_arguments=FLOAT32,
    ),
)
