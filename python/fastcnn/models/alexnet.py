"""AlexNet: five convolutions and three linear layers, with ReLU, dropout and data augmentation.

Krizhevsky, Sutskever, Hinton, "ImageNet classification with deep convolutional neural networks", NeurIPS 2012: two GPUs
see half of the channels each in layers 2, 4 and 5 (`alexnet_2012`, groups of 2).
Krizhevsky, "One weird trick for parallelizing convolutional neural networks", 2014, arXiv:1404.5997: one GPU, 64
filters in the first layer, no response normalisation (`alexnet`, torchvision's keys and shapes).
"""

from __future__ import annotations

from collections.abc import Collection

from ..nn import (
    AdaptiveAvgPool2d,
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

__all__ = ["AlexNet", "AlexNet2012", "alexnet", "alexnet_2012", "alexnet_2012_ungrouped"]


class AlexNet(Module):
    """The one-GPU network, with 64, 192, 384, 256 and 256 filters.

    Args:
        num_classes: outputs.
        in_channels: channels of the images.
        hidden: width of the two hidden linear layers.

    Shape:
        (N, in_channels, H, W), H and W at least 63 -> (N, num_classes).
    """

    def __init__(self, num_classes: int = 1000, in_channels: int = 3, hidden: int = 4096) -> None:
        super().__init__()
        self.features = Sequential(
            Conv2d(in_channels, 64, 11, stride=4, padding=2),  # (N, 64, 55, 55) from 224 x 224
            ReLU(),
            MaxPool2d(3, stride=2),
            Conv2d(64, 192, 5, padding=2),  # (N, 192, 27, 27)
            ReLU(),
            MaxPool2d(3, stride=2),
            Conv2d(192, 384, 3, padding=1),  # (N, 384, 13, 13)
            ReLU(),
            Conv2d(384, 256, 3, padding=1),
            ReLU(),
            Conv2d(256, 256, 3, padding=1),
            ReLU(),
            MaxPool2d(3, stride=2),  # (N, 256, 6, 6)
        )
        self.avgpool = AdaptiveAvgPool2d(6)
        self.flatten = Flatten()
        self.classifier = Sequential(
            Dropout(),
            Linear(256 * 6 * 6, hidden),
            ReLU(),
            Dropout(),
            Linear(hidden, hidden),
            ReLU(),
            Linear(hidden, num_classes),
        )

    def forward(self, input: Tensor) -> Tensor:
        """(N, in_channels, H, W) -> (N, num_classes)."""
        logits: Tensor = self.classifier(self.flatten(self.avgpool(self.features(input))))
        return logits


class AlexNet2012(Sequential):
    """The network of 2012: 96, 256, 384, 384 and 256 filters, response normalisation, layers of two GPUs as groups.

    Weights start as in section 5 of the paper: N(0, 0.01^2), biases 1 in layers 2, 4, 5, 6, 7 and 0 elsewhere.

    Args:
        num_classes: outputs.
        in_channels: channels of the images.
        groups: of layers 2, 4 and 5; 1 for the ungrouped network.
        hidden: width of layers 6 and 7.
        without: numbers of layers to leave out, of 3, 4, 6 and 7: the ablation of Zeiler and Fergus (ECCV 2014,
            arXiv:1311.2901, table 3).

    Shape:
        (N, in_channels, 227, 227) -> (N, num_classes); other sizes, from 67, change the map in front of layer 6, which
        is averaged to 6 x 6.

    Raises:
        ValueError: `without` holds another layer.
    """

    def __init__(
        self,
        num_classes: int = 1000,
        in_channels: int = 3,
        groups: int = 2,
        hidden: int = 4096,
        without: Collection[int] = (),
    ) -> None:
        if not set(without) <= {3, 4, 6, 7}:
            raise ValueError(f"AlexNet2012: without is {without!r}, but some of layers 3, 4, 6 and 7 are expected")

        def response_norm() -> Module:
            return LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0)  # the paper's alpha 1e-4 is not divided by 5

        layers: dict[str, Module] = {
            "conv1": Conv2d(in_channels, 96, 11, stride=4),  # (N, 96, 55, 55)
            "relu1": ReLU(),
            "norm1": response_norm(),
            "pool1": MaxPool2d(3, stride=2),
            "conv2": Conv2d(96, 256, 5, padding=2, groups=groups),  # (N, 256, 27, 27)
            "relu2": ReLU(),
            "norm2": response_norm(),
            "pool2": MaxPool2d(3, stride=2),
        }
        channels = 256
        for layer, width, layer_groups in ((3, 384, 1), (4, 384, groups), (5, 256, groups)):  # (N, width, 13, 13)
            if layer not in without:
                layers[f"conv{layer}"] = Conv2d(channels, width, 3, padding=1, groups=layer_groups)
                layers[f"relu{layer}"] = ReLU()
                channels = width
        layers |= {"pool5": MaxPool2d(3, stride=2), "avgpool": AdaptiveAvgPool2d(6), "flatten": Flatten()}
        features = 256 * 6 * 6
        for layer in (6, 7):
            if layer not in without:
                layers[f"dropout{layer}"] = Dropout()
                layers[f"fc{layer}"] = Linear(features, hidden)
                layers[f"relu{layer}"] = ReLU()
                features = hidden
        layers["fc8"] = Linear(features, num_classes)
        super().__init__(layers)
        for name, module in layers.items():
            if isinstance(module, Conv2d | Linear) and module.bias is not None:
                init.normal_(module.weight, 0.0, 0.01)
                init.constant_(module.bias, 1.0 if name in ("conv2", "conv4", "conv5", "fc6", "fc7") else 0.0)


@register_model(input_shape=(3, 224, 224), heads="classifier.6")
def alexnet(num_classes: int = 1000, in_channels: int = 3, hidden: int = 4096) -> AlexNet:
    """The one-GPU AlexNet: 61,100,840 parameters, 714,188,480 multiply-adds."""
    return AlexNet(num_classes, in_channels, hidden)


@register_model(input_shape=(3, 227, 227), heads="fc8")
def alexnet_2012(num_classes: int = 1000, in_channels: int = 3) -> AlexNet2012:
    """AlexNet as published, in two groups: 60,965,224 parameters, 724,406,816 multiply-adds."""
    return AlexNet2012(num_classes, in_channels)


@register_model(input_shape=(3, 227, 227), heads="fc8")
def alexnet_2012_ungrouped(num_classes: int = 1000, in_channels: int = 3) -> AlexNet2012:
    """AlexNet as published, but with full connections: 62,378,344 parameters, 1,135,256,096 multiply-adds."""
    return AlexNet2012(num_classes, in_channels, groups=1)
