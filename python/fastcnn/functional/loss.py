"""Losses: cross-entropy of labels or probabilities, and losses that compare element by element."""

from __future__ import annotations

import warnings
from typing import Any

from .. import _C
from ..autograd import Context, Function
from ..tensor import Tensor

_REDUCTIONS = {"none": _C.LossReduction.none, "mean": _C.LossReduction.mean, "sum": _C.LossReduction.sum}


class _CrossEntropy(Function):
    @staticmethod
    def forward(
        ctx: Context,
        input: _C.Tensor,
        target: _C.Tensor,
        weight: _C.Tensor | None,
        ignore_index: int,
        reduction: _C.LossReduction,
        label_smoothing: float,
    ) -> _C.Tensor:
        loss, stats, divisor = _C.cross_entropy_forward(input, target, weight, ignore_index, reduction, label_smoothing)
        ctx.save_for_backward(input, target, weight, stats, divisor)
        ctx.conf = (ignore_index, reduction, label_smoothing)
        return loss

    @staticmethod
    def backward(ctx: Context, grad_output: _C.Tensor) -> tuple[Any, ...]:
        input, target, weight, stats, divisor = ctx.saved_tensors
        ignore_index, reduction, label_smoothing = ctx.conf
        grads = _C.cross_entropy_backward(
            input,
            target,
            weight,
            ignore_index,
            reduction,
            label_smoothing,
            stats,
            divisor,
            grad_output,
            ctx.needs_input_grad[1],
        )
        return (*grads, None, None, None, None)


class _NllLoss(Function):
    @staticmethod
    def forward(
        ctx: Context,
        input: _C.Tensor,
        target: _C.Tensor,
        weight: _C.Tensor | None,
        ignore_index: int,
        reduction: _C.LossReduction,
    ) -> _C.Tensor:
        loss, divisor = _C.nll_loss_forward(input, target, weight, ignore_index, reduction)
        ctx.save_for_backward(input, target, weight, divisor)
        ctx.conf = (ignore_index, reduction)
        return loss

    @staticmethod
    def backward(ctx: Context, grad_output: _C.Tensor) -> tuple[Any, ...]:
        input, target, weight, divisor = ctx.saved_tensors
        ignore_index, reduction = ctx.conf
        grad = _C.nll_loss_backward(input, target, weight, ignore_index, reduction, divisor, grad_output)
        return grad, None, None, None, None


class _PointwiseLoss(Function):
    @staticmethod
    def forward(
        ctx: Context,
        input: _C.Tensor,
        target: _C.Tensor,
        kind: _C.PointwiseLoss,
        weight: _C.Tensor | None,
        pos_weight: _C.Tensor | None,
        divisor: _C.Tensor | None,
        reduction: _C.LossReduction,
        beta: float,
    ) -> _C.Tensor:
        ctx.save_for_backward(input, target, weight, pos_weight, divisor)
        ctx.conf = (kind, reduction, beta)
        return _C.pointwise_loss_forward(kind, input, target, weight, pos_weight, divisor, reduction, beta)

    @staticmethod
    def backward(ctx: Context, grad_output: _C.Tensor) -> tuple[Any, ...]:
        input, target, weight, pos_weight, divisor = ctx.saved_tensors
        kind, reduction, beta = ctx.conf
        wanted = ctx.needs_input_grad[:2]
        grads = _C.pointwise_loss_backward(
            kind, input, target, weight, pos_weight, divisor, reduction, beta, grad_output, *wanted
        )
        return (*grads, None, None, None, None, None, None)


def reduction_name(op: str, reduction: str, size_average: bool | None = None, reduce: bool | None = None) -> str:
    """The valid name of a reduction given by it or by torch's two deprecated flags; ValueError if there is none."""
    if size_average is not None or reduce is not None:
        reduction = "none" if reduce is False else "sum" if size_average is False else "mean"
        warnings.warn(f"{op}: size_average and reduce are deprecated, use reduction={reduction!r}", stacklevel=4)
    if reduction not in _REDUCTIONS:
        raise ValueError(f"{op}: reduction is {reduction!r}, but 'none', 'mean' or 'sum' is expected")
    return reduction


def _reduction(op: str, reduction: str, size_average: bool | None, reduce: bool | None) -> _C.LossReduction:
    return _REDUCTIONS[reduction_name(op, reduction, size_average, reduce)]


def _constant(op: str, name: str, weight: Tensor | None) -> Tensor | None:
    if weight is not None and weight.requires_grad:
        raise ValueError(f"{op}: {name} requires a gradient, but it is treated as a constant; pass {name}.detach()")
    return weight


