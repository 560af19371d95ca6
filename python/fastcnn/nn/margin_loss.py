"""Losses with a margin as modules; formulas and arguments are those of the functions of `fastcnn.functional`."""

from __future__ import annotations

from .. import functional as F
from ..tensor import Tensor
from .loss import _Loss
from .module import Module


class MultiMarginLoss(_Loss):
    """`multi_margin_loss`: hinge loss of several classes, divided by their number."""

    weight: Tensor | None

    def __init__(
        self,
        p: int = 1,
        margin: float = 1.0,
        weight: Tensor | None = None,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.p = p
        self.margin = margin
        self.register_buffer("weight", weight)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Scores (N, C) and labels (N,); a scalar, or (N,) for reduction "none"."""
        return F.multi_margin_loss(input, target, self.p, self.margin, self.weight, reduction=self.reduction)


class MultiLabelMarginLoss(_Loss):
    """`multilabel_margin_loss`: hinge loss of samples with several labels, divided by the number of classes.

    Args:
        size_average: deprecated, see `reduction`.
        reduce: deprecated, see `reduction`.
        reduction: "none", "mean" or "sum".

    Example:
        >>> import fastcnn as fc
        >>> scores, labels = fc.tensor([[0.0, 3.0, 0.5, 2.0]]), fc.tensor([[1, 3, -1, -1]])
        >>> fc.nn.MultiLabelMarginLoss()(scores, labels).item()  # both labels are 1 above the rest
        0.0
    """

    def __init__(self, size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean") -> None:
        super().__init__(size_average, reduce, reduction)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Scores (N, C) and labels (N, C), ended by -1; a scalar, or (N,) for reduction "none"."""
        return F.multilabel_margin_loss(input, target, reduction=self.reduction)


class MulticlassHingeLoss(_Loss):
    """`multiclass_hinge_loss`: the multiclass SVM's sum of hinges, not divided by the number of classes.

    Args:
        margin: how far the label's score must be above the others.
        reduction: "none", "mean" or "sum".

    Example:
        >>> import fastcnn as fc
        >>> fc.nn.MulticlassHingeLoss()(fc.zeros(2, 10), fc.tensor([3, 4])).item()
        9.0
    """

    def __init__(self, margin: float = 1.0, reduction: str = "mean") -> None:
        super().__init__(None, None, reduction)
        self.margin = margin

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Scores (N, C) and labels (N,); a scalar, or (N,) for reduction "none"."""
        return F.multiclass_hinge_loss(input, target, self.margin, self.reduction)


class HingeEmbeddingLoss(_Loss):
    """`hinge_embedding_loss`: distances of alike pairs, hinges of unlike ones."""

    def __init__(
        self,
        margin: float = 1.0,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.margin = margin

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Distances and 1 or -1, of one shape."""
        return F.hinge_embedding_loss(input, target, self.margin, reduction=self.reduction)


class MarginRankingLoss(_Loss):
    """`margin_ranking_loss`: which of two scores should be larger."""

    def __init__(
        self,
        margin: float = 0.0,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.margin = margin

    def forward(self, input1: Tensor, input2: Tensor, target: Tensor) -> Tensor:
        """Two tensors of scores and 1 or -1, of one shape."""
        return F.margin_ranking_loss(input1, input2, target, self.margin, reduction=self.reduction)


class PairwiseDistance(Module):
    """`pairwise_distance`: the p-norm of the difference over the last dimension."""

    def __init__(self, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> None:
        super().__init__()
        self.norm = p
        self.eps = eps
        self.keepdim = keepdim

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        """(N, D) twice -> (N,)."""
        return F.pairwise_distance(x1, x2, self.norm, self.eps, self.keepdim)


class CosineSimilarity(Module):
    """`cosine_similarity`: cosine of the angle between vectors along `dim`."""

    def __init__(self, dim: int = 1, eps: float = 1e-8) -> None:
        super().__init__()
        self.dim = dim
        self.eps = eps

    def forward(self, x1: Tensor, x2: Tensor) -> Tensor:
        """(N, D, ...) twice -> (N, ...)."""
        return F.cosine_similarity(x1, x2, self.dim, self.eps)


class TripletMarginLoss(_Loss):
    """`triplet_margin_loss`: an anchor nearer to its own class than to another one."""

    def __init__(
        self,
        margin: float = 1.0,
        p: float = 2.0,
        eps: float = 1e-6,
        swap: bool = False,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        if not margin > 0:
            raise ValueError(f"TripletMarginLoss: margin is {margin}, but must be positive")
        self.margin = margin
        self.p = p
        self.eps = eps
        self.swap = swap

    def forward(self, anchor: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        """(N, D) three times; a scalar, or (N,) for reduction "none"."""
        return F.triplet_margin_loss(
            anchor, positive, negative, self.margin, self.p, self.eps, self.swap, reduction=self.reduction
        )


class CosineEmbeddingLoss(_Loss):
    """`cosine_embedding_loss`: alike pairs should point the same way."""

    def __init__(
        self,
        margin: float = 0.0,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.margin = margin

    def forward(self, input1: Tensor, input2: Tensor, target: Tensor) -> Tensor:
        """(N, D) twice and (N,) of 1 or -1."""
        return F.cosine_embedding_loss(input1, input2, target, self.margin, reduction=self.reduction)
