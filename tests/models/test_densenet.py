"""DenseNet against plain torch code."""

from __future__ import annotations

from typing import Any

import pytest

from fastcnn import models, nn
from fastcnn.models.densenet import DenseNet
from tests.models import reference
from tests.models.compare import assert_equals_torch, assert_learns, assert_takes_sizes, modes

SMALL = {
    "imagenet": (lambda: DenseNet((2, 3, 2, 1), 12, 20, 7), reference.densenet(), (45, 38)),
    "cifar": (lambda: DenseNet((3, 2, 2), 8, 12, 7, small=True, bottleneck=False), reference.densenet(True), (17, 14)),
    "cifar-bc": (lambda: DenseNet((3, 2, 2), 8, 12, 7, small=True), reference.densenet(True), (17, 14)),
}


@modes
@pytest.mark.parametrize("name", SMALL)
def test_densenet_equals_torch(torch: Any, name: str, dtype: str, training: bool) -> None:
    build, definition, size = SMALL[name]
    assert_equals_torch(torch, build(), definition, (3, 3, *size), dtype, training)


@pytest.mark.parametrize("name", ["imagenet", "cifar-bc"])
def test_densenet_learns(name: str) -> None:
    assert_learns(SMALL[name][0](), (4, 3, *SMALL[name][2]), 7, lr=0.001)


@pytest.mark.parametrize(("name", "sizes"), [("imagenet", ((29, 29), (33, 50))), ("cifar", ((4, 4), (9, 22)))])
def test_densenet_takes_sizes(name: str, sizes: tuple[tuple[int, int], ...]) -> None:
    assert_takes_sizes(SMALL[name][0](), 3, sizes, 7)


def test_densenet121_has_the_known_parts() -> None:
    with nn.init.skip():
        features = models.densenet121().features
    count = {name: sum(p.numel() for p in part.parameters()) for name, part in features.named_children()}
    assert [count[f"denseblock{i}"] for i in range(1, 5)] == [335_040, 919_680, 2_837_760, 2_158_080]
    assert [count[f"transition{i}"] for i in range(1, 4)] == [33_280, 132_096, 526_336]
    assert features.norm5.num_features == 1024
