"""Parts that several families share."""

from __future__ import annotations

from collections.abc import Callable

from ..nn import AdaptiveAvgPool2d, Conv2d, Module, ReLU, Sigmoid
from ..tensor import Tensor


class SqueezeExcitation(Module):
    """Scales every channel by a number in [0, 1] computed from the means of all channels: x * gate(W2 act(W1 mean(x))).

    Hu, Shen, Sun, "Squeeze-and-excitation networks", CVPR 2018, arXiv:1709.01507.

    Args:
        channels: C.
        squeezed: channels in between.
        activation: class of the activation in between.
        gate: class of the activation at the end.

    Shape:
        (N, C, H, W), kept.
    """

    def __init__(
        self,
        channels: int,
        squeezed: int,
        activation: Callable[[], Module] = ReLU,
        gate: Callable[[], Module] = Sigmoid,
    ) -> None:
        super().__init__()
        self.avgpool = AdaptiveAvgPool2d(1)
        self.fc1 = Conv2d(channels, squeezed, 1)
        self.fc2 = Conv2d(squeezed, channels, 1)
        self.activation = activation()
        self.scale_activation = gate()

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W), kept."""
        hidden = self.activation(self.fc1(self.avgpool(input)))
        scale: Tensor = self.scale_activation(self.fc2(hidden))
        return input * scale


def round_channels(channels: float, divisor: int = 8) -> int:
    """The nearest multiple of `divisor` (half rounds up) that is not below 90 % of `channels`, and at least one.

    Example:
        >>> round_channels(36.0), round_channels(11.0), round_channels(3.0)
        (40, 16, 8)
    """
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded if rounded >= 0.9 * channels else rounded + divisor
