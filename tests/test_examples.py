"""The programs in examples/, on tiny data."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import fastcnn as fc
from fastcnn import nn
from fastcnn.data import Dataset, Splits

EXAMPLES = Path(__file__).parent.parent / "examples"
WIDTHS = (24, 24, 32)


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


speedrun = load("cifar10_speedrun")


def photographs(count: int, seed: int = 0) -> Dataset:
    """Noise with a bright band whose place says the class: by rows of ten heights."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 10, count)
    images = rng.integers(0, 120, (count, 3, 32, 32))
    for image, label in zip(images, labels, strict=True):
        image[label % 3, 3 * label + 1 : 3 * label + 4] += 120
    return Dataset(images.astype(np.uint8), labels, tuple("abcdefghij"))


def test_speedrun_network_has_the_published_size() -> None:
    model = speedrun.make_network()
    filters = 24 * 64 + 64 * 64 + 64 * 256 + 3 * 256 * 256
    norms = 2 * 2 * (64 + 256 + 256)
    assert sum(p.numel() for p in model.parameters()) == 24 * 12 + 24 + 9 * filters + norms + 2560 == 1_972_792
    frozen = [p.shape for p in model.parameters() if not p.requires_grad]
    assert frozen == [(24, 3, 2, 2), *[(c,) for c in (64, 64, 256, 256, 256, 256)]]
    with fc.no_grad():
        assert model(fc.zeros(2, 3, 32, 32)).shape == (2, 10)


def test_speedrun_convolutions_start_as_the_identity() -> None:
    layer = speedrun.identity_convolution(3, 7)
    x = fc.randn(2, 3, 6, 5)
    output = layer(x).detach().numpy()
    np.testing.assert_array_equal(output[:, :3], x.numpy())
    assert np.abs(output[:, 3:]).min() > 0


def test_speedrun_filters_whiten_patches() -> None:
    images = speedrun.normalised(photographs(50))
    filters = speedrun.whitening_filters(images, eps=0.0)
    maps = fc.functional.conv2d(fc.tensor(images), fc.tensor(filters)).numpy()
    first = maps[:, :12].transpose(1, 0, 2, 3).reshape(12, -1)
    np.testing.assert_allclose(first @ first.T / first.shape[1], np.eye(12), atol=1e-3)
    np.testing.assert_allclose(maps[:, 12:], -maps[:, :12], atol=1e-5)


def test_speedrun_batches_are_moved_and_mirrored_in_every_other_epoch() -> None:
    data = photographs(60)
    images = speedrun.AugmentedImages(data, 50, "cpu", seed=0)
    assert len(images) == 1
    originals = speedrun.normalised(data)
    wide = np.pad(originals, ((0, 0), (0, 0), (2, 2), (2, 2)), "reflect")
    sides: list[dict[int, bool]] = []
    places = set()
    for epoch in range(2):
        seen: dict[int, bool] = {}
        ((x, y),) = images.epoch(epoch)
        for image, label in zip(x.numpy(), y.numpy(), strict=True):
            found = [
                (n, mirror, dy, dx)
                for n in np.flatnonzero(data.labels == label)
                for mirror in (False, True)
                for dy in range(5)
                for dx in range(5)
                if np.array_equal(image, (wide[n, :, :, ::-1] if mirror else wide[n])[:, dy : dy + 32, dx : dx + 32])
            ]
            assert found, "a batch holds an image that is no crop of an original"
            n, mirror, dy, dx = found[0]
            seen[int(n)] = mirror
            places.add((dy, dx))
        sides.append(seen)
    both = sides[0].keys() & sides[1].keys()
    assert len(both) > 30
    assert all(sides[0][n] != sides[1][n] for n in both)
    assert {sides[0][n] for n in both} == {True, False}
    assert len(places) > 15


def test_speedrun_test_time_augmentation_weighs_six_views() -> None:
    def model(x: fc.Tensor) -> fc.Tensor:
        return x[:, 0, :1, 0]  # the corner pixel

    images = fc.randn(2, 3, 8, 8)
    x = images.numpy()[:, 0]
    wide = np.pad(x, ((0, 0), (1, 1), (1, 1)), "reflect")
    views = [0.25 * (x[:, 0, 0] + x[:, 0, -1])]
    for shift in (0, 2):
        moved = wide[:, shift : shift + 8, shift : shift + 8]
        views.append(0.125 * (moved[:, 0, 0] + moved[:, 0, -1]))
    np.testing.assert_allclose(speedrun.test_logits(model, images).numpy()[:, 0], sum(views), rtol=1e-5)


def test_speedrun_learning_rate_is_a_triangle() -> None:
    rates = [speedrun.triangle(step, 100) for step in range(101)]
    assert rates[0] == pytest.approx(0.2)
    assert max(rates) == rates[23] == 1.0
    assert rates[100] == pytest.approx(0.07)


def test_lookahead_pulls_towards_the_mean() -> None:
    model = nn.Linear(2, 1)
    start = model.weight.detach().clone()
    lookahead = speedrun.Lookahead(model)
    with fc.no_grad():
        model.weight.add_(1.0)
    lookahead.update(model, 0.75)
    np.testing.assert_allclose(model.weight.detach().numpy(), start.numpy() + 0.25, rtol=1e-5)


@pytest.mark.parametrize("optimizer", ["sgd", "muon"])
def test_speedrun_learns(optimizer: str) -> None:
    data = Splits(photographs(300), photographs(60, seed=1))
    lines: list[str] = []
    arguments: dict[str, Any] = {"optimizer": optimizer, "batch_size": 60, "widths": WIDTHS, "report": lines.append}
    result = speedrun.train(data, epochs=3.4, **arguments)
    assert len(lines) == 5
    assert result["accuracy_tta"] > 0.4  # of ten classes
    assert result["loss"] < 2.25  # guessing costs ln 10 = 2.30
    if optimizer == "sgd":
        again = speedrun.train(data, epochs=3.4, **arguments)
        assert (again["loss"], again["accuracy_tta"]) == (result["loss"], result["accuracy_tta"])


def test_speedrun_reads_the_standard_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "cifar-10-batches-bin"
    folder.mkdir()
    for name in (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"):
        data = photographs(8)
        rows = np.concatenate([data.labels[:, None].astype(np.uint8), data.images.reshape(8, -1)], axis=1)
        rows.tofile(folder / f"{name}.bin")
    arguments = [str(tmp_path), "--epochs", "1", "--batch-size", "10", "--train-images", "30", "--test-images", "5"]
    (result,) = speedrun.main([*arguments, "--precision", "bf16"])
    assert np.isfinite(result["loss"])
    assert "mean of 1" in capsys.readouterr().out
    with pytest.raises(ValueError, match="30 training images give no batch of 64"):
        speedrun.main([*arguments, "--batch-size", "64"])


@pytest.mark.parametrize("more", [[], ["--inference"], ["--precision", "bf16"]])
def test_resnet50_on_noise(more: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    example = load("resnet50_synthetic")
    seconds = example.main(["--model", "resnet18", "--batch", "2", "--size", "32", "--steps", "2", *more])
    assert len(seconds) == 2
    out = capsys.readouterr().out
    assert "images/s" in out
    assert ("loss" in out) == (more != ["--inference"])
