"""Convolution layers."""

from __future__ import annotations

import math

from .. import _C
from .. import functional as F
from ..functional.conv import _pair, same_padding
from ..tensor import Tensor, float32
from . import init
from .module import Module
from .parameter import Parameter

_Size = int | tuple[int, ...]
_PAD_MODES = {"zeros": "constant", "reflect": "reflect", "replicate": "replicate", "circular": "circular"}


class Conv2d(Module):
    """A bank of learned filters slid over images: see `functional.conv2d` for formula and shapes.

    Weight and bias are drawn from U(-k, k), k = 1 / sqrt(C_in / groups * kH * kW), as in PyTorch.

    Args:
        in_channels: C_in.
        out_channels: C_out.
        kernel_size: size of the filters, one number or (kH, kW).
        stride: step between outputs.
        padding: amount on both sides of each axis, "valid" or "same".
        dilation: distance between the taps of a filter.
        groups: groups of channels that do not see each other; C_in = groups with C_out a multiple is depthwise.
        bias: whether to add a learned (C_out,) vector.
        padding_mode: what the padding holds: "zeros", "reflect", "replicate" or "circular".
        device: where the parameters live.
        dtype: element type of the parameters, float32 unless given.

    Shape:
        (N, C_in, H, W) -> (N, C_out, H_out, W_out), or without N. `weight` is (C_out, C_in / groups, kH, kW).

    Raises:
        ValueError: groups that do not divide the channels, an unknown padding or padding_mode, sizes below 1.

    Example:
        >>> import fastcnn as fc
        >>> fc.nn.Conv2d(3, 64, 7, stride=2, padding=3)(fc.zeros(1, 3, 224, 224)).shape
        (1, 64, 112, 112)
    """

    bias: Parameter | None
    activation: str | None = None  # applied by every call, in the same pass: set where `Module.fuse` folded a ReLU in

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
        if groups < 1:
            raise ValueError(f"Conv2d: groups is {groups}, but must be positive")
        for name, channels in (("in_channels", in_channels), ("out_channels", out_channels)):
            if channels < 1 or channels % groups:
                raise ValueError(f"Conv2d: {name} is {channels}, but must be a positive multiple of groups={groups}")
        if padding_mode not in _PAD_MODES:
            raise ValueError(f"Conv2d: padding_mode is {padding_mode!r}, but expected one of {', '.join(_PAD_MODES)}")
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size = _pair(kernel_size)
        self.stride = _pair(stride)
        self.padding = padding if isinstance(padding, str) else _pair(padding)
        self.dilation = _pair(dilation)
        self.groups = groups
        self.padding_mode = padding_mode
        if len(self.kernel_size) != 2 or min(self.kernel_size) < 1:
            raise ValueError(f"Conv2d: kernel_size is {kernel_size}, but expected one positive number or two")
        if isinstance(padding, str):
            if padding not in ("same", "valid"):
                raise ValueError(f"Conv2d: padding is {padding!r}, but expected numbers, 'same' or 'valid'")
            if padding == "same" and any(s != 1 for s in self.stride):
                raise ValueError(f"Conv2d: padding='same' needs stride 1, but stride is {stride}")
        weight_shape = (out_channels, in_channels // groups, *self.kernel_size)
        self.weight = Parameter(Tensor(_C.empty(weight_shape, dtype or float32, device)))
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

    def forward(self, input: Tensor, *, activation: str | None = None, residual: Tensor | None = None) -> Tensor:
        """(N, C_in, H, W) -> (N, C_out, H_out, W_out).

        Args:
            input: the images.
            activation: None or "relu", in the same pass. Not in torch.
            residual: shaped like the output, added before the activation. Not in torch.
        """
        padding = self.padding
        if self.padding_mode != "zeros":
            input = F.pad(input, self._amounts(), _PAD_MODES[self.padding_mode])
            padding = (0, 0)
        activation = activation or self.activation
        geometry = (self.stride, padding, self.dilation, self.groups)
        return F.conv2d(input, self.weight, self.bias, *geometry, activation, residual)

    def _amounts(self) -> tuple[int, ...]:
        """The padding as (left, right, top, bottom)."""
        if self.padding == "same":
            top, bottom, left, right = same_padding(self.kernel_size, self.dilation)
            return (left, right, top, bottom)
        if isinstance(self.padding, str):
            return (0, 0, 0, 0)
        height, width = self.padding
        return (width, width, height, height)

    def extra_repr(self) -> str:
        """The arguments that are not at their defaults, for `repr`."""
        text = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        if self.padding != (0, 0):
            text += f", padding={self.padding}"
        if self.dilation != (1, 1):
            text += f", dilation={self.dilation}"
        if self.groups != 1:
            text += f", groups={self.groups}"
        if self.bias is None:
            text += ", bias=False"
        if self.padding_mode != "zeros":
            text += f", padding_mode={self.padding_mode}"
        if self.activation is not None:
            text += f", activation={self.activation}"
        return text
