"""AlexNet, VGG, Network in Network and SqueezeNet against plain torch code."""

from __future__ import annotations

from typing import Any

import pytest

from fastcnn import models, nn
from fastcnn.models.alexnet import AlexNet, AlexNet2012
from fastcnn.models.vgg import VGG
from tests.models import reference
from tests.models.compare import assert_equals_torch, assert_learns, assert_takes_sizes, modes

# build, torch definition, (H, W) for the comparison
SMALL: dict[str, tuple[Any, reference.Definition, tuple[int, int]]] = {
    "alexnet": (lambda: AlexNet(7, hidden=64), reference.alexnet, (67, 83)),
    "alexnet-2012": (lambda: AlexNet2012(7, hidden=64), reference.alexnet_2012(), (67, 83)),
    "alexnet-2012-ungrouped": (
        lambda: AlexNet2012(7, groups=1, hidden=64, without=(3, 6)),
        reference.alexnet_2012(groups=1),
        (67, 67),
    ),
    "vgg-a": (lambda: models.vgg11(7, hidden=32), reference.vgg((1, 1, 2, 2, 2)), (32, 47)),
    "vgg-a-lrn": (lambda: models.vgg11_lrn(7, hidden=32), reference.vgg((1, 1, 2, 2, 2), lrn=True), (32, 32)),
    "vgg-a-bn": (lambda: models.vgg11_bn(7, hidden=32), reference.vgg((1, 1, 2, 2, 2)), (32, 64)),
    "vgg-c": (lambda: models.vgg16_c(7, hidden=32), reference.vgg((2, 2, 3, 3, 3)), (32, 32)),
    "nin-cifar": (lambda: models.nin_cifar(7), reference.nin_cifar, (17, 14)),
    "nin-imagenet": (lambda: models.nin_imagenet(7), reference.nin_imagenet, (67, 83)),
    "squeezenet1-0": (lambda: models.squeezenet1_0(7), reference.squeezenet((2, 6, 11)), (43, 52)),
    "squeezenet1-1": (lambda: models.squeezenet1_1(7), reference.squeezenet((2, 5, 8)), (43, 52)),
}


@modes
@pytest.mark.parametrize("name", SMALL)
def test_network_equals_torch(torch: Any, name: str, dtype: str, training: bool) -> None:
    build, definition, size = SMALL[name]
    assert_equals_torch(torch, build(), definition, (2, 3, *size), dtype, training)


@pytest.mark.parametrize("name", ["alexnet", "alexnet-2012", "vgg-a", "vgg-a-bn", "nin-cifar", "squeezenet1-1"])
def test_network_learns(name: str) -> None:
    build, _, size = SMALL[name]
    assert_learns(build(), (4, 3, *size), 7)


@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        ("alexnet", ((63, 63), (71, 90))),
        ("alexnet-2012", ((67, 67), (71, 90))),
        ("vgg-a", ((32, 32), (35, 50))),
        ("nin-cifar", ((6, 6), (9, 22))),
        ("nin-imagenet", ((67, 67), (71, 90))),
        ("squeezenet1-0", ((21, 21), (33, 50))),
        ("squeezenet1-1", ((17, 17), (33, 50))),
    ],
)
def test_network_takes_sizes(name: str, sizes: tuple[tuple[int, int], ...]) -> None:
    assert_takes_sizes(SMALL[name][0](), 3, sizes, 7)


def _parameters(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def test_alexnet_has_the_papers_units() -> None:
    """655,000 in the lectures' words: the outputs of the convolutions, of the hidden layers and of the last one."""
    with nn.init.skip():
        summary = models.summarize(AlexNet2012(), (3, 227, 227))
    sizes = {layer.path: layer.output_shape for layer in summary.layers if layer.kind in ("Conv2d", "Linear")}
    assert sizes == {
        "conv1": (96, 55, 55), "conv2": (256, 27, 27), "conv3": (384, 13, 13), "conv4": (384, 13, 13),
        "conv5": (256, 13, 13), "fc6": (4096,), "fc7": (4096,), "fc8": (1000,),
    }  # fmt: skip
    units = [c * h * w for c, h, w in (size for size in sizes.values() if len(size) == 3)]
    assert sum(units) == 650_080
    assert [layer.parameters for layer in summary.layers if layer.parameters] == [
        34_944, 307_456, 885_120, 663_936, 442_624, 37_752_832, 16_781_312, 4_097_000,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("without", "grouped", "ungrouped"),
    [
        ((7,), 16_781_312, 16_781_312),
        ((6, 7), 49_414_144, 49_414_144),
        ((3, 4), 1_696_512, 2_507_520),
        ((3, 4, 6, 7), 51_110_656, 51_921_664),
    ],
    ids=str,
)
def test_alexnet_ablations_remove_the_known_parameters(without: tuple[int, ...], grouped: int, ungrouped: int) -> None:
    with nn.init.skip():
        for groups, removed in ((2, grouped), (1, ungrouped)):
            difference = _parameters(AlexNet2012(groups=groups)) - _parameters(
                AlexNet2012(groups=groups, without=without)
            )
            assert difference == removed


def test_alexnet_keeps_its_other_layers() -> None:
    with pytest.raises(ValueError, match="some of layers 3, 4, 6 and 7"):
        AlexNet2012(without=(2,))


@pytest.mark.parametrize(
    ("name", "layers", "convolutions"),
    [("vgg11", 11, 9_220_480), ("vgg13", 13, 9_404_992), ("vgg16_c", 16, 9_996_096), ("vgg16", 16, 14_714_688),
     ("vgg19", 19, 20_024_384)],
)  # fmt: skip
def test_vgg_has_its_weight_layers(name: str, layers: int, convolutions: int) -> None:
    with nn.init.skip():
        model = models.create_model(name)
    assert sum(isinstance(m, nn.Conv2d | nn.Linear) for m in model.modules()) == layers
    assert _parameters(model.features) == convolutions


def test_vgg_rejects_an_unknown_norm() -> None:
    with pytest.raises(ValueError, match="norm is 'layer'"):
        VGG(((3,),) * 5, norm="layer")
