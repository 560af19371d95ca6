"""Convolution layers in one and three dimensions, transposed ones, and one without shared weights."""

from __future__ import annotations

import math
from typing import Any

from .. import _C
from .. import functional as F
from ..functional.folding import tuple_of
from ..tensor import Tensor, float32
from . import init
from .conv import _PAD_MODES, _Size
from .module import Module
from .parameter import Parameter


class _ConvNd(Module):
    """What the layers share: checks, parameters drawn from U(-k, k) with k = 1 / sqrt(fan in), and `repr`."""

    _axes = 0
    _transposed = False
    bias: Parameter | None

    def _set_up(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: _Size,
        stride: _Size,
        padding: _Size | str,
        dilation: _Size,
        groups: int,
        bias: bool,
        padding_mode: str,
        device: _C.device | str | None,
        dtype: _C.dtype | None,
        output_padding: _Size = 0,
    ) -> None:
        name, axes = type(self).__name__, self._axes
        if groups < 1:
            raise ValueError(f"{name}: groups is {groups}, but must be positive")
        for label, channels in (("in_channels", in_channels), ("out_channels", out_channels)):
            if channels < 1 or channels % groups:
                raise ValueError(f"{name}: {label} is {channels}, but must be a positive multiple of groups={groups}")
        modes = ("zeros",) if self._transposed else tuple(_PAD_MODES)
        if padding_mode not in modes:
            raise ValueError(f"{name}: padding_mode is {padding_mode!r}, but expected one of {', '.join(modes)}")
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = tuple_of(name, "kernel_size", kernel_size, axes)
        self.stride = tuple_of(name, "stride", stride, axes)
        self.padding = padding if isinstance(padding, str) else tuple_of(name, "padding", padding, axes)
        self.dilation = tuple_of(name, "dilation", dilation, axes)
        self.output_padding = tuple_of(name, "output_padding", output_padding, axes)
        self.groups = groups
        self.padding_mode = padding_mode
        if min(self.kernel_size) < 1:
            raise ValueError(f"{name}: kernel_size is {kernel_size}, but must be positive")
        if isinstance(padding, str):
            if padding not in ("same", "valid"):
                raise ValueError(f"{name}: padding is {padding!r}, but expected numbers, 'same' or 'valid'")
            if padding == "same" and any(s != 1 for s in self.stride):
                raise ValueError(f"{name}: padding='same' needs stride 1, but stride is {stride}")
        lead = (in_channels, out_channels // groups) if self._transposed else (out_channels, in_channels // groups)
        self.weight = Parameter(Tensor(_C.empty((*lead, *self.kernel_size), dtype or float32, device)))
        if bias:
            self.bias = Parameter(Tensor(_C.empty((out_channels,), dtype or float32, device)))
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws weight and bias anew."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            bound = 1 / math.sqrt(math.prod(self.weight.shape[1:]))
            init.uniform_(self.bias, -bound, bound)

    def _padded(self, input: Tensor) -> tuple[Tensor, Any]:
        """The input with a padding that is not zeros, and the padding that is left for the convolution."""
        if self.padding_mode == "zeros":
            return input, self.padding
        amounts: list[int] = []
        for axis in reversed(range(self._axes)):
            if isinstance(self.padding, str):
                total = self.dilation[axis] * (self.kernel_size[axis] - 1) if self.padding == "same" else 0
                amounts += [total // 2, total - total // 2]
            else:
                amounts += [self.padding[axis]] * 2
        return F.pad(input, amounts, _PAD_MODES[self.padding_mode]), 0

    def extra_repr(self) -> str:
        """The arguments that are not at their defaults, for `repr`."""
        text = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        none, one = (0,) * self._axes, (1,) * self._axes
        if self.padding != none:
            text += f", padding={self.padding}"
        if self.dilation != one:
            text += f", dilation={self.dilation}"
        if self.output_padding != none:
            text += f", output_padding={self.output_padding}"
        if self.groups != 1:
            text += f", groups={self.groups}"
        if self.bias is None:
            text += ", bias=False"
        if self.padding_mode != "zeros":
            text += f", padding_mode={self.padding_mode}"
        return text


class _Conv(_ConvNd):
    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: _Size,
        stride: _Size = 1,
        padding: _Size | str = 0,
        dilation: _Size = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: _C.device | str | None = None,
        dtype: _C.dtype | None = None,
    ) -> None:
        super().__init__()
        self._set_up(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
            dilation,
            groups,
            bias,
            padding_mode,
            device,
            dtype,
        )


class Conv1d(_Conv):
    """A bank of learned filters slid over sequences; see `functional.conv1d`, arguments as in `Conv2d`.

    Shape:
        (N, C_in, L) -> (N, C_out, L_out), or without N. `weight` is (C_out, C_in / groups, k).

    Example:
        >>> import fastcnn as fc
        >>> fc.nn.Conv1d(16, 33, 3, stride=2)(fc.zeros(20, 16, 50)).shape
        (20, 33, 24)
    """

    _axes = 1

    def forward(self, input: Tensor) -> Tensor:
        """(N, C_in, L) -> (N, C_out, L_out)."""
        padded, padding = self._padded(input)
        return F.conv1d(padded, self.weight, self.bias, self.stride, padding, self.dilation, self.groups)


class Conv3d(_Conv):
    """A bank of learned filters slid over volumes; see `functional.conv3d`, arguments as in `Conv2d`.

    Shape:
        (N, C_in, D, H, W) -> (N, C_out, D_out, H_out, W_out), or without N. `weight` is (C_out, C_in / groups, kD, kH,
        kW).

    Example:
        >>> import fastcnn as fc
        >>> fc.nn.Conv3d(3, 8, 3, padding=1)(fc.zeros(1, 3, 4, 8, 8)).shape
        (1, 8, 4, 8, 8)
    """

    _axes = 3

    def forward(self, input: Tensor) -> Tensor:
        """(N, C_in, D, H, W) -> (N, C_out, D_out, H_out, W_out)."""
        padded, padding = self._padded(input)
        return F.conv3d(padded, self.weight, self.bias, self.stride, padding, self.dilation, self.groups)


class _ConvTranspose(_ConvNd):
    _transposed = True
    padding: Any

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: _Size,
        stride: _Size = 1,
        padding: _Size = 0,
        output_padding: _Size = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: _Size = 1,
        padding_mode: str = "zeros",
        device: _C.device | str | None = None,
        dtype: _C.dtype | None = None,
    ) -> None:
        super().__init__()
        self._set_up(
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
            dilation,
            groups,
            bias,
            padding_mode,
            device,
            dtype,
            output_padding,
        )

    def forward(self, input: Tensor, output_size: Any = None) -> Tensor:
        """As `functional.conv_transpose2d`; `output_size` chooses the output padding.

        Raises:
            ValueError: an output size that no output padding reaches.
        """
        function = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}[self._axes]
        extra = self.output_padding if output_size is None else self._extra(input, tuple(output_size)[-self._axes :])
        return function(input, self.weight, self.bias, self.stride, self.padding, extra, self.groups, self.dilation)

    def _extra(self, input: Tensor, wanted: tuple[int, ...]) -> tuple[int, ...]:
        least = [
            (n - 1) * s - 2 * p + d * (k - 1) + 1
            for n, s, p, d, k in zip(
                input.shape[-self._axes :], self.stride, self.padding, self.dilation, self.kernel_size, strict=True
            )
        ]
        extra = tuple(w - n for w, n in zip(wanted, least, strict=True))
        if any(not 0 <= e < max(s, d) for e, s, d in zip(extra, self.stride, self.dilation, strict=True)):
            raise ValueError(
                f"{type(self).__name__}: output_size is {wanted}, but {tuple(least)} to that plus stride - 1 "
                f"{self.stride} is possible for input {input.shape}"
            )
        return extra


