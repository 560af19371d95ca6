"""Embedding tables and multi-head attention."""

from __future__ import annotations

from .. import _C
from .. import functional as F
from ..functional.sequence import attention_weights
from ..ops.elementwise import logical_and, where
from ..ops.joining import narrow
from ..ops.linalg import matmul
from ..ops.reduction import mean
from ..ops.shape import permute, reshape, squeeze, transpose, unsqueeze
from ..tensor import Tensor, float32
from . import init
from .linear import Linear
from .module import Module
from .parameter import Parameter


class Embedding(Module):
    """A learned table of vectors; see `functional.embedding`.

    Args:
        num_embeddings: rows of the table.
        embedding_dim: E.
        padding_idx: a row that starts at 0 and receives no gradient.
        device: where the table lives.
        dtype: its element type.

    Shape:
        (...) int64 -> (..., E). `weight` is (num_embeddings, E), drawn from N(0, 1).

    Raises:
        ValueError: padding_idx out of range.

    Example:
        >>> import fastcnn as fc
        >>> fc.nn.Embedding(10, 3)(fc.tensor([[1, 2], [4, 5]])).shape
        (2, 2, 3)
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        device: _C.device | str | None = None,
        dtype: _C.dtype | None = None,
    ) -> None:
        super().__init__()
        if padding_idx is not None and not -num_embeddings <= padding_idx < num_embeddings:
            raise ValueError(f"Embedding: padding_idx is {padding_idx}, but the table has {num_embeddings} rows")
        self.num_embeddings = num_embeddings
        self.embedding_dim = embedding_dim
        self.padding_idx = None if padding_idx is None else padding_idx % num_embeddings
        self.weight = Parameter(Tensor(_C.empty((num_embeddings, embedding_dim), dtype or float32, device)))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws the table anew; the padding row becomes 0."""
        init.normal_(self.weight)
        if self.padding_idx is not None:
            init.zeros_(Tensor(self.weight._data.batch_slice(self.padding_idx, self.padding_idx + 1)))

    def forward(self, input: Tensor) -> Tensor:
        """(...) -> (..., E)."""
        return F.embedding(input, self.weight, self.padding_idx)

    def extra_repr(self) -> str:
        """The arguments, for `repr`."""
        text = f"{self.num_embeddings}, {self.embedding_dim}"
        return text if self.padding_idx is None else f"{text}, padding_idx={self.padding_idx}"


class MultiheadAttention(Module):
    """Attention of several heads: project, attend in slices of the features, join, project.

    Args:
        embed_dim: E.
        num_heads: divides E.
        dropout: of the attention weights, in training.
        bias: whether the projections have biases.
        batch_first: (N, T, E) in place of (T, N, E).
        device: where the parameters live.
        dtype: their element type.

    Shape:
        query (T, N, E), key and value (S, N, E) -> (T, N, E) and weights (N, T, S). `in_proj_weight` is (3 E, E):
        query, key, value; `out_proj` is a Linear(E, E).

    Raises:
        ValueError: num_heads does not divide embed_dim.

    Example:
        >>> import fastcnn as fc
        >>> x = fc.randn(2, 5, 16)
        >>> output, weights = fc.nn.MultiheadAttention(16, 4, batch_first=True)(x, x, x)
        >>> output.shape, weights.shape
        ((2, 5, 16), (2, 5, 5))

    Source: Vaswani et al., "Attention is all you need", NeurIPS 2017, 3.2.2.
    """

    in_proj_bias: Parameter | None

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        batch_first: bool = False,
        device: _C.device | str | None = None,
        dtype: _C.dtype | None = None,
    ) -> None:
        super().__init__()
        if num_heads < 1 or embed_dim % num_heads:
            raise ValueError(f"MultiheadAttention: num_heads is {num_heads}, but must divide embed_dim, {embed_dim}")
        self.embed_dim = embed_dim
        self.num_heads = num_heads
        self.dropout = dropout
        self.batch_first = batch_first
        kind = dtype or float32
        self.in_proj_weight = Parameter(Tensor(_C.empty((3 * embed_dim, embed_dim), kind, device)))
        if bias:
            self.in_proj_bias = Parameter(Tensor(_C.zeros((3 * embed_dim,), kind, device)))
        else:
            self.register_parameter("in_proj_bias", None)
        self.out_proj = Linear(embed_dim, embed_dim, bias, device, dtype)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Xavier-uniform projections, biases 0."""
        init.xavier_uniform_(self.in_proj_weight)
        for bias in (self.in_proj_bias, self.out_proj.bias):
            if bias is not None:
                init.zeros_(bias)

    def _project(self, x: Tensor, part: int) -> Tensor:
        """(N, T, E) -> (N, heads, T, E / heads)."""
        e = self.embed_dim
        bias = None if self.in_proj_bias is None else narrow(self.in_proj_bias, 0, part * e, e)
        y = F.linear(x, narrow(self.in_proj_weight, 0, part * e, e), bias)
        return permute(reshape(y, (*y.shape[:2], self.num_heads, e // self.num_heads)), (0, 2, 1, 3))

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """Attends.

        Args:
            query: (T, N, E), or (N, T, E) with batch_first, or without N.
            key: (S, N, E), likewise.
            value: (S, N, E), likewise.
            key_padding_mask: bool (N, S), True where a key is padding.
            need_weights: return the weights.
            attn_mask: bool, True where a query may NOT look (as in torch, the reverse of
                `scaled_dot_product_attention`), or floating, added to the scores; (T, S) or (N heads, T, S).
            average_attn_weights: mean over the heads, or (N, heads, T, S).
            is_causal: query t sees keys 0 to t only; no `attn_mask` needed.

        Returns:
            The output, shaped like `query`, and the weights or None.
        """
        if query.ndim not in (2, 3) or query.shape[-1] != self.embed_dim:
            raise ValueError(
                f"MultiheadAttention: query has shape {query.shape}, but three or two dimensions, the last of "
                f"{self.embed_dim}, are expected"
            )
        batched = query.ndim == 3

        def rows(x: Tensor) -> Tensor:
            if not batched:
                return unsqueeze(x, 0)
            return x if self.batch_first else transpose(x, 0, 1)

        q, k, v = (self._project(rows(x), i) for i, x in enumerate((query, key, value)))
        n, heads, t, _ = q.shape
        s = k.shape[2]
        mask = attn_mask
        if mask is not None:
            if mask.ndim == 3:
                mask = reshape(mask, (n, heads, t, s))
            if mask.dtype == _C.bool_:
                mask = mask == 0
        if key_padding_mask is not None:
            seen = reshape(key_padding_mask == 0, (n, 1, 1, s))
            if mask is None:
                mask = seen
            else:
                mask = logical_and(mask, seen) if mask.dtype == _C.bool_ else where(seen, mask, float("-inf"))
        weights = attention_weights(q, k, mask, is_causal and mask is None, None)
        dropped = F.dropout(weights, self.dropout, self.training) if self.dropout else weights
        joined = reshape(permute(matmul(dropped, v), (0, 2, 1, 3)), (n, t, self.embed_dim))
        output = self.out_proj(joined)
        if not batched:
            output = squeeze(output, 0)
        elif not self.batch_first:
            output = transpose(output, 0, 1)
        if not need_weights:
            return output, None
        shown = mean(weights, 1) if average_attn_weights else weights
        return output, shown if batched else squeeze(shown, 0)
