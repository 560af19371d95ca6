"""Normalisations whose statistics belong to one sample."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fastcnn import functional as F

from . import Array, Case, ErrorCase, Op
from .activations import torch_function

INTEGERS = Array((2, 4, 3), "labels", high=3)


def _affine(shape: tuple[int, ...]) -> dict[str, Any]:
    return {"weight": Array(shape, low=0.5, high=2.0), "bias": Array(shape)}


def _case(shape: tuple[int, ...], title: str, terms: int, **options: Any) -> Case:
    name = "x".join(map(str, shape)) + title
    return Case(name, {"input": Array(shape, "normal")} | options, terms=4 * terms, terms_grad=16 * math.prod(shape))


def _layer(shape: tuple[int, ...], dims: int, affine: bool = True, **options: Any) -> Case:
    size = shape[len(shape) - dims :]
    return _case(shape, f"-last{dims}{'' if affine else '-plain'}", math.prod(size), normalized_shape=size,
                 **(_affine(size) if affine else {}), **options)  # fmt: skip


def _group(shape: tuple[int, ...], groups: int, affine: bool = True) -> Case:
    terms = math.prod(shape[1:]) // groups
    title = f"-g{groups}{'' if affine else '-plain'}"
    return _case(shape, title, terms, num_groups=groups, **(_affine(shape[1:2]) if affine else {}))


def _normalized(x: Any, axes: tuple[int, ...], eps: float) -> Any:
    return (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + eps)


def _layer_norm(input: Any, normalized_shape: Any, weight: Any = 1.0, bias: Any = 0.0, eps: float = 1e-5) -> Any:
    return _normalized(input, tuple(range(-len(normalized_shape), 0)), eps) * weight + bias


def _group_norm(input: Any, num_groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Any:
    if not input.size:
        return input
    groups = input.reshape(input.shape[0], num_groups, -1)
    y = _normalized(groups, (2,), eps).reshape(input.shape)
    column = (1, -1, *(1,) * (input.ndim - 2))
    return y if weight is None else y * weight.reshape(column) + bias.reshape(column)


def _instance_norm(input: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Any:
    return _group_norm(input, input.shape[1], weight, bias, eps)


def _rms_norm(input: Any, normalized_shape: Any, weight: Any = 1.0, eps: float | None = None) -> Any:
    axes = tuple(range(-len(normalized_shape), 0))
    squares = (input**2).mean(axes, keepdims=True)
    return input / np.sqrt(squares + (np.finfo(np.float64).eps if eps is None else eps)) * weight


GRADIENTS = ("input", "weight", "bias")

OPS = (
    Op(
        "layer_norm",
        F.layer_norm,
        (
            _layer((5, 7), 1),
            _layer((3, 16), 1, affine=False),
            _layer((2, 33), 1),
            _layer((1, 1), 1),
            _layer((4, 70), 1, eps=0.1),
            _layer((2, 3, 17), 1),
            _layer((2, 3, 5), 2),
            _layer((2, 3, 4, 5), 3),
            _layer((130, 300), 1),
            _layer((11, 1028), 1),
            _layer((3, 1100), 1, affine=False),
            _layer((2, 4100), 1),
            _layer((0, 5), 1),
            Case("nan", {"input": Array((3, 40), special=(math.nan,)), "normalized_shape": (40,)}, 40, grad=False),
            Case("bench-2048x768", {"input": Array((2048, 768)), "normalized_shape": (768,)} | _affine((768,)), 768,
                 bench=True),
        ),
        _layer_norm,
        torch_function("layer_norm"),
        GRADIENTS,
        (
            ErrorCase("shape", {"input": Array((2, 5)), "normalized_shape": (4,)}, ValueError, ("(4,)", "(2, 5)")),
            ErrorCase("empty", {"input": Array((2, 5)), "normalized_shape": ()}, ValueError, ("layer_norm", "empty")),
            ErrorCase("weight", {"input": Array((2, 5)), "normalized_shape": (5,), "weight": Array((4,))}, ValueError,
                      ("weight", "(4,)", "(5,)")),
            ErrorCase("integers", {"input": INTEGERS, "normalized_shape": (3,)}, TypeError, ("layer_norm", "int64")),
        ),
        bytes=lambda case: 8 * math.prod(case.args["input"].shape),
    ),
    Op(
        "group_norm",
        F.group_norm,
        (
            _group((2, 6), 3),
            _group((3, 8, 5), 2),
            _group((2, 12, 3, 5), 4),
            _group((2, 12, 3, 5), 1, affine=False),
            _group((2, 17, 4, 3), 17),
            _group((1, 40, 7, 20), 5),
            _group((2, 70, 33, 30), 7),
            _group((2, 4, 2, 3, 5), 2),
            _group((0, 4, 3, 3), 2),
            Case("nan", {"input": Array((2, 4, 3, 3), special=(math.nan,)), "num_groups": 2}, 18, grad=False),
            Case("bench-32x64x56x56", {"input": Array((32, 64, 56, 56)), "num_groups": 32} | _affine((64,)), 6272,
                 bench=True),
        ),
        _group_norm,
        torch_function("group_norm"),
        GRADIENTS,
        (
            ErrorCase("groups", {"input": Array((2, 5, 3)), "num_groups": 2}, ValueError, ("num_groups is 2", "5")),
            ErrorCase("rank", {"input": Array((5,)), "num_groups": 1}, ValueError, ("(N, C, ...)",)),
            ErrorCase("weight", {"input": Array((2, 4, 3)), "num_groups": 2, "weight": Array((3,))}, ValueError,
                      ("weight", "(3,)", "4 channels")),
            ErrorCase("integers", {"input": INTEGERS, "num_groups": 2}, TypeError, ("group_norm", "int64")),
        ),
        bytes=lambda case: 8 * math.prod(case.args["input"].shape),
    ),
    Op(
        "instance_norm",
        F.instance_norm,
        (
            _case((2, 3, 5), "", 5),
            _case((2, 5, 4, 3), "-affine", 12, **_affine((5,))),
            _case((1, 3, 2, 3, 2), "-affine", 12, **_affine((3,))),
        ),
        _instance_norm,
        torch_function("instance_norm"),
        GRADIENTS,
        (
            ErrorCase("pixel", {"input": Array((2, 3, 1))}, ValueError, ("more than one pixel",)),
            ErrorCase("rank", {"input": Array((2, 3))}, ValueError, ("with pixels",)),
        ),
    ),
    Op(
        "rms_norm",
        F.rms_norm,
        (
            _case((5, 7), "", 7, normalized_shape=(7,), eps=1e-5),
            _case((2, 3, 9), "-affine", 27, normalized_shape=(3, 9), weight=Array((3, 9)), eps=0.01),
        ),
        _rms_norm,
        torch_function("rms_norm"),
        ("input", "weight"),
        (
            ErrorCase("shape", {"input": Array((2, 5)), "normalized_shape": (4,)}, ValueError, ("(4,)", "(2, 5)")),
            ErrorCase("integers", {"input": INTEGERS, "normalized_shape": (3,)}, TypeError, ("rms_norm", "int64")),
        ),
    ),
)  # fmt: skip
