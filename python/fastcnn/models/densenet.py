"""DenseNet: every layer of a block sees the outputs of all layers before it.

Huang, Liu, van der Maaten, Weinberger, "Densely connected convolutional networks", CVPR 2017, arXiv:1608.06993. Keys
and shapes of the ImageNet networks are torchvision's; the CIFAR networks are those of the paper's table 2.
"""

from __future__ import annotations

from ..nn import (
    AdaptiveAvgPool2d,
    AvgPool2d,
    BatchNorm2d,
    Conv2d,
    Dropout,
    Flatten,
    Linear,
    MaxPool2d,
    Module,
    Sequential,
    init,
)
from ..ops.joining import cat
from ..tensor import Tensor
from .registry import register_model

__all__ = [
    "DenseBlock",
    "DenseLayer",
    "DenseNet",
    "Transition",
    "densenet40",
    "densenet121",
    "densenet161",
    "densenet169",
    "densenet201",
    "densenet_bc100",
]


class DenseLayer(Module):
    """Batch norm, ReLU and a 3 x 3 convolution to `growth` channels; first, maybe, the same with 1 x 1 to 4 `growth`.

    Args:
        in_channels: C_in.
        growth: channels that the layer adds.
        bottleneck: whether there is a 1 x 1 convolution.
        dropout: probability of dropping an output.

    Shape:
        (N, C_in, H, W) -> (N, growth, H, W).
    """

    def __init__(self, in_channels: int, growth: int, bottleneck: bool = True, dropout: float = 0.0) -> None:
        super().__init__()
        self.bottleneck = bottleneck
        self.norm1 = BatchNorm2d(in_channels)
        if bottleneck:
            self.conv1 = Conv2d(in_channels, 4 * growth, 1, bias=False)
            self.norm2 = BatchNorm2d(4 * growth)
            self.conv2 = Conv2d(4 * growth, growth, 3, padding=1, bias=False)
        else:
            self.conv1 = Conv2d(in_channels, growth, 3, padding=1, bias=False)
        self.dropout = Dropout(dropout)

    def forward(self, input: Tensor) -> Tensor:
        """(N, C_in, H, W) -> (N, growth, H, W)."""
        output = self.conv1(self.norm1(input, activation="relu"))
        if self.bottleneck:
            output = self.conv2(self.norm2(output, activation="relu"))
        result: Tensor = self.dropout(output)
        return result


class DenseBlock(Module):
    """Layers whose input is the concatenation of the block's input and of the outputs of all layers before.

    Args:
        layers: their number.
        in_channels: C_in.
        growth: see `DenseLayer`.
        bottleneck: see `DenseLayer`.
        dropout: see `DenseLayer`.

    Shape:
        (N, C_in, H, W) -> (N, C_in + layers * growth, H, W).
    """

    def __init__(
        self, layers: int, in_channels: int, growth: int, bottleneck: bool = True, dropout: float = 0.0
    ) -> None:
        super().__init__()
        for i in range(layers):
            self.add_module(f"denselayer{i + 1}", DenseLayer(in_channels + i * growth, growth, bottleneck, dropout))

    def forward(self, input: Tensor) -> Tensor:
        """(N, C_in, H, W) -> (N, C_out, H, W)."""
        for layer in self.children():
            input = cat([input, layer(input)], 1)
        return input


