"""max_pool2d."""

from __future__ import annotations

from typing import Any

import numpy as np

import fastcnn.functional as F
from tests.cases import Array, Case, ErrorCase, Op

Pair = tuple[int, int]
NAN, INF = float("nan"), float("inf")


def pair(value: int | Pair) -> Pair:
    return value if isinstance(value, tuple) else (value, value)


def output_size(size: int, kernel: int, stride: int, padding: int, dilation: int, ceil_mode: bool) -> int:
    slack = size + 2 * padding - dilation * (kernel - 1) - 1
    out = -(-slack // stride) + 1 if ceil_mode else slack // stride + 1
    return out - 1 if ceil_mode and (out - 1) * stride >= size + padding else out


def label(
    shape: tuple[int, ...], kernel: Any, stride: Any, padding: Any, dilation: Any = 1, ceil_mode: bool = False
) -> str:
    numbers = [
        f"{name}{'x'.join(map(str, pair(v)))}"
        for name, v in zip("kspd", (kernel, stride, padding, dilation), strict=True)
    ]
    return "-".join([f"n{shape[0]}-c{shape[1]}-h{shape[2]}w{shape[3]}", *numbers]) + ("-ceil" if ceil_mode else "")


def windows(size: int, kernel: int, stride: int, padding: int, dilation: int, ceil_mode: bool) -> list[list[int]]:
    """Input positions that every output sees along one axis."""
    out = output_size(size, kernel, stride, padding, dilation, ceil_mode)
    taps = [[o * stride - padding + k * dilation for k in range(kernel)] for o in range(out)]
    return [[t for t in window if 0 <= t < size] for window in taps]


def reference(
    input: np.ndarray,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    conf = zip(*map(pair, (kernel_size, kernel_size if stride is None else stride, padding, dilation)), strict=True)
    rows, columns = (windows(n, *c, ceil_mode) for n, c in zip(input.shape[2:], conf, strict=True))
    output = np.empty((*input.shape[:2], len(rows), len(columns)))
    indices = np.empty(output.shape, np.int64)
    for i, h in enumerate(rows):
        for j, w in enumerate(columns):
            window = input[:, :, h][:, :, :, w].reshape(*input.shape[:2], len(h) * len(w))
            flat = np.add.outer(np.array(h) * input.shape[3], w).ravel()
            nan = np.isnan(window)
            last_nan = nan.shape[2] - 1 - nan[:, :, ::-1].argmax(2)
            winner = np.where(nan.any(2), last_nan, np.where(nan, -np.inf, window).argmax(2))
            output[:, :, i, j] = np.take_along_axis(window, winner[..., None], 2)[..., 0]
            indices[:, :, i, j] = flat[winner]
    return (output, indices) if return_indices else output


def torch_max_pool2d(**arguments: Any) -> Any:
    import torch.nn.functional

    return torch.nn.functional.max_pool2d(**arguments)


def case(
    shape: tuple[int, ...],
    kernel: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
    special: tuple[float, ...] = (),
    bench: bool = False,
) -> Case:
    name = label(shape, kernel, kernel if stride is None else stride, padding, dilation, ceil_mode)
    suffix = ("-indices" if return_indices else "") + ("-special" if special else "")
    return Case(
        name + suffix,
        {
            "input": Array(shape, "normal" if bench else "distinct", special=special),
            "kernel_size": kernel,
            "stride": stride,
            "padding": padding,
            "dilation": dilation,
            "ceil_mode": ceil_mode,
            "return_indices": return_indices,
        },
        terms_grad=int(np.prod(pair(kernel))),
        grad=not special,
        bench=bench,
    )


def output_numel(case: Case) -> int:
    a = case.args
    stride = a["kernel_size"] if a["stride"] is None else a["stride"]
    conf = zip(*map(pair, (a["kernel_size"], stride, a["padding"], a.get("dilation", 1))), strict=True)
    sizes = [output_size(n, *c, a["ceil_mode"]) for n, c in zip(a["input"].shape[2:], conf, strict=True)]
    return int(np.prod(a["input"].shape[:2])) * sizes[0] * sizes[1]


def flops(case: Case) -> int:
    return output_numel(case) * int(np.prod(pair(case.args["kernel_size"])))


def traffic(case: Case) -> int:
    return 4 * (int(np.prod(case.args["input"].shape)) + output_numel(case))


def error(name: str, words: tuple[str, ...], exception: type[Exception] = ValueError, **arguments: Any) -> ErrorCase:
    return ErrorCase(name, {"input": Array((2, 3, 6, 5)), "kernel_size": 2, **arguments}, exception, words)


WINDOW_ERRORS = (
    error("two-dimensional", ("(6, 5)", "(N, C, H, W)"), input=Array((6, 5))),
    error("no-pixels", ("(2, 3, 0, 5)", "batch"), input=Array((2, 3, 0, 5))),
    error("no-channels", ("(2, 0, 6, 5)", "batch"), input=Array((2, 0, 6, 5))),
    error("zero-kernel", ("kernel_size is 0", "height"), kernel_size=(0, 2)),
    error("three-numbers", ("kernel_size has 3 numbers",), kernel_size=(2, 2, 2)),
    error("zero-stride", ("stride is 0", "width"), stride=(1, 0)),
    error("negative-padding", ("padding is -1",), padding=-1),
    error("large-padding", ("padding is 2", "half of kernel_size 3"), kernel_size=3, padding=2),
    error("large-kernel", ("kernel_size 7", "height", "(2, 3, 6, 5)"), kernel_size=(7, 2)),
    error("absurd-kernel", ("kernel_size",), kernel_size=2**62),
    error("labels", ("input is int64", "float32"), TypeError, input=Array((2, 3, 6, 5), "labels", high=5)),
)

OPS = (
    Op(
        "max_pool2d",
        F.max_pool2d,
        (
            *(case((2, c, 5, 6), 2, return_indices=c % 2 == 0) for c in (1, 3, 7, 8, 15, 16, 17, 20, 33, 50, 65)),
            case((2, 3, 9, 7), (3, 2), (2, 1), (1, 0)),
            case((2, 5, 9, 7), (3, 2), (2, 1), (1, 1), (2, 3), return_indices=True),
            case((1, 17, 11, 8), (2, 3), (3, 2), (1, 1), (1, 2), True, True),
            case((2, 4, 7, 5), 3, 2, 1, ceil_mode=True, return_indices=True),
            case((2, 4, 8, 9), 2, 3, ceil_mode=True),
            case((1, 2, 4, 5), 1, 3, ceil_mode=True),
            case((2, 19, 10, 9), (5, 4), (2, 3), (2, 2)),
            case((1, 3, 19, 18), (17, 16), 1, (3, 0), return_indices=True),
            case((3, 6, 1, 1), 1),
            case((0, 3, 6, 5), 2, return_indices=True),
            case((2, 18, 6, 5), (2, 3), 1, special=(NAN, NAN, NAN, INF, -INF, -INF), return_indices=True),
            case((1, 3, 6, 6), 2, special=(NAN,) * 30, return_indices=True),
            case((64, 6, 28, 28), 2, bench=True),
            case((64, 20, 28, 28), 2, bench=True),
            case((64, 50, 14, 14), 2, bench=True),
            case((8, 64, 112, 112), 3, 2, 1, bench=True),
        ),
        reference,
        torch_max_pool2d,
        ("input",),
        (
            *WINDOW_ERRORS,
            error("zero-dilation", ("dilation is 0",), dilation=0),
            error("large-dilation", ("dilation 6", "covers 7"), dilation=6),
        ),
        flops,
        traffic,
        exact=True,
    ),
)
