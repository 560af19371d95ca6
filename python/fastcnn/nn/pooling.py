"""Pooling layers."""

from __future__ import annotations

from typing import Any

from .. import functional as F
from ..tensor import Tensor
from .module import Module

_Size = int | tuple[int, ...]
_OutputSize = int | None | tuple[int | None, ...]


class MaxPool2d(Module):
    """The largest value of every window: see `functional.max_pool2d` for arguments and shapes.

    Example:
        >>> import fastcnn as fc
        >>> fc.nn.MaxPool2d(3, stride=2, padding=1)(fc.zeros(8, 64, 112, 112)).shape
        (8, 64, 56, 56)
    """

    def __init__(
        self,
        kernel_size: _Size,
        stride: _Size | None = None,
        padding: _Size = 0,
        dilation: _Size = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding = padding
        self.dilation = dilation
        self.return_indices = return_indices
        self.ceil_mode = ceil_mode

    def forward(self, input: Tensor) -> Any:
        """(N, C, H, W) -> (N, C, H_out, W_out), and the positions of the maxima with `return_indices`."""
        return F.max_pool2d(
            input, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode, self.return_indices
        )

    def extra_repr(self) -> str:
        """The arguments, for `repr`."""
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, dilation={self.dilation}, "
            f"ceil_mode={self.ceil_mode}"
        )


class AvgPool2d(Module):
    """The mean of every window: see `functional.avg_pool2d` for arguments and shapes.

    Example:
        >>> import fastcnn as fc
        >>> fc.nn.AvgPool2d(2)(fc.zeros(2, 6, 28, 28)).shape
        (2, 6, 14, 14)
    """

    def __init__(
        self,
        kernel_size: _Size,
        stride: _Size | None = None,
        padding: _Size = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding = padding
        self.ceil_mode = ceil_mode
        self.count_include_pad = count_include_pad
        self.divisor_override = divisor_override

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H_out, W_out)."""
        return F.avg_pool2d(
            input,
            self.kernel_size,
            self.stride,
            self.padding,
            self.ceil_mode,
            self.count_include_pad,
            self.divisor_override,
        )

    def extra_repr(self) -> str:
        """The arguments, for `repr`."""
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class AdaptiveAvgPool2d(Module):
    """Means over as many windows as asked for: see `functional.adaptive_avg_pool2d`.

    Example:
        >>> import fastcnn as fc
        >>> fc.nn.AdaptiveAvgPool2d(1)(fc.zeros(2, 512, 7, 7)).shape
        (2, 512, 1, 1)
    """

    def __init__(self, output_size: _OutputSize) -> None:
        super().__init__()
        self.output_size = output_size

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, *output_size)."""
        return F.adaptive_avg_pool2d(input, self.output_size)

    def extra_repr(self) -> str:
        """The arguments, for `repr`."""
        return f"output_size={self.output_size}"


class AdaptiveMaxPool2d(Module):
    """The largest values of as many windows as asked for: see `functional.adaptive_max_pool2d`.

    Example:
        >>> import fastcnn as fc
        >>> fc.nn.AdaptiveMaxPool2d((5, None))(fc.zeros(2, 8, 9, 7)).shape
        (2, 8, 5, 7)
    """

    def __init__(self, output_size: _OutputSize, return_indices: bool = False) -> None:
        super().__init__()
        self.output_size = output_size
        self.return_indices = return_indices

    def forward(self, input: Tensor) -> Any:
        """(N, C, H, W) -> (N, C, *output_size), and the positions of the maxima with `return_indices`."""
        return F.adaptive_max_pool2d(input, self.output_size, self.return_indices)

    def extra_repr(self) -> str:
        """The arguments, for `repr`."""
        return f"output_size={self.output_size}"
