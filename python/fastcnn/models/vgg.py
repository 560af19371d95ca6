"""VGG: stacks of 3 x 3 convolutions, five poolings, three linear layers.

Simonyan, Zisserman, "Very deep convolutional networks for large-scale image recognition", ICLR 2015, arXiv:1409.1556,
configurations A, A-LRN, B, C, D and E of table 1. Keys and shapes are torchvision's.
"""

from __future__ import annotations

from ..nn import (
    AdaptiveAvgPool2d,
    BatchNorm2d,
    Conv2d,
    Dropout,
    Flatten,
    Linear,
    LocalResponseNorm,
    MaxPool2d,
    Module,
    ReLU,
    Sequential,
    init,
)
from ..tensor import Tensor
from .registry import register_model

__all__ = [
    "VGG",
    "vgg11",
    "vgg11_bn",
    "vgg11_lrn",
    "vgg13",
    "vgg13_bn",
    "vgg16",
    "vgg16_bn",
    "vgg16_c",
    "vgg19",
    "vgg19_bn",
]

_WIDTHS = (64, 128, 256, 512, 512)
_Kernels = tuple[tuple[int, ...], ...]  # kernel sizes of the convolutions before every pooling

_A: _Kernels = ((3,), (3,), (3, 3), (3, 3), (3, 3))
_B: _Kernels = ((3, 3), (3, 3), (3, 3), (3, 3), (3, 3))
_C: _Kernels = ((3, 3), (3, 3), (3, 3, 1), (3, 3, 1), (3, 3, 1))
_D: _Kernels = ((3, 3), (3, 3), (3, 3, 3), (3, 3, 3), (3, 3, 3))
_E: _Kernels = ((3, 3), (3, 3), (3, 3, 3, 3), (3, 3, 3, 3), (3, 3, 3, 3))


class VGG(Module):
    """Five stages of convolutions with ReLU, each ended by a 2 x 2 max pool, and a three-layer classifier.

    Args:
        kernels: kernel sizes of the convolutions of every stage, e.g. ((3, 3), ...) for configuration B.
        num_classes: outputs.
        in_channels: channels of the images.
        norm: None, "batch" after every convolution, or "response": local response normalisation after the first ReLU
            (A-LRN).
        hidden: width of the two hidden linear layers.

    Shape:
        (N, in_channels, H, W), H and W at least 32 -> (N, num_classes). Dropout 0.5 in front of the last two layers.

    Raises:
        ValueError: another norm.
    """

    def __init__(
        self,
        kernels: _Kernels,
        num_classes: int = 1000,
        in_channels: int = 3,
        norm: str | None = None,
        hidden: int = 4096,
    ) -> None:
        super().__init__()
        if norm not in (None, "batch", "response"):
            raise ValueError(f"VGG: norm is {norm!r}, but None, 'batch' or 'response' is expected")
        layers: list[Module] = []
        for width, stage in zip(_WIDTHS, kernels, strict=True):
            for kernel in stage:
                layers.append(Conv2d(in_channels, width, kernel, padding=kernel // 2))
                if norm == "batch":
                    layers.append(BatchNorm2d(width))
                layers.append(ReLU())
                if norm == "response" and len(layers) == 2:
                    layers.append(LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0))  # alpha 1e-4, there not divided
                in_channels = width
            layers.append(MaxPool2d(2))
        self.features = Sequential(*layers)
        self.avgpool = AdaptiveAvgPool2d(7)
        self.flatten = Flatten()
        self.classifier = Sequential(
            Linear(512 * 7 * 7, hidden),
            ReLU(),
            Dropout(),
            Linear(hidden, hidden),
            ReLU(),
            Dropout(),
            Linear(hidden, num_classes),
        )
        for module in self.modules():
            if isinstance(module, Conv2d):
                init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            elif isinstance(module, Linear):
                init.normal_(module.weight, 0.0, 0.01)
            if isinstance(module, Conv2d | Linear) and module.bias is not None:
                init.zeros_(module.bias)

    def forward(self, input: Tensor) -> Tensor:
        """(N, in_channels, H, W) -> (N, num_classes)."""
        logits: Tensor = self.classifier(self.flatten(self.avgpool(self.features(input))))
        return logits


_image_model = register_model(input_shape=(3, 224, 224), heads="classifier.6")


@_image_model
def vgg11(num_classes: int = 1000, in_channels: int = 3, hidden: int = 4096) -> VGG:
    """Configuration A: 132,863,336 parameters, 7,609,090,048 multiply-adds."""
    return VGG(_A, num_classes, in_channels, None, hidden)


@_image_model
def vgg11_lrn(num_classes: int = 1000, in_channels: int = 3, hidden: int = 4096) -> VGG:
    """Configuration A-LRN: A with local response normalisation, which did not help."""
    return VGG(_A, num_classes, in_channels, "response", hidden)


@_image_model
def vgg13(num_classes: int = 1000, in_channels: int = 3, hidden: int = 4096) -> VGG:
    """Configuration B: 133,047,848 parameters."""
    return VGG(_B, num_classes, in_channels, None, hidden)


@_image_model
def vgg16_c(num_classes: int = 1000, in_channels: int = 3, hidden: int = 4096) -> VGG:
    """Configuration C, with three 1 x 1 convolutions: 133,638,952 parameters. Not in torchvision."""
    return VGG(_C, num_classes, in_channels, None, hidden)


@_image_model
def vgg16(num_classes: int = 1000, in_channels: int = 3, hidden: int = 4096) -> VGG:
    """Configuration D: 138,357,544 parameters, 15,470,264,320 multiply-adds."""
    return VGG(_D, num_classes, in_channels, None, hidden)


@_image_model
def vgg19(num_classes: int = 1000, in_channels: int = 3, hidden: int = 4096) -> VGG:
    """Configuration E: 143,667,240 parameters."""
    return VGG(_E, num_classes, in_channels, None, hidden)


@_image_model
def vgg11_bn(num_classes: int = 1000, in_channels: int = 3, hidden: int = 4096) -> VGG:
    """Configuration A with batch norm: 132,868,840 parameters."""
    return VGG(_A, num_classes, in_channels, "batch", hidden)


@_image_model
def vgg13_bn(num_classes: int = 1000, in_channels: int = 3, hidden: int = 4096) -> VGG:
    """Configuration B with batch norm: 133,053,736 parameters."""
    return VGG(_B, num_classes, in_channels, "batch", hidden)


@_image_model
def vgg16_bn(num_classes: int = 1000, in_channels: int = 3, hidden: int = 4096) -> VGG:
    """Configuration D with batch norm: 138,365,992 parameters."""
    return VGG(_D, num_classes, in_channels, "batch", hidden)


@_image_model
def vgg19_bn(num_classes: int = 1000, in_channels: int = 3, hidden: int = 4096) -> VGG:
    """Configuration E with batch norm: 143,678,248 parameters."""
    return VGG(_E, num_classes, in_channels, "batch", hidden)
