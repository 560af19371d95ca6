"""Residual networks: every block adds its input to what it computes, so that depth can only help.

He, Zhang, Ren, Sun, "Deep residual learning for image recognition", CVPR 2016, arXiv:1512.03385 (ResNet).
Xie, Girshick, Dollar, Tu, He, "Aggregated residual transformations for deep neural networks", CVPR 2017,
arXiv:1611.05431 (ResNeXt: the 3 x 3 convolution has groups).
Zagoruyko, Komodakis, "Wide residual networks", BMVC 2016, arXiv:1605.07146 (the 3 x 3 convolution is wider).

Keys and shapes are torchvision's. As there, the stride of a bottleneck stands in its 3 x 3 convolution; the `_v1`
models have it in the first 1 x 1, as in the paper: same parameters, fewer multiply-adds.
"""

from __future__ import annotations

from ..nn import AdaptiveAvgPool2d, BatchNorm2d, Conv2d, Flatten, Linear, MaxPool2d, Module, Sequential, init
from ..tensor import Tensor
from .registry import register_model

__all__ = [
    "BasicBlock",
    "Bottleneck",
    "ResNet",
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet50_v1",
    "resnet101",
    "resnet101_v1",
    "resnet152",
    "resnet152_v1",
    "resnext50_32x4d",
    "resnext101_32x8d",
    "resnext101_64x4d",
    "wide_resnet50_2",
    "wide_resnet101_2",
]


def _projection(in_channels: int, out_channels: int, stride: int) -> Sequential | None:
    """The 1 x 1 convolution of a shortcut whose ends differ in shape; None where the input itself will do."""
    if stride == 1 and in_channels == out_channels:
        return None
    return Sequential(Conv2d(in_channels, out_channels, 1, stride, bias=False), BatchNorm2d(out_channels))


