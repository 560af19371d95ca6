"""Resampling, rearranged channels, embeddings, attention."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fastcnn import functional as F

from . import Array, Case, ErrorCase, Op
from .activations import torch_function


def _case(shape: tuple[int, ...], **options: Any) -> Case:
    name = "x".join(map(str, shape)) + "".join(f"-{k}{v}" for k, v in options.items()).replace(" ", "")
    return Case(name, {"input": Array(shape)} | options, terms=64, terms_grad=512)


def _error(title: str, shape: tuple[int, ...], *words: str, **options: Any) -> ErrorCase:
    return ErrorCase(title, {"input": Array(shape)} | options, ValueError, words)


def _attention(
    query: Any, key: Any, value: Any, attn_mask: Any = None, is_causal: bool = False, scale: float | None = None
) -> Any:
    scores = query @ np.swapaxes(key, -1, -2) * (1 / math.sqrt(query.shape[-1]) if scale is None else scale)
    if is_causal:
        attn_mask = np.tril(np.ones(scores.shape[-2:], bool))
    if attn_mask is not None:
        scores = np.where(attn_mask, scores, -np.inf) if attn_mask.dtype == bool else scores + attn_mask
    e = np.exp(scores - scores.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True) @ value


def _embedding(input: Any, weight: Any, padding_idx: int | None = None) -> Any:
    return weight[input]


QKV = {"query": Array((2, 3, 4, 6)), "key": Array((2, 3, 5, 6)), "value": Array((2, 3, 5, 7))}
GRADIENTS = ("query", "key", "value")
MASK = np.random.default_rng(0).random((4, 5)) < 0.7

OPS = (
    Op(
        "interpolate",
        F.interpolate,
        (
            _case((2, 3, 5), size=8),
            _case((2, 3, 5), scale_factor=2.5, mode="linear"),
            _case((2, 3, 5), size=9, mode="linear", align_corners=True),
            _case((2, 3, 4, 5), scale_factor=2),
            _case((2, 3, 7, 5), size=(3, 9), mode="nearest-exact"),
            _case((2, 3, 4, 5), scale_factor=2, mode="bilinear"),
            _case((1, 2, 4, 5), size=(7, 3), mode="bilinear", align_corners=True),
            _case((1, 2, 4, 5), scale_factor=(1.7, 0.6), mode="bilinear"),
            _case((1, 2, 4, 5), scale_factor=(1.7, 0.6), mode="bilinear", recompute_scale_factor=True),
            _case((1, 2, 5, 6), size=(8, 11), mode="bicubic"),
            _case((1, 2, 5, 6), scale_factor=1.5, mode="bicubic", align_corners=True),
            _case((1, 2, 3, 4, 5), size=(5, 3, 7), mode="trilinear"),
            _case((1, 2, 3, 4, 5), scale_factor=2),
            _case((1, 2, 7, 5), size=(3, 2), mode="area"),
            _case((1, 2, 1, 1), size=3, mode="bilinear", align_corners=True),
        ),
        None,
        torch_function("interpolate"),
        ("input",),
        (
            _error("rank", (2, 3), "interpolate", "(2, 3)", size=2),
            _error("mode", (1, 1, 4), "'cubic'", size=2, mode="cubic"),
            _error("mode-rank", (1, 1, 4), "'bilinear'", "4 dimensions", size=2, mode="bilinear"),
            _error("none", (1, 1, 4), "either size or scale_factor"),
            _error("corners", (1, 1, 4), "align_corners", size=2, align_corners=True),
            _error("empty", (1, 1, 4), "size (0,)", scale_factor=0.1),
            ErrorCase("integers", {"input": Array((1, 1, 4), "labels", high=3), "size": 8}, TypeError, ("int64",)),
        ),
    ),
    *(
        Op(
            name,
            getattr(F, name),
            cases,
            None,
            torch_function(name) if torch is None else torch,
            ("input",),
            errors,
            exact=True,
        )
        for name, torch, cases, errors in (
            (
                "pixel_shuffle",
                None,
                (_case((2, 12, 3, 4), upscale_factor=2), _case((9, 2, 3), upscale_factor=3)),
                (_error("channels", (1, 6, 2, 2), "pixel_shuffle", "(1, 6, 2, 2)", upscale_factor=2),),
            ),
            (
                "pixel_unshuffle",
                None,
                (_case((2, 3, 4, 6), downscale_factor=2), _case((2, 3, 6), downscale_factor=3)),
                (_error("sides", (1, 6, 3, 2), "pixel_unshuffle", "(1, 6, 3, 2)", downscale_factor=2),),
            ),
            (
                "channel_shuffle",
                lambda input, groups: input.unflatten(1, (groups, -1)).transpose(1, 2).flatten(1, 2),
                (_case((2, 6, 3, 4), groups=3), _case((1, 8, 5), groups=2)),
                (_error("groups", (1, 6, 3), "channel_shuffle", "groups=4", groups=4),),
            ),
        )
    ),
    Op(
        "embedding",
        F.embedding,
        (
            Case("vector", {"input": Array((7,), "labels", high=5), "weight": Array((5, 3))}, terms_grad=7),
            Case("matrix", {"input": Array((3, 4), "labels", high=9), "weight": Array((9, 6)), "padding_idx": -3},
                 terms_grad=12, grad=False),
        ),
        _embedding,
        torch_function("embedding"),
        ("weight",),
        (
            ErrorCase("range", {"input": np.array([0, 5]), "weight": Array((5, 3))}, IndexError, ("5",)),
            ErrorCase("dtype", {"input": Array((2,)), "weight": Array((5, 3))}, TypeError, ("int64",)),
            ErrorCase("weight", {"input": np.array([0]), "weight": Array((5,))}, ValueError, ("(rows, E)",)),
            ErrorCase("padding", {"input": np.array([0]), "weight": Array((5, 2)), "padding_idx": 5}, ValueError,
                      ("padding_idx is 5", "5 rows")),
        ),
        exact=True,
    ),
    Op(
        "scaled_dot_product_attention",
        F.scaled_dot_product_attention,
        (
            Case("heads", QKV, 40, 400),
            Case("plain", {"query": Array((4, 6)), "key": Array((5, 6)), "value": Array((5, 7)), "scale": 0.3}, 40),
            Case("mask", QKV | {"attn_mask": MASK}, 40, 400),
            Case("bias", QKV | {"attn_mask": Array((4, 5))}, 40, 400),
            Case("causal", QKV | {"is_causal": True}, 40, 400),
        ),
        _attention,
        torch_function("scaled_dot_product_attention"),
        GRADIENTS,
        (
            ErrorCase("both", QKV | {"attn_mask": MASK, "is_causal": True}, ValueError, ("exclude each other",)),
            ErrorCase("sizes", QKV | {"key": Array((2, 3, 5, 5))}, ValueError, ("(2, 3, 5, 5)", "(..., S, E)")),
            ErrorCase("integers", QKV | {"query": Array((4, 6), "labels", high=3)}, TypeError, ("query is", "int64")),
        ),
    ),
)  # fmt: skip
