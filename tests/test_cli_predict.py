"""fastcnn eval and fastcnn predict: results, any picture, mistakes in one line."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import fastcnn as fc
from fastcnn.cli import main
from fastcnn.cli.predict import read_image
from fastcnn.train import Trainer
from tests.command_line import fails
from tests.small_data import stripes

# eval ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["", "model.safetensors", "checkpoint.safetensors"])
def test_eval_repeats_the_result_of_the_training(
    trained_lenet: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    assert main(["eval", str(trained_lenet / "run" / name), "--json", "--threads", "1"]) == 0
    report = json.loads(capsys.readouterr().out)
    summary = json.loads((trained_lenet / "run" / "summary.json").read_text())
    assert report["accuracy"] == summary["test_accuracy"]
    np.testing.assert_allclose(report["loss"], summary["test_loss"], rtol=1e-5)
    assert report["samples"] == 60
    assert main(["eval", str(trained_lenet / "run" / name), "--batch-size", "7"]) == 0
    assert f"accuracy {100 * summary['test_accuracy']:.2f} %" in capsys.readouterr().out


def test_eval_mistakes(trained_lenet: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "no such file" in fails(capsys, "eval", str(tmp_path / "none"))
    assert "holds none of" in fails(capsys, "eval", str(tmp_path))
    fc.save({"x": np.ones(3)}, tmp_path / "w.safetensors")
    assert "does not say which model" in fails(capsys, "eval", str(tmp_path / "w.safetensors"))
    other = stripes(30, size=12)
    arrays = {f"{k}_{part}": v for part in ("train", "test") for k, v in (("x", other.images), ("y", other.labels))}
    np.savez(tmp_path / "other.npz", **arrays)
    assert "(1, 12, 12) images" in fails(
        capsys, "eval", str(trained_lenet / "run"), "--data", str(tmp_path / "other.npz")
    )


def test_eval_of_a_model_from_python_needs_the_data(
    trained_lenet: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = fc.models.create_model("lenet5", image_size=8, num_classes=3)
    about = {
        "model": {"name": "lenet5", "arguments": {"image_size": 8, "num_classes": 3}},
        "input_shape": [1, 8, 8], "classes": ["a", "b", "c"], "mean": [0.5], "std": [0.5],
    }  # fmt: skip
    fc.save(model, tmp_path / "m.safetensors", about)
    assert "give --data" in fails(capsys, "eval", str(tmp_path / "m.safetensors"))
    assert main(["eval", str(tmp_path / "m.safetensors"), "--data", str(trained_lenet / "stripes.npz")]) == 0


# predict ------------------------------------------------------------------------------------------------------


@pytest.fixture
def picture(tmp_path: Path) -> Callable[..., str]:
    """Saves an array as a picture; returns the path."""
    image = pytest.importorskip("PIL.Image", reason="Pillow is not installed: no pictures")

    def save(array: np.ndarray, name: str = "x.png", mode: str | None = None) -> str:
        path = tmp_path / name
        made = image.fromarray(array)
        (made.convert(mode) if mode else made).save(path)
        return str(path)

    return save


def test_predict_says_class_and_probability(
    trained_lenet: Path, capsys: pytest.CaptureFixture[str], picture: Callable[..., str]
) -> None:
    test = stripes(60, seed=1)
    paths = [picture(test.images[i, 0], f"{i}.png") for i in range(20)]
    assert main(["predict", str(trained_lenet / "run"), *paths, "--json", "--top", "3"]) == 0
    found = json.loads(capsys.readouterr().out)
    trainer = Trainer(fc.models.create_model("lenet5", image_size=8, num_classes=3), None)
    trainer.model.load_state_dict(fc.load(trained_lenet / "run" / "model.safetensors"))
    train = fc.data.load_npz(trained_lenet / "stripes.npz").train
    test = fc.data.Dataset(test.images, test.labels, test.classes, train.mean, train.std)
    scores = trainer.predict(test.subset(range(20)))
    assert [item["class"] for item in found] == [str(i) for i in scores.argmax(1)]
    for item in found:
        assert len(item["top"]) == 3
        np.testing.assert_allclose(sum(rank["probability"] for rank in item["top"]), 1.0)
        assert item["top"][0]["probability"] == item["probability"]
    assert main(["predict", str(trained_lenet / "run"), paths[0]]) == 0
    line = capsys.readouterr().out.split()
    assert line[0] == paths[0]
    assert line[1] == found[0]["class"]


def test_predict_takes_any_picture(
    trained_lenet: Path, capsys: pytest.CaptureFixture[str], picture: Callable[..., str]
) -> None:
    grey = stripes(60, seed=1).images[0, 0]
    rgb = np.repeat(grey[:, :, None], 3, axis=2)
    rgba = np.dstack([rgb, np.full((8, 8), 255, np.uint8)])
    large = np.kron(
        np.pad(grey, ((0, 0), (4, 4))), np.ones((16, 16), np.uint8)
    )  # 256 x 128 pixels, cropped to the centre
    deep = grey.astype(np.uint16) * 256
    paths = [picture(array, f"{i}.png") for i, array in enumerate((grey, rgb, rgba, large, deep))]
    paths.append(picture(grey, "palette.png", "P"))
    assert main(["predict", str(trained_lenet / "run"), *paths, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert len({item["class"] for item in found}) == 1
    np.testing.assert_allclose([item["probability"] for item in found[:3]], found[0]["probability"], atol=1e-5)


def test_predict_hints_at_inverted_pictures(
    trained_lenet: Path, capsys: pytest.CaptureFixture[str], picture: Callable[..., str]
) -> None:
    paper = 255 - stripes(60, seed=1).images[0, 0] // 3
    path = picture(paper)
    assert main(["predict", str(trained_lenet / "run"), path]) == 0
    assert "try --invert" in capsys.readouterr().out
    assert main(["predict", str(trained_lenet / "run"), path, "--invert"]) == 0
    assert "--invert" not in capsys.readouterr().out


def test_predict_mistakes(
    trained_lenet: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("PIL", reason="Pillow is not installed: no pictures")
    run = str(trained_lenet / "run")
    assert "No such file" in fails(capsys, "predict", run, str(tmp_path / "none.png"))
    (tmp_path / "x.png").write_bytes(b"\x89PNG\r\n\x1a\n garbage")
    assert "x.png is not a readable picture" in fails(capsys, "predict", run, str(tmp_path / "x.png"))
    assert "--top is 0" in fails(capsys, "predict", run, "x", "--top", "0")
    assert "required: IMAGE" in fails(capsys, "predict", run)
    monkeypatch.setitem(sys.modules, "PIL", None)
    assert "pip install 'fastcnn[images]'" in fails(capsys, "predict", run, "x.png")
    monkeypatch.undo()
    with pytest.raises(ValueError, match="17 channels"):
        read_image("x.png", (17, 8, 8))
