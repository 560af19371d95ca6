"""MobileNet v2 and v3 and EfficientNet against plain torch code."""

from __future__ import annotations

from typing import Any

import pytest

import fastcnn as fc
from fastcnn import models, nn
from fastcnn.models.blocks import round_channels
from fastcnn.models.efficientnet import EfficientNet, compound_scaling
from tests.models import reference
from tests.models.compare import assert_equals_torch, assert_learns, assert_takes_sizes, modes

SMALL = {
    "mobilenet-v2": (
        lambda: models.mobilenet_v2(7, width=0.25),
        reference.mobilenet_v2((1, 2, 1, 2, 1, 1, 2, 1, 1, 1, 1, 1, 1, 2, 1, 1, 1)),
    ),
    "mobilenet-v3-large": (
        lambda: models.mobilenet_v3_large(7),
        reference.mobilenet_v3((1, 2, 1, 2, 1, 1, 2, 1, 1, 1, 1, 1, 2, 1, 1), 6),
    ),
    "mobilenet-v3-small": (
        lambda: models.mobilenet_v3_small(7),
        reference.mobilenet_v3((2, 2, 1, 2, 1, 1, 1, 1, 2, 1, 1), 3),
    ),
    "efficientnet": (lambda: EfficientNet(0.4, 0.5, 7), reference.efficientnet()),
    "efficientnet-eps": (
        lambda: EfficientNet(0.3, 1.1, 7, eps=1e-3, momentum=0.01),
        reference.efficientnet(1e-3, 0.01),
    ),
}


@modes
@pytest.mark.parametrize("name", SMALL)
def test_mobile_network_equals_torch(torch: Any, name: str, dtype: str, training: bool) -> None:
    build, definition = SMALL[name]
    assert_equals_torch(torch, build(), definition, (3, 3, 45, 38), dtype, training)


@pytest.mark.parametrize("name", ["mobilenet-v2", "mobilenet-v3-small", "efficientnet"])
def test_mobile_network_learns(name: str) -> None:
    assert_learns(SMALL[name][0](), (4, 3, 45, 38), 7, lr=0.001)


@pytest.mark.parametrize("name", ["mobilenet-v2", "mobilenet-v3-small", "efficientnet"])
def test_mobile_network_takes_any_size(name: str) -> None:
    assert_takes_sizes(SMALL[name][0](), 3, ((32, 32), (33, 47), (1, 1)), 7)


def test_dropped_blocks_are_the_identity() -> None:
    """With every residual branch dropped, an EfficientNet of twice the depth computes what the plain one does."""
    block = models.efficientnet_b0().features[2][1]
    block.stochastic_depth.p = 1.0
    x = fc.randn(2, 24, 5, 4)
    assert (block.train()(x) == x).all().item()
    rates = [m.p for m in models.efficientnet_b0().modules() if isinstance(m, nn.StochasticDepth)]
    assert rates == pytest.approx([0.2 * i / 16 for i in range(16)])


def test_compound_scaling_doubles_the_cost() -> None:
    assert compound_scaling(0) == (1, 1, 1, 1)
    assert compound_scaling(1) == pytest.approx((1.1, 1.2, 1.15, 1.2 * 1.1**2 * 1.15**2))
    assert compound_scaling(3).flops == pytest.approx(1.92**3, rel=1e-3)
    assert compound_scaling(1, 2.0, 1.0, 1.0) == (1, 2, 1, 2)


def test_efficientnet_b2_has_the_papers_cost_at_the_papers_size() -> None:
    with nn.init.skip():
        assert models.summarize(models.efficientnet_b2(), (3, 260, 260)).macs == 993_561_872


@pytest.mark.parametrize(("channels", "rounded"), [(32, 32), (35.2, 32), (36, 40), (4, 8), (11.9, 16), (19.0, 24)])
def test_channels_round_to_multiples_of_8_but_not_far_down(channels: float, rounded: int) -> None:
    assert round_channels(channels) == rounded
