"""The thin residual networks for 32 x 32 images, up to 1202 layers deep.

He, Zhang, Ren, Sun, "Deep residual learning for image recognition", CVPR 2016, arXiv:1512.03385, section 4.2: a 3 x 3
convolution, three stages of n blocks with 16, 32 and 64 channels, 6n + 2 layers. The shortcuts carry no parameters
(option A); errors on CIFAR-10 in the paper: 8.75 % (20 layers), 6.97 % (56), 6.43 % (110), 7.93 % (1202).
"""

from __future__ import annotations

from ..functional import pad
from ..nn import AdaptiveAvgPool2d, BatchNorm2d, Conv2d, Flatten, Linear, Module, Sequential, init
from ..tensor import Tensor
from .registry import register_model
from .resnet import BasicBlock

__all__ = [
    "CifarResNet",
    "PaddedShortcut",
    "PlainBlock",
    "resnet20",
    "resnet32",
    "resnet44",
    "resnet56",
    "resnet110",
    "resnet1202",
]


class PaddedShortcut(Module):
    """Option A: every stride-th pixel, and channels of zeros up to the number that is needed; no parameters.

    Args:
        in_channels: C_in.
        out_channels: C_out, at least C_in.
        stride: distance between the pixels that are kept.

    Shape:
        (N, C_in, H, W) -> (N, C_out, ceil(H / stride), ceil(W / stride)).
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.missing = out_channels - in_channels
        self.stride = stride

    def forward(self, input: Tensor) -> Tensor:
        """(N, C_in, H, W) -> (N, C_out, H_out, W_out)."""
        return pad(input[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.missing))

    def extra_repr(self) -> str:
        """The arguments, for `repr`."""
        return f"missing={self.missing}, stride={self.stride}"


class PlainBlock(BasicBlock):
    """The two convolutions of a `BasicBlock` without its shortcut; arguments and shapes as there."""

    fusible = (("conv1", "bn1", "relu"), ("conv2", "bn2", "relu"))

    def __init__(self, in_channels: int, width: int, stride: int = 1) -> None:
        super().__init__(in_channels, width, stride)
        self._modules["downsample"] = None

    def forward(self, input: Tensor) -> Tensor:
        """(N, C_in, H, W) -> (N, C_out, H_out, W_out)."""
        hidden = self.bn1(self.conv1(input), activation="relu")
        output: Tensor = self.bn2(self.conv2(hidden), activation="relu")
        return output


class CifarResNet(Module):
    """Residual network of 6 `blocks` + 2 layers.

    Args:
        blocks: per stage.
        num_classes: outputs.
        in_channels: channels of the images.
        shortcut: where the shape changes, "A" pads with zeros, "B" projects by a 1 x 1 convolution and batch norm;
            "none" has no shortcuts at all: the plain networks that residual ones are compared with.

    Shape:
        (N, in_channels, H, W), any H and W -> (N, num_classes).

    Raises:
        ValueError: another shortcut.
    """

    fusible = (("conv1", "bn1", "relu"),)

    def __init__(self, blocks: int, num_classes: int = 10, in_channels: int = 3, shortcut: str = "A") -> None:
        super().__init__()
        if shortcut not in ("A", "B", "none"):
            raise ValueError(f"CifarResNet: shortcut is {shortcut!r}, but 'A', 'B' or 'none' is expected")
        block = PlainBlock if shortcut == "none" else BasicBlock
        self.conv1 = Conv2d(in_channels, 16, 3, padding=1, bias=False)
        self.bn1 = BatchNorm2d(16)
        for stage, width in enumerate((16, 32, 64)):
            rows = [block(width, width) for _ in range(blocks)]
            if stage > 0:
                rows[0] = block(width // 2, width, stride=2)
                if shortcut == "A":
                    rows[0].downsample = PaddedShortcut(width // 2, width, stride=2)
            self.add_module(f"layer{stage + 1}", Sequential(*rows))
        self.avgpool = AdaptiveAvgPool2d(1)
        self.flatten = Flatten()
        self.fc = Linear(64, num_classes)
        for module in self.modules():
            if isinstance(module, Conv2d):
                init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, input: Tensor) -> Tensor:
        """(N, in_channels, H, W) -> (N, num_classes)."""
        maps = self.bn1(self.conv1(input), activation="relu")
        maps = self.layer3(self.layer2(self.layer1(maps)))
        logits: Tensor = self.fc(self.flatten(self.avgpool(maps)))
        return logits


_cifar_model = register_model(input_shape=(3, 32, 32), heads="fc")


@_cifar_model
def resnet20(num_classes: int = 10, in_channels: int = 3, shortcut: str = "A") -> CifarResNet:
    """20 layers: 269,722 parameters (272,474 with shortcut="B")."""
    return CifarResNet(3, num_classes, in_channels, shortcut)


@_cifar_model
def resnet32(num_classes: int = 10, in_channels: int = 3, shortcut: str = "A") -> CifarResNet:
    """32 layers: 464,154 parameters."""
    return CifarResNet(5, num_classes, in_channels, shortcut)


@_cifar_model
def resnet44(num_classes: int = 10, in_channels: int = 3, shortcut: str = "A") -> CifarResNet:
    """44 layers: 658,586 parameters."""
    return CifarResNet(7, num_classes, in_channels, shortcut)


@_cifar_model
def resnet56(num_classes: int = 10, in_channels: int = 3, shortcut: str = "A") -> CifarResNet:
    """56 layers: 853,018 parameters."""
    return CifarResNet(9, num_classes, in_channels, shortcut)


@_cifar_model
def resnet110(num_classes: int = 10, in_channels: int = 3, shortcut: str = "A") -> CifarResNet:
    """110 layers: 1,727,962 parameters."""
    return CifarResNet(18, num_classes, in_channels, shortcut)


@_cifar_model
def resnet1202(num_classes: int = 10, in_channels: int = 3, shortcut: str = "A") -> CifarResNet:
    """1202 layers: 19,421,274 parameters."""
    return CifarResNet(200, num_classes, in_channels, shortcut)