class BasicBlock(Module):
    """relu(x + bn(conv3x3(relu(bn(conv3x3(x)))))), the block of the shallower networks.

    Args:
        in_channels: C_in.
        width: channels of both convolutions, C_out.
        stride: of the first convolution and of the shortcut.

    Shape:
        (N, C_in, H, W) -> (N, C_out, ceil(H / stride), ceil(W / stride)).
    """

    expansion = 1  # C_out / width
    fusible: tuple[tuple[str, str, str | None], ...] = (("conv1", "bn1", "relu"), ("conv2", "bn2", None))

    def __init__(self, in_channels: int, width: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = Conv2d(in_channels, width, 3, stride, padding=1, bias=False)
        self.bn1 = BatchNorm2d(width)
        self.conv2 = Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = BatchNorm2d(width)
        self.add_module("downsample", _projection(in_channels, width, stride))

    def forward(self, input: Tensor) -> Tensor:
        """(N, C_in, H, W) -> (N, C_out, H_out, W_out)."""
        shortcut = input if self.downsample is None else self.downsample(input)
        hidden = self.bn1(self.conv1(input), activation="relu")
        output: Tensor = self.bn2(self.conv2(hidden), activation="relu", residual=shortcut)
        return output


class Bottleneck(Module):
    """1 x 1 convolution to few channels, 3 x 3 among them, 1 x 1 back to four times as many; and the shortcut.

    Args:
        in_channels: C_in.
        planes: C_out / 4.
        stride: of the 3 x 3 convolution and of the shortcut.
        groups: of the 3 x 3 convolution (ResNeXt's cardinality).
        base_width: width of a group where `planes` is 64; the inner width is planes * base_width / 64 * groups.
        stride_first: put the stride into the first 1 x 1 convolution, as in the paper.

    Shape:
        (N, C_in, H, W) -> (N, 4 planes, ceil(H / stride), ceil(W / stride)).
    """

    expansion = 4
    fusible = (("conv1", "bn1", "relu"), ("conv2", "bn2", "relu"), ("conv3", "bn3", None))

    def __init__(
        self,
        in_channels: int,
        planes: int,
        stride: int = 1,
        groups: int = 1,
        base_width: int = 64,
        stride_first: bool = False,
    ) -> None:
        super().__init__()
        width = planes * base_width // 64 * groups
        outer = planes * self.expansion
        first, second = (stride, 1) if stride_first else (1, stride)
        self.conv1 = Conv2d(in_channels, width, 1, first, bias=False)
        self.bn1 = BatchNorm2d(width)
        self.conv2 = Conv2d(width, width, 3, second, padding=1, groups=groups, bias=False)
        self.bn2 = BatchNorm2d(width)
        self.conv3 = Conv2d(width, outer, 1, bias=False)
        self.bn3 = BatchNorm2d(outer)
        self.add_module("downsample", _projection(in_channels, outer, stride))

    def forward(self, input: Tensor) -> Tensor:
        """(N, C_in, H, W) -> (N, 4 planes, H_out, W_out)."""
        shortcut = input if self.downsample is None else self.downsample(input)
        hidden = self.bn1(self.conv1(input), activation="relu")
        hidden = self.bn2(self.conv2(hidden), activation="relu")
        output: Tensor = self.bn3(self.conv3(hidden), activation="relu", residual=shortcut)
        return output


class ResNet(Module):
    """A 7 x 7 convolution and a max pool, four stages of residual blocks, global average, one linear layer.

    Args:
        depths: blocks per stage, e.g. (3, 4, 6, 3).
        num_classes: outputs.
        in_channels: channels of the images.
        bottleneck: whether the blocks are `Bottleneck`s or `BasicBlock`s.
        groups: of the bottlenecks' 3 x 3 convolutions.
        base_width: see `Bottleneck`.
        stride_first: see `Bottleneck`.

    Shape:
        (N, in_channels, H, W), any H and W -> (N, num_classes). The stages have strides 4, 8, 16 and 32.
    """

    fusible = (("conv1", "bn1", "relu"),)

    def __init__(
        self,
        depths: tuple[int, ...],
        num_classes: int = 1000,
        in_channels: int = 3,
        *,
        bottleneck: bool = True,
        groups: int = 1,
        base_width: int = 64,
        stride_first: bool = False,
    ) -> None:
        super().__init__()
        self.conv1 = Conv2d(in_channels, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = BatchNorm2d(64)
        self.maxpool = MaxPool2d(3, stride=2, padding=1)
        channels = 64
        for stage, depth in enumerate(depths):
            blocks: list[Module] = []
            for i in range(depth):
                planes, stride = 64 << stage, 2 if stage > 0 and i == 0 else 1
                if bottleneck:
                    blocks.append(Bottleneck(channels, planes, stride, groups, base_width, stride_first))
                else:
                    blocks.append(BasicBlock(channels, planes, stride))
                channels = planes * (Bottleneck.expansion if bottleneck else BasicBlock.expansion)
            self.add_module(f"layer{stage + 1}", Sequential(*blocks))
        self.avgpool = AdaptiveAvgPool2d(1)
        self.flatten = Flatten()
        self.fc = Linear(channels, num_classes)
        for module in self.modules():
            if isinstance(module, Conv2d):
                init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def features(self, input: Tensor) -> list[Tensor]:
        """The outputs of the four stages, e.g. (N, 256, H/4, W/4) .. (N, 2048, H/32, W/32) of `resnet50`."""
        maps = self.maxpool(self.bn1(self.conv1(input), activation="relu"))
        stages = []
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            maps = stage(maps)
            stages.append(maps)
        return stages

    def forward(self, input: Tensor) -> Tensor:
        """(N, in_channels, H, W) -> (N, num_classes)."""
        logits: Tensor = self.fc(self.flatten(self.avgpool(self.features(input)[-1])))
        return logits


def zero_init_residual(model: Module) -> Module:
    """Sets the weight of the last batch norm of every residual block to 0: the blocks start as the identity.

    Goyal et al., "Accurate, large minibatch SGD", 2017, arXiv:1706.02677, section 5.1.

    Args:
        model: a network of this family; changed in place.

    Returns:
        The model.
    """
    for module in model.modules():
        if isinstance(module, BasicBlock | Bottleneck):
            last = module.bn2 if isinstance(module, BasicBlock) else module.bn3
            last.get_parameter("weight").detach().fill_(0.0)
    return model


_image_model = register_model(input_shape=(3, 224, 224), heads="fc")


@_image_model
def resnet18(num_classes: int = 1000, in_channels: int = 3) -> ResNet:
    """ResNet-18: basic blocks (2, 2, 2, 2), 11,689,512 parameters."""
    return ResNet((2, 2, 2, 2), num_classes, in_channels, bottleneck=False)


@_image_model
def resnet34(num_classes: int = 1000, in_channels: int = 3) -> ResNet:
    """ResNet-34: basic blocks (3, 4, 6, 3), 21,797,672 parameters."""
    return ResNet((3, 4, 6, 3), num_classes, in_channels, bottleneck=False)


@_image_model
def resnet50(num_classes: int = 1000, in_channels: int = 3) -> ResNet:
    """ResNet-50: bottlenecks (3, 4, 6, 3), 25,557,032 parameters, 4,089,184,256 multiply-adds."""
    return ResNet((3, 4, 6, 3), num_classes, in_channels)


@_image_model
def resnet101(num_classes: int = 1000, in_channels: int = 3) -> ResNet:
    """ResNet-101: bottlenecks (3, 4, 23, 3), 44,549,160 parameters."""
    return ResNet((3, 4, 23, 3), num_classes, in_channels)


@_image_model
def resnet152(num_classes: int = 1000, in_channels: int = 3) -> ResNet:
    """ResNet-152: bottlenecks (3, 8, 36, 3), 60,192,808 parameters."""
    return ResNet((3, 8, 36, 3), num_classes, in_channels)


@_image_model
def resnet50_v1(num_classes: int = 1000, in_channels: int = 3) -> ResNet:
    """ResNet-50 of the paper, strides in the first 1 x 1 convolutions: 3,857,973,248 multiply-adds."""
    return ResNet((3, 4, 6, 3), num_classes, in_channels, stride_first=True)


@_image_model
def resnet101_v1(num_classes: int = 1000, in_channels: int = 3) -> ResNet:
    """ResNet-101 of the paper, strides in the first 1 x 1 convolutions."""
    return ResNet((3, 4, 23, 3), num_classes, in_channels, stride_first=True)


@_image_model
def resnet152_v1(num_classes: int = 1000, in_channels: int = 3) -> ResNet:
    """ResNet-152 of the paper, strides in the first 1 x 1 convolutions."""
    return ResNet((3, 8, 36, 3), num_classes, in_channels, stride_first=True)


@_image_model
def resnext50_32x4d(num_classes: int = 1000, in_channels: int = 3) -> ResNet:
    """ResNeXt-50, 32 groups of 4 channels in the first stage: 25,028,904 parameters."""
    return ResNet((3, 4, 6, 3), num_classes, in_channels, groups=32, base_width=4)


@_image_model
def resnext101_32x8d(num_classes: int = 1000, in_channels: int = 3) -> ResNet:
    """ResNeXt-101, 32 groups of 8 channels in the first stage: 88,791,336 parameters."""
    return ResNet((3, 4, 23, 3), num_classes, in_channels, groups=32, base_width=8)


@_image_model
def resnext101_64x4d(num_classes: int = 1000, in_channels: int = 3) -> ResNet:
    """ResNeXt-101, 64 groups of 4 channels in the first stage: 83,455,272 parameters."""
    return ResNet((3, 4, 23, 3), num_classes, in_channels, groups=64, base_width=4)


@_image_model
def wide_resnet50_2(num_classes: int = 1000, in_channels: int = 3) -> ResNet:
    """ResNet-50 with 3 x 3 convolutions twice as wide: 68,883,240 parameters."""
    return ResNet((3, 4, 6, 3), num_classes, in_channels, base_width=128)


@_image_model
def wide_resnet101_2(num_classes: int = 1000, in_channels: int = 3) -> ResNet:
    """ResNet-101 with 3 x 3 convolutions twice as wide: 126,886,696 parameters."""
    return ResNet((3, 4, 23, 3), num_classes, in_channels, base_width=128)
