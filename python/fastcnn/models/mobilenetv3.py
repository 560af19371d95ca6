"""MobileNet v3: inverted residuals chosen by search, with squeeze-and-excitation and hard swish.

Howard, Sandler, Chu, Chen, Chen, Tan, Wang, Zhu, Pang, Vasudevan, Le, Adam, "Searching for MobileNetV3", ICCV 2019,
arXiv:1905.02244. Keys and shapes are torchvision's.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

from ..nn import (
    AdaptiveAvgPool2d,
    BatchNorm2d,
    Conv2d,
    ConvBNAct,
    Dropout,
    Flatten,
    Hardsigmoid,
    Hardswish,
    Linear,
    Module,
    ReLU,
    Sequential,
    init,
)
from ..tensor import Tensor
from .blocks import SqueezeExcitation, round_channels
from .registry import register_model

__all__ = ["InvertedResidual", "MobileNetV3", "mobilenet_v3_large", "mobilenet_v3_small"]

_EPS, _MOMENTUM = 1e-3, 0.01


class _Row(NamedTuple):
    """A line of the paper's tables 1 and 2."""

    kernel: int
    expanded: int
    channels: int
    squeeze: bool
    hard_swish: bool
    stride: int


_LARGE = (
    _Row(3, 16, 16, False, False, 1),
    _Row(3, 64, 24, False, False, 2),
    _Row(3, 72, 24, False, False, 1),
    _Row(5, 72, 40, True, False, 2),
    _Row(5, 120, 40, True, False, 1),
    _Row(5, 120, 40, True, False, 1),
    _Row(3, 240, 80, False, True, 2),
    _Row(3, 200, 80, False, True, 1),
    _Row(3, 184, 80, False, True, 1),
    _Row(3, 184, 80, False, True, 1),
    _Row(3, 480, 112, True, True, 1),
    _Row(3, 672, 112, True, True, 1),
    _Row(5, 672, 160, True, True, 2),
    _Row(5, 960, 160, True, True, 1),
    _Row(5, 960, 160, True, True, 1),
)
_SMALL = (
    _Row(3, 16, 16, True, False, 2),
    _Row(3, 72, 24, False, False, 2),
    _Row(3, 88, 24, False, False, 1),
    _Row(5, 96, 40, True, True, 2),
    _Row(5, 240, 40, True, True, 1),
    _Row(5, 240, 40, True, True, 1),
    _Row(5, 120, 48, True, True, 1),
    _Row(5, 144, 48, True, True, 1),
    _Row(5, 288, 96, True, True, 2),
    _Row(5, 576, 96, True, True, 1),
    _Row(5, 576, 96, True, True, 1),
)


class InvertedResidual(Module):
    """1 x 1 convolution to the expanded width, depthwise convolution, squeeze-and-excitation, 1 x 1 back.

    The input is added where shapes allow.

    Args:
        in_channels: C_in.
        row: the other sizes.

    Shape:
        (N, C_in, H, W) -> (N, row.channels, ceil(H / row.stride), ceil(W / row.stride)).
    """

    def __init__(self, in_channels: int, row: _Row) -> None:
        super().__init__()
        self.residual = row.stride == 1 and in_channels == row.channels
        activation = Hardswish if row.hard_swish else ReLU
        wide = row.expanded
        layers: list[Module] = []
        if wide != in_channels:
            layers.append(_layer(in_channels, wide, 1, activation=activation))
        layers.append(_layer(wide, wide, row.kernel, row.stride, wide, activation))
        if row.squeeze:
            layers.append(SqueezeExcitation(wide, round_channels(wide // 4), gate=Hardsigmoid))
        layers.append(_layer(wide, row.channels, 1, activation=None))
        self.block = Sequential(*layers)

    def forward(self, input: Tensor) -> Tensor:
        """(N, C_in, H, W) -> (N, C_out, H_out, W_out)."""
        output: Tensor = self.block(input)
        return output + input if self.residual else output


def _layer(
    in_channels: int,
    out_channels: int,
    kernel: int,
    stride: int = 1,
    groups: int = 1,
    activation: type[Module] | None = Hardswish,
) -> ConvBNAct:
    norm = functools.partial(BatchNorm2d, eps=_EPS, momentum=_MOMENTUM)
    return ConvBNAct(in_channels, out_channels, kernel, stride, None, groups, norm, activation)


class MobileNetV3(Module):
    """A convolution, inverted residuals, a 1 x 1 convolution, global average, two linear layers.

    Args:
        rows: the inverted residuals.
        hidden: width of the first linear layer.
        num_classes: outputs.
        in_channels: channels of the images.
        dropout: in front of the last layer.

    Shape:
        (N, in_channels, H, W), any H and W -> (N, num_classes).
    """

    def __init__(
        self,
        rows: tuple[_Row, ...],
        hidden: int,
        num_classes: int = 1000,
        in_channels: int = 3,
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        layers: list[Module] = [_layer(in_channels, 16, 3, 2)]
        channels = 16
        for row in rows:
            layers.append(InvertedResidual(channels, row))
            channels = row.channels
        layers.append(_layer(channels, 6 * channels, 1))
        self.features = Sequential(*layers)
        self.avgpool = AdaptiveAvgPool2d(1)
        self.flatten = Flatten()
        self.classifier = Sequential(
            Linear(6 * channels, hidden), Hardswish(), Dropout(dropout), Linear(hidden, num_classes)
        )
        for module in self.modules():
            if isinstance(module, Conv2d):
                init.kaiming_normal_(module.weight, mode="fan_out")
            elif isinstance(module, Linear):
                init.normal_(module.weight, 0.0, 0.01)
            if isinstance(module, Conv2d | Linear) and module.bias is not None:
                init.zeros_(module.bias)

    def forward(self, input: Tensor) -> Tensor:
        """(N, in_channels, H, W) -> (N, num_classes)."""
        logits: Tensor = self.classifier(self.flatten(self.avgpool(self.features(input))))
        return logits


_image_model = register_model(input_shape=(3, 224, 224), heads="classifier.3")


@_image_model
def mobilenet_v3_large(num_classes: int = 1000, in_channels: int = 3) -> MobileNetV3:
    """MobileNet v3 large: 5,483,032 parameters, 216,589,760 multiply-adds."""
    return MobileNetV3(_LARGE, 1280, num_classes, in_channels)


@_image_model
def mobilenet_v3_small(num_classes: int = 1000, in_channels: int = 3) -> MobileNetV3:
    """MobileNet v3 small: 2,542,856 parameters, 56,510,400 multiply-adds."""
    return MobileNetV3(_SMALL, 1024, num_classes, in_channels)
