"""Normalisation layers whose statistics belong to one sample."""

from __future__ import annotations

from collections.abc import Sequence

from .. import _C
from .. import functional as F
from ..functional.group_norm import normalized_sizes
from ..tensor import Tensor, float32
from .batchnorm import _BatchNorm
from .module import Module
from .parameter import Parameter


def _constant(
    shape: tuple[int, ...], value: float, dtype: _C.dtype | None, device: _C.device | str | None
) -> Parameter:
    return Parameter(Tensor(_C.full(shape, value, dtype or float32, device)))


class _Affine(Module):
    weight: Parameter | None
    bias: Parameter | None

    def reset_parameters(self) -> None:
        """Weight 1, bias 0."""
        for parameter, value in ((self.weight, 1.0), (self._parameters.get("bias"), 0.0)):
            if parameter is not None:
                parameter.detach().fill_(value)


class LayerNorm(_Affine):
    """Normalises the last dimensions of every sample; see `functional.layer_norm`.

    Args:
        normalized_shape: sizes of the last dimensions, or one size.
        eps: added to the variance.
        elementwise_affine: whether to learn weight and bias, both of `normalized_shape`.
        bias: whether to learn the bias.
        device: where the parameters live.
        dtype: float32 (default) or float64.

    Example:
        >>> import fastcnn as fc
        >>> fc.nn.LayerNorm(64)(fc.zeros(2, 10, 64)).shape
        (2, 10, 64)
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        device: _C.device | str | None = None,
        dtype: _C.dtype | None = None,
    ) -> None:
        super().__init__()
        self.normalized_shape = normalized_sizes("LayerNorm", normalized_shape)
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        shape = self.normalized_shape
        weight = _constant(shape, 1.0, dtype, device) if elementwise_affine else None
        self.register_parameter("weight", weight)
        self.register_parameter("bias", _constant(shape, 0.0, dtype, device) if elementwise_affine and bias else None)

    def forward(self, input: Tensor) -> Tensor:
        """(..., *normalized_shape), kept."""
        return F.layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        """The arguments, for `repr`."""
        return (
            f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}, "
            f"bias={self.bias is not None}"
        )


class RMSNorm(_Affine):
    """Divides the last dimensions by their root mean square; see `functional.rms_norm`.

    Args:
        normalized_shape: sizes of the last dimensions, or one size.
        eps: added to the mean square; None for the dtype's machine epsilon.
        elementwise_affine: whether to learn a weight.
        device: where the parameters live.
        dtype: float32 (default) or float64.
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float | None = None,
        elementwise_affine: bool = True,
        device: _C.device | str | None = None,
        dtype: _C.dtype | None = None,
    ) -> None:
        super().__init__()
        self.normalized_shape = normalized_sizes("RMSNorm", normalized_shape)
        self.eps = eps
        self.elementwise_affine = elementwise_affine
        weight = _constant(self.normalized_shape, 1.0, dtype, device) if elementwise_affine else None
        self.register_parameter("weight", weight)

    def forward(self, input: Tensor) -> Tensor:
        """(..., *normalized_shape), kept."""
        return F.rms_norm(input, self.normalized_shape, self.weight, self.eps)

    def extra_repr(self) -> str:
        """The arguments, for `repr`."""
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"


class GroupNorm(_Affine):
    """Normalises groups of channels of every sample; see `functional.group_norm`.

    Args:
        num_groups: divides num_channels.
        num_channels: C.
        eps: added to the variance.
        affine: whether to learn weight and bias, both (C,).
        device: where the parameters live.
        dtype: float32 (default) or float64.
        bias: whether to learn the bias.

    Raises:
        ValueError: num_groups does not divide num_channels.

    Example:
        >>> import fastcnn as fc
        >>> fc.nn.GroupNorm(4, 32)(fc.zeros(2, 32, 7, 7)).shape
        (2, 32, 7, 7)
    """

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        device: _C.device | str | None = None,
        dtype: _C.dtype | None = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        if num_groups < 1 or num_channels % num_groups:
            raise ValueError(f"GroupNorm: num_groups is {num_groups}, but must divide num_channels, {num_channels}")
        self.num_groups = num_groups
        self.num_channels = num_channels
        self.eps = eps
        self.affine = affine
        self.register_parameter("weight", _constant((num_channels,), 1.0, dtype, device) if affine else None)
        self.register_parameter("bias", _constant((num_channels,), 0.0, dtype, device) if affine and bias else None)

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, ...), kept."""
        return F.group_norm(input, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        """The arguments, for `repr`."""
        return (
            f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}, "
            f"bias={self.bias is not None}"
        )


class _InstanceNorm(_BatchNorm):
    """What the instance normalisation layers share: see `functional.instance_norm`."""

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        device: _C.device | str | None = None,
        dtype: _C.dtype | None = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype, bias=bias)

    def forward(self, input: Tensor) -> Tensor:  # type: ignore[override]
        """(N, C, ...) or (C, ...), kept.

        Raises:
            ValueError: wrong number of dimensions or channels, or a single pixel.
        """
        name = type(self).__name__
        if input.ndim not in self._ranks:
            ranks = " or ".join(f"{rank}D" for rank in self._ranks)
            raise ValueError(f"{name}: input has {input.ndim} dimensions (shape {input.shape}), but expected {ranks}")
        batched = input.ndim == self._ranks[-1]
        batch = input if batched else input.unsqueeze(0)
        if batch.shape[1] != self.num_features:
            raise ValueError(f"{name}: input has {batch.shape[1]} channels, but {self.num_features} are expected")
        own = self.training or not self.track_running_stats
        result = F.instance_norm(
            batch,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            own,
            self.momentum or 0.0,
            self.eps,
        )
        return result if batched else result.squeeze(0)


class InstanceNorm1d(_InstanceNorm):
    """Instance normalisation of (N, C, L) or (C, L).

    Args:
        num_features: C.
        eps: added to the variance.
        momentum: weight of a batch in the running statistics.
        affine: whether to learn weight and bias, both (C,).
        track_running_stats: whether to keep running statistics and use them in evaluation.
        device: where the parameters live.
        dtype: float32 (default) or float64.
        bias: whether to learn the bias.
    """

    _ranks = (2, 3)


class InstanceNorm2d(_InstanceNorm):
    """Instance normalisation of images (N, C, H, W) or (C, H, W); arguments as in `InstanceNorm1d`."""

    _ranks = (3, 4)


class InstanceNorm3d(_InstanceNorm):
    """Instance normalisation of (N, C, D, H, W) or (C, D, H, W); arguments as in `InstanceNorm1d`."""

    _ranks = (4, 5)