class ConvTranspose1d(_ConvTranspose):
    """Transposed convolution of sequences; see `functional.conv_transpose1d`. `weight` is (C_in, C_out / groups, k)."""

    _axes = 1


class ConvTranspose2d(_ConvTranspose):
    """Transposed convolution ("up-convolution") of images; see `functional.conv_transpose2d`.

    Args:
        in_channels: C_in.
        out_channels: C_out.
        kernel_size: size of the filters.
        stride: step between the stamps that the inputs leave in the output.
        padding: rows and columns that are cut off on both sides.
        output_padding: rows and columns more at the bottom and on the right.
        groups: groups of channels that do not see each other.
        bias: whether to add a learned (C_out,) vector.
        dilation: distance between the taps of a filter.
        padding_mode: only "zeros".
        device: where the parameters live.
        dtype: element type of the parameters.

    Shape:
        (N, C_in, H, W) -> (N, C_out, H_out, W_out). `weight` is (C_in, C_out / groups, kH, kW).

    Example:
        >>> import fastcnn as fc
        >>> fc.nn.ConvTranspose2d(64, 32, 2, stride=2)(fc.zeros(1, 64, 28, 28)).shape
        (1, 32, 56, 56)
    """

    _axes = 2


class ConvTranspose3d(_ConvTranspose):
    """Transposed convolution of volumes; see `functional.conv_transpose3d`."""

    _axes = 3


