"""Inception v3: inception modules with factorised convolutions, on images of 299 x 299.

Szegedy, Vanhoucke, Ioffe, Shlens, Wojna, "Rethinking the Inception architecture for computer vision", CVPR 2016,
arXiv:1512.00567: 5 x 5 becomes two 3 x 3, n x n becomes 1 x n and n x 1. Keys and shapes are torchvision's.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from ..functional import avg_pool2d, max_pool2d
from ..nn import AdaptiveAvgPool2d, Conv2d, Dropout, Flatten, Linear, MaxPool2d, Module, init
from ..ops.joining import cat
from ..tensor import Tensor
from .googlenet import ConvNorm, renormalized
from .registry import register_model

__all__ = [
    "InceptionA",
    "InceptionAux",
    "InceptionB",
    "InceptionC",
    "InceptionD",
    "InceptionE",
    "InceptionOutputs",
    "InceptionV3",
    "inception_v3",
]

_ROW, _COLUMN = ((1, 7), (0, 3)), ((7, 1), (3, 0))  # (kernel, padding)


class _Branches(Module):
    """Convolutions by name, and chains of them whose outputs are concatenated."""

    def chain(self, input: Tensor, *names: str) -> Tensor:
        """The convolutions of these names, one after another."""
        for name in names:
            input = self._modules[name](input)
        return input


class InceptionA(_Branches):
    """35 x 35 maps (figure 5): 1 x 1, 5 x 5, two 3 x 3, and a mean.

    Shape:
        (N, C_in, H, W) -> (N, 224 + pooled, H, W).
    """

    def __init__(self, in_channels: int, pooled: int) -> None:
        super().__init__()
        self.branch1x1 = ConvNorm(in_channels, 64)
        self.branch5x5_1 = ConvNorm(in_channels, 48)
        self.branch5x5_2 = ConvNorm(48, 64, 5, padding=2)
        self.branch3x3dbl_1 = ConvNorm(in_channels, 64)
        self.branch3x3dbl_2 = ConvNorm(64, 96, 3, padding=1)
        self.branch3x3dbl_3 = ConvNorm(96, 96, 3, padding=1)
        self.branch_pool = ConvNorm(in_channels, pooled)

    def forward(self, input: Tensor) -> Tensor:
        """(N, C_in, H, W) -> (N, 224 + pooled, H, W)."""
        branches = [
            self.branch1x1(input),
            self.chain(input, "branch5x5_1", "branch5x5_2"),
            self.chain(input, "branch3x3dbl_1", "branch3x3dbl_2", "branch3x3dbl_3"),
            self.branch_pool(avg_pool2d(input, 3, 1, 1)),
        ]
        return cat(branches, 1)


class InceptionB(_Branches):
    """From 35 x 35 to 17 x 17: a 3 x 3 of stride 2, two 3 x 3 with the second of stride 2, and a max pool.

    Shape:
        (N, C_in, H, W) -> (N, C_in + 480, (H - 1) // 2, (W - 1) // 2).
    """

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.branch3x3 = ConvNorm(in_channels, 384, 3, stride=2)
        self.branch3x3dbl_1 = ConvNorm(in_channels, 64)
        self.branch3x3dbl_2 = ConvNorm(64, 96, 3, padding=1)
        self.branch3x3dbl_3 = ConvNorm(96, 96, 3, stride=2)

    def forward(self, input: Tensor) -> Tensor:
        """(N, C_in, H, W) -> (N, C_in + 480, H_out, W_out)."""
        double = self.chain(input, "branch3x3dbl_1", "branch3x3dbl_2", "branch3x3dbl_3")
        return cat([self.branch3x3(input), double, max_pool2d(input, 3, 2)], 1)


class InceptionC(_Branches):
    """17 x 17 maps (figure 6): 1 x 1; one and two 7 x 7, as rows and columns; and a mean.

    Args:
        in_channels: C_in.
        width: channels of the rows and columns in between.

    Shape:
        (N, C_in, H, W) -> (N, 768, H, W).
    """

    def __init__(self, in_channels: int, width: int) -> None:
        super().__init__()
        self.branch1x1 = ConvNorm(in_channels, 192)
        self.branch7x7_1 = ConvNorm(in_channels, width)
        self.branch7x7_2 = ConvNorm(width, width, _ROW[0], padding=_ROW[1])
        self.branch7x7_3 = ConvNorm(width, 192, _COLUMN[0], padding=_COLUMN[1])
        self.branch7x7dbl_1 = ConvNorm(in_channels, width)
        self.branch7x7dbl_2 = ConvNorm(width, width, _COLUMN[0], padding=_COLUMN[1])
        self.branch7x7dbl_3 = ConvNorm(width, width, _ROW[0], padding=_ROW[1])
        self.branch7x7dbl_4 = ConvNorm(width, width, _COLUMN[0], padding=_COLUMN[1])
        self.branch7x7dbl_5 = ConvNorm(width, 192, _ROW[0], padding=_ROW[1])
        self.branch_pool = ConvNorm(in_channels, 192)

    def forward(self, input: Tensor) -> Tensor:
        """(N, C_in, H, W) -> (N, 768, H, W)."""
        branches = [
            self.branch1x1(input),
            self.chain(input, *(f"branch7x7_{i}" for i in range(1, 4))),
            self.chain(input, *(f"branch7x7dbl_{i}" for i in range(1, 6))),
            self.branch_pool(avg_pool2d(input, 3, 1, 1)),
        ]
        return cat(branches, 1)


class InceptionD(_Branches):
    """From 17 x 17 to 8 x 8: a 3 x 3 of stride 2, a 7 x 7 and a 3 x 3 of stride 2, and a max pool.

    Shape:
        (N, C_in, H, W) -> (N, C_in + 512, (H - 1) // 2, (W - 1) // 2).
    """

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.branch3x3_1 = ConvNorm(in_channels, 192)
        self.branch3x3_2 = ConvNorm(192, 320, 3, stride=2)
        self.branch7x7x3_1 = ConvNorm(in_channels, 192)
        self.branch7x7x3_2 = ConvNorm(192, 192, _ROW[0], padding=_ROW[1])
        self.branch7x7x3_3 = ConvNorm(192, 192, _COLUMN[0], padding=_COLUMN[1])
        self.branch7x7x3_4 = ConvNorm(192, 192, 3, stride=2)

    def forward(self, input: Tensor) -> Tensor:
        """(N, C_in, H, W) -> (N, C_in + 512, H_out, W_out)."""
        threes = self.chain(input, "branch3x3_1", "branch3x3_2")
        sevens = self.chain(input, *(f"branch7x7x3_{i}" for i in range(1, 5)))
        return cat([threes, sevens, max_pool2d(input, 3, 2)], 1)


class InceptionE(_Branches):
    """8 x 8 maps (figure 7): 1 x 1; rows and columns of three side by side, once behind a 3 x 3; and a mean.

    Shape:
        (N, C_in, H, W) -> (N, 2048, H, W).
    """

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.branch1x1 = ConvNorm(in_channels, 320)
        self.branch3x3_1 = ConvNorm(in_channels, 384)
        self.branch3x3_2a = ConvNorm(384, 384, (1, 3), padding=(0, 1))
        self.branch3x3_2b = ConvNorm(384, 384, (3, 1), padding=(1, 0))
        self.branch3x3dbl_1 = ConvNorm(in_channels, 448)
        self.branch3x3dbl_2 = ConvNorm(448, 384, 3, padding=1)
        self.branch3x3dbl_3a = ConvNorm(384, 384, (1, 3), padding=(0, 1))
        self.branch3x3dbl_3b = ConvNorm(384, 384, (3, 1), padding=(1, 0))
        self.branch_pool = ConvNorm(in_channels, 192)

    def forward(self, input: Tensor) -> Tensor:
        """(N, C_in, H, W) -> (N, 2048, H, W)."""
        single = self.branch3x3_1(input)
        double = self.chain(input, "branch3x3dbl_1", "branch3x3dbl_2")
        branches = [
            self.branch1x1(input),
            self.branch3x3_2a(single),
            self.branch3x3_2b(single),
            self.branch3x3dbl_3a(double),
            self.branch3x3dbl_3b(double),
            self.branch_pool(avg_pool2d(input, 3, 1, 1)),
        ]
        return cat(branches, 1)


class InceptionAux(Module):
    """A classifier on the 17 x 17 maps: a 5 x 5 mean of stride 3, 1 x 1 and 5 x 5 convolutions, a linear layer.

    Shape:
        (N, C_in, H, W), H and W at least 17 -> (N, num_classes).
    """

    def __init__(self, in_channels: int, num_classes: int) -> None:
        super().__init__()
        self.conv0 = ConvNorm(in_channels, 128)
        self.conv1 = ConvNorm(128, 768, 5)
        self.avgpool = AdaptiveAvgPool2d(1)
        self.flatten = Flatten()
        self.fc = Linear(768, num_classes)

    def forward(self, input: Tensor) -> Tensor:
        """(N, C_in, H, W) -> (N, num_classes)."""
        maps = self.conv1(self.conv0(avg_pool2d(input, 5, 3)))
        logits: Tensor = self.fc(self.flatten(self.avgpool(maps)))
        return logits


class InceptionOutputs(NamedTuple):
    """What `InceptionV3` with an auxiliary classifier returns in training, both (N, num_classes)."""

    logits: Tensor
    aux_logits: Tensor


class InceptionV3(Module):
    """A convolutional stem, eleven inception modules, global average, dropout and a linear layer.

    Args:
        num_classes: outputs.
        in_channels: channels of the images.
        aux_logits: whether there is a classifier behind module 6e, which helps training.
        transform_input: see `googlenet.renormalized`.

    Shape:
        (N, in_channels, H, W), H and W at least 75, and with `aux_logits` at least 299 in training -> (N, num_classes),
        or in training with `aux_logits` `InceptionOutputs` of two such tensors.
    """

    def __init__(
        self,
        num_classes: int = 1000,
        in_channels: int = 3,
        aux_logits: bool = True,
        transform_input: bool = False,
    ) -> None:
        super().__init__()
        self.transform_input = transform_input
        self.Conv2d_1a_3x3 = ConvNorm(in_channels, 32, 3, stride=2)
        self.Conv2d_2a_3x3 = ConvNorm(32, 32, 3)
        self.Conv2d_2b_3x3 = ConvNorm(32, 64, 3, padding=1)
        self.maxpool1 = MaxPool2d(3, stride=2)
        self.Conv2d_3b_1x1 = ConvNorm(64, 80)
        self.Conv2d_4a_3x3 = ConvNorm(80, 192, 3)
        self.maxpool2 = MaxPool2d(3, stride=2)
        self.Mixed_5b = InceptionA(192, 32)
        self.Mixed_5c = InceptionA(256, 64)
        self.Mixed_5d = InceptionA(288, 64)
        self.Mixed_6a = InceptionB(288)
        self.Mixed_6b = InceptionC(768, 128)
        self.Mixed_6c = InceptionC(768, 160)
        self.Mixed_6d = InceptionC(768, 160)
        self.Mixed_6e = InceptionC(768, 192)
        self.add_module("AuxLogits", InceptionAux(768, num_classes) if aux_logits else None)
        self.Mixed_7a = InceptionD(768)
        self.Mixed_7b = InceptionE(1280)
        self.Mixed_7c = InceptionE(2048)
        self.avgpool = AdaptiveAvgPool2d(1)
        self.dropout = Dropout(0.5)
        self.flatten = Flatten()
        self.fc = Linear(2048, num_classes)
        for path, layer in self.named_modules():
            if isinstance(layer, Conv2d | Linear):
                std = {"AuxLogits.conv1.conv": 0.01, "AuxLogits.fc": 0.001}.get(path, 0.1)
                init.trunc_normal_(layer.weight, 0.0, std, -2.0, 2.0)

    def forward(self, input: Tensor) -> Any:
        """(N, in_channels, H, W) -> (N, num_classes), or `InceptionOutputs`."""
        if self.transform_input:
            input = renormalized(input)
        maps = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(input)))
        maps = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(self.maxpool1(maps)))
        maps = self.Mixed_5d(self.Mixed_5c(self.Mixed_5b(self.maxpool2(maps))))
        maps = self.Mixed_6c(self.Mixed_6b(self.Mixed_6a(maps)))
        middle = self.Mixed_6e(self.Mixed_6d(maps))
        maps = self.Mixed_7c(self.Mixed_7b(self.Mixed_7a(middle)))
        logits = self.fc(self.flatten(self.dropout(self.avgpool(maps))))
        if self.training and self.AuxLogits is not None:
            return InceptionOutputs(logits, self.AuxLogits(middle))
        return logits


@register_model(input_shape=(3, 299, 299), heads=("fc", "AuxLogits.fc"))
def inception_v3(
    num_classes: int = 1000, in_channels: int = 3, aux_logits: bool = True, transform_input: bool = False
) -> InceptionV3:
    """Inception v3: 27,161,264 parameters, 23,834,568 without the auxiliary classifier; 5,713,216,096 multiply-adds."""
    return InceptionV3(num_classes, in_channels, aux_logits, transform_input)
