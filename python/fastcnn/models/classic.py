"""The classic pattern: [convolution, ReLU, pooling] x N, flatten, [linear, ReLU] x M, linear."""

from __future__ import annotations

from collections.abc import Sequence

from ..nn import BatchNorm2d, Conv2d, Flatten, Linear, LocalResponseNorm, MaxPool2d, Module, ReLU, Sequential
from .registry import register_model

__all__ = ["classic_cnn"]


@register_model(input_shape=(3, 32, 32), heads="fc")
def classic_cnn(
    num_classes: int = 10,
    in_channels: int = 3,
    image_size: int = 32,
    channels: Sequence[int] = (32, 64),
    hidden: Sequence[int] = (128,),
    norm: str | None = None,
) -> Sequential:
    """Builds the classic pattern; e.g. 545,098 parameters with two convolutions and a hidden layer.

    Args:
        num_classes: outputs.
        in_channels: channels of the images.
        image_size: their height and width; halved by every pooling.
        channels: filters of the 3 x 3 convolutions, each with ReLU and a 2 x 2 max pool.
        hidden: widths of the hidden linear layers.
        norm: None; "response": local response normalisation behind every pooling, the old optional last step; "batch":
            batch norm between convolution and ReLU.

    Shape:
        (N, in_channels, image_size, image_size) -> (N, num_classes).

    Raises:
        ValueError: too small images, or another norm.
    """
    if norm not in (None, "response", "batch"):
        raise ValueError(f"classic_cnn: norm is {norm!r}, but None, 'response' or 'batch' is expected")
    size = image_size >> len(channels)
    if size < 1:
        raise ValueError(f"classic_cnn: image_size is {image_size}, too small for {len(channels)} poolings")
    layers: dict[str, Module] = {}
    for i, width in enumerate(channels, 1):
        layers[f"conv{i}"] = Conv2d(in_channels, width, 3, padding=1)
        if norm == "batch":
            layers[f"norm{i}"] = BatchNorm2d(width)
        layers |= {f"relu{i}": ReLU(), f"pool{i}": MaxPool2d(2)}
        if norm == "response":
            layers[f"norm{i}"] = LocalResponseNorm(5)
        in_channels = width
    layers["flatten"] = Flatten()
    features = in_channels * size * size
    for i, width in enumerate(hidden, 1):
        layers |= {f"fc{i}": Linear(features, width), f"relu{len(channels) + i}": ReLU()}
        features = width
    layers["fc"] = Linear(features, num_classes)
    return Sequential(layers)
