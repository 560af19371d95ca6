"""adaptive_avg_pool2d and adaptive_max_pool2d."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

import fastcnn.functional as F
from tests.cases import Array, Case, ErrorCase, Op

SHAPES: tuple[tuple[tuple[int, ...], Any], ...] = (
    ((2, 3, 7, 5), 1),
    ((2, 17, 7, 5), (3, 2)),
    ((1, 33, 5, 11), (4, 3)),
    ((2, 8, 6, 8), (3, 4)),
    ((2, 5, 3, 4), (7, 9)),
    ((1, 4, 9, 6), (None, 4)),
    ((1, 4, 9, 6), (2, None)),
    ((2, 3, 1, 1), 1),
    ((2, 3, 4, 4), (2, 0)),
    ((0, 3, 6, 5), (2, 3)),
    ((1, 600, 11, 12), 1),
)


def axis(size: int, out: int | None) -> list[slice]:
    out = size if out is None else out
    return [slice(o * size // out, -(-(o + 1) * size // out)) for o in range(out)]


def output_windows(input: np.ndarray, output_size: Any) -> Iterator[tuple[int, int, slice, slice]]:
    sizes = output_size if isinstance(output_size, tuple) else (output_size, output_size)
    for i, h in enumerate(axis(input.shape[2], sizes[0])):
        for j, w in enumerate(axis(input.shape[3], sizes[1])):
            yield i, j, h, w


def output_of(input: np.ndarray, output_size: Any) -> np.ndarray:
    sizes = output_size if isinstance(output_size, tuple) else (output_size, output_size)
    return np.empty((*input.shape[:2], *(n if s is None else s for n, s in zip(input.shape[2:], sizes, strict=True))))


def mean_reference(input: np.ndarray, output_size: Any) -> np.ndarray:
    output = output_of(input, output_size)
    for i, j, h, w in output_windows(input, output_size):
        output[:, :, i, j] = input[:, :, h, w].mean((2, 3))
    return output


def max_reference(input: np.ndarray, output_size: Any, return_indices: bool = False) -> Any:
    output = output_of(input, output_size)
    indices = np.empty(output.shape, np.int64)
    positions = np.arange(input.shape[2] * input.shape[3]).reshape(input.shape[2:])
    for i, j, h, w in output_windows(input, output_size):
        window = input[:, :, h, w].reshape(*input.shape[:2], positions[h, w].size)
        output[:, :, i, j] = window.max(2)
        indices[:, :, i, j] = positions[h, w].ravel()[window.argmax(2)]  # a NaN counts as the largest
    return (output, indices) if return_indices else output


def torch_mean(**arguments: Any) -> Any:
    import torch.nn.functional

    return torch.nn.functional.adaptive_avg_pool2d(**arguments)


def torch_max(**arguments: Any) -> Any:
    import torch.nn.functional

    return torch.nn.functional.adaptive_max_pool2d(**arguments)


def label(shape: tuple[int, ...], output_size: Any) -> str:
    sizes = output_size if isinstance(output_size, tuple) else (output_size, output_size)
    return f"n{shape[0]}-c{shape[1]}-h{shape[2]}w{shape[3]}-to{sizes[0]}x{sizes[1]}"


def is_empty(output_size: Any) -> bool:
    """Whether the result has no elements; PyTorch refuses to differentiate such a pool."""
    return isinstance(output_size, tuple) and 0 in output_size


def mean_case(shape: tuple[int, ...], output_size: Any, bench: bool = False) -> Case:
    terms = shape[2] * shape[3]
    args = {"input": Array(shape), "output_size": output_size}
    grad = not is_empty(output_size)
    return Case(label(shape, output_size), args, terms=terms, terms_grad=terms, grad=grad, bench=bench)


def max_case(shape: tuple[int, ...], output_size: Any, special: tuple[float, ...] = ()) -> Case:
    args = {"input": Array(shape, "distinct", special=special), "output_size": output_size, "return_indices": True}
    name = label(shape, output_size) + ("-special" if special else "")
    grad = not special and not is_empty(output_size)
    return Case(name, args, terms_grad=shape[2] * shape[3], grad=grad)


def traffic(case: Case) -> int:
    return 4 * int(np.prod(case.args["input"].shape))


def flops(case: Case) -> int:
    return int(np.prod(case.args["input"].shape))


ERRORS = (
    ErrorCase("one-dimensional", {"input": Array((5,)), "output_size": 1}, ValueError, ("(5,)", "(N, C, H, W)")),
    ErrorCase("no-pixels", {"input": Array((2, 3, 0, 4)), "output_size": 1}, ValueError, ("(2, 3, 0, 4)", "pixels")),
    ErrorCase(
        "negative-size", {"input": Array((2, 3, 4, 4)), "output_size": (2, -1)}, ValueError, ("(2, -1)", "negative")
    ),
    ErrorCase("three-sizes", {"input": Array((2, 3, 4, 4)), "output_size": (2, 1, 1)}, ValueError, ("3 numbers",)),
    ErrorCase(
        "labels", {"input": Array((2, 3, 4, 4), "labels", high=3), "output_size": 1}, TypeError, ("int64", "float32")
    ),
)

OPS = (
    Op(
        "adaptive_avg_pool2d",
        F.adaptive_avg_pool2d,
        (*(mean_case(*shape) for shape in SHAPES), mean_case((8, 2048, 7, 7), 1, bench=True)),
        mean_reference,
        torch_mean,
        ("input",),
        ERRORS,
        flops,
        traffic,
    ),
    Op(
        "adaptive_max_pool2d",
        F.adaptive_max_pool2d,
        (
            *(max_case(*shape) for shape in SHAPES),
            max_case((1, 2, 40, 20), 2),
            max_case((2, 18, 6, 5), (3, 2), (float("nan"), float("inf"), -float("inf"))),
        ),
        max_reference,
        torch_max,
        ("input",),
        ERRORS,
        flops,
        traffic,
        exact=True,
    ),
)
