"""Losses of distributions, of unbalanced classes and of masks, and the squared losses as textbooks write them."""

from __future__ import annotations

import math

from ..ops import reduction as _reduction
from ..ops.conversion import cast
from ..ops.elementwise import clamp, div, exp, log, mul, neg, pow, sigmoid, square, sub, where
from ..tensor import Tensor
from .loss import _constant, binary_cross_entropy_with_logits
from .loss_reduction import check_equal_shapes, reduced
from .pointwise import widened
from .smooth import logsigmoid


def kl_div(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    log_target: bool = False,
) -> Tensor:
    """Kullback-Leibler divergence: target (log target - input), with `input` the logarithm of a distribution.

    Args:
        input: log-probabilities of any shape, floating.
        target: probabilities (logarithms of them with `log_target`), the input's shape and dtype.
        size_average: deprecated, see `reduction`.
        reduce: deprecated, see `reduction`.
        reduction: "none", "sum", "batchmean" (the sum divided by N: the divergence as it is defined), or "mean" over
            all elements, which is torch's default and no divergence.
        log_target: `target` holds logarithms.

    Raises:
        ValueError: shapes differ, or another reduction.

    Example:
        >>> import fastcnn as fc
        >>> p = fc.tensor([[0.5, 0.5]])
        >>> fc.functional.kl_div(p.log(), p, reduction="batchmean").item()
        0.0
    """
    op = "kl_div"
    x, t = widened(op, input=input, target=target)
    check_equal_shapes(op, input=input, target=target)
    losses = mul(exp(t), sub(t, x)) if log_target else mul(t, sub(log(where(t > 0, t, 1.0)), x))
    if reduction == "batchmean":
        batch = input.shape[0] if input.ndim else 1
        return cast(div(_reduction.sum(losses), batch), input.dtype)
    return reduced(op, losses, input.dtype, reduction, size_average, reduce)


def gaussian_nll_loss(
    input: Tensor, target: Tensor, var: Tensor, full: bool = False, eps: float = 1e-6, reduction: str = "mean"
) -> Tensor:
    """Negative log-likelihood of a normal: (log var + (input - target)^2 / var) / 2, var at least eps.

    Args:
        input: means of any shape, floating.
        target: the input's shape and dtype.
        var: variances, the input's shape and dtype; not negative.
        full: add log(2 pi) / 2.
        eps: smallest variance.
        reduction: "none", "mean" or "sum".
    """
    op = "gaussian_nll_loss"
    x, t, v = widened(op, input=input, target=target, var=var)
    check_equal_shapes(op, input=input, target=target, var=var)
    v = v + (clamp(v.detach(), eps) - v.detach())  # the bound passes gradients on, as in torch
    losses = mul(log(v) + div(square(sub(x, t)), v), 0.5)
    return reduced(op, losses + 0.5 * math.log(2 * math.pi) if full else losses, input.dtype, reduction)


