"""Three ways to write the block of ResNeXt, which compute the same.

Xie, Girshick, Dollar, Tu, He, "Aggregated residual transformations for deep neural networks", CVPR 2017,
arXiv:1611.05431, figure 3: (a) every path ends in its own 1 x 1 convolution and the results are summed; (b) the paths
are concatenated in front of one 1 x 1 convolution; (c) the paths are the groups of one convolution, as in
`resnet.Bottleneck`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..nn import BatchNorm2d, Conv2d, Module, ModuleList, ReLU, Sequential
from ..ops.joining import cat
from ..tensor import Tensor
from .resnet import Bottleneck

__all__ = ["SplitBlock", "split_block"]


class SplitBlock(Module):
    """Forms (a) and (b) of a bottleneck: `paths` towers of 1 x 1 and 3 x 3 convolutions of `width` channels.

    Args:
        in_channels: C_in.
        out_channels: C_out.
        paths: the cardinality.
        width: channels of a path.
        stride: of the 3 x 3 convolutions.
        form: "sum" for (a), "concat" for (b).

    Shape:
        (N, C_in, H, W) -> (N, C_out, ceil(H / stride), ceil(W / stride)).

    Raises:
        ValueError: another form.
    """

    def __init__(
        self, in_channels: int, out_channels: int, paths: int, width: int, stride: int = 1, form: str = "sum"
    ) -> None:
        super().__init__()
        if form not in ("sum", "concat"):
            raise ValueError(f"SplitBlock: form is {form!r}, but 'sum' or 'concat' is expected")
        self.form = form
        self.paths = ModuleList(
            Sequential(
                {
                    "conv1": Conv2d(in_channels, width, 1, bias=False),
                    "bn1": BatchNorm2d(width),
                    "relu1": ReLU(),
                    "conv2": Conv2d(width, width, 3, stride, padding=1, bias=False),
                    "bn2": BatchNorm2d(width),
                    "relu2": ReLU(),
                }
                | ({"conv3": Conv2d(width, out_channels, 1, bias=False)} if form == "sum" else {})
            )
            for _ in range(paths)
        )
        self.add_module("conv3", Conv2d(paths * width, out_channels, 1, bias=False) if form == "concat" else None)
        self.bn3 = BatchNorm2d(out_channels)
        self.add_module("downsample", None)

    def forward(self, input: Tensor) -> Tensor:
        """(N, C_in, H, W) -> (N, C_out, H_out, W_out)."""
        shortcut = input if self.downsample is None else self.downsample(input)
        results = [path(input) for path in self.paths]
        if self.conv3 is not None:
            total = self.conv3(cat(results, 1))
        else:
            total = results[0]
            for result in results[1:]:
                total = total + result
        output: Tensor = self.bn3(total, activation="relu", residual=shortcut)
        return output


def split_block(block: Bottleneck, form: str = "sum") -> SplitBlock:
    """The same block, with the same weights, in form (a) or (b).

    Args:
        block: with groups and the stride in the 3 x 3 convolution; the shortcut's projection is shared with the result.
        form: "sum" or "concat".

    Raises:
        ValueError: another form, or a block with the stride in the first convolution.
    """
    if block.conv1.stride != (1, 1):
        raise ValueError("split_block: the block has its stride in the first 1 x 1 convolution")
    paths, wide = block.conv2.groups, block.conv2.out_channels
    width = wide // paths
    split = SplitBlock(block.conv1.in_channels, block.conv3.out_channels, paths, width, block.conv2.stride[0], form)
    whole = {key: value.numpy() for key, value in block.state_dict().items()}
    state: dict[str, np.ndarray[Any, Any]] = {}
    for key in split.state_dict():
        name = key
        if key.startswith("paths."):
            _, number, name = key.split(".", 2)
            at = slice(int(number) * width, (int(number) + 1) * width)
            if name == "conv3.weight":
                state[key] = whole[name][:, at]
            else:
                state[key] = whole[name][at] if whole[name].ndim else whole[name]
        else:
            state[key] = whole[name]
    split.load_state_dict(state)
    if block.downsample is not None:
        split.downsample = block.downsample
    return split.train(block.training)
