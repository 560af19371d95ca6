"""Neocognitron: layers of S-cells, which learn features without a teacher, and of C-cells, which forgive shifts.

Fukushima, "Neocognitron: a self-organizing neural network model for a mechanism of pattern recognition unaffected by
shift in position", Biological Cybernetics 36, 1980. There is no gradient: stages learn one after another, each from the
answers of those below.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..autograd import no_grad
from ..functional import adaptive_max_pool2d, conv2d, relu
from ..nn import Flatten, Module, ModuleList, Parameter, init
from ..ops.creation import empty, zeros
from ..ops.elementwise import sqrt
from ..ops.reduction import mean
from ..tensor import Tensor, from_numpy

__all__ = ["CCells", "Neocognitron", "SCells", "Stage"]


def _bell(kernel: int) -> np.ndarray[Any, Any]:
    """A (kernel, kernel) window that falls with the distance from its centre and sums to 1."""
    at = np.arange(kernel) - (kernel - 1) / 2
    window = 0.9 ** np.hypot(at[:, None], at[None, :])
    return np.asarray(window / window.sum(), np.float32)


class SCells(Module):
    """Planes of feature detectors; all cells of a plane share their weights.

    u = r relu((1 + sum a * input) / (1 + 2 r / (1 + r) b v) - 1), where v = sqrt(sum c * input^2) inhibits: after
    learning, a cell answers where the angle between its feature and what it sees has a cosine above r / (1 + r).

    Args:
        in_planes: planes K_in of the layer below.
        planes: features K to learn.
        kernel: size of the window that a cell sees, odd.
        selectivity: r.

    Shape:
        (N, K_in, H, W) -> (N, K, H, W). `excitation` a is (K, K_in, kernel, kernel), `inhibition` b (K,).
    """

    def __init__(self, in_planes: int, planes: int, kernel: int, selectivity: float = 4.0) -> None:
        super().__init__()
        self.selectivity = selectivity
        self.kernel = kernel
        self.excitation = Parameter(empty(planes, in_planes, kernel, kernel), requires_grad=False)
        self.inhibition = Parameter(zeros(planes), requires_grad=False)
        init.uniform_(self.excitation, 0.0, 1e-2)  # just enough for one cell to be first
        window = np.broadcast_to(_bell(kernel) / in_planes, (1, in_planes, kernel, kernel))
        self.register_buffer("window", from_numpy(np.ascontiguousarray(window)), persistent=False)

    def forward(self, input: Tensor) -> Tensor:
        """(N, K_in, H, W) -> (N, K, H, W)."""
        excitation = conv2d(input, self.excitation, padding=self.kernel // 2)
        scale = 2 * self.selectivity / (1 + self.selectivity)
        inhibition = self.inhibition.reshape(1, -1, 1, 1) * self._energy(input) * scale
        return relu((excitation + 1.0) / (inhibition + 1.0) - 1.0) * self.selectivity

    def _energy(self, input: Tensor) -> Tensor:
        """V of every position, (N, 1, H, W)."""
        return sqrt(conv2d(input * input, self.window, padding=self.kernel // 2))

    def reinforce(self, input: Tensor, rate: float, column: int) -> int:
        """Strengthens the cells that answer best to one image, and with them their planes: a += q c input, b += q/2 v.

        The strongest cell is chosen, then the strongest of another plane outside its column, and so on.

        Args:
            input: (1, K_in, H, W).
            rate: q; large (1e4) makes one example enough.
            column: how far around a chosen cell, in y and x, no other is chosen.

        Returns:
            How many planes learned.
        """
        with no_grad():
            answers = self.forward(input).numpy()[0].copy()
            energy = self._energy(input).numpy()[0, 0]
        seen = np.pad(input.numpy()[0], ((0, 0), *((self.kernel // 2,) * 2,) * 2))
        window = self.window.numpy()[0]
        excitation, inhibition = self.excitation.numpy().copy(), self.inhibition.numpy().copy()
        learned = 0
        while answers.max() > 0:
            plane, y, x = (int(i) for i in np.unravel_index(int(answers.argmax()), answers.shape))
            excitation[plane] += rate * window * seen[:, y : y + self.kernel, x : x + self.kernel]
            inhibition[plane] += rate / 2 * energy[y, x]
            answers[plane] = 0
            answers[:, max(0, y - column) : y + column + 1, max(0, x - column) : x + column + 1] = 0
            learned += 1
        self.load_state_dict({"excitation": excitation, "inhibition": inhibition})
        return learned


class CCells(Module):
    """Cells that answer if any S-cell of their plane in a window does; their weights are fixed.

    u = psi((1 + sum d * input) / (1 + m) - 1) with psi(x) = relu(x) / (0.5 + relu(x)), m the mean of sum d * input over
    the planes.

    Args:
        planes: K.
        kernel: size of the window, odd.
        stride: distance between cells; the layer is that much coarser.

    Shape:
        (N, K, H, W) -> (N, K, ceil(H / stride), ceil(W / stride)).
    """

    def __init__(self, planes: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.kernel, self.stride, self.planes = kernel, stride, planes
        window = np.broadcast_to(_bell(kernel), (planes, 1, kernel, kernel))
        self.register_buffer("window", from_numpy(np.ascontiguousarray(window)), persistent=False)

    def forward(self, input: Tensor) -> Tensor:
        """(N, K, H, W) -> (N, K, H_out, W_out)."""
        sums = conv2d(input, self.window, None, self.stride, self.kernel // 2, 1, self.planes)
        net = relu((sums + 1.0) / (mean(sums, 1, keepdim=True) + 1.0) - 1.0)
        return net / (net + 0.5)


class Stage(NamedTuple):
    """Sizes of a pair of layers."""

    planes: int
    s_kernel: int = 5
    c_kernel: int = 5
    stride: int = 2
    column: int = 4  # see `SCells.reinforce`


class Neocognitron(Module):
    """Stages of S-cells and C-cells; the answer of a plane is its strongest C-cell.

    Args:
        stages: from the image upwards.
        in_channels: planes of the images, values >= 0.
        selectivity: r of the S-cells.

    Shape:
        (N, in_channels, H, W) -> (N, planes of the last stage), each in [0, 1).
    """

    def __init__(self, stages: tuple[Stage, ...], in_channels: int = 1, selectivity: float = 4.0) -> None:
        super().__init__()
        self.stages = stages
        self.s_layers, self.c_layers = ModuleList(), ModuleList()
        for stage in stages:
            self.s_layers.append(SCells(in_channels, stage.planes, stage.s_kernel, selectivity))
            self.c_layers.append(CCells(stage.planes, stage.c_kernel, stage.stride))
            in_channels = stage.planes
        self.flatten = Flatten()

    def forward(self, input: Tensor) -> Tensor:
        """(N, in_channels, H, W) -> (N, planes of the last stage)."""
        strongest: Tensor = self.flatten(adaptive_max_pool2d(self._below(input, len(self.stages)), 1))
        return strongest

    def _below(self, input: Tensor, stage: int) -> Tensor:
        for s_cells, c_cells in list(zip(self.s_layers, self.c_layers, strict=True))[:stage]:
            input = c_cells(s_cells(input))
        return input

    def learn(self, images: Tensor, rate: float = 1e4, repetitions: int = 1) -> None:
        """Lets the stages organise themselves, from the first to the last.

        Args:
            images: (N, in_channels, H, W), shown one by one.
            rate: see `SCells.reinforce`.
            repetitions: how often every stage sees them.
        """
        for number, stage in enumerate(self.stages):
            with no_grad():
                seen = self._below(images, number)
            for _ in range(repetitions):
                for i in range(images.shape[0]):
                    self.s_layers[number].reinforce(seen[i : i + 1], rate, stage.column)
