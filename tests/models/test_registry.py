"""The registry, every registered model, and summaries."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastcnn as fc
from fastcnn import models, nn
from fastcnn.models import registry
from tests.models.facts import FACTS


def test_every_model_has_its_facts() -> None:
    assert models.list_models() == sorted(FACTS)
    assert models.list_models("lenet5") == ["lenet5"]
    assert models.list_models("nothing*") == []


@pytest.mark.parametrize("name", models.list_models())
def test_model_has_its_parameters_multiply_adds_and_keys(name: str) -> None:
    """Nothing is drawn and nothing computed: the memory of the parameters stays untouched."""
    entry, fact = models.model_entry(name), FACTS[name]
    with nn.init.skip():
        model = models.create_model(name)
    summary = models.summarize(model, entry.input_shape)
    assert (summary.parameters, summary.macs) == (fact.parameters, fact.macs)
    if fact.state is not None:
        lines = [f"{key} {tuple(value.shape)}" for key, value in model.state_dict().items()]
        assert hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16] == fact.state


@pytest.mark.parametrize("name", models.list_models())
def test_model_takes_classes_and_channels(name: str) -> None:
    entry = models.model_entry(name)
    with nn.init.skip():
        model = models.create_model(name, num_classes=7, in_channels=2)
    _, height, width = entry.input_shape
    assert models.summarize(model, (2, height, width)).layers[-1].output_shape[0] == 7
    assert entry.heads
    for head in entry.heads:
        assert model.get_submodule(head).weight.shape[0] == 7


def test_summary_lists_every_parameter() -> None:
    summary = models.summarize(models.create_model("resnet20"), (3, 32, 32))
    assert sum(layer.parameters for layer in summary.layers) == summary.parameters == summary.trainable


def test_lenet5_has_the_lectures_layers() -> None:
    summary = models.summarize(models.create_model("lenet5"), (1, 28, 28))
    assert [(layer.path, layer.kind, layer.output_shape, layer.parameters, layer.macs) for layer in summary.layers] == [
        ("conv1", "Conv2d", (20, 28, 28), 520, 392_000),
        ("relu1", "ReLU", (20, 28, 28), 0, 0),
        ("pool1", "MaxPool2d", (20, 14, 14), 0, 0),
        ("conv2", "Conv2d", (50, 14, 14), 25_050, 4_900_000),
        ("relu2", "ReLU", (50, 14, 14), 0, 0),
        ("pool2", "MaxPool2d", (50, 7, 7), 0, 0),
        ("flatten", "Flatten", (2450,), 0, 0),
        ("fc1", "Linear", (500,), 1_225_500, 1_225_000),
        ("relu3", "ReLU", (500,), 0, 0),
        ("fc2", "Linear", (10,), 5_010, 5_000),
    ]
    text = str(summary).splitlines()
    assert text[0].split() == ["layer", "kind", "output", "parameters", "MACs"]
    assert text[2].split() == ["conv1", "Conv2d", "20", "x", "28", "x", "28", "520", "392,000"]
    assert text[-1].split() == ["total", "1,256,080", "6,522,000"]


def test_lenet5_takes_other_images() -> None:
    model = models.create_model("lenet5", in_channels=3, image_size=32, num_classes=4)
    assert model(fc.tensor(np.zeros((1, 3, 32, 32), np.float32))).shape == (1, 4)
    with pytest.raises(ValueError, match="image_size is 3"):
        models.create_model("lenet5", image_size=3)


def test_lenet5_equals_torch(torch: Any) -> None:
    theirs = torch.nn.Sequential(
        torch.nn.Conv2d(1, 20, 5, padding=2), torch.nn.ReLU(), torch.nn.MaxPool2d(2),
        torch.nn.Conv2d(20, 50, 5, padding=2), torch.nn.ReLU(), torch.nn.MaxPool2d(2),
        torch.nn.Flatten(), torch.nn.Linear(2450, 500), torch.nn.ReLU(), torch.nn.Linear(500, 10),
    )  # fmt: skip
    ours = models.create_model("lenet5")
    names = ["conv1", "conv2", "fc1", "fc2"]
    state = dict(zip((f"{n}.{kind}" for n in names for kind in ("weight", "bias")), theirs.parameters(), strict=True))
    ours.load_state_dict({name: tensor.detach().numpy() for name, tensor in state.items()})
    x = np.random.default_rng(0).normal(size=(5, 1, 28, 28)).astype(np.float32)
    np.testing.assert_allclose(
        ours(fc.tensor(x)).detach().numpy(), theirs(torch.from_numpy(x)).detach().numpy(), atol=1e-5
    )


# Registry -----------------------------------------------------------------------------------------------------


@pytest.fixture
def empty_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_MODELS", {})


@pytest.mark.usefixtures("empty_registry")
def test_register_model_makes_a_function_a_model() -> None:
    @models.register_model(input_shape=(2, 1, 1))
    def tiny(num_classes: int = 3, in_channels: int = 2) -> nn.Module:
        return nn.Linear(in_channels, num_classes)

    assert models.list_models() == ["tiny"]
    assert models.create_model("tiny", num_classes=5).weight.shape == (5, 2)
    with pytest.raises(ValueError, match="'tiny' is registered already"):
        models.register_model(input_shape=(2, 1, 1))(tiny)
    with pytest.raises(TypeError, match="tiny has no argument 'depth'; it takes num_classes, in_channels"):
        models.create_model("tiny", depth=3)
    with pytest.raises(ValueError, match="unknown model 'resnet'; known are tiny"):
        models.create_model("resnet")


def test_unknown_model_suggests_close_names() -> None:
    with pytest.raises(ValueError, match=r"unknown model 'LeNet'; did you mean lenet5 or lenet5_1998 or"):
        models.create_model("LeNet")


def test_create_model_loads_weights(tmp_path: Path) -> None:
    model = models.create_model("lenet5")
    fc.save(model.state_dict(), tmp_path / "w.safetensors")
    loaded = models.create_model("lenet5", weights=tmp_path / "w.safetensors")
    np.testing.assert_array_equal(loaded.fc1.weight.detach().numpy(), model.fc1.weight.detach().numpy())
    from fastcnn.train import save_checkpoint

    save_checkpoint(tmp_path / "c.safetensors", {"model": model.state_dict(), "other": fc.tensor([1.0])})
    loaded = models.create_model("lenet5", weights=tmp_path / "c.safetensors")
    np.testing.assert_array_equal(loaded.fc2.bias.detach().numpy(), model.fc2.bias.detach().numpy())
    message = r"fc2\.weight: got shape \(10, 500\), but \(5, 500\) is expected.*new_head=True loads everything but"
    with pytest.raises(ValueError, match=message):
        models.create_model("lenet5", weights=tmp_path / "w.safetensors", num_classes=5)
    with pytest.raises(ValueError, match=r"conv1\.weight: got shape \(20, 1, 5, 5\)[^;]* is expected$"):
        models.create_model("lenet5", weights=tmp_path / "w.safetensors", in_channels=3)


def test_create_model_with_a_new_head(tmp_path: Path) -> None:
    model = models.create_model("lenet5")
    fc.save(model.state_dict(), tmp_path / "w.safetensors")
    tuned = models.create_model("lenet5", weights=tmp_path / "w.safetensors", num_classes=5, new_head=True)
    np.testing.assert_array_equal(tuned.fc1.weight.detach().numpy(), model.fc1.weight.detach().numpy())
    assert 0 < np.abs(tuned.fc2.weight.detach().numpy()).max() <= 500**-0.5
    with pytest.raises(ValueError, match=r"conv1\.weight: got shape"):
        models.create_model("lenet5", weights=tmp_path / "w.safetensors", in_channels=3, new_head=True)


@pytest.mark.usefixtures("empty_registry")
def test_new_head_needs_a_known_head(tmp_path: Path) -> None:
    @models.register_model(input_shape=(2, 1, 1))
    def tiny(num_classes: int = 3, in_channels: int = 2) -> nn.Module:
        return nn.Linear(in_channels, num_classes)

    fc.save(tiny(), tmp_path / "w.safetensors")
    with pytest.raises(ValueError, match="tiny is registered without heads"):
        models.create_model("tiny", weights=tmp_path / "w.safetensors", new_head=True)


def test_load_matching_reports_what_it_did() -> None:
    model, other = models.create_model("resnet20", num_classes=4), models.create_model("resnet32")
    before = model.fc.weight.detach().numpy().copy()
    report = models.load_matching(model, other.state_dict() | {"extra": fc.zeros(1)})
    assert report.mismatched == ["fc.weight", "fc.bias"]
    assert report.missing == []
    assert "layer1.3.conv1.weight" in report.unexpected
    assert report.unexpected[-1] == "extra"
    assert len(report.loaded) == len(model.state_dict()) - 2
    np.testing.assert_array_equal(model.conv1.weight.detach().numpy(), other.conv1.weight.detach().numpy())
    np.testing.assert_array_equal(model.fc.weight.detach().numpy(), before)


def test_skipped_initialisation_draws_nothing() -> None:
    first = fc.randn(3).numpy()
    fc.manual_seed(0)
    with nn.init.skip():
        with nn.init.skip():
            nn.Linear(3, 4)
        nn.Linear(3, 4)
    np.testing.assert_array_equal(fc.randn(3).numpy(), first)


# Summaries ----------------------------------------------------------------------------------------------------


def test_summary_counts_shared_layers_once_and_restores_modes() -> None:
    shared = nn.Linear(4, 4)
    model = nn.Sequential(shared, nn.Dropout(0.5), shared)
    model.train()
    model[1].eval()
    summary = models.summarize(model, (4,))
    assert summary.parameters == 20
    assert summary.macs == 32
    assert [layer.parameters for layer in summary.layers] == [20, 0, 0]
    assert model.training
    assert not model[1].training
    assert not shared._forward_hooks


@pytest.mark.parametrize(
    ("name", "depth"),
    [
        ("alexnet", 8), ("vgg11", 11), ("vgg13", 13), ("vgg16", 16), ("vgg16_c", 16), ("vgg19", 19), ("googlenet", 22),
        ("resnet18", 18), ("resnet34", 34), ("resnet50", 50), ("resnet101", 101), ("resnet152", 152),
        ("resnet1202", 1202), ("densenet121", 121), ("densenet40", 40), ("lenet5", 4), ("perceptron", 1),
    ],
)  # fmt: skip
def test_depth_is_the_published_number_of_layers(name: str, depth: int) -> None:
    """Q10, Q22: norms do not count, nor do the projections beside the residual blocks."""
    with nn.init.skip():
        model = models.create_model(name)
    assert models.summarize(model, models.model_entry(name).input_shape).depth == depth


def test_depth_of_frozen_and_of_empty_models() -> None:
    model = models.mlp(3, 1, 4, (5,))
    for p in model.parameters():
        p.requires_grad_(False)
    assert models.summarize(model, (1, 4, 4)).depth == 2
    assert models.summarize(nn.ReLU(), (3,)).depth == 0


def test_receptive_field_counts_kernels_strides_and_dilations() -> None:
    """J11, J12: 1 + L (K - 1) for L convolutions; behind a stride all steps are larger."""
    for layers in (1, 2, 3):
        assert models.receptive_field([nn.Conv2d(1, 1, 3)] * layers).size == (1 + 2 * layers,) * 2
    mixed = nn.Sequential(nn.Conv2d(1, 1, (3, 5), (2, 1)), nn.BatchNorm2d(1), nn.ReLU(), nn.MaxPool2d((1, 2)),
                          nn.Sequential(nn.Conv2d(1, 1, 3, dilation=2)))  # fmt: skip
    assert models.receptive_field(mixed) == ((3 + 2 * 2 * 2, 5 + 1 + 2 * 2 * 2), (2, 2))
    assert models.receptive_field([nn.MaxBlurPool2d(2, 2, 3)]) == ((4, 4), (2, 2))
    with nn.init.skip():
        assert models.receptive_field(models.vgg16().features) == ((212, 212), (32, 32))
        assert models.receptive_field(models.alexnet().features) == ((195, 195), (32, 32))
    with pytest.raises(ValueError, match="behind AdaptiveAvgPool2d sees the whole image"):
        models.receptive_field(models.nin_cifar())


def test_summary_of_a_model_that_fails_leaves_no_hooks() -> None:
    model = models.create_model("lenet5")
    with pytest.raises(ValueError, match="channel"):
        models.summarize(model, (3, 28, 28))
    assert not model.conv1._forward_hooks
    assert model.training


def test_documentation_lists_every_model() -> None:
    """docs/models.md has a row for each, with the numbers that the tests above prove."""
    document = Path(__file__).parents[2] / "docs" / "models.md"
    if not document.is_file():
        pytest.skip("the documentation is not beside the tests")
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in document.read_text().splitlines()]
    rows = {row[0]: row[1:] for row in cells if len(row) == 5 and row[0] in FACTS}
    assert list(rows) == list(dict.fromkeys(rows))
    for name, fact in FACTS.items():
        size = " x ".join(map(str, models.model_entry(name).input_shape))
        assert rows[name][:3] == [size, f"{fact.parameters:,}", f"{fact.macs:,}"], name
