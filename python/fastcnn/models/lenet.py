"""LeNet-5, the convolutional network that read bank cheques.

LeCun, Bottou, Bengio, Haffner, "Gradient-based learning applied to document recognition", Proc. IEEE 86(11), 1998.
`lenet5` is its modern form with ReLU, max pooling and soft-max scores; `lenet5_sigmoid` the textbook form with sigmoids
and average pooling; `lenet5_1998` the network of the paper.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..functional import conv2d
from ..nn import (
    RBF,
    AvgPool2d,
    Conv2d,
    Flatten,
    Linear,
    MaxPool2d,
    Module,
    Parameter,
    ReLU,
    Sequential,
    Sigmoid,
    Tanh,
    init,
)
from ..ops.creation import empty, zeros
from ..ops.elementwise import tanh
from ..ops.joining import cat
from ..ops.picking import index_select
from ..tensor import Tensor, tensor
from .registry import register_model

__all__ = [
    "DigitDistances",
    "PartialConv2d",
    "ScaledTanh",
    "SubSampling",
    "lenet5",
    "lenet5_1998",
    "lenet5_sigmoid",
]

_ACTIVATIONS: dict[str, Callable[[], Module]] = {"relu": ReLU, "tanh": Tanh, "sigmoid": Sigmoid}
_POOLS: dict[str, Callable[[int], Module]] = {"max": MaxPool2d, "avg": AvgPool2d}


def _chosen(what: str, name: str, table: dict[str, Callable[..., Module]]) -> Callable[..., Module]:
    if name not in table:
        raise ValueError(f"lenet5: {what} is {name!r}, but one of {', '.join(table)} is expected")
    return table[name]


@register_model(input_shape=(1, 28, 28), heads="fc2")
def lenet5(
    num_classes: int = 10, in_channels: int = 1, image_size: int = 28, pool: str = "max", activation: str = "relu"
) -> Module:
    """LeNet-5: two 5 x 5 convolutions (20 and 50 filters) with pooling, two linear layers (500 and the classes).

    1,256,080 parameters and 6,522,000 multiply-adds per 28 x 28 image.

    Args:
        num_classes: outputs.
        in_channels: 1 for grey images, 3 for colour.
        image_size: height and width, at least 4.
        pool: "max" or "avg".
        activation: "relu", "tanh" or "sigmoid".

    Raises:
        ValueError: the images are too small for two poolings, or an unknown pool or activation.
    """
    if image_size < 4:
        raise ValueError(f"lenet5: image_size is {image_size}, but at least 4 is expected")
    pooling, act = _chosen("pool", pool, _POOLS), _chosen("activation", activation, _ACTIVATIONS)
    pooled = image_size // 2 // 2
    return Sequential(
        {
            "conv1": Conv2d(in_channels, 20, 5, padding=2),  # (N, 20, 28, 28)
            f"{activation}1": act(),
            "pool1": pooling(2),  # (N, 20, 14, 14)
            "conv2": Conv2d(20, 50, 5, padding=2),  # (N, 50, 14, 14)
            f"{activation}2": act(),
            "pool2": pooling(2),  # (N, 50, 7, 7)
            "flatten": Flatten(),
            "fc1": Linear(50 * pooled * pooled, 500),
            f"{activation}3": act(),
            "fc2": Linear(500, num_classes),
        }
    )


@register_model(input_shape=(1, 28, 28), heads="fc3")
def lenet5_sigmoid(num_classes: int = 10, in_channels: int = 1) -> Module:
    """LeNet-5 with the paper's sizes, but dense: sigmoids, average pooling, three linear layers.

    61,706 parameters and 416,520 multiply-adds. The weights are Glorot's: sigmoids need them.

    Shape:
        (N, in_channels, 28, 28) -> (N, num_classes).
    """
    model = Sequential(
        {
            "conv1": Conv2d(in_channels, 6, 5, padding=2),  # (N, 6, 28, 28)
            "sigmoid1": Sigmoid(),
            "pool1": AvgPool2d(2),
            "conv2": Conv2d(6, 16, 5),  # (N, 16, 10, 10)
            "sigmoid2": Sigmoid(),
            "pool2": AvgPool2d(2),
            "flatten": Flatten(),
            "fc1": Linear(16 * 5 * 5, 120),
            "sigmoid3": Sigmoid(),
            "fc2": Linear(120, 84),
            "sigmoid4": Sigmoid(),
            "fc3": Linear(84, num_classes),
        }
    )
    for module in model:
        if isinstance(module, Conv2d | Linear):
            init.xavier_uniform_(module.weight)
    return model


class ScaledTanh(Module):
    """1.7159 tanh(2 x / 3): f(1) = 1 and f(-1) = -1, where its second derivative is largest (appendix A)."""

    def forward(self, input: Tensor) -> Tensor:
        """Any shape, kept."""
        return tanh(input * (2.0 / 3.0)) * 1.7159


class SubSampling(Module):
    """The sum of every 2 x 2 window, times one trained coefficient per map, plus one trained bias per map.

    Args:
        channels: C.

    Shape:
        (N, C, H, W) -> (N, C, H // 2, W // 2). `weight` and `bias` are (C,).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = Parameter(empty(channels))
        self.bias = Parameter(empty(channels))
        self.pool = AvgPool2d(2, divisor_override=1)
        bound = 2.4 / 4  # as for every unit of the paper: 2.4 / fan-in
        init.uniform_(self.weight, -bound, bound)
        init.uniform_(self.bias, -bound, bound)

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H // 2, W // 2)."""
        sums: Tensor = self.pool(input)
        return sums * self.weight.reshape(1, -1, 1, 1) + self.bias.reshape(1, -1, 1, 1)


class PartialConv2d(Module):
    """Convolution where every output map sees some of the input maps only: table I of the paper breaks the symmetry.

    Args:
        in_channels: C_in.
        table: for every output map the input maps that it sees.
        kernel: size of the filters.

    Shape:
        (N, C_in, H, W) -> (N, len(table), H - kernel + 1, W - kernel + 1). `weight` is (connections, kernel^2), `bias`
        (len(table),).
    """

    def __init__(self, in_channels: int, table: tuple[tuple[int, ...], ...], kernel: int) -> None:
        super().__init__()
        connections = sum(len(row) for row in table)
        self.in_channels, self.kernel = in_channels, kernel
        self.weight = Parameter(empty(connections, kernel * kernel))
        self.bias = Parameter(empty(len(table)))
        # Row of `weight` for every pair (output map, input map); where there is none, a row of zeros behind them.
        rows = np.full((len(table), in_channels), connections, np.int64)
        number = 0
        for output, inputs in enumerate(table):
            fan_in = len(inputs) * kernel * kernel
            bound = 2.4 / fan_in
            for map_ in inputs:
                rows[output, map_] = number
                number += 1
            init.uniform_(self.weight.detach()[number - len(inputs) : number], -bound, bound)
            init.uniform_(self.bias.detach()[output : output + 1], -bound, bound)
        self.register_buffer("rows", tensor(rows.reshape(-1)), persistent=False)

    def forward(self, input: Tensor) -> Tensor:
        """(N, C_in, H, W) -> (N, C_out, H_out, W_out)."""
        none = zeros(1, self.kernel**2, dtype=self.weight.dtype, device=self.weight.device)
        filters = index_select(cat([self.weight, none], 0), 0, self.rows)
        return conv2d(input, filters.reshape(-1, self.in_channels, self.kernel, self.kernel), self.bias)

    def macs(self, output_shape: tuple[int, ...]) -> int:
        """Multiply-adds of one image: the connections that exist, at every pixel."""
        return self.weight.numel() * output_shape[1] * output_shape[2]


class DigitDistances(Module):
    """Minus the squared distances to fixed 7 x 12 pictures of the classes: the most likely class scores highest.

    The paper's output units y_i = sum_j (x_j - w_ij)^2 are penalties; with the sign, soft-max cross-entropy applies.
    Beyond the ten digits the centres are drawn at random, always the same.

    Args:
        num_classes: outputs.

    Shape:
        (N, 84) -> (N, num_classes). `weight` is (num_classes, 84), of -1 and 1, and not trained.
    """

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        centres = np.random.default_rng(1998).choice([-1.0, 1.0], (max(num_classes, 10), 84)).astype(np.float32)
        centres[:10] = [[1.0 if c == "#" else -1.0 for c in rows.replace(" ", "")] for rows in _DIGITS]
        self.rbf = RBF(84, num_classes)
        self.rbf.weight = Parameter(tensor(centres[:num_classes]), requires_grad=False)

    def forward(self, input: Tensor) -> Tensor:
        """(N, 84) -> (N, num_classes)."""
        distances: Tensor = self.rbf(input)
        return -distances


# Table I: the input maps of the 16 maps of C3: six threes, nine fours, and all.
_C3 = (
    *((0, 1, 2), (1, 2, 3), (2, 3, 4), (3, 4, 5), (0, 4, 5), (0, 1, 5)),
    *((0, 1, 2, 3), (1, 2, 3, 4), (2, 3, 4, 5), (0, 3, 4, 5), (0, 1, 4, 5), (0, 1, 2, 5)),
    *((0, 1, 3, 4), (1, 2, 4, 5), (0, 2, 3, 5)),
    (0, 1, 2, 3, 4, 5),
)

# Rows of the digits, 7 wide and 12 high.
_DIGITS = (
    "....... ..###.. .#...#. #.....# #.....# #.....# #.....# #.....# #.....# .#...#. ..###.. .......",
    "....... ...#... ..##... .#.#... ...#... ...#... ...#... ...#... ...#... ...#... .#####. .......",
    "....... .#####. #.....# ......# ......# .....#. ....#.. ...#... ..#.... .#..... ####### .......",
    "....... .#####. #.....# ......# ......# ..####. ......# ......# ......# #.....# .#####. .......",
    "....... .....#. ....##. ...#.#. ..#..#. .#...#. #....#. ####### .....#. .....#. .....#. .......",
    "....... ####### #...... #...... #...... ######. ......# ......# ......# #.....# .#####. .......",
    "....... ..####. .#..... #...... #...... ######. #.....# #.....# #.....# #.....# .#####. .......",
    "....... ####### ......# .....#. .....#. ....#.. ....#.. ...#... ...#... ..#.... ..#.... .......",
    "....... .#####. #.....# #.....# #.....# .#####. #.....# #.....# #.....# #.....# .#####. .......",
    "....... .#####. #.....# #.....# #.....# #.....# .###### ......# ......# .....#. .####.. .......",
)


@register_model(input_shape=(1, 32, 32), heads="output.rbf")
def lenet5_1998(num_classes: int = 10, in_channels: int = 1) -> Module:
    """LeNet-5 of the paper: trained sub-sampling, partly connected C3, scaled tanh, distances to pictures of digits.

    60,000 trained parameters: C1 156, S2 12, C3 1,516, S4 32, C5 48,120, F6 10,164. 0.95 % error on MNIST in the paper
    (which centres the digits in 32 x 32 and maps grey values to [-0.1, 1.175]).

    Shape:
        (N, in_channels, 32, 32) -> (N, num_classes).
    """
    model = Sequential(
        {
            "c1": Conv2d(in_channels, 6, 5),  # (N, 6, 28, 28)
            "tanh1": ScaledTanh(),
            "s2": SubSampling(6),  # (N, 6, 14, 14)
            "tanh2": ScaledTanh(),
            "c3": PartialConv2d(6, _C3, 5),  # (N, 16, 10, 10)
            "tanh3": ScaledTanh(),
            "s4": SubSampling(16),  # (N, 16, 5, 5)
            "tanh4": ScaledTanh(),
            "c5": Conv2d(16, 120, 5),  # (N, 120, 1, 1)
            "tanh5": ScaledTanh(),
            "flatten": Flatten(),
            "f6": Linear(120, 84),
            "tanh6": ScaledTanh(),
            "output": DigitDistances(num_classes),
        }
    )
    for module in model:
        if isinstance(module, Conv2d | Linear) and module.bias is not None:
            bound = 2.4 / float(np.prod(module.weight.shape[1:]))
            init.uniform_(module.weight, -bound, bound)
            init.uniform_(module.bias, -bound, bound)
    return model