class LocallyConnected2d(Module):
    """A convolution whose filters are not shared between pixels; see `functional.locally_connected2d`. Not in torch.

    Args:
        in_channels: C_in.
        out_channels: C_out.
        input_size: (H, W) of the images it is made for.
        kernel_size: size of the filters.
        stride: step between outputs.
        padding: zeros on both sides.
        bias: whether to add a learned (C_out, H_out, W_out).
        device: where the parameters live.
        dtype: element type of the parameters.

    Raises:
        ValueError: a kernel larger than the padded input.

    Example:
        >>> from fastcnn import nn
        >>> layer = nn.LocallyConnected2d(3, 8, (32, 32), 3, padding=1)
        >>> layer.weight.shape, layer.bias.shape
        ((32, 32, 8, 3, 3, 3), (8, 32, 32))

    Source: Taigman et al., "DeepFace", CVPR 2014.
    """

    bias: Parameter | None

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        input_size: _Size,
        kernel_size: _Size,
        stride: _Size = 1,
        padding: _Size = 0,
        bias: bool = True,
        device: _C.device | str | None = None,
        dtype: _C.dtype | None = None,
    ) -> None:
        super().__init__()
        name = "LocallyConnected2d"
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.input_size = tuple_of(name, "input_size", input_size, 2)
        self.kernel_size = tuple_of(name, "kernel_size", kernel_size, 2)
        self.stride = tuple_of(name, "stride", stride, 2)
        self.padding = tuple_of(name, "padding", padding, 2)
        output = [
            (n + 2 * p - k) // s + 1
            for n, p, k, s in zip(self.input_size, self.padding, self.kernel_size, self.stride, strict=True)
        ]
        if min(output) < 1:
            raise ValueError(f"{name}: kernel_size {self.kernel_size} exceeds the padded input {self.input_size}")
        shape = (*output, out_channels, in_channels, *self.kernel_size)
        self.weight = Parameter(Tensor(_C.empty(shape, dtype or float32, device)))
        if bias:
            self.bias = Parameter(Tensor(_C.empty((out_channels, *output), dtype or float32, device)))
        else:
            self.register_parameter("bias", None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws weight and bias anew, as a convolution's."""
        bound = 1 / math.sqrt(math.prod(self.weight.shape[3:]))
        init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            init.uniform_(self.bias, -bound, bound)

    def forward(self, input: Tensor) -> Tensor:
        """(N, C_in, H, W) -> (N, C_out, H_out, W_out)."""
        return F.locally_connected2d(input, self.weight, self.bias, self.stride, self.padding)

    def extra_repr(self) -> str:
        """The arguments, for `repr`."""
        return (
            f"{self.in_channels}, {self.out_channels}, input_size={self.input_size}, "
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"
        )
