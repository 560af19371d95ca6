"""Pooling layers in one and three dimensions, and special pools."""

from __future__ import annotations

from typing import Any

from .. import functional as F
from ..functional.folding import tuple_of
from ..tensor import Tensor
from .activation import ReLU
from .container import Sequential
from .conv import Conv2d
from .module import Module
from .pooling import AvgPool2d, MaxPool2d, _OutputSize, _Size


class MaxPool1d(MaxPool2d):
    """The largest value of every window of (N, C, L); see `functional.max_pool1d`, arguments as in `MaxPool2d`."""

    def forward(self, input: Tensor) -> Any:
        """(N, C, L) -> (N, C, L_out), and the positions of the maxima with `return_indices`."""
        return F.max_pool1d(
            input, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode, self.return_indices
        )


class MaxPool3d(MaxPool2d):
    """The largest value of every window of volumes; see `functional.max_pool3d`, arguments as in `MaxPool2d`."""

    def forward(self, input: Tensor) -> Any:
        """(N, C, D, H, W) -> (N, C, D_out, H_out, W_out), and the positions with `return_indices`."""
        return F.max_pool3d(
            input, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode, self.return_indices
        )


class AvgPool1d(Module):
    """The mean of every window of (N, C, L); see `functional.avg_pool1d`."""

    def __init__(
        self,
        kernel_size: _Size,
        stride: _Size | None = None,
        padding: _Size = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        super().__init__()
        self.kernel_size = tuple_of("AvgPool1d", "kernel_size", kernel_size, 1)
        self.stride = tuple_of("AvgPool1d", "stride", kernel_size if stride is None else stride, 1)
        self.padding = tuple_of("AvgPool1d", "padding", padding, 1)
        self.ceil_mode = ceil_mode
        self.count_include_pad = count_include_pad

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, L) -> (N, C, L_out)."""
        return F.avg_pool1d(input, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad)

    def extra_repr(self) -> str:
        """The arguments, for `repr`."""
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class AvgPool3d(AvgPool2d):
    """The mean of every window of volumes; see `functional.avg_pool3d`, arguments as in `AvgPool2d`."""

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, D, H, W) -> (N, C, D_out, H_out, W_out)."""
        return F.avg_pool3d(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.ceil_mode,
            self.count_include_pad,
            self.divisor_override,
        )


class SumPool2d(Module):
    """The sum of every window; see `functional.sum_pool2d`. Not in torch."""

    def __init__(
        self, kernel_size: _Size, stride: _Size | None = None, padding: _Size = 0, ceil_mode: bool = False
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding = padding
        self.ceil_mode = ceil_mode

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H_out, W_out)."""
        return F.sum_pool2d(input, self.kernel_size, self.stride, self.padding, self.ceil_mode)

    def extra_repr(self) -> str:
        """The arguments, for `repr`."""
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class _Adaptive(Module):
    def __init__(self, output_size: _OutputSize) -> None:
        super().__init__()
        self.output_size = output_size

    def extra_repr(self) -> str:
        """The arguments, for `repr`."""
        return f"output_size={self.output_size}"


class AdaptiveAvgPool1d(_Adaptive):
    """Means over as many windows as asked for; see `functional.adaptive_avg_pool1d`."""

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, L) -> (N, C, output_size)."""
        return F.adaptive_avg_pool1d(input, self.output_size)


class AdaptiveAvgPool3d(_Adaptive):
    """Means over as many windows as asked for; see `functional.adaptive_avg_pool3d`."""

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, D, H, W) -> (N, C, *output_size)."""
        return F.adaptive_avg_pool3d(input, self.output_size)


class AdaptiveMaxPool1d(_Adaptive):
    """The largest values of as many windows as asked for; see `functional.adaptive_max_pool1d`."""

    def __init__(self, output_size: _OutputSize, return_indices: bool = False) -> None:
        super().__init__(output_size)
        self.return_indices = return_indices

    def forward(self, input: Tensor) -> Any:
        """(N, C, L) -> (N, C, output_size), and the positions if asked for."""
        return F.adaptive_max_pool1d(input, self.output_size, self.return_indices)


class AdaptiveMaxPool3d(_Adaptive):
    """The largest values of as many windows as asked for; see `functional.adaptive_max_pool3d`."""

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, D, H, W) -> (N, C, *output_size)."""
        return F.adaptive_max_pool3d(input, self.output_size)


