"""Parts that several families share."""

from __future__ import annotations

from collections.abc import Callable

from ..nn import AdaptiveAvgPool2d, BatchNorm2d, Conv2d, Module, ReLU, Sequential, Sigmoid
from ..tensor import Tensor


class ConvNormAct(Sequential):
    """Convolution without bias, batch norm, activation; keys "0.weight", "1.weight" as torchvision's.

    A ReLU is applied by the batch norm, in the same pass.

    Args:
        in_channels: C_in.
        out_channels: C_out.
        kernel: size of the filters, odd; the padding keeps H and W at stride 1.
        stride: step between outputs.
        groups: of the convolution.
        activation: class of the activation, or None.
        eps: of the batch norm.
        momentum: of the batch norm.

    Shape:
        (N, C_in, H, W) -> (N, C_out, ceil(H / stride), ceil(W / stride)).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int = 3,
        stride: int = 1,
        groups: int = 1,
        activation: Callable[[], Module] | None = ReLU,
        eps: float = 1e-5,
        momentum: float = 0.1,
    ) -> None:
        super().__init__(
            Conv2d(in_channels, out_channels, kernel, stride, kernel // 2, groups=groups, bias=False),
            BatchNorm2d(out_channels, eps, momentum),
        )
        self.fused = "relu" if activation is ReLU else None
        if activation is not None and activation is not ReLU:
            self.append(activation())

    def forward(self, input: Tensor) -> Tensor:
        """(N, C_in, H, W) -> (N, C_out, H_out, W_out)."""
        convolution, norm, *activation = self._modules.values()
        output: Tensor = norm(convolution(input), activation=self.fused)
        for module in activation:
            output = module(output)
        return output


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
