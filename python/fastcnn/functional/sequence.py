"""Embeddings and attention: features-last sequences (N, T, E), best row-major."""

from __future__ import annotations

import math

from .. import _C
from ..ops.conversion import cast
from ..ops.creation import arange
from ..ops.elementwise import add, ge, mul, where
from ..ops.linalg import matmul
from ..ops.picking import index_select
from ..ops.shape import reshape, transpose, unsqueeze
from ..tensor import Tensor
from .dropout import dropout
from .pointwise import check_floating
from .softmax import softmax


def embedding(input: Tensor, weight: Tensor, padding_idx: int | None = None) -> Tensor:
    """Rows of a table: output[...] = weight[input[...]].

    Args:
        input: int64 row numbers of any shape, in [0, rows).
        weight: the table (rows, E).
        padding_idx: a row that receives no gradient; negative counts from the end.

    Returns:
        (*input.shape, E).

    Raises:
        IndexError: a row number out of range; the message names its position.
        TypeError: `input` is not int64.
        ValueError: the table is no matrix, or padding_idx is out of range.

    Example:
        >>> import fastcnn as fc
        >>> fc.functional.embedding(fc.tensor([2, 0]), fc.tensor([[1.0], [2.0], [3.0]])).numpy().tolist()
        [[3.0], [1.0]]
    """
    if weight.ndim != 2:
        raise ValueError(f"embedding: weight has shape {weight.shape}, but (rows, E) is expected")
    rows = index_select(weight, 0, reshape(input, (-1,)))
    if padding_idx is not None:
        count = weight.shape[0]
        if not -count <= padding_idx < count:
            raise ValueError(f"embedding: padding_idx is {padding_idx}, but the table has {count} rows")
        padded = unsqueeze(reshape(input, (-1,)) == padding_idx % count, 1)
        rows = where(padded, rows.detach(), rows)
    return reshape(rows, (*input.shape, weight.shape[1]))


def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
) -> Tensor:
    """softmax(query key^T * scale + mask) value: every query takes a weighted mean of the values.

    Args:
        query: (..., T, E), floating.
        key: (..., S, E).
        value: (..., S, V).
        attn_mask: broadcasts to (..., T, S): bool, True where a query may look; or floating, added to the scores.
        dropout_p: probability of dropping an attention weight.
        is_causal: query t sees keys 0 to t only.
        scale: 1 / sqrt(E) unless given.

    Returns:
        (..., T, V).

    Raises:
        ValueError: both a mask and is_causal, or sizes that do not fit.

    Source: Vaswani et al., "Attention is all you need", NeurIPS 2017, 3.2.1.
    """
    weights = attention_weights(query, key, attn_mask, is_causal, scale)
    if dropout_p > 0.0:
        weights = dropout(weights, dropout_p)
    return matmul(weights, value)


def attention_weights(
    query: Tensor, key: Tensor, attn_mask: Tensor | None, is_causal: bool, scale: float | None
) -> Tensor:
    """The softmax of `scaled_dot_product_attention`, (..., T, S)."""
    op = "scaled_dot_product_attention"
    check_floating(op, query, "query")
    if attn_mask is not None and is_causal:
        raise ValueError(f"{op}: attn_mask and is_causal exclude each other")
    if query.ndim < 2 or key.ndim < 2 or query.shape[-1] != key.shape[-1]:
        raise ValueError(f"{op}: query has shape {query.shape} and key {key.shape}, but (..., T, E) and (..., S, E) "
                         f"are expected")  # fmt: skip
    factor = 1.0 / math.sqrt(query.shape[-1]) if scale is None else scale
    scores = matmul(mul(query, factor), transpose(key, -2, -1))
    if is_causal:
        t, s = scores.shape[-2:]
        attn_mask = ge(unsqueeze(arange(t, device=query.device), 1), unsqueeze(arange(s, device=query.device), 0))
    if attn_mask is not None:
        if attn_mask.dtype == _C.bool_:
            scores = where(attn_mask, scores, float("-inf"))
        else:
            scores = add(scores, cast(attn_mask, scores.dtype))
    return softmax(scores, -1)
