"""GoogLeNet: modules of parallel convolutions whose outputs are concatenated.

Szegedy, Liu, Jia, Sermanet, Reed, Anguelov, Erhan, Vanhoucke, Rabinovich, "Going deeper with convolutions", CVPR 2015,
arXiv:1409.4842, with the batch norms of Ioffe, Szegedy, "Batch normalization", ICML 2015, arXiv:1502.03167. Keys and
shapes are torchvision's, where the 5 x 5 convolutions of the paper are 3 x 3; `five_by_five=True` makes them 5 x 5.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from ..nn import (
    AdaptiveAvgPool2d,
    BatchNorm2d,
    Conv2d,
    Dropout,
    Flatten,
    Linear,
    MaxPool2d,
    Module,
    ReLU,
    Sequential,
    init,
)
from ..ops.joining import cat
from ..tensor import Tensor, tensor
from .registry import register_model

__all__ = ["ConvNorm", "GoogLeNet", "GoogLeNetOutputs", "Inception", "InceptionAux", "googlenet", "renormalized"]


class ConvNorm(Module):
    """Convolution without bias, batch norm (eps 0.001), ReLU; keys "conv.weight", "bn.weight" as torchvision's.

    Args:
        in_channels: C_in.
        out_channels: C_out.
        kernel: size of the filters, one number or (kH, kW).
        stride: step between outputs.
        padding: amount on both sides of each axis.

    Shape:
        (N, C_in, H, W) -> (N, C_out, H_out, W_out).
    """

    fusible = (("conv", "bn", "relu"),)

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int | tuple[int, int] = 1,
        stride: int = 1,
        padding: int | tuple[int, int] = 0,
    ) -> None:
        super().__init__()
        self.conv = Conv2d(in_channels, out_channels, kernel, stride, padding, bias=False)
        self.bn = BatchNorm2d(out_channels, eps=0.001)

    def forward(self, input: Tensor) -> Tensor:
        """(N, C_in, H, W) -> (N, C_out, H_out, W_out)."""
        output: Tensor = self.bn(self.conv(input), activation="relu")
        return output


def renormalized(images: Tensor) -> Tensor:
    """Maps images normalised with ImageNet's means and deviations to (pixel - 0.5) / 0.5.

    The weights of GoogLeNet and Inception v3 that torchvision publishes come from another library, and expect that.

    Args:
        images: (N, 3, H, W).

    Returns:
        The same shape.
    """
    deviations = tensor([0.229, 0.224, 0.225], dtype=images.dtype, device=images.device).reshape(1, 3, 1, 1)
    means = tensor([0.485, 0.456, 0.406], dtype=images.dtype, device=images.device).reshape(1, 3, 1, 1)
    return images * (deviations / 0.5) + (means - 0.5) / 0.5


class Inception(Module):
    """Side by side: 1 x 1; 1 x 1 then 3 x 3; 1 x 1 then a larger one; a 3 x 3 max pool then 1 x 1.

    Args:
        in_channels: C_in.
        ones: channels of the first branch.
        threes: channels of the second branch after each convolution.
        fives: channels of the third branch after each convolution.
        pooled: channels of the fourth branch.
        kernel: of the third branch, 3 as in torchvision or 5 as in the paper.

    Shape:
        (N, C_in, H, W) -> (N, ones + threes[1] + fives[1] + pooled, H, W).
    """

    def __init__(
        self,
        in_channels: int,
        ones: int,
        threes: tuple[int, int],
        fives: tuple[int, int],
        pooled: int,
        kernel: int = 3,
    ) -> None:
        super().__init__()
        self.branch1 = ConvNorm(in_channels, ones)
        self.branch2 = Sequential(ConvNorm(in_channels, threes[0]), ConvNorm(*threes, 3, padding=1))
        self.branch3 = Sequential(ConvNorm(in_channels, fives[0]), ConvNorm(*fives, kernel, padding=kernel // 2))
        self.branch4 = Sequential(MaxPool2d(3, stride=1, padding=1), ConvNorm(in_channels, pooled))

    def forward(self, input: Tensor) -> Tensor:
        """(N, C_in, H, W) -> (N, C_out, H, W)."""
        return cat([branch(input) for branch in self.children()], 1)


class InceptionAux(Module):
    """A classifier on maps in the middle: mean to 4 x 4, 1 x 1 convolution, two linear layers.

    Args:
        in_channels: C_in.
        num_classes: outputs.

    Shape:
        (N, C_in, H, W) -> (N, num_classes).
    """

    def __init__(self, in_channels: int, num_classes: int) -> None:
        super().__init__()
        self.pool = AdaptiveAvgPool2d(4)
        self.conv = ConvNorm(in_channels, 128)
        self.flatten = Flatten()
        self.fc1 = Linear(128 * 4 * 4, 1024)
        self.relu = ReLU()
        self.fc2 = Linear(1024, num_classes)
        self.dropout = Dropout(0.7)

    def forward(self, input: Tensor) -> Tensor:
        """(N, C_in, H, W) -> (N, num_classes)."""
        hidden = self.relu(self.fc1(self.flatten(self.conv(self.pool(input)))))
        logits: Tensor = self.fc2(self.dropout(hidden))
        return logits


class GoogLeNetOutputs(NamedTuple):
    """What `GoogLeNet` with auxiliary classifiers returns in training, all (N, num_classes)."""

    logits: Tensor
    aux_logits2: Tensor
    aux_logits1: Tensor


# Table 1: name, 1x1, (3x3 reduce, 3x3), (5x5 reduce, 5x5), pool projection; a pooling follows 3b and 4e.
_MODULES = (
    ("3a", 64, (96, 128), (16, 32), 32),
    ("3b", 128, (128, 192), (32, 96), 64),
    ("4a", 192, (96, 208), (16, 48), 64),
    ("4b", 160, (112, 224), (24, 64), 64),
    ("4c", 128, (128, 256), (24, 64), 64),
    ("4d", 112, (144, 288), (32, 64), 64),
    ("4e", 256, (160, 320), (32, 128), 128),
    ("5a", 256, (160, 320), (32, 128), 128),
    ("5b", 384, (192, 384), (48, 128), 128),
)


class GoogLeNet(Module):
    """A convolutional stem, nine inception modules, global average, dropout and a linear layer: 22 layers deep.

    Args:
        num_classes: outputs.
        in_channels: channels of the images.
        aux_logits: whether there are classifiers behind modules 4a and 4d, which help training.
        five_by_five: see the file's description.
        transform_input: see `renormalized`.

    Shape:
        (N, in_channels, H, W), H and W at least 15 -> (N, num_classes), or in training with `aux_logits`
        `GoogLeNetOutputs` of three such tensors.
    """

    def __init__(
        self,
        num_classes: int = 1000,
        in_channels: int = 3,
        aux_logits: bool = True,
        five_by_five: bool = False,
        transform_input: bool = False,
    ) -> None:
        super().__init__()
        self.transform_input = transform_input
        self.conv1 = ConvNorm(in_channels, 64, 7, stride=2, padding=3)
        self.maxpool1 = MaxPool2d(3, stride=2, ceil_mode=True)
        self.conv2 = ConvNorm(64, 64)
        self.conv3 = ConvNorm(64, 192, 3, padding=1)
        self.maxpool2 = MaxPool2d(3, stride=2, ceil_mode=True)
        channels = 192
        for name, ones, threes, fives, pooled in _MODULES:
            module = Inception(channels, ones, threes, fives, pooled, 5 if five_by_five else 3)
            self.add_module(f"inception{name}", module)
            channels = ones + threes[1] + fives[1] + pooled
        self.maxpool3 = MaxPool2d(3, stride=2, ceil_mode=True)
        self.maxpool4 = MaxPool2d(2, stride=2, ceil_mode=True)
        self.add_module("aux1", InceptionAux(512, num_classes) if aux_logits else None)
        self.add_module("aux2", InceptionAux(528, num_classes) if aux_logits else None)
        self.avgpool = AdaptiveAvgPool2d(1)
        self.flatten = Flatten()
        self.dropout = Dropout(0.2)
        self.fc = Linear(channels, num_classes)
        for layer in self.modules():
            if isinstance(layer, Conv2d | Linear):
                init.trunc_normal_(layer.weight, 0.0, 0.01, -2.0, 2.0)

    def forward(self, input: Tensor) -> Any:
        """(N, in_channels, H, W) -> (N, num_classes), or `GoogLeNetOutputs`."""
        if self.transform_input:
            input = renormalized(input)
        maps = self.maxpool1(self.conv1(input))
        maps = self.maxpool2(self.conv3(self.conv2(maps)))
        maps = self.maxpool3(self.inception3b(self.inception3a(maps)))
        after_4a = self.inception4a(maps)
        after_4d = self.inception4d(self.inception4c(self.inception4b(after_4a)))
        maps = self.maxpool4(self.inception4e(after_4d))
        maps = self.inception5b(self.inception5a(maps))
        logits = self.fc(self.dropout(self.flatten(self.avgpool(maps))))
        if self.training and self.aux1 is not None:
            return GoogLeNetOutputs(logits, self.aux2(after_4d), self.aux1(after_4a))
        return logits


@register_model(input_shape=(3, 224, 224), heads=("fc", "aux1.fc2", "aux2.fc2"))
def googlenet(
    num_classes: int = 1000,
    in_channels: int = 3,
    aux_logits: bool = True,
    five_by_five: bool = False,
    transform_input: bool = False,
) -> GoogLeNet:
    """GoogLeNet: 13,004,888 parameters, 6,624,904 without the auxiliary classifiers; 1,498,376,192 multiply-adds."""
    return GoogLeNet(num_classes, in_channels, aux_logits, five_by_five, transform_input)
