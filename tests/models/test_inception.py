"""GoogLeNet and Inception v3 against plain torch code."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import fastcnn as fc
from fastcnn import models, nn
from fastcnn.models.googlenet import GoogLeNet, GoogLeNetOutputs, renormalized
from fastcnn.models.inception import InceptionAux, InceptionOutputs, InceptionV3
from tests.models import reference
from tests.models.compare import assert_equals_torch, assert_learns, assert_takes_sizes, modes


def _spread(build: Any) -> nn.Module:
    """With He's weights: those of the papers, with a deviation of 0.01, leave little of the input."""
    with nn.init.skip():
        model = build()
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return model


@modes
@pytest.mark.parametrize("five_by_five", [False, True], ids=["3x3", "5x5"])
def test_googlenet_equals_torch(torch: Any, five_by_five: bool, dtype: str, training: bool) -> None:
    model = _spread(lambda: GoogLeNet(7, aux_logits=not five_by_five, five_by_five=five_by_five))
    batch = {"float32": 8, "float64": 2}[dtype] if training else 1
    assert_equals_torch(torch, model, reference.googlenet, (batch, 3, 39, 34), dtype, training)


@modes
def test_inception_v3_equals_torch(torch: Any, dtype: str, training: bool) -> None:
    model = _spread(lambda: InceptionV3(7, aux_logits=False))
    batch = {"float32": 6, "float64": 2}[dtype] if training else 1
    assert_equals_torch(torch, model, reference.inception_v3, (batch, 3, 75, 79), dtype, training)


@modes
def test_inception_v3_auxiliary_classifier_equals_torch(torch: Any, dtype: str, training: bool) -> None:
    """On its own: the whole network would need images of 299 x 299."""
    model = _spread(lambda: InceptionAux(16, 7))
    assert_equals_torch(torch, model, reference.inception_auxiliary, (3, 16, 17, 20), dtype, training)


def test_inception_v3_returns_auxiliary_logits_in_training() -> None:
    with nn.init.skip():
        model = InceptionV3(7)
    outputs = model(fc.zeros(0, 3, 299, 299))
    assert isinstance(outputs, InceptionOutputs)
    assert [output.shape for output in outputs] == [(0, 7), (0, 7)]
    assert model.eval()(fc.zeros(0, 3, 299, 299)).shape == (0, 7)


def test_googlenet_returns_auxiliary_logits_in_training() -> None:
    with nn.init.skip():
        model = GoogLeNet(7)
    outputs = model(fc.zeros(0, 3, 64, 64))
    assert isinstance(outputs, GoogLeNetOutputs)
    assert [output.shape for output in outputs] == [(0, 7)] * 3
    assert GoogLeNet(7, aux_logits=False)(fc.zeros(0, 3, 64, 64)).shape == (0, 7)


def test_googlenet_learns() -> None:
    assert_learns(_spread(lambda: GoogLeNet(7)), (4, 3, 39, 34), 7, lr=0.001)


def test_inception_v3_learns() -> None:
    assert_learns(_spread(lambda: InceptionV3(7, aux_logits=False)), (4, 3, 75, 75), 7, lr=0.001)


def test_googlenet_takes_sizes() -> None:
    assert_takes_sizes(_spread(lambda: GoogLeNet(7)), 3, ((15, 15), (33, 46)), 7)


def test_inception_v3_takes_sizes() -> None:
    assert_takes_sizes(_spread(lambda: InceptionV3(7)), 3, ((75, 75), (80, 93)), 7)


def _parameters(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def test_parameters_of_parts() -> None:
    with nn.init.skip():
        assert _parameters(models.googlenet(aux_logits=False)) == 6_624_904
        assert _parameters(models.googlenet(aux_logits=False, five_by_five=True)) == 7_005_832
        assert _parameters(models.inception_v3(aux_logits=False)) == 23_834_568
        modules = [m for name, m in models.googlenet().named_children() if name.startswith("inception")]
    assert [_parameters(module) for module in modules] == [
        155_872, 340_224, 364_512, 425_232, 486_192, 573_312, 803_840, 978_944, 1_347_040,
    ]  # fmt: skip


@pytest.mark.parametrize("build", [models.googlenet, models.inception_v3], ids=["googlenet", "inception"])
def test_transform_input_renormalises(build: Any) -> None:
    """ImageNet's normalisation of a pixel p becomes (p - 0.5) / 0.5."""
    pixels = np.random.default_rng(0).uniform(size=(1, 3, 80, 80)).astype(np.float32)
    means = np.array([0.485, 0.456, 0.406], np.float32).reshape(3, 1, 1)
    deviations = np.array([0.229, 0.224, 0.225], np.float32).reshape(3, 1, 1)
    x = fc.tensor((pixels - means) / deviations)
    np.testing.assert_allclose(renormalized(x).numpy(), (pixels - 0.5) / 0.5, atol=1e-6)
    model = _spread(lambda: build(7, aux_logits=False, transform_input=True)).eval()
    transformed = model(x).detach().numpy()
    model.transform_input = False
    np.testing.assert_array_equal(transformed, model(renormalized(x)).detach().numpy())
    assert not np.allclose(transformed, model(x).detach().numpy())


def test_auxiliary_heads_are_replaced_together(tmp_path: Any) -> None:
    model = models.create_model("googlenet", num_classes=5)
    fc.save(model, tmp_path / "w.safetensors")
    tuned = models.create_model("googlenet", num_classes=3, weights=tmp_path / "w.safetensors", new_head=True)
    assert tuned.aux1.fc2.weight.shape == (3, 1024)
    np.testing.assert_array_equal(tuned.aux1.fc1.weight.detach().numpy(), model.aux1.fc1.weight.detach().numpy())
