"""Network in Network: after every convolution, small perceptrons slide over the pixels; no linear layers at the end.

Lin, Chen, Yan, "Network in network", ICLR 2014, arXiv:1312.4400. A 1 x 1 convolution is a linear layer applied to every
pixel, so an "mlpconv" block is a convolution and two 1 x 1 convolutions, each with ReLU. The last block has one map per
class, whose mean is the score. Sizes as in the authors' published configurations.
"""

from __future__ import annotations

from ..nn import AdaptiveAvgPool2d, AvgPool2d, Conv2d, Dropout, Flatten, MaxPool2d, Module, ReLU, Sequential, init
from .registry import register_model

__all__ = ["mlpconv", "nin_cifar", "nin_imagenet"]


def mlpconv(in_channels: int, widths: tuple[int, int, int], kernel: int, stride: int = 1, padding: int = 0) -> Module:
    """A convolution and two 1 x 1 convolutions, each followed by ReLU.

    Args:
        in_channels: C_in.
        widths: channels after each of the three.
        kernel: size of the first one's filters.
        stride: of the first.
        padding: of the first.

    Shape:
        (N, C_in, H, W) -> (N, widths[2], H_out, W_out).
    """
    first, second, third = widths
    return Sequential(
        Conv2d(in_channels, first, kernel, stride, padding),
        ReLU(),
        Conv2d(first, second, 1),
        ReLU(),
        Conv2d(second, third, 1),
        ReLU(),
    )


def _initialized(model: Sequential) -> Sequential:
    for module in model.modules():
        if isinstance(module, Conv2d):
            init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                init.zeros_(module.bias)
    return model


@register_model(input_shape=(3, 32, 32), heads="block3.4")
def nin_cifar(num_classes: int = 10, in_channels: int = 3) -> Sequential:
    """The CIFAR network: three blocks of 192 channels, 966,986 parameters.

    Shape:
        (N, in_channels, H, W), H and W at least 6 -> (N, num_classes).
    """
    return _initialized(
        Sequential(
            {
                "block1": mlpconv(in_channels, (192, 160, 96), 5, padding=2),
                "pool1": MaxPool2d(3, stride=2, ceil_mode=True),
                "dropout1": Dropout(),
                "block2": mlpconv(96, (192, 192, 192), 5, padding=2),
                "pool2": AvgPool2d(3, stride=2, ceil_mode=True),
                "dropout2": Dropout(),
                "block3": mlpconv(192, (192, 192, num_classes), 3, padding=1),
                "avgpool": AdaptiveAvgPool2d(1),
                "flatten": Flatten(),
            }
        )
    )


@register_model(input_shape=(3, 224, 224), heads="block4.4")
def nin_imagenet(num_classes: int = 1000, in_channels: int = 3) -> Sequential:
    """The ImageNet network: four blocks, 7,595,176 parameters, a tenth of AlexNet's.

    Shape:
        (N, in_channels, H, W), H and W at least 67 -> (N, num_classes).
    """
    return _initialized(
        Sequential(
            {
                "block1": mlpconv(in_channels, (96, 96, 96), 11, stride=4),
                "pool1": MaxPool2d(3, stride=2),
                "block2": mlpconv(96, (256, 256, 256), 5, padding=2),
                "pool2": MaxPool2d(3, stride=2),
                "block3": mlpconv(256, (384, 384, 384), 3, padding=1),
                "pool3": MaxPool2d(3, stride=2),
                "dropout": Dropout(),
                "block4": mlpconv(384, (1024, 1024, num_classes), 3, padding=1),
                "avgpool": AdaptiveAvgPool2d(1),
                "flatten": Flatten(),
            }
        )
    )
