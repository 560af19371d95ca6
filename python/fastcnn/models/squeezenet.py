"""SqueezeNet: AlexNet's accuracy with 50 times fewer parameters.

Iandola, Han, Moskewicz, Ashraf, Dally, Keutzer, "SqueezeNet", 2016, arXiv:1602.07360 (1.0), and the authors' 1.1 with
2.4 times fewer multiply-adds. Keys and shapes are torchvision's.
"""

from __future__ import annotations

from ..nn import AdaptiveAvgPool2d, Conv2d, Dropout, Flatten, MaxPool2d, Module, ReLU, Sequential, init
from ..ops.joining import cat
from ..tensor import Tensor
from .registry import register_model

__all__ = ["Fire", "SqueezeNet", "squeezenet1_0", "squeezenet1_1"]


class Fire(Module):
    """A 1 x 1 convolution to few channels, then 1 x 1 and 3 x 3 convolutions side by side.

    Args:
        in_channels: C_in.
        squeeze: channels in between.
        expand: channels of each of the two, C_out = 2 expand.

    Shape:
        (N, C_in, H, W) -> (N, 2 expand, H, W).
    """

    def __init__(self, in_channels: int, squeeze: int, expand: int) -> None:
        super().__init__()
        self.squeeze = Conv2d(in_channels, squeeze, 1)
        self.squeeze_activation = ReLU()
        self.expand1x1 = Conv2d(squeeze, expand, 1)
        self.expand1x1_activation = ReLU()
        self.expand3x3 = Conv2d(squeeze, expand, 3, padding=1)
        self.expand3x3_activation = ReLU()

    def forward(self, input: Tensor) -> Tensor:
        """(N, C_in, H, W) -> (N, 2 expand, H, W)."""
        few = self.squeeze_activation(self.squeeze(input))
        ones = self.expand1x1_activation(self.expand1x1(few))
        threes = self.expand3x3_activation(self.expand3x3(few))
        return cat([ones, threes], 1)


class SqueezeNet(Module):
    """A convolution, eight fire modules with three poolings among them, a 1 x 1 convolution to the classes, their mean.

    Args:
        stem: (filters, kernel size) of the first convolution, of stride 2.
        pools: before which of the fire modules 1 to 8 the maps are pooled.
        num_classes: outputs.
        in_channels: channels of the images.

    Shape:
        (N, in_channels, H, W), H and W at least 17 (1.1) or 21 (1.0) -> (N, num_classes).
    """

    def __init__(
        self, stem: tuple[int, int], pools: tuple[int, ...], num_classes: int = 1000, in_channels: int = 3
    ) -> None:
        super().__init__()
        channels, kernel = stem
        layers: list[Module] = [Conv2d(in_channels, channels, kernel, stride=2), ReLU()]
        for number in range(1, 9):
            if number in pools:
                layers.append(MaxPool2d(3, stride=2, ceil_mode=True))
            step = (number + 1) // 2  # two modules of each width
            layers.append(Fire(channels, 16 * step, 64 * step))
            channels = 128 * step
        self.features = Sequential(*layers)
        self.classifier = Sequential(Dropout(), Conv2d(channels, num_classes, 1), ReLU(), AdaptiveAvgPool2d(1))
        self.flatten = Flatten()
        for module in self.modules():
            if isinstance(module, Conv2d):
                init.kaiming_uniform_(module.weight)
                if module.bias is not None:
                    init.zeros_(module.bias)
        init.normal_(self.classifier[1].get_parameter("weight"), 0.0, 0.01)

    def forward(self, input: Tensor) -> Tensor:
        """(N, in_channels, H, W) -> (N, num_classes)."""
        scores: Tensor = self.flatten(self.classifier(self.features(input)))
        return scores


_image_model = register_model(input_shape=(3, 224, 224), heads="classifier.1")


@_image_model
def squeezenet1_0(num_classes: int = 1000, in_channels: int = 3) -> SqueezeNet:
    """SqueezeNet 1.0: 1,248,424 parameters, 818,924,576 multiply-adds."""
    return SqueezeNet((96, 7), (1, 4, 8), num_classes, in_channels)


@_image_model
def squeezenet1_1(num_classes: int = 1000, in_channels: int = 3) -> SqueezeNet:
    """SqueezeNet 1.1: 1,235,496 parameters, 349,151,936 multiply-adds."""
    return SqueezeNet((64, 3), (1, 3, 5), num_classes, in_channels)
