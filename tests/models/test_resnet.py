"""ResNet, wide ResNet, ResNeXt and the CIFAR networks against plain torch code."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastcnn as fc
from fastcnn import nn
from fastcnn.models.resnet import BasicBlock, Bottleneck, ResNet, zero_init_residual
from fastcnn.models.resnet_cifar import CifarResNet, PaddedShortcut
from tests.models import reference
from tests.models.compare import assert_equals_torch, assert_learns, assert_takes_sizes, images, modes

SMALL = {
    "basic": (lambda: ResNet((1, 2, 1, 1), 7, bottleneck=False), reference.resnet()),
    "bottleneck": (lambda: ResNet((2, 1, 1, 1), 7), reference.resnet()),
    "paper": (lambda: ResNet((1, 2, 1, 1), 7, stride_first=True), reference.resnet(stride_first=True)),
    "wide": (lambda: ResNet((1, 1, 1, 1), 7, base_width=80), reference.resnet()),
    "resnext": (lambda: ResNet((1, 1, 1, 1), 7, groups=32, base_width=4), reference.resnet(groups=32)),
    "cifar-a": (lambda: CifarResNet(2, 7), reference.cifar_resnet),
    "cifar-b": (lambda: CifarResNet(2, 7, shortcut="B"), reference.cifar_resnet),
    "cifar-plain": (lambda: CifarResNet(2, 7, shortcut="none"), reference.cifar_plain),
}


@modes
@pytest.mark.parametrize("name", SMALL)
def test_resnet_equals_torch(torch: Any, name: str, dtype: str, training: bool) -> None:
    build, definition = SMALL[name]
    size = (21, 18) if "cifar" in name else (33, 36)
    assert_equals_torch(torch, build(), definition, (3, 3, *size), dtype, training)


@pytest.mark.parametrize("name", ["basic", "bottleneck", "cifar-a"])
def test_resnet_learns(name: str) -> None:
    assert_learns(SMALL[name][0](), (4, 3, 40, 40), 7)


@pytest.mark.parametrize("name", ["bottleneck", "cifar-a", "cifar-b"])
def test_resnet_takes_any_size(name: str) -> None:
    assert_takes_sizes(SMALL[name][0](), 3, ((32, 32), (33, 47), (1, 1)), 7)


@pytest.mark.parametrize("build", [lambda: BasicBlock(8, 8), lambda: Bottleneck(8, 2)], ids=["basic", "bottleneck"])
def test_zero_init_residual_makes_a_block_the_identity(build: Any) -> None:
    x = np.abs(images(np.random.default_rng(0), 2, 8, 5, 6))
    block = build()
    assert np.abs(block(fc.tensor(x)).detach().numpy() - x).max() > 0.1
    zero_init_residual(block)
    np.testing.assert_array_equal(block(fc.tensor(x)).detach().numpy(), x)


def test_features_are_the_four_stages() -> None:
    stages = ResNet((1, 1, 1, 1)).eval().features(fc.zeros(1, 3, 64, 96))
    assert [stage.shape for stage in stages] == [(1, 256, 16, 24), (1, 512, 8, 12), (1, 1024, 4, 6), (1, 2048, 2, 3)]


def test_padded_shortcut_keeps_pixels_and_adds_zeros() -> None:
    x = images(np.random.default_rng(0), 2, 3, 5, 4)
    y = PaddedShortcut(3, 5, 2)(fc.tensor(x)).numpy()
    np.testing.assert_array_equal(y[:, :3], x[:, :, ::2, ::2])
    np.testing.assert_array_equal(y[:, 3:], 0)


def test_cifar_resnet_rejects_an_unknown_shortcut() -> None:
    with pytest.raises(ValueError, match="shortcut is 'C'"):
        CifarResNet(1, shortcut="C")


def test_plain_networks_have_the_weights_of_option_a() -> None:
    with nn.init.skip():
        plain, residual = CifarResNet(3, shortcut="none"), CifarResNet(3)
    assert list(plain.state_dict()) == list(residual.state_dict())


def test_plain_networks_fold_all_their_batch_norms() -> None:
    model = CifarResNet(1, shortcut="none").eval()
    fused = model.fuse()
    assert not any(isinstance(m, nn.BatchNorm2d) for m in fused.modules())
    x = fc.randn(2, 3, 8, 8)
    np.testing.assert_allclose(fused(x).detach().numpy(), model(x).detach().numpy(), rtol=1e-4, atol=1e-5)


def test_shortcut_b_has_the_papers_parameters() -> None:
    with nn.init.skip():
        assert sum(p.numel() for p in CifarResNet(3, shortcut="B").parameters()) == 272_474