def poisson_nll_loss(
    input: Tensor,
    target: Tensor,
    log_input: bool = True,
    full: bool = False,
    size_average: bool | None = None,
    eps: float = 1e-8,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Negative log-likelihood of counts: exp(input) - target input, or input - target log(input + eps).

    Args:
        input: the (logarithm of the) expected counts, any shape, floating.
        target: counts, the input's shape and dtype.
        log_input: whether `input` is a logarithm.
        full: add Stirling's approximation of log(target!) where target > 1.
        size_average: deprecated, see `reduction`.
        eps: keeps the logarithm finite.
        reduce: deprecated, see `reduction`.
        reduction: "none", "mean" or "sum".
    """
    op = "poisson_nll_loss"
    x, t = widened(op, input=input, target=target)
    check_equal_shapes(op, input=input, target=target)
    losses = sub(exp(x), mul(t, x)) if log_input else sub(x, mul(t, log(x + eps)))
    if full:
        above = where(t > 1, t, 1.0)
        stirling = sub(mul(above, log(above)), above) + mul(log(mul(above, 2 * math.pi)), 0.5)
        losses = losses + where(t > 1, stirling, 0.0)
    return reduced(op, losses, input.dtype, reduction, size_average, reduce)


def soft_margin_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """log(1 + exp(-target * input)) for targets of 1 and -1.

    Args:
        input: scores of any shape, floating.
        target: 1 or -1, the input's shape and dtype.
        size_average: deprecated, see `reduction`.
        reduce: deprecated, see `reduction`.
        reduction: "none", "mean" or "sum".
    """
    op = "soft_margin_loss"
    x, t = widened(op, input=input, target=target)
    check_equal_shapes(op, input=input, target=target)
    return reduced(op, neg(logsigmoid(mul(t, x))), input.dtype, reduction, size_average, reduce)


def multilabel_soft_margin_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Mean over the classes of binary cross-entropies of logits, one per class.

    Args:
        input: logits (N, C), floating.
        target: 0 or 1, the input's shape and dtype.
        weight: (C,) factors of the classes.
        size_average: deprecated, see `reduction`.
        reduce: deprecated, see `reduction`.
        reduction: "none", "mean" over the samples or "sum".
    """
    op = "multilabel_soft_margin_loss"
    x, t = widened(op, input=input, target=target)
    check_equal_shapes(op, input=input, target=target)
    losses = neg(mul(t, logsigmoid(x)) + mul(sub(1.0, t), logsigmoid(neg(x))))
    weight = _constant(op, "weight", weight)
    if weight is not None:
        losses = mul(losses, cast(weight, x.dtype))
    return reduced(op, _reduction.mean(losses, -1), input.dtype, reduction, size_average, reduce)


def sigmoid_focal_loss(
    inputs: Tensor, targets: Tensor, alpha: float = 0.25, gamma: float = 2, reduction: str = "none"
) -> Tensor:
    """Binary cross-entropy times (1 - p_t)^gamma: easy examples count little.

    Args:
        inputs: logits of any shape, floating.
        targets: 0 or 1, the inputs' shape and dtype.
        alpha: weight of the positive examples, 1 - alpha of the others; negative for none.
        gamma: how strongly easy examples are discounted.
        reduction: "none", "mean" or "sum".

    Source: Lin et al., "Focal loss for dense object detection", ICCV 2017; as `torchvision.ops.sigmoid_focal_loss`.
    """
    op = "sigmoid_focal_loss"
    x, t = widened(op, inputs=inputs, targets=targets)
    check_equal_shapes(op, inputs=inputs, targets=targets)
    p = sigmoid(x)
    entropy = binary_cross_entropy_with_logits(x, t, reduction="none")
    missing = p + t - mul(mul(p, t), 2.0)  # 1 - p_t with p_t = p t + (1 - p) (1 - t)
    losses = mul(entropy, pow(missing, float(gamma)))
    if alpha >= 0:
        losses = mul(losses, mul(t, 2 * alpha - 1) + (1 - alpha))
    return reduced(op, losses, inputs.dtype, reduction)


def dice_loss(input: Tensor, target: Tensor, smooth: float = 1.0, reduction: str = "mean") -> Tensor:
    """1 - (2 sum(p t) + smooth) / (sum(p) + sum(t) + smooth) of every mask. Not in torch.

    Args:
        input: probabilities p (N, C, ...) with at least one dimension of pixels, floating.
        target: masks t, the input's shape and dtype.
        smooth: keeps empty masks finite.
        reduction: "none" gives (N, C), "mean" and "sum" over them.

    Raises:
        ValueError: shapes differ, or there are no pixels.

    Example:
        >>> import fastcnn as fc
        >>> mask = fc.tensor([[[1.0, 0.0]]])
        >>> fc.functional.dice_loss(mask, mask).item()
        0.0

    Source: Milletari et al., "V-Net", 3DV 2016 (with squares in the denominator).
    """
    op = "dice_loss"
    p, t = widened(op, input=input, target=target)
    check_equal_shapes(op, input=input, target=target)
    if input.ndim < 3:
        raise ValueError(f"{op}: input has shape {input.shape}, but (N, C, ...) with pixels is expected")
    pixels = tuple(range(2, input.ndim))
    overlap = _reduction.sum(mul(p, t), pixels)
    total = _reduction.sum(p, pixels) + _reduction.sum(t, pixels)
    losses = sub(1.0, div(mul(overlap, 2.0) + smooth, total + smooth))
    return reduced(op, losses, input.dtype, reduction)


def _squares(op: str, input: Tensor, target: Tensor, factor: float, reduction: str) -> Tensor:
    x, t = widened(op, input=input, target=target)
    check_equal_shapes(op, input=input, target=target)
    if not input.ndim:
        raise ValueError(f"{op}: input has no dimensions, but (N, ...) is expected")
    losses = mul(_reduction.sum(square(sub(x, t)).reshape((x.shape[0], -1)), 1), factor)
    return reduced(op, losses, input.dtype, reduction)


def sum_square_loss(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """Sum over the outputs of a sample of (input - target)^2; its gradient is 2 (input - target). Not in torch.

    Args:
        input: (N, ...), floating.
        target: the input's shape and dtype.
        reduction: "none" gives (N,), "mean" and "sum" over the samples.

    Example:
        >>> import fastcnn as fc
        >>> fc.functional.sum_square_loss(fc.tensor([[3.0, 1.0]]), fc.tensor([[1.0, 0.0]])).item()
        5.0
    """
    return _squares("sum_square_loss", input, target, 1.0, reduction)


def half_square_loss(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """Half of `sum_square_loss`, the Euclidean cost ||input - target||^2 / 2: its gradient is input - target.

    Example:
        >>> import fastcnn as fc
        >>> fc.functional.half_square_loss(fc.tensor([[3.0, 1.0]]), fc.tensor([[1.0, 0.0]])).item()
        2.5
    """
    return _squares("half_square_loss", input, target, 0.5, reduction)
