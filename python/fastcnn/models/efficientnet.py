"""EfficientNet: depth, width and resolution grow together, by one number.

Tan, Le, "EfficientNet: rethinking model scaling for convolutional neural networks", ICML 2019, arXiv:1905.11946. Keys
and shapes are torchvision's.
"""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

from ..nn import (
    AdaptiveAvgPool2d,
    BatchNorm2d,
    Conv2d,
    ConvBNAct,
    Dropout,
    Flatten,
    Linear,
    Module,
    Sequential,
    SiLU,
    StochasticDepth,
    init,
)
from ..tensor import Tensor
from .blocks import SqueezeExcitation, round_channels
from .registry import register_model

__all__ = [
    "EfficientNet",
    "MBConv",
    "Scaling",
    "compound_scaling",
    "efficientnet_b0",
    "efficientnet_b1",
    "efficientnet_b2",
    "efficientnet_b3",
    "efficientnet_b4",
    "efficientnet_b5",
    "efficientnet_b6",
    "efficientnet_b7",
]

# Table 1: expansion t, kernel k, stride s, channels c, repetitions n.
_STAGES = (
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 5, 2, 40, 2),
    (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
)


class Scaling(NamedTuple):
    """Factors of `compound_scaling`."""

    width: float  # on the channels
    depth: float  # on the repetitions
    resolution: float  # on the image size
    flops: float  # on the multiply-adds: depth * width^2 * resolution^2


def compound_scaling(phi: float, alpha: float = 1.2, beta: float = 1.1, gamma: float = 1.15) -> Scaling:
    """The paper's rule (equation 3): depth alpha^phi, width beta^phi, resolution gamma^phi.

    The three were found by a grid search under alpha * beta^2 * gamma^2 = 2 (it is 1.92), so that the cost grows like
    2^phi. The published networks B1 to B7 have rounded factors: see `efficientnet_b1` and so on.

    Args:
        phi: how much more to spend; 0 is B0.
        alpha: base of the depth.
        beta: base of the width.
        gamma: base of the resolution.

    Example:
        >>> scaling = compound_scaling(1)
        >>> round(224 * scaling.resolution), round(scaling.flops, 2)
        (258, 1.92)
    """
    depth, width, resolution = alpha**phi, beta**phi, gamma**phi
    return Scaling(width, depth, resolution, depth * width**2 * resolution**2)


