"""MobileNet v2: thin linear ends, wide depthwise middles, shortcuts between the thin ends.

Sandler, Howard, Zhu, Zhmoginov, Chen, "MobileNetV2: inverted residuals and linear bottlenecks", CVPR 2018,
arXiv:1801.04381. Keys and shapes are torchvision's.
"""

from __future__ import annotations

from ..nn import (
    AdaptiveAvgPool2d,
    BatchNorm2d,
    Conv2d,
    ConvBNAct,
    Dropout,
    Flatten,
    Linear,
    Module,
    ReLU6,
    Sequential,
    init,
)
from ..tensor import Tensor
from .blocks import round_channels
from .registry import register_model

__all__ = ["InvertedResidual", "MobileNetV2", "mobilenet_v2"]

# Table 2: expansion t, channels c, repetitions n, stride s of the first.
_STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))


class InvertedResidual(Module):
    """1 x 1 convolution to `expansion` times the channels, 3 x 3 depthwise, 1 x 1 back without an activation.

    The input is added where shapes allow.

    Args:
        in_channels: C_in.
        out_channels: C_out.
        stride: of the depthwise convolution.
        expansion: 1 leaves the first convolution out.

    Shape:
        (N, C_in, H, W) -> (N, C_out, ceil(H / stride), ceil(W / stride)).
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int, expansion: int) -> None:
        super().__init__()
        self.residual = stride == 1 and in_channels == out_channels
        wide = in_channels * expansion
        layers: list[Module] = []
        if expansion != 1:
            layers.append(ConvBNAct(in_channels, wide, 1, activation_layer=ReLU6))
        layers += [
            ConvBNAct(wide, wide, 3, stride, groups=wide, activation_layer=ReLU6),
            Conv2d(wide, out_channels, 1, bias=False),
            BatchNorm2d(out_channels),
        ]
        self.conv = Sequential(*layers)

    def forward(self, input: Tensor) -> Tensor:
        """(N, C_in, H, W) -> (N, C_out, H_out, W_out)."""
        *layers, norm = self.conv
        output = input
        for layer in layers:
            output = layer(output)
        result: Tensor = norm(output, residual=input if self.residual else None)
        return result


class MobileNetV2(Module):
    """A convolution, 17 inverted residuals, a 1 x 1 convolution, global average, dropout and a linear layer.

    Args:
        num_classes: outputs.
        in_channels: channels of the images.
        width: factor on the channels of all layers (1280 at least at the end).
        dropout: in front of the linear layer.

    Shape:
        (N, in_channels, H, W), any H and W -> (N, num_classes).
    """

    def __init__(self, num_classes: int = 1000, in_channels: int = 3, width: float = 1.0, dropout: float = 0.2) -> None:
        super().__init__()
        channels, last = round_channels(32 * width), round_channels(1280 * max(1.0, width))
        layers: list[Module] = [ConvBNAct(in_channels, channels, 3, 2, activation_layer=ReLU6)]
        for expansion, base, repetitions, stride in _STAGES:
            out_channels = round_channels(base * width)
            for i in range(repetitions):
                layers.append(InvertedResidual(channels, out_channels, stride if i == 0 else 1, expansion))
                channels = out_channels
        layers.append(ConvBNAct(channels, last, 1, activation_layer=ReLU6))
        self.features = Sequential(*layers)
        self.avgpool = AdaptiveAvgPool2d(1)
        self.flatten = Flatten()
        self.classifier = Sequential(Dropout(dropout), Linear(last, num_classes))
        for module in self.modules():
            if isinstance(module, Conv2d):
                init.kaiming_normal_(module.weight, mode="fan_out")
            elif isinstance(module, Linear) and module.bias is not None:
                init.normal_(module.weight, 0.0, 0.01)
                init.zeros_(module.bias)

    def forward(self, input: Tensor) -> Tensor:
        """(N, in_channels, H, W) -> (N, num_classes)."""
        logits: Tensor = self.classifier(self.flatten(self.avgpool(self.features(input))))
        return logits


@register_model(input_shape=(3, 224, 224), heads="classifier.1")
def mobilenet_v2(num_classes: int = 1000, in_channels: int = 3, width: float = 1.0) -> MobileNetV2:
    """MobileNet v2: 3,504,872 parameters, 300,774,272 multiply-adds."""
    return MobileNetV2(num_classes, in_channels, width)