def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """Cross-entropy between logits and class labels (or class probabilities): softmax and its loss in one kernel.

    Args:
        input: logits (N, C), (N, C, d1, ...) or (C,); float32 or float64. Any magnitude, 1e4 included.
        target: labels (N,), (N, d1, ...) or (), int64 (or uint8) in [0, C) or `ignore_index`; or probabilities with
            the input's shape and dtype.
        weight: (C,) one factor per class.
        size_average: deprecated, see `reduction`.
        ignore_index: label whose samples count nothing, neither in the loss nor in the mean.
        reduce: deprecated, see `reduction`.
        reduction: "none" (loss per sample), "sum", or "mean": divided by the summed weights of the labels that count,
            by the number of samples for probabilities. If every label is ignored the mean is NaN (0 / 0), as in torch.
        label_smoothing: in [0, 1]; this share of every target is spread evenly over the classes.

    Returns:
        A scalar, or the losses (N, d1, ...) for "none".

    Raises:
        TypeError: `input` is not float32 or float64, or `target` is neither labels nor probabilities.
        ValueError: shapes do not fit, or a label is out of range (the message names the first one).

    Example:
        >>> import fastcnn as fc
        >>> import fastcnn.functional as F
        >>> logits = fc.tensor([[2.0, 0.0], [0.0, 2.0]])
        >>> round(F.cross_entropy(logits, fc.tensor([0, 1])).item(), 4)
        0.1269
    """
    mode = _reduction("cross_entropy", reduction, size_average, reduce)
    weight = _constant("cross_entropy", "weight", weight)
    result: Tensor = _CrossEntropy.apply(input, target, weight, ignore_index, mode, label_smoothing)
    return result


