"""Losses as modules; the formulas and arguments are those of the functions of `fastcnn.functional`."""

from __future__ import annotations

from ..functional import loss as F
from ..tensor import Tensor
from .module import Module


class _Loss(Module):
    def __init__(self, size_average: bool | None, reduce: bool | None, reduction: str) -> None:
        super().__init__()
        self.reduction = F.reduction_name(type(self).__name__, reduction, size_average, reduce)

    def extra_repr(self) -> str:
        """The reduction, where it is not the default."""
        return "" if self.reduction == "mean" else f"reduction={self.reduction!r}"


class CrossEntropyLoss(_Loss):
    """`cross_entropy` of logits (N, C, ...) and labels (N, ...) or probabilities (N, C, ...).

    Args:
        weight: (C,) one factor per class; a buffer.
        size_average: deprecated, see `reduction`.
        ignore_index: label whose samples count nothing.
        reduce: deprecated, see `reduction`.
        reduction: "none", "mean" or "sum".
        label_smoothing: share of every target that is spread evenly over the classes.

    Example:
        >>> import fastcnn as fc
        >>> round(fc.nn.CrossEntropyLoss()(fc.tensor([[2.0, 0.0]]), fc.tensor([0])).item(), 4)
        0.1269
    """

    weight: Tensor | None

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: bool | None = None,
        ignore_index: int = -100,
        reduce: bool | None = None,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.register_buffer("weight", weight)
        self.ignore_index = ignore_index
        self.label_smoothing = label_smoothing

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss: a scalar, or one per sample for reduction "none"."""
        return F.cross_entropy(
            input,
            target,
            self.weight,
            ignore_index=self.ignore_index,
            reduction=self.reduction,
            label_smoothing=self.label_smoothing,
        )


class NLLLoss(_Loss):
    """`nll_loss` of log-probabilities (N, C, ...) and labels (N, ...).

    Args:
        weight: (C,) one factor per class; a buffer.
        size_average: deprecated, see `reduction`.
        ignore_index: label whose samples count nothing.
        reduce: deprecated, see `reduction`.
        reduction: "none", "mean" or "sum".

    Example:
        >>> import fastcnn as fc
        >>> fc.nn.NLLLoss()(fc.tensor([[-0.5, -1.0]]), fc.tensor([1])).item()
        1.0
    """

    weight: Tensor | None

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: bool | None = None,
        ignore_index: int = -100,
        reduce: bool | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.register_buffer("weight", weight)
        self.ignore_index = ignore_index

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss: a scalar, or one per sample for reduction "none"."""
        return F.nll_loss(input, target, self.weight, ignore_index=self.ignore_index, reduction=self.reduction)


class MSELoss(_Loss):
    """`mse_loss`: squared error.

    Args:
        size_average: deprecated, see `reduction`.
        reduce: deprecated, see `reduction`.
        reduction: "none", "mean" or "sum".

    Example:
        >>> import fastcnn as fc
        >>> fc.nn.MSELoss()(fc.tensor([1.0, 3.0]), fc.tensor([1.0, 1.0])).item()
        2.0
    """

    def __init__(self, size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean") -> None:
        super().__init__(size_average, reduce, reduction)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss: a scalar, or one per element for reduction "none"."""
        return F.mse_loss(input, target, reduction=self.reduction)


class L1Loss(_Loss):
    """`l1_loss`: absolute error.

    Args:
        size_average: deprecated, see `reduction`.
        reduce: deprecated, see `reduction`.
        reduction: "none", "mean" or "sum".

    Example:
        >>> import fastcnn as fc
        >>> fc.nn.L1Loss()(fc.tensor([1.0, 4.0]), fc.tensor([1.0, 1.0])).item()
        1.5
    """

    def __init__(self, size_average: bool | None = None, reduce: bool | None = None, reduction: str = "mean") -> None:
        super().__init__(size_average, reduce, reduction)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss: a scalar, or one per element for reduction "none"."""
        return F.l1_loss(input, target, reduction=self.reduction)


class SmoothL1Loss(_Loss):
    """`smooth_l1_loss`: absolute error, quadratic below `beta`.

    Args:
        size_average: deprecated, see `reduction`.
        reduce: deprecated, see `reduction`.
        reduction: "none", "mean" or "sum".
        beta: where the two pieces meet, >= 0.

    Example:
        >>> import fastcnn as fc
        >>> fc.nn.SmoothL1Loss()(fc.tensor([3.0]), fc.tensor([0.0])).item()
        2.5
    """

    def __init__(
        self,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
        beta: float = 1.0,
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.beta = beta

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss: a scalar, or one per element for reduction "none"."""
        return F.smooth_l1_loss(input, target, reduction=self.reduction, beta=self.beta)


class HuberLoss(_Loss):
    """`huber_loss`: squared error up to `delta`, absolute error beyond.

    Args:
        reduction: "none", "mean" or "sum".
        delta: where the two pieces meet, > 0.

    Example:
        >>> import fastcnn as fc
        >>> fc.nn.HuberLoss(delta=2.0)(fc.tensor([3.0]), fc.tensor([0.0])).item()
        4.0
    """

    def __init__(self, reduction: str = "mean", delta: float = 1.0) -> None:
        super().__init__(None, None, reduction)
        self.delta = delta

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss: a scalar, or one per element for reduction "none"."""
        return F.huber_loss(input, target, self.reduction, self.delta)


class BCEWithLogitsLoss(_Loss):
    """`binary_cross_entropy_with_logits`: logits against numbers in [0, 1].

    Args:
        weight: factors that broadcast to the input's shape; a buffer.
        size_average: deprecated, see `reduction`.
        reduce: deprecated, see `reduction`.
        reduction: "none", "mean" or "sum".
        pos_weight: factors of the positive part, broadcast to the input's shape; a buffer.

    Example:
        >>> import fastcnn as fc
        >>> round(fc.nn.BCEWithLogitsLoss()(fc.tensor([0.0]), fc.tensor([1.0])).item(), 4)
        0.6931
    """

    weight: Tensor | None
    pos_weight: Tensor | None

    def __init__(
        self,
        weight: Tensor | None = None,
        size_average: bool | None = None,
        reduce: bool | None = None,
        reduction: str = "mean",
        pos_weight: Tensor | None = None,
    ) -> None:
        super().__init__(size_average, reduce, reduction)
        self.register_buffer("weight", weight)
        self.register_buffer("pos_weight", pos_weight)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss: a scalar, or one per element for reduction "none"."""
        return F.binary_cross_entropy_with_logits(
            input, target, self.weight, reduction=self.reduction, pos_weight=self.pos_weight
        )


class BCELoss(_Loss):
    """`binary_cross_entropy`: probabilities against numbers in [0, 1].

    Args:
        weight: factors that broadcast to the input's shape; a buffer.
        size_average: deprecated, see `reduction`.
        reduce: deprecated, see `reduction`.
        reduction: "none", "mean" or "sum".

    Example:
        >>> import fastcnn as fc
        >>> round(fc.nn.BCELoss()(fc.tensor([0.5]), fc.tensor([1.0])).item(), 4)
        0.6931
    """

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
        """The loss: a scalar, or one per element for reduction "none"."""
        return F.binary_cross_entropy(input, target, self.weight, reduction=self.reduction)
