"""Networks without convolutions: the single-layer perceptron and perceptrons in layers.

Rosenblatt, "The perceptron: a probabilistic model for information storage and organization in the brain", Psychological
Review 65(6), 1958. Rumelhart, Hinton, Williams, "Learning representations by back-propagating errors", Nature 323,
1986. The layers (300, 100) are those of LeCun et al. 1998, section III.C.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..nn import Flatten, Linear, Module, ReLU, Sequential
from .registry import register_model

__all__ = ["mlp", "perceptron"]


@register_model(input_shape=(1, 28, 28), heads="fc")
def perceptron(num_classes: int = 10, in_channels: int = 1, image_size: int = 28) -> Sequential:
    """One linear layer on the pixels, a template per class: 7,850 parameters.

    Args:
        num_classes: outputs.
        in_channels: channels of the images.
        image_size: their height and width.

    Shape:
        (N, in_channels, image_size, image_size) -> (N, num_classes). `fc.weight[i]` is the template of class i.
    """
    return Sequential({"flatten": Flatten(), "fc": Linear(in_channels * image_size**2, num_classes)})


@register_model(input_shape=(1, 28, 28), heads="fc")
def mlp(
    num_classes: int = 10, in_channels: int = 1, image_size: int = 28, hidden: Sequence[int] = (300, 100)
) -> Sequential:
    """Linear layers with ReLU between them: 266,610 parameters.

    Args:
        num_classes: outputs.
        in_channels: channels of the images.
        image_size: their height and width.
        hidden: widths of the hidden layers.

    Shape:
        (N, in_channels, image_size, image_size) -> (N, num_classes).
    """
    layers: dict[str, Module] = {"flatten": Flatten()}
    features = in_channels * image_size**2
    for i, width in enumerate(hidden, 1):
        layers |= {f"fc{i}": Linear(features, width), f"relu{i}": ReLU()}
        features = width
    layers["fc"] = Linear(features, num_classes)
    return Sequential(layers)
