"""Losses with a margin: nothing is lost where scores or distances are far enough apart."""

from __future__ import annotations

from .. import _C
from ..ops import reduction as _reduction
from ..ops.conversion import cast
from ..ops.creation import arange
from ..ops.elementwise import (
    abs,
    clamp,
    div,
    eq,
    logical_and,
    lt,
    maximum,
    minimum,
    mul,
    pow,
    relu,
    sqrt,
    square,
    sub,
    where,
)
from ..ops.picking import gather, index_select, one_hot
from ..ops.shape import reshape, unsqueeze
from ..tensor import Tensor
from .loss import _constant
from .loss_reduction import check_equal_shapes, reduced
from .pointwise import widened


def _hinges(op: str, input: Tensor, target: Tensor, margin: float) -> tuple[Tensor, Tensor]:
    """max(0, margin + score - score of the label) of every other class, and the labels: (N, C) and (N,)."""
    if input.ndim not in (1, 2) or target.shape != input.shape[:-1]:
        raise ValueError(
            f"{op}: input has shape {input.shape} and target {target.shape}, but (N, C) and (N,), or (C,) and () are "
            f"expected"
        )
    if target.dtype != _C.int64:
        raise TypeError(f"{op}: target is {target.dtype}, but labels of int64 are expected; use .long()")
    scores = input if input.ndim == 2 else unsqueeze(input, 0)
    labels = reshape(target, (-1,))
    others = sub(1.0, cast(one_hot(labels, scores.shape[1]), scores.dtype))
    own = gather(scores, 1, unsqueeze(labels, 1))
    return mul(relu(sub(scores, own) + margin), others), labels


