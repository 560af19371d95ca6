"""Layers with their normalisation and activation as one module."""

from __future__ import annotations

from collections.abc import Callable

from ..functional.conv import _pair
from .activation import ReLU
from .batchnorm import BatchNorm2d
from .container import Sequential
from .conv import Conv2d
from .linear import Linear
from .module import Module

_Size = int | tuple[int, ...]


class ConvBNAct(Sequential):
    """Convolution, batch norm, activation: torchvision's `Conv2dNormActivation`, with its arguments and keys.

    A ReLU is applied by the batch norm in the same pass, forward and backward; backward needs the convolution's output
    and the statistics only. After `fuse()` all of it is one convolution.

    The keys of `state_dict` are "0.weight" (and "0.bias") of the convolution, "1.weight", "1.bias", "1.running_mean",
    "1.running_var" and "1.num_batches_tracked" of the batch norm.

    Args:
        in_channels: C_in.
        out_channels: C_out.
        kernel_size: size of the filters, one number or (kH, kW).
        stride: step between outputs.
        padding: as in `Conv2d`; None keeps H and W at stride 1 (for odd sizes).
        groups: of the convolution.
        norm_layer: makes the normalisation from C_out; None leaves it out.
        activation_layer: makes the activation; None leaves it out.
        dilation: distance between the taps of a filter.
        bias: whether the convolution has a bias; None: only without normalisation.

    Shape:
        (N, C_in, H, W) -> (N, C_out, ceil(H / stride), ceil(W / stride)), with the padding None.

    Raises:
        ValueError: as `Conv2d`.

    Example:
        >>> import fastcnn as fc
        >>> block = fc.nn.ConvBNAct(3, 16, stride=2)
        >>> block(fc.zeros(1, 3, 8, 8)).shape, list(block.state_dict())[:2]
        ((1, 16, 4, 4), ['0.weight', '1.weight'])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: _Size = 3,
        stride: _Size = 1,
        padding: _Size | str | None = None,
        groups: int = 1,
        norm_layer: Callable[[int], Module] | None = BatchNorm2d,
        activation_layer: Callable[[], Module] | None = ReLU,
        dilation: _Size = 1,
        bias: bool | None = None,
    ) -> None:
        if padding is None:
            sizes, steps = _pair(kernel_size), _pair(dilation)
            padding = tuple((size - 1) // 2 * step for size, step in zip(sizes, steps, strict=True))
        bias = norm_layer is None if bias is None else bias
        layers: list[Module] = [
            Conv2d(in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias=bias)
        ]
        if norm_layer is not None:
            layers.append(norm_layer(out_channels))
        if activation_layer is not None:
            layers.append(activation_layer())
        super().__init__(*layers)


class LinearAct(Sequential):
    """Linear layer and activation; a ReLU is applied by the matrix product as it writes its output.

    The keys of `state_dict` are "0.weight" and "0.bias", those of `Sequential(Linear(...), ReLU())`.

    Args:
        in_features: size of the last dimension of the input.
        out_features: size of the last dimension of the output.
        bias: whether the linear layer has a bias.
        activation_layer: makes the activation; None leaves it out.

    Shape:
        (..., in_features) -> (..., out_features).

    Raises:
        ValueError: a negative size.

    Example:
        >>> import fastcnn as fc
        >>> layer = fc.nn.LinearAct(8, 4)
        >>> layer(fc.zeros(2, 8)).shape, list(layer.state_dict())
        ((2, 4), ['0.weight', '0.bias'])
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        activation_layer: Callable[[], Module] | None = ReLU,
    ) -> None:
        layers: list[Module] = [Linear(in_features, out_features, bias)]
        if activation_layer is not None:
            layers.append(activation_layer())
        super().__init__(*layers)
