"""avg_pool2d."""

from __future__ import annotations

from typing import Any

import numpy as np

import fastcnn.functional as F
from tests.cases import Array, Case, Op
from tests.cases.max_pool2d import INF, NAN, WINDOW_ERRORS, error, flops, label, output_size, pair, traffic


def reference(
    input: np.ndarray,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> np.ndarray:
    kernel, step, pad = map(pair, (kernel_size, kernel_size if stride is None else stride, padding))
    sizes = input.shape[2:]
    out = [output_size(sizes[i], kernel[i], step[i], pad[i], 1, ceil_mode) for i in (0, 1)]
    # Beyond input and padding lie NaNs, which are not part of the window.
    beyond = [(0, 0), (0, 0), *((p, p) for p in pad)]
    values = np.pad(np.pad(input, beyond), [(0, 0), (0, 0), (0, kernel[0]), (0, kernel[1])])
    inside = np.pad(np.ones(sizes), beyond[2:], constant_values=0.0 if not count_include_pad else 1.0)
    inside = np.pad(inside, [(0, kernel[0]), (0, kernel[1])])
    output = np.empty((*input.shape[:2], *out))
    for i in range(out[0]):
        for j in range(out[1]):
            window = np.s_[i * step[0] : i * step[0] + kernel[0], j * step[1] : j * step[1] + kernel[1]]
            divisor = divisor_override or inside[window].sum()
            output[:, :, i, j] = values[(..., *window)].sum((2, 3)) / divisor
    return output


def torch_avg_pool2d(**arguments: Any) -> Any:
    import torch.nn.functional

    return torch.nn.functional.avg_pool2d(**arguments)


def case(
    shape: tuple[int, ...],
    kernel: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    special: tuple[float, ...] = (),
    bench: bool = False,
) -> Case:
    name = label(shape, kernel, kernel if stride is None else stride, padding, 1, ceil_mode)
    options = [("-special", special), ("-inside", not count_include_pad), (f"-by{divisor_override}", divisor_override)]
    return Case(
        name + "".join(text for text, used in options if used),
        {
            "input": Array(shape, special=special),
            "kernel_size": kernel,
            "stride": stride,
            "padding": padding,
            "ceil_mode": ceil_mode,
            "count_include_pad": count_include_pad,
            "divisor_override": divisor_override,
        },
        terms=int(np.prod(pair(kernel))),
        terms_grad=int(np.prod(pair(kernel))),
        grad=not special,
        bench=bench,
    )


OPS = (
    Op(
        "avg_pool2d",
        F.avg_pool2d,
        (
            *(case((2, c, 5, 6), 2) for c in (1, 3, 7, 8, 15, 16, 17, 33, 50, 65, 100, 129, 250)),
            case((2, 3, 9, 7), (3, 2), (2, 1), (1, 0)),
            case((2, 3, 9, 7), (3, 2), (2, 1), (1, 1), count_include_pad=False),
            case((2, 17, 8, 9), (3, 4), (2, 3), (1, 2), ceil_mode=True),
            case((2, 17, 8, 9), (3, 4), (2, 3), (1, 2), ceil_mode=True, count_include_pad=False),
            case((2, 17, 8, 9), (3, 4), (2, 3), (1, 2), ceil_mode=True, divisor_override=5),
            case((1, 4, 6, 8), 2, 3, ceil_mode=True),
            case((1, 2, 4, 5), 1, 3, ceil_mode=True, count_include_pad=False),
            case((1, 3, 7, 6), (7, 6), divisor_override=-2),
            case((3, 6, 1, 1), 1),
            case((0, 3, 6, 5), 2),
            case((2, 18, 6, 5), (2, 3), 1, special=(NAN, INF, -INF)),
            case((64, 6, 28, 28), 2, bench=True),
            case((64, 16, 10, 10), 2, bench=True),
            case((64, 20, 28, 28), 2, bench=True),
            case((8, 64, 112, 112), 2, bench=True),
            case((8, 64, 56, 56), 3, 2, 1, bench=True),
        ),
        reference,
        torch_avg_pool2d,
        ("input",),
        (*WINDOW_ERRORS, error("zero-divisor", ("divisor_override is 0",), divisor_override=0)),
        flops,
        traffic,
    ),
)