def multi_margin_loss(
    input: Tensor,
    target: Tensor,
    p: int = 1,
    margin: float = 1.0,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Hinge loss of several classes divided by their number: sum_j max(0, margin + s_j - s_y)^p / C over j != y.

    Args:
        input: scores (N, C) or (C,), floating.
        target: labels (N,) or (), int64 in [0, C).
        p: 1 or 2.
        margin: how far the label's score must be above the others.
        weight: (C,) factors of the labels.
        size_average: deprecated, see `reduction`.
        reduce: deprecated, see `reduction`.
        reduction: "none", "mean" over the samples or "sum".

    Raises:
        ValueError: shapes that do not fit, or another p.
        TypeError: dtypes that do not fit.
        IndexError: a label out of range.

    Example:
        >>> import fastcnn as fc
        >>> fc.functional.multi_margin_loss(fc.tensor([[0.0, 0.0, 0.0]]), fc.tensor([1])).item()
        0.6666666865348816
    """
    op = "multi_margin_loss"
    if p not in (1, 2):
        raise ValueError(f"{op}: p is {p}, but 1 or 2 is expected")
    (scores,) = widened(op, input=input)
    hinges, labels = _hinges(op, scores, target, margin)
    losses = _reduction.mean(hinges if p == 1 else square(hinges), 1)
    weight = _constant(op, "weight", weight)
    if weight is not None:
        losses = mul(losses, index_select(cast(weight, scores.dtype), 0, labels))
    return reduced(op, reshape(losses, target.shape), input.dtype, reduction, size_average, reduce)


def multiclass_hinge_loss(input: Tensor, target: Tensor, margin: float = 1.0, reduction: str = "mean") -> Tensor:
    """Loss of the multiclass SVM: sum over j != y of max(0, s_j - s_y + margin), not divided by C. Not in torch.

    Args:
        input: scores (N, C) or (C,), floating.
        target: labels (N,) or (), int64 in [0, C).
        margin: how far the label's score must be above the others.
        reduction: "none", "mean" over the samples or "sum".

    Example:
        >>> import fastcnn as fc
        >>> fc.functional.multiclass_hinge_loss(fc.tensor([[0.0, 0.0, 0.0]]), fc.tensor([1])).item()
        2.0

    Source: Weston and Watkins, "Support vector machines for multi-class pattern recognition", ESANN 1999.
    """
    op = "multiclass_hinge_loss"
    (scores,) = widened(op, input=input)
    hinges, _ = _hinges(op, scores, target, margin)
    return reduced(op, reshape(_reduction.sum(hinges, 1), target.shape), input.dtype, reduction)


def multilabel_margin_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Hinge loss of several labels per sample: sum of max(0, 1 - (s_y - s_i)) / C over labels y and other classes i.

    N C^2 numbers are kept for backward.

    Args:
        input: scores (N, C) or (C,), floating.
        target: (N, C) or (C,), int64: the labels of every sample in [0, C), then -1; what follows the first -1 is
            not used. A label that is given twice counts twice.
        size_average: deprecated, see `reduction`.
        reduce: deprecated, see `reduction`.
        reduction: "none", "mean" over the samples or "sum".

    Returns:
        A scalar, or (N,) for reduction "none".

    Raises:
        ValueError: shapes that do not fit.
        TypeError: dtypes that do not fit.
        IndexError: a number of `target` below -1, or C and above.

    Example:
        >>> import fastcnn as fc
        >>> scores, labels = fc.tensor([[0.1, 0.2, 0.4, 0.8]]), fc.tensor([[3, 0, -1, 1]])
        >>> round(fc.functional.multilabel_margin_loss(scores, labels).item(), 4)
        0.85
    """
    op = "multilabel_margin_loss"
    if input.ndim not in (1, 2) or target.shape != input.shape:
        raise ValueError(
            f"{op}: input has shape {input.shape} and target {target.shape}, but equal (N, C) or (C,) are expected"
        )
    if target.dtype != _C.int64:
        raise TypeError(f"{op}: target is {target.dtype}, but labels of int64 are expected; use .long()")
    (scores,) = widened(op, input=input)
    classes = input.shape[-1]
    scores, labels = reshape(scores, (-1, classes)), reshape(target, (-1, classes))
    ends = eq(labels, -1)
    labels = where(ends, 0, labels)
    places = arange(classes, device=input.device)
    counts = lt(places, _reduction.amin(where(ends, places, classes), 1, keepdim=True))  # in front of the first -1
    own = unsqueeze(gather(scores, 1, labels), 2)
    # (N, C): how often every class is a label
    chosen = Tensor(
        _C.gather_backward(cast(counts, scores.dtype)._data, scores.shape, scores._data.layout, 1, labels._data)
    )
    pairs = logical_and(unsqueeze(counts, 2), unsqueeze(eq(chosen, 0.0), 1))
    hinges = where(pairs, relu(sub(1.0, sub(own, unsqueeze(scores, 1)))), 0.0)  # (N, labels, other classes)
    losses = div(_reduction.sum(hinges, (1, 2)), float(classes))
    return reduced(op, reshape(losses, target.shape[:-1]), input.dtype, reduction, size_average, reduce)


def hinge_embedding_loss(
    input: Tensor,
    target: Tensor,
    margin: float = 1.0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Distances of alike pairs (target 1) themselves; of unlike ones (target -1) max(0, margin - distance).

    Args:
        input: distances of any shape, floating.
        target: 1 or -1, the input's shape and dtype.
        margin: distance that unlike pairs need.
        size_average: deprecated, see `reduction`.
        reduce: deprecated, see `reduction`.
        reduction: "none", "mean" or "sum".
    """
    op = "hinge_embedding_loss"
    x, t = widened(op, input=input, target=target)
    check_equal_shapes(op, input=input, target=target)
    losses = where(t == 1, x, 0.0) + where(t == -1, relu(sub(margin, x)), 0.0)
    return reduced(op, losses, input.dtype, reduction, size_average, reduce)


def margin_ranking_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0.0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """max(0, margin - target (input1 - input2)): target 1 wants input1 to be larger, -1 smaller.

    Args:
        input1: scores of any shape, floating.
        input2: likewise.
        target: 1 or -1, the same shape and dtype.
        margin: how far they should be apart.
        size_average: deprecated, see `reduction`.
        reduce: deprecated, see `reduction`.
        reduction: "none", "mean" or "sum".
    """
    op = "margin_ranking_loss"
    a, b, t = widened(op, input1=input1, input2=input2, target=target)
    check_equal_shapes(op, input1=input1, input2=input2, target=target)
    return reduced(op, relu(sub(margin, mul(t, sub(a, b)))), input1.dtype, reduction, size_average, reduce)


def pairwise_distance(x1: Tensor, x2: Tensor, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> Tensor:
    """The p-norm of x1 - x2 + eps over the last dimension.

    Args:
        x1: (N, D) or (D,), floating.
        x2: likewise.
        p: exponent, > 0; inf gives the largest difference.
        eps: added to every difference.
        keepdim: keep the last dimension with size 1.

    Example:
        >>> import fastcnn as fc
        >>> round(fc.functional.pairwise_distance(fc.tensor([3.0, 4.0]), fc.tensor([0.0, 0.0])).item(), 4)
        5.0
    """
    a, b = widened("pairwise_distance", x1=x1, x2=x2)
    check_equal_shapes("pairwise_distance", x1=x1, x2=x2)
    return cast(_norm(sub(a, b) + eps, p, keepdim), x1.dtype)


def _norm(difference: Tensor, p: float, keepdim: bool = False) -> Tensor:
    if p in (1, 2, float("inf")):
        return _reduction.norm(difference, p, -1, keepdim)
    if not p > 0:
        raise ValueError(f"pairwise_distance: p is {p}, but must be positive")
    return pow(_reduction.sum(pow(abs(difference), p), -1, keepdim), 1.0 / p)


def triplet_margin_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    margin: float = 1.0,
    p: float = 2,
    eps: float = 1e-6,
    swap: bool = False,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """max(0, d(anchor, positive) - d(anchor, negative) + margin), d the `pairwise_distance`.

    Args:
        anchor: (N, D) or (D,), floating.
        positive: of the anchor's class.
        negative: of another class.
        margin: how much farther the negative must be, > 0.
        p: exponent of the distance.
        eps: see `pairwise_distance`.
        swap: take the smaller of d(anchor, negative) and d(positive, negative) (Balntas et al., BMVC 2016).
        size_average: deprecated, see `reduction`.
        reduce: deprecated, see `reduction`.
        reduction: "none", "mean" or "sum".

    Raises:
        ValueError: shapes differ, or margin is not positive.

    Source: Schroff et al., "FaceNet", CVPR 2015.
    """
    op = "triplet_margin_loss"
    if not margin > 0:
        raise ValueError(f"{op}: margin is {margin}, but must be positive")
    a, b, c = widened(op, anchor=anchor, positive=positive, negative=negative)
    check_equal_shapes(op, anchor=anchor, positive=positive, negative=negative)
    far = _norm(sub(a, c) + eps, p)
    if swap:
        far = minimum(far, _norm(sub(b, c) + eps, p))
    losses = relu(sub(_norm(sub(a, b) + eps, p), far) + margin)
    return reduced(op, losses, anchor.dtype, reduction, size_average, reduce)


def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """Cosine of the angle between x1 and x2 along `dim`; norms below eps count as eps.

    Args:
        x1: any shape, floating.
        x2: broadcasts with x1.
        dim: the dimension of the vectors.
        eps: smallest norm.

    Example:
        >>> import fastcnn as fc
        >>> fc.functional.cosine_similarity(fc.tensor([[1.0, 0.0]]), fc.tensor([[0.0, 2.0]])).item()
        0.0
    """
    a, b = widened("cosine_similarity", x1=x1, x2=x2)
    product = _reduction.sum(mul(_unit(a, dim, eps), _unit(b, dim, eps)), dim)
    return cast(product, x1.dtype)


def _unit(x: Tensor, dim: int, eps: float) -> Tensor:
    return div(x, maximum(_reduction.norm(x, 2, dim, keepdim=True), eps))


def cosine_embedding_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0.0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """1 - cos(input1, input2) for alike pairs (target 1), max(0, cos - margin) for unlike ones (target -1).

    Args:
        input1: (N, D) or (D,), floating.
        input2: likewise.
        target: (N,) or (), 1 or -1, any dtype.
        margin: cosine that unlike pairs may have.
        size_average: deprecated, see `reduction`.
        reduce: deprecated, see `reduction`.
        reduction: "none", "mean" or "sum".

    Raises:
        ValueError: shapes that do not fit.
    """
    op = "cosine_embedding_loss"
    a, b = widened(op, input1=input1, input2=input2)
    check_equal_shapes(op, input1=input1, input2=input2)
    if input1.ndim not in (1, 2) or target.shape != input1.shape[:-1]:
        raise ValueError(
            f"{op}: target has shape {target.shape}, but {input1.shape[:-1]} is expected for inputs of shape "
            f"{input1.shape}"
        )
    tiny = 1e-12
    squares = mul(_reduction.sum(square(a), -1) + tiny, _reduction.sum(square(b), -1) + tiny)
    cosine = div(_reduction.sum(mul(a, b), -1), sqrt(squares))
    losses = where(target == 1, sub(1.0, cosine), 0.0) + where(target == -1, clamp(cosine - margin, 0.0), 0.0)
    return reduced(op, losses, input1.dtype, reduction, size_average, reduce)
