"""The three forms of ResNeXt's block compute the same, in both directions."""

from __future__ import annotations

import numpy as np
import pytest

import fastcnn as fc
from fastcnn import nn
from fastcnn.models.resnet import Bottleneck
from fastcnn.models.resnext_forms import SplitBlock, split_block
from tests.models.compare import images, randomize


def _gradient(block: nn.Module, x: np.ndarray, cotangent: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    input = fc.tensor(x, requires_grad=True)
    output = block(input)
    (output * fc.tensor(cotangent)).sum().backward()
    return output.detach().numpy(), input.grad.numpy()


@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("form", ["sum", "concat"])
def test_forms_are_equal(form: str, stride: int, training: bool) -> None:
    rng = np.random.default_rng(0)
    grouped = Bottleneck(24, 6, stride, groups=4, base_width=32).double().train(training)
    randomize(grouped, rng)
    split = split_block(grouped, form).double()
    x = images(rng, 3, 24, 7, 6).astype(np.float64)
    cotangent = rng.normal(size=(3, 24, -(-7 // stride), -(-6 // stride)))
    for ours, theirs in zip(_gradient(split, x, cotangent), _gradient(grouped, x, cotangent), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-9)
    width = grouped.conv2.out_channels // 4
    for i, path in enumerate(split.paths):
        at = slice(i * width, (i + 1) * width)
        np.testing.assert_allclose(
            path.conv2.weight.grad.numpy(), grouped.conv2.weight.grad.numpy()[at], rtol=1e-7, atol=1e-9
        )
        np.testing.assert_allclose(path.bn2.running_var.numpy(), grouped.bn2.running_var.numpy()[at], rtol=1e-9)


def test_blocks_of_figure_1_have_the_known_weights() -> None:
    def weights(block: nn.Module) -> int:
        return sum(m.weight.numel() for m in block.modules() if isinstance(m, nn.Conv2d))

    with nn.init.skip():
        assert weights(Bottleneck(256, 64)) == 69_632
        grouped = Bottleneck(256, 64, groups=32, base_width=4)
        assert weights(grouped) == 70_144
        assert weights(SplitBlock(256, 256, 32, 4, form="sum")) == 70_144
        assert weights(SplitBlock(256, 256, 32, 4, form="concat")) == 70_144


def test_mistakes_are_named() -> None:
    with pytest.raises(ValueError, match="form is 'grouped'"):
        SplitBlock(8, 8, 2, 2, form="grouped")
    with pytest.raises(ValueError, match="stride in the first"):
        split_block(Bottleneck(8, 2, 2, stride_first=True))
