"""fastcnn train: what it writes and says, resuming, defaults, mistakes in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import fastcnn as fc
from fastcnn.cli import main, make_parser, train
from fastcnn.train import Trainer, save_checkpoint
from tests.command_line import SMALL, fails


def test_train_writes_everything_and_says_so(
    trained_lenet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = ["train", "--data", str(trained_lenet / "stripes.npz"), "--epochs", "2", "--batch-size", "16"]
    assert main([*arguments, "--val-fraction", "0.2", "--patience", "5", "--threads", "1"]) == 0
    captured = capsys.readouterr()
    assert "lenet5 (" in captured.err
    assert "epoch 2/2" in captured.err
    assert "test accuracy" in captured.out
    assert "fastcnn predict runs/lenet5-stripes/model.safetensors" in captured.out
    out = tmp_path / "runs" / "lenet5-stripes"
    for name in ("model.safetensors", "best.safetensors", "summary.json", "metrics.csv", "metrics.jsonl"):
        assert (out / name).is_file()
        assert name in captured.out
    summary = json.loads((out / "summary.json").read_text())
    assert summary["configuration"]["training"]["val_fraction"] == 0.2
    assert summary["versions"]["threads"] == 1
    assert main([*arguments, "--quiet"]) == 0  # a second run gets a folder of its own
    assert (tmp_path / "runs" / "lenet5-stripes-2" / "model.safetensors").is_file()


def test_train_in_bfloat16(trained_lenet: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "run")
    arguments = ["train", "--data", str(trained_lenet / "stripes.npz"), "--out", out]
    assert main([*arguments, "--precision", "bf16", "--json", *SMALL]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["configuration"]["precision"] == "bf16"
    assert summary["test_accuracy"] > 0.8
    assert main(["eval", out, "--data", str(trained_lenet / "stripes.npz"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["accuracy"] == pytest.approx(summary["test_accuracy"], abs=0.05)
    assert "--precision is float32, but the run" in fails(
        capsys, *arguments, "--resume", "--precision", "float32", "--quiet"
    )


def test_train_prints_json(trained_lenet: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        main(["train", "--data", str(trained_lenet / "stripes.npz"), "--out", str(tmp_path / "r"), "--json", *SMALL])
        == 0
    )
    summary = json.loads(capsys.readouterr().out)
    assert summary["test_accuracy"] > 0.8
    assert summary["out"] == str(tmp_path / "r")


def test_train_is_deterministic_and_the_seed_matters(trained_lenet: Path, tmp_path: Path) -> None:
    arguments = ["train", "--data", str(trained_lenet / "stripes.npz"), *SMALL]
    for name, more in (("a", ["--threads", "1"]), ("b", ["--threads", "2"]), ("c", ["--seed", "1"])):
        assert main([*arguments, "--out", str(tmp_path / name), *more]) == 0
    a, b, c = (fc.load(tmp_path / name / "model.safetensors") for name in "abc")
    assert all(a[k].numpy().tobytes() == b[k].numpy().tobytes() for k in a)
    assert any(a[k].numpy().tobytes() != c[k].numpy().tobytes() for k in a)
    assert (tmp_path / "a" / "model.safetensors").read_bytes() == (tmp_path / "b" / "model.safetensors").read_bytes()


def test_train_resumes_with_the_settings_of_the_run(
    trained_lenet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "run")
    step = Trainer._train_step
    steps = 0

    def interrupted(self: Trainer, *batch: Any) -> Any:
        nonlocal steps
        steps += 1
        if steps == 20:
            self._stop.received = 2
        return step(self, *batch)

    monkeypatch.setattr(Trainer, "_train_step", interrupted)
    assert main(["train", "--data", str(trained_lenet / "stripes.npz"), "--out", out, *SMALL]) == 130
    assert "stopped in epoch 2 after step 5 of 15; saved to" in (error := capsys.readouterr().err)
    assert error.endswith("continue with --resume\n")
    monkeypatch.undo()
    assert "was started with 0.05" in fails(capsys, "train", "--out", out, "--resume", "--lr", "0.2")
    assert main(["train", "--out", out, "--resume", "--quiet", "--lr", "0.05"]) == 0
    whole, resumed = (path / "run" / "model.safetensors" for path in (trained_lenet, tmp_path))
    assert whole.read_bytes() == resumed.read_bytes()


def test_train_defaults_depend_on_the_data(tmp_path: Path) -> None:
    def settings(*arguments: str) -> dict[str, Any]:
        parsed = make_parser().parse_args(["train", "--out", str(tmp_path / "none"), *arguments])
        given = {k: getattr(parsed, k) for k in train._DEFAULTS if getattr(parsed, k) is not None}
        return train._settings(parsed, given)[1]

    assert settings()["data"] == "mnist5k"
    assert settings()["batch_size"] == 32
    assert settings("--data", "mnist")["lr"] == 0.05
    assert settings("--optimizer", "adam")["lr"] == 1e-3
    assert settings("--optimizer", "adam", "--lr", "0.3")["lr"] == 0.3
    assert settings("--data", "cifar10", "--epochs", "4")["epochs"] == 4


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--model", "lenet"], ("unknown model 'lenet'", "did you mean lenet5 or ")),
        (["--data", "minst"], ("unknown data set 'minst'", "did you mean mnist?")),
        (["--data", "mnist", "--data-dir", "/nowhere"], ("train-images-idx3-ubyte.gz not found", "--download")),
        (["--data", "none.npz"], ("none.npz", "No such file")),
        (["--optimizer", "sdg"], ("invalid choice: 'sdg'", "adamw")),
        (["--epochs", "many"], ("--epochs", "invalid int value: 'many'")),
        (["--epochs", "0"], ("epochs is 0",)),
        (["--batch-size", "0"], ("batch_size is 0",)),
        (["--batch", "0", "--lr"], ("--lr", "expected one argument")),
        (["--lr", "-1"], ("lr",)),
        (["--patience", "3"], ("--val-fraction",)),
        (["--val-fraction", "2"], ("fraction is 2.0",)),
        (["--resume"], ("--resume needs --out",)),
        (["--threads", "0"], ("threads",)),
        (["--checkpoint-every", "0"], ("--checkpoint-every is 0",)),
        (["--out", "OUT"], ("holds a run already", "--resume")),
        (["--colour"], ("unrecognized arguments: --colour",)),
    ],
    ids=lambda value: "".join(value) if isinstance(value, list) else "",
)
def test_train_mistakes_are_one_line(
    trained_lenet: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    words: tuple[str, ...],
) -> None:
    given = [str(trained_lenet / "run") if a == "OUT" else a for a in arguments]
    base = [] if "--data" in given else ["--data", str(trained_lenet / "stripes.npz")]
    if "--out" not in given and "--resume" not in given:
        base += ["--out", str(tmp_path / "run")]
    line = fails(capsys, "train", *base, *given)
    for word in words:
        assert word in line
    assert not (tmp_path / "run").exists()


def test_debug_shows_the_traceback() -> None:
    with pytest.raises(ValueError, match="unknown model"):
        main(["train", "--model", "lenet", "--debug"])


def test_resume_of_damaged_and_foreign_checkpoints(
    trained_lenet: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = (trained_lenet / "run" / "checkpoint.safetensors").read_bytes()
    (tmp_path / "checkpoint.safetensors").write_bytes(content[:-5])
    assert "is truncated" in fails(capsys, "train", "--out", str(tmp_path), "--resume")
    (tmp_path / "checkpoint.safetensors").write_bytes(content[:-5] + b"\0\1\2\3\4")
    assert "SHA-256" in fails(capsys, "train", "--out", str(tmp_path), "--resume")
    save_checkpoint(tmp_path / "checkpoint.safetensors", {})
    assert "not written by fastcnn train" in fails(capsys, "train", "--out", str(tmp_path), "--resume")
