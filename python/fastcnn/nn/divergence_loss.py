"""Losses of distributions and masks as modules; formulas and arguments are those of `fastcnn.functional`."""

from __future__ import annotations

import warnings

from .. import functional as F
from ..tensor import Tensor
from .loss import _Loss
from .module import Module


class KLDivLoss(Module):
    """`kl_div`: Kullback-Leibler divergence of log-probabilities from a target distribution.

    Args:
        size_average: deprecated, see `reduction`.
        reduce: deprecated, see `reduction`.
        reduction: "none", "sum", "batchmean" or "mean".
        log_target: the target holds logarithms.
    """

    def __init__(
        self,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
        log_target: bool = False,
    ) -> None:
        super().__init__()
        if size_average is not None or reduce is not None:
            reduction = "none" if reduce is False else "sum" if size_average is False else "mean"
            warnings.warn(
                f"KLDivLoss: size_average and reduce are deprecated, use reduction={reduction!r}", stacklevel=2
            )
        if reduction not in ("none", "mean", "sum", "batchmean"):
            raise ValueError(
                f"KLDivLoss: reduction is {reduction!r}, but 'none', 'mean', 'sum' or 'batchmean' is expected"
            )
        self.reduction = reduction
        self.log_target = log_target

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Log-probabilities and probabilities of one shape."""
        return F.kl_div(input, target, reduction=self.reduction, log_target=self.log_target)


class GaussianNLLLoss(_Loss):
    """`gaussian_nll_loss`: a normal distribution with predicted mean and variance."""

    def __init__(self, *, full: bool = False, eps: float = 1e-6, reduction: str = "mean") -> None:
        super().__init__(None, None, reduction)
        self.full = full
        self.eps = eps

    def forward(self, input: Tensor, target: Tensor, var: Tensor) -> Tensor:
        """Means, targets and variances of one shape."""
        return F.gaussian_nll_loss(input, target, var, self.full, self.eps, self.reduction)


class PoissonNLLLoss(_Loss):
    """`poisson_nll_loss`: counts with a predicted (logarithm of the) expectation."""

    def __init__(
        self,
        log_input: bool = True,
        full: bool = False,
        size_average: bool | None = None,
        eps: float = 1e-8,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.log_input = log_input
        self.full = full
        self.eps = eps

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Expectations and counts of one shape."""
        return F.poisson_nll_loss(input, target, self.log_input, self.full, eps=self.eps, reduction=self.reduction)


class SoftMarginLoss(_Loss):
    """`soft_margin_loss`: logistic loss of targets 1 and -1."""

    def __init__(self, size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean") -> None:
        super().__init__(size_average, reduce, reduction)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Scores and 1 or -1, of one shape."""
        return F.soft_margin_loss(input, target, reduction=self.reduction)


class MultiLabelSoftMarginLoss(_Loss):
    """`multilabel_soft_margin_loss`: one binary cross-entropy per class."""

    weight: Tensor | None

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.register_buffer("weight", weight)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Logits and 0 or 1, both (N, C)."""
        return F.multilabel_soft_margin_loss(input, target, self.weight, reduction=self.reduction)


class FocalLoss(_Loss):
    """`sigmoid_focal_loss`: binary cross-entropy that discounts easy examples. Not in torch.

    Args:
        alpha: weight of the positive examples; negative for none.
        gamma: how strongly easy examples are discounted.
        reduction: "none", "mean" or "sum".
    """

    def __init__(self, alpha: float = 0.25, gamma: float = 2.0, reduction: str = "mean") -> None:
        super().__init__(None, None, reduction)
        self.alpha = alpha
        self.gamma = gamma

    def forward(self, inputs: Tensor, targets: Tensor) -> Tensor:
        """Logits and 0 or 1, of one shape."""
        return F.sigmoid_focal_loss(inputs, targets, self.alpha, self.gamma, self.reduction)


class DiceLoss(_Loss):
    """`dice_loss`: overlap of masks. Not in torch.

    Args:
        smooth: keeps empty masks finite.
        reduction: "none", "mean" or "sum".
    """

    def __init__(self, smooth: float = 1.0, reduction: str = "mean") -> None:
        super().__init__(None, None, reduction)
        self.smooth = smooth

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Probabilities and masks, both (N, C, ...)."""
        return F.dice_loss(input, target, self.smooth, self.reduction)


class SumSquareLoss(_Loss):
    """`sum_square_loss`: sum over the outputs of a sample of squared errors. Not in torch."""

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__(None, None, reduction)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Two tensors (N, ...)."""
        return F.sum_square_loss(input, target, self.reduction)


class HalfSquareLoss(SumSquareLoss):
    """`half_square_loss`: the Euclidean cost, half of `SumSquareLoss`. Not in torch."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Two tensors (N, ...)."""
        return F.half_square_loss(input, target, self.reduction)
