"""Normalisations by the neighbourhood of a value."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fastcnn import functional as F

from . import Array, Case, ErrorCase, Op
from .activations import torch_function

SHAPES = (
    ((2, 7, 3), 3),
    ((2, 8, 3, 5), 5),
    ((1, 33, 5, 4), 4),
    ((3, 1, 2, 2), 2),
    ((2, 5, 2, 3, 2), 9),
    ((0, 4, 3, 3), 3),
)


def _lrn(input: Any, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> Any:
    """Channel by channel."""
    channels = input.shape[1]
    sums = np.zeros_like(input)
    for i in range(channels):
        first = i - size // 2
        sums[:, i] = (input[:, max(first, 0) : max(first + size, 0)] ** 2).sum(axis=1)
    return input / (k + alpha / size * sums) ** beta


def _lrn_case(shape: tuple[int, ...], size: int, **options: Any) -> Case:
    name = "x".join(map(str, shape)) + f"-size{size}" + "".join(f"-{k}{v:g}" for k, v in options.items())
    args = {"input": Array(shape, "normal"), "size": size} | options
    return Case(name, args, terms=4 * size, terms_grad=16 * size)


def _window(size: int, sigma: float | None) -> Any:
    line = np.exp(-0.5 * ((np.arange(size) - size // 2) / (sigma or size / 4)) ** 2)
    return np.outer(line, line) / line.sum() ** 2


def _lcn(
    input: Any,
    kernel_size: int = 7,
    sigma: float | None = None,
    subtractive: bool = True,
    divisive: bool = True,
    across_channels: bool = False,
    eps: float = 1e-5,
) -> Any:
    """Pixel by pixel."""
    window, half = _window(kernel_size, sigma), kernel_size // 2
    height, width = input.shape[2:]

    def local_mean(x: Any) -> Any:
        result = np.zeros_like(x)
        for y in range(height):
            for z in range(width):
                top, left = max(y - half, 0), max(z - half, 0)
                patch = x[:, :, top : y + half + 1, left : z + half + 1]
                weights = window[top - y + half :, left - z + half :][: patch.shape[2], : patch.shape[3]]
                mean = (patch * weights).sum((2, 3)) / weights.sum()
                result[:, :, y, z] = mean.mean(1, keepdims=True) if across_channels else mean
        return result

    v = input - local_mean(input) if subtractive else input
    return v / np.sqrt(local_mean(v**2) + eps) if divisive else v


def _torch_lcn(
    input: Any,
    kernel_size: int = 7,
    sigma: float | None = None,
    subtractive: bool = True,
    divisive: bool = True,
    across_channels: bool = False,
    eps: float = 1e-5,
) -> Any:
    import torch

    window = torch.from_numpy(_window(kernel_size, sigma))[None, None]

    def local_mean(x: Any) -> Any:
        flat = x.reshape(-1, 1, *x.shape[2:])
        sums = torch.nn.functional.conv2d(flat, window, padding=kernel_size // 2)
        sums = sums / torch.nn.functional.conv2d(torch.ones_like(flat), window, padding=kernel_size // 2)
        mean = sums.reshape(x.shape)
        return mean.mean(1, keepdim=True) if across_channels else mean

    v = input - local_mean(input) if subtractive else input
    return v / torch.sqrt(local_mean(v**2) + eps) if divisive else v


def _lcn_case(shape: tuple[int, ...], **options: Any) -> Case:
    name = "x".join(map(str, shape)) + "".join(f"-{k}{v:g}" for k, v in options.items())
    # Where the local deviation is small, errors grow by its reciprocal.
    return Case(name, {"input": Array(shape, "normal")} | options, terms=2000, terms_grad=20_000)


def _bench(name: str, shape: tuple[int, ...]) -> Case:
    return Case(f"bench-{name}", {"input": Array(shape), "size": 5}, terms=20, bench=True)


OPS = (
    Op(
        "local_response_norm",
        F.local_response_norm,
        (
            *(_lrn_case(shape, size) for shape, size in SHAPES),
            *(_lrn_case(shape, size, alpha=2.0, beta=0.6, k=2.0) for shape, size in SHAPES[:4]),
            _bench("alexnet", (32, 96, 55, 55)),
        ),
        _lrn,
        torch_function("local_response_norm"),
        ("input",),
        (
            ErrorCase("rank", {"input": Array((2, 3)), "size": 3}, ValueError, ("(2, 3)", "(N, C, ...)")),
            ErrorCase("size", {"input": Array((2, 3, 4)), "size": 0}, ValueError, ("size is 0",)),
            ErrorCase(
                "integers",
                {"input": Array((2, 3, 4), "labels", high=3), "size": 3},
                TypeError,
                ("local_response_norm", "int64"),
            ),
        ),
        bytes=lambda case: 8 * math.prod(case.args["input"].shape),
    ),
    Op(
        "local_contrast_norm",
        F.local_contrast_norm,
        (
            _lcn_case((2, 3, 5, 8)),
            _lcn_case((1, 2, 9, 4), kernel_size=3, sigma=0.8, eps=0.01),
            _lcn_case((2, 3, 6, 5), across_channels=True),
            _lcn_case((1, 2, 8, 8), divisive=False),
            _lcn_case((1, 2, 8, 8), subtractive=False, kernel_size=5),
        ),
        _lcn,
        _torch_lcn,
        ("input",),
        (
            ErrorCase("rank", {"input": Array((2, 3))}, ValueError, ("(2, 3)", "(N, C, H, W)")),
            ErrorCase(
                "even", {"input": Array((1, 1, 5, 5)), "kernel_size": 4}, ValueError, ("kernel_size is 4", "odd")
            ),
            ErrorCase("integers", {"input": Array((1, 1, 5, 5), "labels", high=3)}, TypeError, ("int64",)),
        ),
    ),
)