class Transition(Module):
    """Batch norm, ReLU, a 1 x 1 convolution to C_out channels, and a 2 x 2 mean.

    Shape:
        (N, C_in, H, W) -> (N, C_out, H // 2, W // 2).
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.norm = BatchNorm2d(in_channels)
        self.conv = Conv2d(in_channels, out_channels, 1, bias=False)
        self.pool = AvgPool2d(2)

    def forward(self, input: Tensor) -> Tensor:
        """(N, C_in, H, W) -> (N, C_out, H // 2, W // 2)."""
        output: Tensor = self.pool(self.conv(self.norm(input, activation="relu")))
        return output


class DenseNet(Module):
    """Dense blocks with transitions between them, between a stem and a linear classifier.

    Args:
        layers: of every block, e.g. (6, 12, 24, 16).
        growth: channels that a layer adds.
        stem: channels in front of the first block.
        num_classes: outputs.
        in_channels: channels of the images.
        small: for small images: the stem is one 3 x 3 convolution instead of 7 x 7, batch norm, ReLU and a max pool, of
            strides 2.
        bottleneck: see `DenseLayer`; with it the transitions halve the channels ("BC").
        dropout: see `DenseLayer`.

    Shape:
        (N, in_channels, H, W), H and W at least 29 (4 with `small` and three blocks) -> (N, num_classes).
    """

    def __init__(
        self,
        layers: tuple[int, ...],
        growth: int = 32,
        stem: int = 64,
        num_classes: int = 1000,
        in_channels: int = 3,
        *,
        small: bool = False,
        bottleneck: bool = True,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.small = small
        parts: dict[str, Module] = {}
        if small:
            parts["conv0"] = Conv2d(in_channels, stem, 3, padding=1, bias=False)
        else:
            parts["conv0"] = Conv2d(in_channels, stem, 7, stride=2, padding=3, bias=False)
            parts["norm0"] = BatchNorm2d(stem)
            parts["pool0"] = MaxPool2d(3, stride=2, padding=1)
        channels = stem
        for i, count in enumerate(layers):
            parts[f"denseblock{i + 1}"] = DenseBlock(count, channels, growth, bottleneck, dropout)
            channels += count * growth
            if i + 1 < len(layers):
                kept = channels // 2 if bottleneck else channels
                parts[f"transition{i + 1}"] = Transition(channels, kept)
                channels = kept
        parts[f"norm{len(layers) + 1}"] = BatchNorm2d(channels)
        self.features = Sequential(parts)
        self.avgpool = AdaptiveAvgPool2d(1)
        self.flatten = Flatten()
        self.classifier = Linear(channels, num_classes)
        for module in self.modules():
            if isinstance(module, Conv2d):
                init.kaiming_normal_(module.weight)
        init.zeros_(self.classifier.get_parameter("bias"))

    def forward(self, input: Tensor) -> Tensor:
        """(N, in_channels, H, W) -> (N, num_classes)."""
        for name, part in self.features.named_children():
            input = part(input, activation="relu") if name.startswith("norm") else part(input)
        logits: Tensor = self.classifier(self.flatten(self.avgpool(input)))
        return logits


_image_model = register_model(input_shape=(3, 224, 224), heads="classifier")
_cifar_model = register_model(input_shape=(3, 32, 32), heads="classifier")


@_image_model
def densenet121(num_classes: int = 1000, in_channels: int = 3) -> DenseNet:
    """DenseNet-121, blocks (6, 12, 24, 16): 7,978,856 parameters, 2,834,161,664 multiply-adds."""
    return DenseNet((6, 12, 24, 16), 32, 64, num_classes, in_channels)


@_image_model
def densenet161(num_classes: int = 1000, in_channels: int = 3) -> DenseNet:
    """DenseNet-161, blocks (6, 12, 36, 24), growth 48: 28,681,000 parameters."""
    return DenseNet((6, 12, 36, 24), 48, 96, num_classes, in_channels)


@_image_model
def densenet169(num_classes: int = 1000, in_channels: int = 3) -> DenseNet:
    """DenseNet-169, blocks (6, 12, 32, 32): 14,149,480 parameters."""
    return DenseNet((6, 12, 32, 32), 32, 64, num_classes, in_channels)


@_image_model
def densenet201(num_classes: int = 1000, in_channels: int = 3) -> DenseNet:
    """DenseNet-201, blocks (6, 12, 48, 32): 20,013,928 parameters."""
    return DenseNet((6, 12, 48, 32), 32, 64, num_classes, in_channels)


@_cifar_model
def densenet40(num_classes: int = 10, in_channels: int = 3, dropout: float = 0.0) -> DenseNet:
    """DenseNet with 40 layers and growth 12 for CIFAR: 1,019,722 parameters, 5.24 % error on CIFAR-10 in the paper."""
    return DenseNet((12, 12, 12), 12, 16, num_classes, in_channels, small=True, bottleneck=False, dropout=dropout)


@_cifar_model
def densenet_bc100(num_classes: int = 10, in_channels: int = 3, dropout: float = 0.0) -> DenseNet:
    """DenseNet-BC with 100 layers and growth 12 for CIFAR: 769,162 parameters, 4.51 % error in the paper."""
    return DenseNet((16, 16, 16), 12, 24, num_classes, in_channels, small=True, dropout=dropout)
