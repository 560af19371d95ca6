"""Pools in one and three dimensions, special pools, and resampling."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fastcnn import functional as F

from . import Array, Case, ErrorCase, Op
from .activations import torch_function


def _case(shape: tuple[int, ...], title: str = "", terms: int = 30, kind: str = "distinct", **options: Any) -> Case:
    text = "".join(f"-{k}{v}" for k, v in options.items() if not hasattr(v, "shape")).replace(" ", "")
    name = "x".join(map(str, shape)) + title + text
    return Case(name, {"input": Array(shape, kind)} | options, terms=terms, terms_grad=4 * terms)


def _op(name: str, cases: tuple[Case, ...], errors: tuple[ErrorCase, ...], reference: Any = None) -> Op:
    return Op(name, getattr(F, name), cases, reference, torch_function(name), ("input",), errors)


def _error(shape: tuple[int, ...], *words: str, title: str = "rank", **options: Any) -> ErrorCase:
    return ErrorCase(title, {"input": Array(shape)} | options, ValueError, words)


def _sum_pool(input: Any, kernel_size: int, stride: int | None = None, padding: int = 0) -> Any:
    x = np.pad(input, [(0, 0), (0, 0), (padding, padding), (padding, padding)])
    windows = np.lib.stride_tricks.sliding_window_view(x, (kernel_size, kernel_size), (2, 3))
    step = stride or kernel_size
    return windows[:, :, ::step, ::step].sum((-2, -1))


def _torch_sum_pool(input: Any, kernel_size: int, stride: int | None = None, padding: int = 0) -> Any:
    return torch_function("avg_pool2d")(input, kernel_size, stride, padding, divisor_override=1)


def _pyramid(input: Any, output_sizes: tuple[int, ...] = (4, 2, 1), mode: str = "max") -> Any:
    grids = []
    for side in output_sizes:
        cells = np.empty((*input.shape[:2], side, side))
        for i, j in np.ndindex(side, side):
            (a, b), (c, d) = (
                (math.floor(t * n / side), math.ceil((t + 1) * n / side))
                for t, n in zip((i, j), input.shape[2:], strict=True)
            )
            patch = input[:, :, a:b, c:d]
            cells[:, :, i, j] = patch.max((2, 3)) if mode == "max" else patch.mean((2, 3))
        grids.append(cells.reshape(len(input), -1))
    return np.concatenate(grids, 1)


def _torch_pyramid(input: Any, output_sizes: tuple[int, ...] = (4, 2, 1), mode: str = "max") -> Any:
    import torch

    pool = torch_function(f"adaptive_{mode}_pool2d")
    return torch.cat([pool(input, side).flatten(1) for side in output_sizes], 1)


def _blur(input: Any, filt_size: int = 4, stride: int = 2, pad_type: str = "reflect") -> Any:
    line = np.array([math.comb(filt_size - 1, i) for i in range(filt_size)], float)
    window = np.outer(line, line) / line.sum() ** 2
    before, after = (filt_size - 1) // 2, filt_size // 2
    mode = {"reflect": "reflect", "replicate": "edge", "constant": "constant"}[pad_type]
    x = np.pad(input, [(0, 0), (0, 0), (before, after), (before, after)], mode=mode)
    views = np.lib.stride_tricks.sliding_window_view(x, window.shape, (2, 3))[:, :, ::stride, ::stride]
    return (views * window).sum((-2, -1))


def _torch_blur(input: Any, filt_size: int = 4, stride: int = 2, pad_type: str = "reflect") -> Any:
    import torch

    line = torch.tensor([float(math.comb(filt_size - 1, i)) for i in range(filt_size)], dtype=input.dtype)
    window = (torch.outer(line, line) / line.sum() ** 2).expand(input.shape[1], 1, -1, -1)
    before, after = (filt_size - 1) // 2, filt_size // 2
    x = torch.nn.functional.pad(input, (before, after, before, after), pad_type)
    return torch.nn.functional.conv2d(x, window, stride=stride, groups=input.shape[1])


SAMPLES = np.random.default_rng(0).random((2, 3, 2))
SWITCHES = np.array([[[[0, 5], [11, 12]], [[1, 2], [8, 15]]]])
SWITCHES_1D = np.array([[[1, 2, 5], [0, 3, 4]]])
SWITCHES_3D = np.array([[[[[13, 2]], [[31, 47]]], [[[0, 19]], [[44, 27]]]]])  # in volumes of (4, 3, 4)


def _unpool_errors(op: str, switches: np.ndarray, size: int, shape: str, largest: str) -> tuple[ErrorCase, ...]:
    """For a pool with windows of 2 (3 along the height of a volume)."""
    kernel: Any = (2, 3, 2) if switches.ndim == 5 else 2

    def misuse(title: str, error: type[Exception], *words: str, **changes: Any) -> ErrorCase:
        arguments = {"input": Array(switches.shape), "indices": switches, "kernel_size": kernel} | changes
        return ErrorCase(title, arguments, error, (op, *words))

    too_long = (*switches.shape[:-1], switches.shape[-1] + 1)
    return (
        misuse("shape", ValueError, str(too_long), shape, input=Array(too_long)),
        misuse("rank", ValueError, shape, input=Array((2,)), indices=np.array([0, 1])),
        misuse("dtype", TypeError, "float", "int64", indices=Array(switches.shape)),
        misuse("range", IndexError, largest, indices=switches + size),
        misuse("negative", IndexError, "-3", indices=switches - switches.min() - 3),
        misuse("numbers", ValueError, "output_size is (1, 2, 3, 4, 5, 6)", output_size=(1, 2, 3, 4, 5, 6)),
        misuse("size", ValueError, "output_size", "strictly between", output_size=(2,) * (switches.ndim - 2)),
    )


OPS = (
    _op(
        "max_pool1d",
        (
            _case((2, 3, 9), kernel_size=2),
            _case((2, 3, 10), kernel_size=3, stride=2, padding=1, ceil_mode=True),
            _case((3, 9), kernel_size=3, dilation=2, stride=1, return_indices=True),
        ),
        (_error((2, 3, 4, 4), "max_pool1d", "(N, C, L)", kernel_size=2),),
    ),
    _op(
        "avg_pool1d",
        (
            _case((2, 3, 9), kernel_size=2),
            _case((2, 3, 10), kernel_size=3, stride=2, padding=1, ceil_mode=True, count_include_pad=False),
            _case((3, 9), kernel_size=3),
        ),
        (_error((2, 3, 4, 4), "avg_pool1d", "(N, C, L)", kernel_size=2),),
    ),
    _op(
        "max_pool3d",
        (
            _case((2, 3, 4, 6, 5), kernel_size=2),
            _case((1, 2, 5, 6, 7), kernel_size=(2, 3, 3), stride=(1, 2, 2), padding=(1, 1, 0), return_indices=True),
            _case((1, 2, 7, 5, 6), kernel_size=2, dilation=(3, 1, 2), ceil_mode=True, return_indices=True),
            _case((2, 4, 5, 4), kernel_size=3),
        ),
        (
            _error((2, 3, 4), "max_pool3d", "(N, C, D, H, W)", kernel_size=2),
            _error((1, 2, 4, 4, 4), "kernel_size is (1, 2)", title="kernel", kernel_size=(1, 2)),
        ),
    ),
    _op(
        "avg_pool3d",
        (
            _case((2, 3, 4, 6, 5), kernel_size=2),
            _case((1, 2, 5, 6, 7), kernel_size=(2, 3, 3), stride=(1, 2, 2), padding=(1, 1, 0)),
            _case((1, 2, 5, 6, 7), kernel_size=3, stride=2, padding=1, ceil_mode=True, count_include_pad=False),
            _case((2, 4, 5, 4), kernel_size=2, divisor_override=3),
        ),
        (_error((2, 3, 4), "avg_pool3d", "(N, C, D, H, W)", kernel_size=2),),
    ),
    _op(
        "adaptive_avg_pool1d",
        (_case((2, 3, 10), output_size=3), _case((3, 7), output_size=1)),
        (_error((2, 3, 4, 4), "adaptive_avg_pool1d", "(N, C, L)", output_size=2),),
    ),
    _op(
        "adaptive_max_pool1d",
        (_case((2, 3, 10), output_size=3), _case((3, 7), output_size=2, return_indices=True)),
        (_error((2, 3, 4, 4), "adaptive_max_pool1d", "(N, C, L)", output_size=2),),
    ),
    _op(
        "adaptive_avg_pool3d",
        (_case((2, 3, 5, 6, 7), output_size=(2, 4, 3), terms=200), _case((2, 4, 5, 3), output_size=1, terms=60)),
        (_error((2, 3, 4), "adaptive_avg_pool3d", "(N, C, D, H, W)", output_size=2),),
    ),
    _op(
        "adaptive_max_pool3d",
        (_case((2, 3, 5, 6, 7), output_size=(2, None, 3)), _case((2, 4, 5, 3), output_size=2)),
        (_error((2, 3, 4), "adaptive_max_pool3d", "(N, C, D, H, W)", output_size=2),),
    ),
    _op(
        "lp_pool1d",
        (
            _case((2, 3, 9), norm_type=2, kernel_size=2, kind="uniform"),
            _case((3, 9), norm_type=math.inf, kernel_size=3, stride=2, ceil_mode=True),
        ),
        (
            _error((2, 3, 4), "lp_pool1d", "norm_type is 0", title="type", norm_type=0, kernel_size=2),
            _error((2, 3, 4, 4), "lp_pool1d", "(N, C, L)", norm_type=2, kernel_size=2),
        ),
    ),
    _op(
        "lp_pool2d",
        (
            Case("p2", {"input": Array((2, 3, 6, 7), low=0.5, high=2.0), "norm_type": 2, "kernel_size": 2}, 16),
            Case("p3", {"input": Array((1, 3, 6, 7), low=0.5, high=2.0), "norm_type": 3.0, "kernel_size": (2, 3),
                        "stride": 1, "ceil_mode": True}, 16, 64),
            _case((1, 3, 6, 7), norm_type=math.inf, kernel_size=(2, 3)),
            _case((3, 6, 7), norm_type=-math.inf, kernel_size=3, stride=1),
        ),
        (
            _error((2, 3, 4, 4), "lp_pool2d", "norm_type is 0", title="type", norm_type=0, kernel_size=2),
            _error((2, 3), "lp_pool2d", "(N, C, H, W)", norm_type=2, kernel_size=2),
        ),
    ),
    _op(
        "lp_pool3d",
        (
            Case("p2", {"input": Array((2, 3, 4, 6, 5), low=0.5, high=2.0), "norm_type": 2, "kernel_size": 2}, 24),
            Case("p3", {"input": Array((1, 2, 5, 6, 7), low=0.5, high=2.0), "norm_type": 3.0,
                        "kernel_size": (2, 3, 2), "stride": (1, 2, 2), "ceil_mode": True}, 32, 128),
            Case("volume", {"input": Array((2, 4, 5, 4), low=0.5, high=2.0), "norm_type": 1.5, "kernel_size": 3}, 64),
            _case((1, 2, 4, 5, 4), norm_type=math.inf, kernel_size=2),
        ),
        (
            _error((2, 3, 4, 4, 4), "lp_pool3d", "norm_type is 0", title="type", norm_type=0, kernel_size=2),
            _error((2, 3, 4), "lp_pool3d", "(N, C, D, H, W)", norm_type=2, kernel_size=2),
            _error((1, 2, 4, 4, 4), "lp_pool3d", "(1, 2)", title="kernel", norm_type=2, kernel_size=(1, 2)),
        ),
    ),
    Op(
        "sum_pool2d",
        F.sum_pool2d,
        (_case((2, 3, 6, 8), kernel_size=2), _case((1, 2, 7, 7), kernel_size=3, stride=2, padding=1)),
        _sum_pool,
        _torch_sum_pool,
        ("input",),
        (_error((3, 3), "(N, C, H, W)", kernel_size=2),),
    ),
    _op(
        "fractional_max_pool2d",
        (
            _case((2, 3, 9, 11), "-size", kernel_size=2, output_size=(5, 7), _random_samples=SAMPLES),
            _case((2, 3, 9, 11), "-ratio", kernel_size=(2, 3), output_ratio=(0.6, 0.5), return_indices=True,
                  _random_samples=SAMPLES),
            _case((2, 3, 4, 4), "-one", kernel_size=3, output_size=1, _random_samples=SAMPLES),
        ),
        (
            _error((2, 3), "fractional_max_pool2d", "(N, C, H, W)", kernel_size=2, output_size=2),
            _error((1, 1, 4, 4), "either output_size or output_ratio", title="none", kernel_size=2),
            _error((1, 1, 4, 4), "output_ratio is 1.5", title="ratio", kernel_size=2, output_ratio=1.5),
            _error((1, 1, 4, 4), "(4, 4) windows", title="large", kernel_size=2, output_size=4),
        ),
    ),
    _op(
        "max_unpool1d",
        (
            _case((1, 2, 3), indices=SWITCHES_1D, kernel_size=2),
            _case((1, 2, 3), "-pad", indices=SWITCHES_1D, kernel_size=4, stride=2, padding=1),
            _case((1, 2, 3), "-size", indices=SWITCHES_1D, kernel_size=2, output_size=(7,)),
            _case((2, 3), "-sequence", indices=SWITCHES_1D[0], kernel_size=2),
        ),
        _unpool_errors("max_unpool1d", SWITCHES_1D, 6, "(N, C, L)", "11"),
    ),
    _op(
        "max_unpool2d",
        (
            _case((1, 2, 2, 2), indices=SWITCHES, kernel_size=2),
            _case((1, 2, 2, 2), "-size", indices=SWITCHES, kernel_size=2, output_size=(5, 4)),
            _case((1, 2, 2, 2), "-shape", indices=SWITCHES, kernel_size=2, output_size=(1, 2, 4, 5)),
            _case((2, 2, 2), "-image", indices=SWITCHES[0], kernel_size=2),
        ),
        _unpool_errors("max_unpool2d", SWITCHES, 4, "(N, C, H, W)", "19"),
    ),
    _op(
        "max_unpool3d",
        (
            _case((1, 2, 2, 1, 2), indices=SWITCHES_3D, kernel_size=(2, 3, 2)),
            _case((1, 2, 2, 1, 2), "-pad", indices=SWITCHES_3D, kernel_size=(4, 5, 2), stride=2, padding=(1, 1, 0)),
            _case((1, 2, 2, 1, 2), "-size", indices=SWITCHES_3D, kernel_size=(2, 3, 2), output_size=(5, 4, 4)),
            _case((2, 2, 1, 2), "-volume", indices=SWITCHES_3D[0], kernel_size=(2, 3, 2)),
        ),
        _unpool_errors("max_unpool3d", SWITCHES_3D, 6, "(N, C, D, H, W)", "53"),
    ),
    Op(
        "spatial_pyramid_pool2d",
        F.spatial_pyramid_pool2d,
        (_case((2, 3, 5, 7)), _case((1, 2, 6, 6), output_sizes=(6, 3, 2, 1), mode="avg", terms=60)),
        _pyramid,
        _torch_pyramid,
        ("input",),
        (
            _error((2, 3), "spatial_pyramid_pool2d", "(N, C, H, W)"),
            _error((1, 1, 4, 4), "'sum'", title="mode", mode="sum"),
        ),
    ),
    Op(
        "blur_pool2d",
        F.blur_pool2d,
        (
            _case((2, 3, 8, 9)),
            _case((1, 2, 7, 6), filt_size=5, stride=2),
            _case((1, 2, 7, 6), filt_size=3, stride=1, pad_type="replicate"),
            _case((1, 2, 6, 6), filt_size=2, pad_type="constant"),
            _case((1, 2, 6, 7), filt_size=1, stride=3),
        ),
        _blur,
        _torch_blur,
        ("input",),
        (
            _error((2, 3), "blur_pool2d", "(N, C, H, W)"),
            _error((1, 1, 4, 4), "filt_size is 0", title="size", filt_size=0),
        ),
    ),
)  # fmt: skip