def nll_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Negative log-likelihood of log-probabilities, such as `log_softmax` gives; `cross_entropy` fuses the two.

    Args:
        input: log-probabilities (N, C), (N, C, d1, ...) or (C,); float32 or float64.
        target: labels (N,), (N, d1, ...) or (), int64 in [0, C) or `ignore_index`.
        weight: (C,) one factor per class.
        size_average: deprecated, see `reduction`.
        ignore_index: label whose samples count nothing.
        reduce: deprecated, see `reduction`.
        reduction: "none", "sum" or "mean" (divided by the summed weights of the labels that count).

    Raises:
        TypeError: `input` is not float32 or float64, or `target` has no labels.
        ValueError: shapes do not fit, or a label is out of range.

    Example:
        >>> import fastcnn as fc
        >>> import fastcnn.functional as F
        >>> F.nll_loss(fc.tensor([[-0.5, -1.0]]), fc.tensor([1])).item()
        1.0
    """
    mode = _reduction("nll_loss", reduction, size_average, reduce)
    result: Tensor = _NllLoss.apply(input, target, _constant("nll_loss", "weight", weight), ignore_index, mode)
    return result


def _pointwise(
    op: str,
    kind: _C.PointwiseLoss,
    input: Tensor,
    target: Tensor,
    reduction: _C.LossReduction,
    weight: Tensor | None = None,
    pos_weight: Tensor | None = None,
    beta: float = 1.0,
    divide_by_weight: bool = False,
) -> Tensor:
    weight, pos_weight = _constant(op, "weight", weight), _constant(op, "pos_weight", pos_weight)
    divisor = None
    if divide_by_weight and weight is not None:
        if weight.shape != input.shape:
            raise ValueError(f"{op}: weight has shape {weight.shape}, but the input's shape {input.shape} is expected")
        divisor = _C.reduce_forward(weight._data, _C.Reduce.sum, None, False)
    result: Tensor = _PointwiseLoss.apply(input, target, kind, weight, pos_weight, divisor, reduction, beta)
    return result


def mse_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """Squared error (input - target)^2 per element.

    Args:
        input: any shape, float32 or float64.
        target: the input's shape and dtype (torch broadcasts with a warning).
        size_average: deprecated, see `reduction`.
        reduce: deprecated, see `reduction`.
        reduction: "none", "sum" or "mean" (divided by the sum of `weight` if given).
        weight: factors of the input's shape.

    Raises:
        TypeError: dtypes differ or are not float32 or float64.
        ValueError: shapes differ.

    Example:
        >>> import fastcnn as fc
        >>> import fastcnn.functional as F
        >>> F.mse_loss(fc.tensor([1.0, 3.0]), fc.tensor([1.0, 1.0])).item()
        2.0
    """
    mode = _reduction("mse_loss", reduction, size_average, reduce)
    return _pointwise("mse_loss", _C.PointwiseLoss.mse, input, target, mode, weight, divide_by_weight=True)


def l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """Absolute error |input - target| per element; arguments and errors as `mse_loss`.

    Example:
        >>> import fastcnn as fc
        >>> import fastcnn.functional as F
        >>> F.l1_loss(fc.tensor([1.0, 4.0]), fc.tensor([1.0, 1.0]), reduction="sum").item()
        3.0
    """
    mode = _reduction("l1_loss", reduction, size_average, reduce)
    return _pointwise("l1_loss", _C.PointwiseLoss.l1, input, target, mode, weight, divide_by_weight=True)


def smooth_l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    beta: float = 1.0,
) -> Tensor:
    """Absolute error rounded off below `beta`: d^2 / (2 beta) there, |d| - beta / 2 elsewhere (Girshick 2015).

    Args:
        input: any shape, float32 or float64.
        target: the input's shape and dtype.
        size_average: deprecated, see `reduction`.
        reduce: deprecated, see `reduction`.
        reduction: "none", "sum" or "mean".
        beta: where the two pieces meet, >= 0; 0 gives `l1_loss`.

    Raises:
        TypeError: dtypes differ or are not float32 or float64.
        ValueError: shapes differ, or `beta` is negative.

    Example:
        >>> import fastcnn as fc
        >>> import fastcnn.functional as F
        >>> F.smooth_l1_loss(fc.tensor([0.5, 3.0]), fc.tensor([0.0, 0.0]), reduction="none").numpy().tolist()
        [0.125, 2.5]
    """
    mode = _reduction("smooth_l1_loss", reduction, size_average, reduce)
    return _pointwise("smooth_l1_loss", _C.PointwiseLoss.smooth_l1, input, target, mode, beta=beta)


def huber_loss(
    input: Tensor, target: Tensor, reduction: str = "mean", delta: float = 1.0, weight: Tensor | None = None
) -> Tensor:
    """Squared error up to `delta`, absolute error beyond: d^2 / 2, then delta (|d| - delta / 2) (Huber 1964).

    Args:
        input: any shape, float32 or float64.
        target: the input's shape and dtype.
        reduction: "none", "sum" or "mean" (over the elements, also with `weight`).
        delta: where the two pieces meet, > 0.
        weight: factors of the input's shape.

    Raises:
        TypeError: dtypes differ or are not float32 or float64.
        ValueError: shapes differ, or `delta` is not positive.

    Example:
        >>> import fastcnn as fc
        >>> import fastcnn.functional as F
        >>> F.huber_loss(fc.tensor([3.0]), fc.tensor([0.0]), delta=2.0).item()
        4.0
    """
    mode = _reduction("huber_loss", reduction, None, None)
    return _pointwise("huber_loss", _C.PointwiseLoss.huber, input, target, mode, weight, beta=delta)


def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    pos_weight: Tensor | None = None,
) -> Tensor:
    """Binary cross-entropy of logits: sigmoid and its loss in one kernel, stable for any logit.

    Args:
        input: logits of any shape, float32 or float64.
        target: numbers in [0, 1] with the input's shape and dtype.
        weight: factors that broadcast to the input's shape.
        size_average: deprecated, see `reduction`.
        reduce: deprecated, see `reduction`.
        reduction: "none", "sum" or "mean" (over the elements, also with `weight`).
        pos_weight: factors of the positive part, broadcast to the input's shape: (C,) for (N, C).

    Raises:
        TypeError: dtypes differ or are not float32 or float64.
        ValueError: shapes differ, or a weight does not broadcast.

    Example:
        >>> import fastcnn as fc
        >>> import fastcnn.functional as F
        >>> F.binary_cross_entropy_with_logits(fc.tensor([1000.0]), fc.tensor([0.0])).item()
        1000.0
    """
    op = "binary_cross_entropy_with_logits"
    mode = _reduction(op, reduction, size_average, reduce)
    return _pointwise(op, _C.PointwiseLoss.bce_logits, input, target, mode, weight, pos_weight)


def binary_cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Binary cross-entropy of probabilities; logarithms are cut off at -100, as in torch.

    `binary_cross_entropy_with_logits` is faster and more accurate where logits are at hand.

    Args:
        input: probabilities in [0, 1] of any shape, float32 or float64.
        target: numbers in [0, 1] with the input's shape and dtype.
        weight: factors that broadcast to the input's shape.
        size_average: deprecated, see `reduction`.
        reduce: deprecated, see `reduction`.
        reduction: "none", "sum" or "mean" (over the elements, also with `weight`).

    Raises:
        TypeError: dtypes differ or are not float32 or float64.
        ValueError: shapes differ, or an input is outside [0, 1].

    Example:
        >>> import fastcnn as fc
        >>> import fastcnn.functional as F
        >>> round(F.binary_cross_entropy(fc.tensor([0.5]), fc.tensor([1.0])).item(), 4)
        0.6931
    """
    mode = _reduction("binary_cross_entropy", reduction, size_average, reduce)
    return _pointwise("binary_cross_entropy", _C.PointwiseLoss.bce, input, target, mode, weight)
