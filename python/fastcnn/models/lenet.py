"""LeNet-5 in its modern form: ReLU, max pooling, soft-max.

LeCun, Bottou, Bengio, Haffner, "Gradient-based learning applied to document recognition", Proc. IEEE 86(11), 1998. The
paper has 6 and 16 filters, trained sub-sampling, sigmoids and RBF outputs.
"""

from __future__ import annotations

from collections import OrderedDict

from ..nn import Conv2d, Flatten, Linear, MaxPool2d, Module, ReLU, Sequential
from .registry import register_model


@register_model(input_shape=(1, 28, 28))
def lenet5(num_classes: int = 10, in_channels: int = 1, image_size: int = 28) -> Module:
    """LeNet-5: two 5 x 5 convolutions (20 and 50 filters) with max pooling, two linear layers (500 and the classes).

    1,256,080 parameters and 6,522,000 multiply-adds per 28 x 28 image.

    Args:
        num_classes: outputs.
        in_channels: 1 for grey images, 3 for colour.
        image_size: height and width, at least 4.

    Raises:
        ValueError: the images are too small for two poolings.
    """
    if image_size < 4:
        raise ValueError(f"lenet5: image_size is {image_size}, but at least 4 is expected")
    pooled = image_size // 2 // 2
    return Sequential(
        OrderedDict(
            conv1=Conv2d(in_channels, 20, 5, padding=2),  # (N, 20, 28, 28)
            relu1=ReLU(),
            pool1=MaxPool2d(2),  # (N, 20, 14, 14)
            conv2=Conv2d(20, 50, 5, padding=2),  # (N, 50, 14, 14)
            relu2=ReLU(),
            pool2=MaxPool2d(2),  # (N, 50, 7, 7)
            flatten=Flatten(),
            fc1=Linear(50 * pooled * pooled, 500),
            relu3=ReLU(),
            fc2=Linear(500, num_classes),
        )
    )