class _LPPool(Module):
    def __init__(self, norm_type: float, kernel_size: Any, stride: Any = None, ceil_mode: bool = False) -> None:
        super().__init__()
        self.norm_type = norm_type
        self.kernel_size = kernel_size
        self.stride = stride
        self.ceil_mode = ceil_mode

    def extra_repr(self) -> str:
        """The arguments, for `repr`."""
        return (
            f"norm_type={self.norm_type}, kernel_size={self.kernel_size}, stride={self.stride}, "
            f"ceil_mode={self.ceil_mode}"
        )


class LPPool1d(_LPPool):
    """Power mean of every window of sequences; see `functional.lp_pool1d`."""

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, L) -> (N, C, L_out)."""
        return F.lp_pool1d(input, float(self.norm_type), self.kernel_size, self.stride, self.ceil_mode)


class LPPool2d(_LPPool):
    """Power mean of every window of images; see `functional.lp_pool2d`."""

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H_out, W_out)."""
        return F.lp_pool2d(input, float(self.norm_type), self.kernel_size, self.stride, self.ceil_mode)


class LPPool3d(_LPPool):
    """Power mean of every window of volumes; see `functional.lp_pool3d`.

    Example:
        >>> import fastcnn as fc
        >>> fc.nn.LPPool3d(2, kernel_size=3, stride=2)(fc.ones(1, 4, 9, 9, 9)).shape
        (1, 4, 4, 4, 4)
    """

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, D, H, W) -> (N, C, D_out, H_out, W_out)."""
        return F.lp_pool3d(input, float(self.norm_type), self.kernel_size, self.stride, self.ceil_mode)


class FractionalMaxPool2d(Module):
    """Maxima of randomly placed windows, also in evaluation, as in torch; see `functional.fractional_max_pool2d`.

    Args:
        kernel_size: size of the windows.
        output_size: (H_out, W_out), or
        output_ratio: output size / input size.
        return_indices: return also the positions of the maxima.
        _random_samples: (N, C, 2) fixed numbers in place of random ones.

    Raises:
        ValueError: neither or both sizes.
    """

    def __init__(
        self,
        kernel_size: _Size,
        output_size: _Size | None = None,
        output_ratio: float | tuple[float, float] | None = None,
        return_indices: bool = False,
        _random_samples: Tensor | None = None,
    ) -> None:
        super().__init__()
        if (output_size is None) == (output_ratio is None):
            raise ValueError("FractionalMaxPool2d: give either output_size or output_ratio")
        self.kernel_size = kernel_size
        self.output_size = output_size
        self.output_ratio = output_ratio
        self.return_indices = return_indices
        self.register_buffer("_random_samples", _random_samples)

    def forward(self, input: Tensor) -> Any:
        """(N, C, H, W) -> (N, C, H_out, W_out)."""
        return F.fractional_max_pool2d(
            input,
            self.kernel_size,
            self.output_size,
            self.output_ratio,
            self.return_indices,
            self._random_samples,
        )


class _MaxUnpool(Module):
    def __init__(self, spatial: int, kernel_size: _Size, stride: _Size | None = None, padding: _Size = 0) -> None:
        super().__init__()
        name = type(self).__name__
        self.kernel_size = tuple_of(name, "kernel_size", kernel_size, spatial)
        self.stride = tuple_of(name, "stride", kernel_size if stride is None else stride, spatial)
        self.padding = tuple_of(name, "padding", padding, spatial)

    def extra_repr(self) -> str:
        """The arguments, for `repr`."""
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class MaxUnpool1d(_MaxUnpool):
    """Puts maxima of sequences back where they were; see `functional.max_unpool1d`.

    Example:
        >>> import fastcnn as fc
        >>> x = fc.tensor([[[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0]]])
        >>> maxima, places = fc.nn.MaxPool1d(2, return_indices=True)(x)
        >>> fc.nn.MaxUnpool1d(2)(maxima, places, output_size=x.shape).tolist()
        [[[0.0, 2.0, 0.0, 4.0, 0.0, 6.0, 0.0, 8.0, 0.0]]]
    """

    def __init__(self, kernel_size: _Size, stride: _Size | None = None, padding: _Size = 0) -> None:
        super().__init__(1, kernel_size, stride, padding)

    def forward(self, input: Tensor, indices: Tensor, output_size: Any = None) -> Tensor:
        """(N, C, L) twice -> (N, C, L_out)."""
        return F.max_unpool1d(input, indices, self.kernel_size, self.stride, self.padding, output_size)


class MaxUnpool2d(_MaxUnpool):
    """Puts maxima of images back where they were; see `functional.max_unpool2d`."""

    def __init__(self, kernel_size: _Size, stride: _Size | None = None, padding: _Size = 0) -> None:
        super().__init__(2, kernel_size, stride, padding)

    def forward(self, input: Tensor, indices: Tensor, output_size: Any = None) -> Tensor:
        """(N, C, H, W) twice -> (N, C, H_out, W_out)."""
        return F.max_unpool2d(input, indices, self.kernel_size, self.stride, self.padding, output_size)


class MaxUnpool3d(_MaxUnpool):
    """Puts maxima of volumes back where they were; see `functional.max_unpool3d`.

    Example:
        >>> import fastcnn as fc
        >>> maxima, places = fc.nn.MaxPool3d(2, return_indices=True)(fc.ones(1, 3, 4, 6, 8))
        >>> fc.nn.MaxUnpool3d(2)(maxima, places).shape
        (1, 3, 4, 6, 8)
    """

    def __init__(self, kernel_size: _Size, stride: _Size | None = None, padding: _Size = 0) -> None:
        super().__init__(3, kernel_size, stride, padding)

    def forward(self, input: Tensor, indices: Tensor, output_size: Any = None) -> Tensor:
        """(N, C, D, H, W) twice -> (N, C, D_out, H_out, W_out)."""
        return F.max_unpool3d(input, indices, self.kernel_size, self.stride, self.padding, output_size)


class SpatialPyramidPool2d(Module):
    """A vector of fixed length from images of any size; see `functional.spatial_pyramid_pool2d`. Not in torch."""

    def __init__(self, output_sizes: tuple[int, ...] = (4, 2, 1), mode: str = "max") -> None:
        super().__init__()
        self.output_sizes = tuple(output_sizes)
        self.mode = mode

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C * bins)."""
        return F.spatial_pyramid_pool2d(input, self.output_sizes, self.mode)

    def extra_repr(self) -> str:
        """The arguments, for `repr`."""
        return f"output_sizes={self.output_sizes}, mode={self.mode!r}"


