"""Batch normalisation layers."""

from __future__ import annotations

from .. import _C
from .. import functional as F
from ..tensor import Tensor, float32, int64
from .module import Module
from .parameter import Parameter


class _BatchNorm(Module):
    """What the batch normalisation layers share: see `functional.batch_norm` for the formula."""

    _ranks: tuple[int, ...] = ()
    float32_in_bfloat16 = True
    running_mean: Tensor | None
    running_var: Tensor | None
    num_batches_tracked: Tensor | None
    weight: Parameter | None
    bias: Parameter | None

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: _C.device | str | None = None,
        dtype: _C.dtype | None = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.num_features = num_features
        self.eps = eps
        self.momentum = momentum
        self.affine = affine
        self.track_running_stats = track_running_stats
        dtype = float32 if dtype is None else dtype

        def channels() -> Tensor:
            return Tensor(_C.zeros((num_features,), dtype, device))

        self.register_parameter("weight", Parameter(channels()) if affine else None)
        self.register_parameter("bias", Parameter(channels()) if affine and bias else None)
        self.register_buffer("running_mean", channels() if track_running_stats else None)
        self.register_buffer("running_var", channels() if track_running_stats else None)
        tracked = Tensor(_C.zeros((), int64, device)) if track_running_stats else None
        self.register_buffer("num_batches_tracked", tracked)
        self.reset_parameters()

    def reset_running_stats(self) -> None:
        """Running mean 0, running variance 1, no batches tracked."""
        if self.running_mean is not None and self.running_var is not None and self.num_batches_tracked is not None:
            self.running_mean.fill_(0.0)
            self.running_var.fill_(1.0)
            self.num_batches_tracked.fill_(0)

    def reset_parameters(self) -> None:
        """Weight 1, bias 0, and the running statistics as at the start."""
        self.reset_running_stats()
        for parameter, value in ((self.weight, 1.0), (self.bias, 0.0)):
            if parameter is not None:
                parameter.detach().fill_(value)

    def forward(self, input: Tensor, *, activation: str | None = None, residual: Tensor | None = None) -> Tensor:
        """Normalises the channels of `input`; in training the running statistics follow.

        Args:
            input: of the ranks in the class's description.
            activation: None or "relu", in the same pass. Not in torch.
            residual: shaped like `input`, added before the activation, in the same pass. Not in torch.

        Raises:
            ValueError: wrong number of dimensions, or a single value per channel in training.
        """
        if input.ndim not in self._ranks:
            ranks = " or ".join(f"{rank}D" for rank in self._ranks)
            raise ValueError(
                f"{type(self).__name__}: input has {input.ndim} dimensions (shape {input.shape}), but expected {ranks}"
            )
        tracking = self.training and self.track_running_stats
        use_buffers = not self.training or self.track_running_stats
        return F.batch_norm(
            input,
            self.running_mean if use_buffers else None,
            self.running_var if use_buffers else None,
            self.weight,
            self.bias,
            self.training or (self.running_mean is None and self.running_var is None),
            self.momentum,
            self.eps,
            activation=activation,
            residual=residual,
            num_batches_tracked=self.num_batches_tracked if tracking else None,
        )

    def extra_repr(self) -> str:
        """The arguments, for `repr`."""
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"bias={self.bias is not None}, track_running_stats={self.track_running_stats}"
        )


class BatchNorm1d(_BatchNorm):
    """Batch normalisation of (N, C) or (N, C, L).

    Args:
        num_features: C.
        eps: added to the variance.
        momentum: weight of a batch in the running statistics; None: the mean over all batches so far.
        affine: whether to learn weight and bias, both (C,).
        track_running_stats: whether to keep running statistics; without them evaluation uses those of the batch.
        device: where the parameters live.
        dtype: float32 (default) or float64.
        bias: whether to learn the bias.

    Example:
        >>> import fastcnn as fc
        >>> fc.nn.BatchNorm1d(3)(fc.tensor([[1.0, 2.0, 3.0], [3.0, 6.0, 7.0]])).shape
        (2, 3)
    """

    _ranks = (2, 3)


class BatchNorm2d(_BatchNorm):
    """Batch normalisation of images (N, C, H, W); arguments as in `BatchNorm1d`.

    Example:
        >>> import fastcnn as fc
        >>> list(fc.nn.BatchNorm2d(3).state_dict())
        ['weight', 'bias', 'running_mean', 'running_var', 'num_batches_tracked']
    """

    _ranks = (4,)


class BatchNorm3d(_BatchNorm):
    """Batch normalisation of volumes (N, C, D, H, W); arguments as in `BatchNorm1d`."""

    _ranks = (5,)
