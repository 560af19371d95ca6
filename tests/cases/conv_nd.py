"""Convolutions in one and three dimensions, transposed and locally connected ones."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fastcnn import functional as F

from . import Array, Case, ErrorCase, Op
from .activations import torch_function


def _per_axis(value: Any, axes: int) -> tuple[int, ...]:
    return tuple(value) if isinstance(value, tuple | list) else (value,) * axes


def _conv(
    input: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1
) -> Any:
    """The definition, tap by tap, in any number of dimensions."""
    axes = weight.ndim - 2
    steps, gaps, kernel = _per_axis(stride, axes), _per_axis(dilation, axes), weight.shape[2:]
    if padding == "same":
        totals = [d * (k - 1) for d, k in zip(gaps, kernel, strict=True)]
        amounts = [(t // 2, t - t // 2) for t in totals]
    else:
        amounts = [(p, p) for p in _per_axis(0 if padding == "valid" else padding, axes)]
    single = input.ndim == axes + 1
    x = np.pad(input[None] if single else input, [(0, 0), (0, 0), *amounts])
    sizes = [(n - d * (k - 1) - 1) // s + 1 for n, k, s, d in zip(x.shape[2:], kernel, steps, gaps, strict=True)]
    y = np.zeros((x.shape[0], weight.shape[0], *sizes))
    c_in, c_out = weight.shape[1], weight.shape[0] // groups
    for tap in np.ndindex(*kernel):
        window = [slice(t * d, t * d + (n - 1) * s + 1, s) for t, d, n, s in zip(tap, gaps, sizes, steps, strict=True)]
        for g in range(groups):
            seen = x[(slice(None), slice(g * c_in, (g + 1) * c_in), *window)]
            filters = weight[(slice(g * c_out, (g + 1) * c_out), slice(None), *tap)]
            y[:, g * c_out : (g + 1) * c_out] += np.einsum("nc...,oc->no...", seen, filters)
    if bias is not None:
        y += bias.reshape(1, -1, *(1,) * axes)
    return y[0] if single else y


def _transposed(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Any:
    """Every input leaves its filter as a stamp in the output."""
    axes = weight.ndim - 2
    steps, amounts = _per_axis(stride, axes), _per_axis(padding, axes)
    gaps, extra, kernel = _per_axis(dilation, axes), _per_axis(output_padding, axes), weight.shape[2:]
    single = input.ndim == axes + 1
    x = input[None] if single else input
    full = [
        (n - 1) * s + d * (k - 1) + 1 + e for n, s, d, k, e in zip(x.shape[2:], steps, gaps, kernel, extra, strict=True)
    ]
    c_in, c_out = x.shape[1] // groups, weight.shape[1]
    y = np.zeros((x.shape[0], c_out * groups, *full))
    for tap in np.ndindex(*kernel):
        window = [
            slice(t * d, t * d + (n - 1) * s + 1, s) for t, d, n, s in zip(tap, gaps, x.shape[2:], steps, strict=True)
        ]
        for g in range(groups):
            inputs = slice(g * c_in, (g + 1) * c_in)
            part = np.einsum("nc...,co->no...", x[:, inputs], weight[(inputs, slice(None), *tap)])
            y[(slice(None), slice(g * c_out, (g + 1) * c_out), *window)] += part
    crop = [slice(p, n - p) for p, n in zip(amounts, full, strict=True)]
    y = y[(slice(None), slice(None), *crop)]
    if bias is not None:
        y = y + bias.reshape(1, -1, *(1,) * axes)
    return y[0] if single else y


def _local(input: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0) -> Any:
    """Pixel by pixel."""
    h, w, c_out, _, kh, kw = weight.shape
    (sh, sw), (ph, pw) = _per_axis(stride, 2), _per_axis(padding, 2)
    x = np.pad(input, [(0, 0), (0, 0), (ph, ph), (pw, pw)])
    y = np.zeros((x.shape[0], c_out, h, w))
    for i in range(h):
        for j in range(w):
            window = x[:, :, i * sh : i * sh + kh, j * sw : j * sw + kw]
            y[:, :, i, j] = np.einsum("ncab,ocab->no", window, weight[i, j])
    return y if bias is None else y + bias


def _torch_local(input: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0) -> Any:
    import torch

    h, w, c_out = weight.shape[:3]
    columns = torch.nn.functional.unfold(input, tuple(weight.shape[4:]), 1, padding, stride)
    y = torch.einsum("nkl,lok->nol", columns, weight.reshape(h * w, c_out, -1)).reshape(-1, c_out, h, w)
    return y if bias is None else y + bias


def _case(x: tuple[int, ...], w: tuple[int, ...], bias: int = 0, **options: Any) -> Case:
    text = "".join(f"-{k}{v}" for k, v in options.items()).replace(" ", "")
    name = "x".join(map(str, x)) + "-w" + "x".join(map(str, w)) + ("-b" if bias else "") + text
    args: dict[str, Any] = {"input": Array(x), "weight": Array(w)}
    if bias:
        args["bias"] = Array((bias,))
    return Case(name, args | options, terms=math.prod(w[1:]) + 1, terms_grad=16 * math.prod(x) + 16 * math.prod(w))


def _error(title: str, x: tuple[int, ...], w: tuple[int, ...], words: tuple[str, ...], **options: Any) -> ErrorCase:
    return ErrorCase(title, {"input": Array(x), "weight": Array(w)} | options, ValueError, words)


def _op(name: str, reference: Any, cases: tuple[Case, ...], errors: tuple[ErrorCase, ...]) -> Op:
    return Op(name, getattr(F, name), cases, reference, torch_function(name), ("input", "weight", "bias"), errors)


OPS = (
    _op(
        "conv1d",
        _conv,
        (
            _case((2, 3, 11), (5, 3, 3), 5),
            _case((2, 4, 12), (6, 2, 4), stride=3, padding=2, dilation=2, groups=2),
            _case((1, 8, 9), (8, 1, 3), 8, padding="same", groups=8),
            _case((2, 3, 9), (4, 3, 4), padding="same"),
            _case((3, 10), (2, 3, 1)),
            _case((0, 3, 9), (4, 3, 3), padding="valid"),
        ),
        (
            _error("rank", (2, 3, 4, 5), (1, 3, 3), ("conv1d", "(N, C, L)")),
            _error("weight", (2, 3, 4), (1, 3, 3, 3), ("conv1d", "weight", "(C_out, C_in / groups, k)")),
            _error("channels", (2, 3, 9), (4, 2, 3), ("conv1d", "3 channels", "expects 2")),
            _error("same", (2, 3, 9), (4, 3, 3), ("conv1d", "stride 1"), padding="same", stride=2),
            _error("padding", (2, 3, 9), (4, 3, 3), ("conv1d", "'full'"), padding="full"),
            _error("stride", (2, 3, 9), (4, 3, 3), ("conv1d", "stride", "(1, 2)"), stride=(1, 2)),
        ),
    ),
    _op(
        "conv3d",
        _conv,
        (
            _case((2, 3, 5, 6, 4), (4, 3, 3, 2, 3), 4),
            _case((1, 4, 6, 7, 5), (6, 2, 2, 3, 1), 6, stride=(2, 1, 3), padding=(1, 2, 0), groups=2),
            _case((1, 2, 7, 5, 6), (3, 2, 3, 3, 2), dilation=(2, 1, 2), padding=1),
            _case((1, 2, 4, 5, 6), (3, 2, 3, 2, 4), padding="same"),
            _case((3, 2, 4, 4), (2, 3, 1, 3, 3), 2, padding=(0, 1, 1)),
            _case((0, 2, 4, 5, 6), (3, 2, 3, 3, 3)),
        ),
        (
            _error("rank", (3, 4, 5), (1, 3, 1, 1, 1), ("conv3d", "(N, C, D, H, W)")),
            _error("weight", (2, 3, 4, 4, 4), (1, 3, 3, 3), ("conv3d", "weight")),
            _error("channels", (2, 3, 4, 4, 4), (1, 2, 3, 3, 3), ("conv3d", "3 channels", "expects 2")),
            _error("depth", (2, 3, 2, 4, 4), (1, 3, 3, 3, 3), ("conv3d", "3 slices", "has 2")),
            _error("stride", (2, 3, 4, 4, 4), (1, 3, 3, 3, 3), ("conv3d", "stride", "(1, 2)"), stride=(1, 2)),
        ),
    ),
    _op(
        "conv_transpose1d",
        _transposed,
        (
            _case((2, 3, 5), (3, 4, 3), 4),
            _case((2, 4, 6), (4, 3, 4), stride=3, padding=2, output_padding=1, groups=2),
            _case((3, 5), (3, 2, 3), 2, dilation=3, output_padding=2),
        ),
        (
            _error("rank", (2, 3, 4, 5), (3, 1, 3), ("conv_transpose1d", "(N, C, L)")),
            _error("channels", (2, 3, 9), (4, 2, 3), ("conv_transpose1d", "3 channels", "expects 4")),
        ),
    ),
    _op(
        "conv_transpose2d",
        _transposed,
        (
            _case((2, 3, 4, 5), (3, 4, 3, 2), 4),
            _case((1, 8, 5, 5), (8, 4, 2, 2), 4, stride=2),
            _case((2, 6, 4, 3), (6, 2, 3, 4), stride=(2, 3), padding=(1, 2), output_padding=(1, 0), groups=3),
            _case((1, 3, 4, 3), (3, 2, 3, 3), 2, stride=3, output_padding=(2, 1)),
            _case((1, 2, 4, 3), (2, 3, 2, 3), dilation=(3, 2), padding=(2, 1), output_padding=(2, 1)),
            _case((1, 4, 3, 5), (4, 1, 3, 3), 4, groups=4, padding=1),
            _case((3, 4, 3), (3, 2, 3, 3)),
            _case((0, 3, 4, 3), (3, 2, 3, 3), 2),
        ),
        (
            _error("rank", (4, 5), (3, 1, 3, 3), ("conv_transpose2d", "(N, C, H, W)")),
            _error("weight", (1, 3, 4, 5), (3, 1, 3), ("conv_transpose2d", "(C_in, C_out / groups, kH, kW)")),
            _error("channels", (2, 3, 9, 9), (4, 2, 3, 3), ("conv_transpose2d", "3 channels", "expects 4")),
            _error("output", (2, 3, 4, 4), (3, 1, 3, 3), ("output_padding is (2, 2)", "(2, 2)"), stride=2,
                   output_padding=2),
            _error("empty", (2, 3, 1, 4), (3, 1, 3, 3), ("size -1", "less padding"), padding=2),
            _error("stride", (2, 3, 1, 4), (3, 1, 3, 3), ("must be positive",), stride=0),
        ),
    ),
    _op(
        "conv_transpose3d",
        _transposed,
        (
            _case((2, 3, 3, 2, 4), (3, 2, 2, 3, 2), 2),
            _case((1, 4, 3, 2, 3), (4, 2, 3, 2, 3), 4, stride=(2, 1, 3), padding=(1, 0, 2), output_padding=(1, 0, 2),
                  groups=2),
            _case((2, 3, 2, 2), (2, 3, 2, 1, 2), dilation=2),
        ),
        (
            _error("rank", (3, 4, 5), (3, 1, 1, 1, 1), ("conv_transpose3d", "(N, C, D, H, W)")),
            _error("channels", (2, 3, 4, 4, 4), (1, 2, 3, 3, 3), ("conv_transpose3d", "3 channels", "expects 1")),
        ),
    ),
    Op(
        "locally_connected2d",
        F.locally_connected2d,
        (
            _case((2, 3, 5, 4), (4, 3, 2, 3, 2, 2)),
            Case(
                "bias-strides",
                {"input": Array((2, 2, 5, 6)), "weight": Array((3, 2, 3, 2, 3, 4)), "bias": Array((3, 3, 2)),
                 "stride": (2, 3), "padding": (1, 1)},
                terms=25,
                terms_grad=500,
            ),
        ),
        _local,
        _torch_local,
        ("input", "weight", "bias"),
        (
            _error("rank", (2, 3, 4), (1, 1, 1, 1, 1, 1), ("locally_connected2d", "(H_out, W_out, C_out")),
            _error("windows", (1, 3, 5, 5), (2, 2, 1, 3, 2, 2), ("16 windows", "has 4")),
        ),
    ),
    Op(
        "unfold",
        F.unfold,
        (
            Case("plain", {"input": Array((2, 3, 5, 4)), "kernel_size": (2, 3)}, terms_grad=6),
            Case("all", {"input": Array((1, 2, 7, 6)), "kernel_size": 2, "dilation": (2, 1), "padding": (1, 0),
                         "stride": (1, 3)}, terms_grad=6),
        ),
        None,
        torch_function("unfold"),
        ("input",),
        (
            ErrorCase("rank", {"input": Array((2, 3)), "kernel_size": 2}, ValueError, ("unfold", "(N, C, H, W)")),
            ErrorCase("size", {"input": Array((1, 1, 2, 2)), "kernel_size": 3}, ValueError, ("unfold", "(3, 3)")),
        ),
    ),
)  # fmt: skip