class BlurPool(Module):
    """Subsampling behind a binomial filter; see `functional.blur_pool2d`. Not in torch.

    Args:
        filt_size: side of the filter: 2 rectangle, 3 triangle, 5 binomial.
        stride: of the subsampling.
        pad_type: what the padding holds.
        pad_off: added to the padding.
    """

    def __init__(self, filt_size: int = 4, stride: int = 2, pad_type: str = "reflect", pad_off: int = 0) -> None:
        super().__init__()
        self.filt_size = filt_size
        self.stride = stride
        self.pad_type = pad_type
        self.pad_off = pad_off

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H_out, W_out)."""
        return F.blur_pool2d(input, self.filt_size, self.stride, self.pad_type, self.pad_off)

    def extra_repr(self) -> str:
        """The arguments, for `repr`."""
        return f"filt_size={self.filt_size}, stride={self.stride}, pad_type={self.pad_type!r}"


class MaxBlurPool2d(Sequential):
    """A max pool with stride 1, then `BlurPool`: takes the place of `MaxPool2d(kernel_size, stride)`. Not in torch."""

    def __init__(self, kernel_size: int = 2, stride: int = 2, filt_size: int = 4) -> None:
        super().__init__(MaxPool2d(kernel_size, stride=1), BlurPool(filt_size, stride))


class ConvBlurPool2d(Sequential):
    """A convolution with stride 1, a ReLU, then `BlurPool`: takes the place of a strided convolution. Not in torch.

    Args:
        in_channels: C_in.
        out_channels: C_out.
        kernel_size: of the convolution.
        stride: of the subsampling.
        padding: of the convolution.
        filt_size: of the blur.
        bias: of the convolution.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: _Size,
        stride: int = 2,
        padding: _Size | str = 0,
        filt_size: int = 4,
        bias: bool = True,
    ) -> None:
        conv = Conv2d(in_channels, out_channels, kernel_size, padding=padding, bias=bias)
        super().__init__(conv, ReLU(), BlurPool(filt_size, stride))