class MBConv(Module):
    """Inverted residual with squeeze-and-excitation to a quarter of the input's channels, SiLU, stochastic depth.

    Args:
        in_channels: C_in.
        out_channels: C_out.
        expansion: factor on C_in for the depthwise convolution; 1 leaves the first 1 x 1 convolution out.
        kernel: size of the depthwise filters.
        stride: of the depthwise convolution.
        drop: probability of dropping the block's branch, where there is a shortcut.
        eps: of the batch norms.
        momentum: of the batch norms.

    Shape:
        (N, C_in, H, W) -> (N, C_out, ceil(H / stride), ceil(W / stride)).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        expansion: int,
        kernel: int,
        stride: int,
        drop: float = 0.0,
        eps: float = 1e-5,
        momentum: float = 0.1,
    ) -> None:
        super().__init__()
        self.residual = stride == 1 and in_channels == out_channels
        wide = in_channels * expansion
        norm = functools.partial(BatchNorm2d, eps=eps, momentum=momentum)
        layers: list[Module] = []
        if expansion != 1:
            layers.append(ConvBNAct(in_channels, wide, 1, 1, None, 1, norm, SiLU))
        layers += [
            ConvBNAct(wide, wide, kernel, stride, None, wide, norm, SiLU),
            SqueezeExcitation(wide, max(1, in_channels // 4), SiLU),
            ConvBNAct(wide, out_channels, 1, 1, None, 1, norm, None),
        ]
        self.block = Sequential(*layers)
        self.stochastic_depth = StochasticDepth(drop, "row")

    def forward(self, input: Tensor) -> Tensor:
        """(N, C_in, H, W) -> (N, C_out, H_out, W_out)."""
        output: Tensor = self.block(input)
        if not self.residual:
            return output
        kept: Tensor = self.stochastic_depth(output)
        return kept + input


class EfficientNet(Module):
    """A convolution, seven stages of `MBConv`, a 1 x 1 convolution, global average, dropout and a linear layer.

    Args:
        width: factor on the channels, rounded to multiples of 8.
        depth: factor on the repetitions, rounded up.
        num_classes: outputs.
        in_channels: channels of the images.
        dropout: in front of the linear layer.
        drop: stochastic depth; its probability grows linearly over the blocks from 0 towards this.
        eps: of the batch norms.
        momentum: of the batch norms.

    Shape:
        (N, in_channels, H, W), any H and W -> (N, num_classes).
    """

    def __init__(
        self,
        width: float = 1.0,
        depth: float = 1.0,
        num_classes: int = 1000,
        in_channels: int = 3,
        *,
        dropout: float = 0.2,
        drop: float = 0.2,
        eps: float = 1e-5,
        momentum: float = 0.1,
    ) -> None:
        super().__init__()
        channels = round_channels(32 * width)
        norm = functools.partial(BatchNorm2d, eps=eps, momentum=momentum)
        layers: list[Module] = [ConvBNAct(in_channels, channels, 3, 2, None, 1, norm, SiLU)]
        counts = [math.ceil(repetitions * depth) for *_, repetitions in _STAGES]
        number = 0
        for (expansion, kernel, stride, base, _), count in zip(_STAGES, counts, strict=True):
            out_channels = round_channels(base * width)
            blocks: list[Module] = []
            for i in range(count):
                rate = drop * number / sum(counts)
                first = stride if i == 0 else 1
                blocks.append(MBConv(channels, out_channels, expansion, kernel, first, rate, eps, momentum))
                channels = out_channels
                number += 1
            layers.append(Sequential(*blocks))
        layers.append(ConvBNAct(channels, 4 * channels, 1, 1, None, 1, norm, SiLU))
        self.features = Sequential(*layers)
        self.avgpool = AdaptiveAvgPool2d(1)
        self.flatten = Flatten()
        self.classifier = Sequential(Dropout(dropout), Linear(4 * channels, num_classes))
        for module in self.modules():
            if isinstance(module, Conv2d):
                init.kaiming_normal_(module.weight, mode="fan_out")
            elif isinstance(module, Linear):
                bound = 1 / math.sqrt(num_classes)
                init.uniform_(module.weight, -bound, bound)
            if isinstance(module, Conv2d | Linear) and module.bias is not None:
                init.zeros_(module.bias)

    def forward(self, input: Tensor) -> Tensor:
        """(N, in_channels, H, W) -> (N, num_classes)."""
        logits: Tensor = self.classifier(self.flatten(self.avgpool(self.features(input))))
        return logits


@register_model(input_shape=(3, 224, 224), heads="classifier.1")
def efficientnet_b0(num_classes: int = 1000, in_channels: int = 3) -> EfficientNet:
    """EfficientNet-B0: 5,288,548 parameters, 385,814,752 multiply-adds at 224."""
    return EfficientNet(1.0, 1.0, num_classes, in_channels, dropout=0.2)


@register_model(input_shape=(3, 240, 240), heads="classifier.1")
def efficientnet_b1(num_classes: int = 1000, in_channels: int = 3) -> EfficientNet:
    """EfficientNet-B1, depth 1.1: 7,794,184 parameters."""
    return EfficientNet(1.0, 1.1, num_classes, in_channels, dropout=0.2)


@register_model(input_shape=(3, 288, 288), heads="classifier.1")
def efficientnet_b2(num_classes: int = 1000, in_channels: int = 3) -> EfficientNet:
    """EfficientNet-B2, width 1.1, depth 1.2: 9,109,994 parameters; for images of 288 (in the paper 260)."""
    return EfficientNet(1.1, 1.2, num_classes, in_channels, dropout=0.3)


@register_model(input_shape=(3, 300, 300), heads="classifier.1")
def efficientnet_b3(num_classes: int = 1000, in_channels: int = 3) -> EfficientNet:
    """EfficientNet-B3, width 1.2, depth 1.4: 12,233,232 parameters."""
    return EfficientNet(1.2, 1.4, num_classes, in_channels, dropout=0.3)


@register_model(input_shape=(3, 380, 380), heads="classifier.1")
def efficientnet_b4(num_classes: int = 1000, in_channels: int = 3) -> EfficientNet:
    """EfficientNet-B4, width 1.4, depth 1.8: 19,341,616 parameters."""
    return EfficientNet(1.4, 1.8, num_classes, in_channels, dropout=0.4)


@register_model(input_shape=(3, 456, 456), heads="classifier.1")
def efficientnet_b5(num_classes: int = 1000, in_channels: int = 3) -> EfficientNet:
    """EfficientNet-B5, width 1.6, depth 2.2: 30,389,784 parameters."""
    return EfficientNet(1.6, 2.2, num_classes, in_channels, dropout=0.4, eps=1e-3, momentum=0.01)


@register_model(input_shape=(3, 528, 528), heads="classifier.1")
def efficientnet_b6(num_classes: int = 1000, in_channels: int = 3) -> EfficientNet:
    """EfficientNet-B6, width 1.8, depth 2.6: 43,040,704 parameters."""
    return EfficientNet(1.8, 2.6, num_classes, in_channels, dropout=0.5, eps=1e-3, momentum=0.01)


@register_model(input_shape=(3, 600, 600), heads="classifier.1")
def efficientnet_b7(num_classes: int = 1000, in_channels: int = 3) -> EfficientNet:
    """EfficientNet-B7, width 2, depth 3.1: 66,347,960 parameters, 37,745,884,192 multiply-adds at 600."""
    return EfficientNet(2.0, 3.1, num_classes, in_channels, dropout=0.5, eps=1e-3, momentum=0.01)
