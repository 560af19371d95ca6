"""The command line: every command in process, mistakes in one line, and a few runs as users start them."""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastcnn as fc
from fastcnn import _C, cuda, models
from fastcnn.cli import main
from fastcnn.train import Interrupted, Trainer
from tests.small_data import stripes, write_npz

SMALL = ["--epochs", "2", "--batch-size", "16", "--lr", "0.05", "--quiet"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with stripes.npz and a LeNet trained on it in run/."""
    folder = tmp_path_factory.mktemp("cli")
    npz = write_npz(folder / "stripes.npz")
    assert main(["train", "--data", str(npz), "--out", str(folder / "run"), *SMALL]) == 0
    return folder


def fails(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Runs a command that must end with code 2 and one line on stderr; returns the line."""
    try:
        code = main(list(arguments))
    except SystemExit as stop:  # argparse
        code = stop.code
    assert code == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = captured.err.splitlines()
    assert len(lines) == 1, captured.err
    assert ": error: " in lines[0]
    assert "Traceback" not in lines[0]
    return lines[0]


# train --------------------------------------------------------------------------------------------------------


def test_train_writes_everything_and_says_so(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = ["train", "--data", str(trained / "stripes.npz"), "--epochs", "2", "--batch-size", "16"]
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


def test_train_in_bfloat16(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "run")
    arguments = ["train", "--data", str(trained / "stripes.npz"), "--out", out]
    assert main([*arguments, "--precision", "bf16", "--json", *SMALL]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["configuration"]["precision"] == "bf16"
    assert summary["test_accuracy"] > 0.8
    assert main(["eval", out, "--data", str(trained / "stripes.npz"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["accuracy"] == pytest.approx(summary["test_accuracy"], abs=0.05)
    assert "--precision is float32, but the run" in fails(
        capsys, *arguments, "--resume", "--precision", "float32", "--quiet"
    )


def test_train_prints_json(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--data", str(trained / "stripes.npz"), "--out", str(tmp_path / "r"), "--json", *SMALL]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["test_accuracy"] > 0.8
    assert summary["out"] == str(tmp_path / "r")


def test_train_is_deterministic_and_the_seed_matters(trained: Path, tmp_path: Path) -> None:
    arguments = ["train", "--data", str(trained / "stripes.npz"), *SMALL]
    for name, more in (("a", ["--threads", "1"]), ("b", ["--threads", "2"]), ("c", ["--seed", "1"])):
        assert main([*arguments, "--out", str(tmp_path / name), *more]) == 0
    a, b, c = (fc.load(tmp_path / name / "model.safetensors") for name in "abc")
    assert all(a[k].numpy().tobytes() == b[k].numpy().tobytes() for k in a)
    assert any(a[k].numpy().tobytes() != c[k].numpy().tobytes() for k in a)
    assert (tmp_path / "a" / "model.safetensors").read_bytes() == (tmp_path / "b" / "model.safetensors").read_bytes()


def test_train_resumes_with_the_settings_of_the_run(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
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
    assert main(["train", "--data", str(trained / "stripes.npz"), "--out", out, *SMALL]) == 130
    assert "stopped in epoch 2 after step 5 of 15; saved to" in (error := capsys.readouterr().err)
    assert error.endswith("continue with --resume\n")
    monkeypatch.undo()
    assert "was started with 0.05" in fails(capsys, "train", "--out", out, "--resume", "--lr", "0.2")
    assert main(["train", "--out", out, "--resume", "--quiet", "--lr", "0.05"]) == 0
    whole, resumed = (path / "run" / "model.safetensors" for path in (trained, tmp_path))
    assert whole.read_bytes() == resumed.read_bytes()


def test_train_defaults_depend_on_the_data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from fastcnn.cli import make_parser, train

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
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: tuple[str, ...]
) -> None:
    given = [str(trained / "run") if a == "OUT" else a for a in arguments]
    base = [] if "--data" in given else ["--data", str(trained / "stripes.npz")]
    if "--out" not in given and "--resume" not in given:
        base += ["--out", str(tmp_path / "run")]
    line = fails(capsys, "train", *base, *given)
    for word in words:
        assert word in line
    assert not (tmp_path / "run").exists()


def test_debug_shows_the_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="unknown model"):
        main(["train", "--model", "lenet", "--debug"])


def test_resume_of_damaged_and_foreign_checkpoints(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = (trained / "run" / "checkpoint.safetensors").read_bytes()
    (tmp_path / "checkpoint.safetensors").write_bytes(content[:-5])
    assert "is truncated" in fails(capsys, "train", "--out", str(tmp_path), "--resume")
    (tmp_path / "checkpoint.safetensors").write_bytes(content[:-5] + b"\0\1\2\3\4")
    assert "SHA-256" in fails(capsys, "train", "--out", str(tmp_path), "--resume")
    from fastcnn.train import save_checkpoint

    save_checkpoint(tmp_path / "checkpoint.safetensors", {})
    assert "not written by fastcnn train" in fails(capsys, "train", "--out", str(tmp_path), "--resume")


# eval ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["", "model.safetensors", "checkpoint.safetensors"])
def test_eval_repeats_the_result_of_the_training(trained: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    assert main(["eval", str(trained / "run" / name), "--json", "--threads", "1"]) == 0
    report = json.loads(capsys.readouterr().out)
    summary = json.loads((trained / "run" / "summary.json").read_text())
    assert report["accuracy"] == summary["test_accuracy"]
    np.testing.assert_allclose(report["loss"], summary["test_loss"], rtol=1e-5)
    assert report["samples"] == 60
    assert main(["eval", str(trained / "run" / name), "--batch-size", "7"]) == 0
    assert f"accuracy {100 * summary['test_accuracy']:.2f} %" in capsys.readouterr().out


def test_eval_mistakes(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "no such file" in fails(capsys, "eval", str(tmp_path / "none"))
    assert "holds none of" in fails(capsys, "eval", str(tmp_path))
    fc.save({"x": np.ones(3)}, tmp_path / "w.safetensors")
    assert "does not say which model" in fails(capsys, "eval", str(tmp_path / "w.safetensors"))
    other = stripes(30, size=12)
    arrays = {f"{k}_{part}": v for part in ("train", "test") for k, v in (("x", other.images), ("y", other.labels))}
    np.savez(tmp_path / "other.npz", **arrays)
    assert "(1, 12, 12) images" in fails(capsys, "eval", str(trained / "run"), "--data", str(tmp_path / "other.npz"))


def test_eval_of_a_model_from_python_needs_the_data(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = fc.models.create_model("lenet5", image_size=8, num_classes=3)
    about = {
        "model": {"name": "lenet5", "arguments": {"image_size": 8, "num_classes": 3}},
        "input_shape": [1, 8, 8], "classes": ["a", "b", "c"], "mean": [0.5], "std": [0.5],
    }  # fmt: skip
    fc.save(model, tmp_path / "m.safetensors", about)
    assert "give --data" in fails(capsys, "eval", str(tmp_path / "m.safetensors"))
    assert main(["eval", str(tmp_path / "m.safetensors"), "--data", str(trained / "stripes.npz")]) == 0


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
    trained: Path, capsys: pytest.CaptureFixture[str], picture: Callable[..., str]
) -> None:
    test = stripes(60, seed=1)
    paths = [picture(test.images[i, 0], f"{i}.png") for i in range(20)]
    assert main(["predict", str(trained / "run"), *paths, "--json", "--top", "3"]) == 0
    found = json.loads(capsys.readouterr().out)
    trainer = Trainer(fc.models.create_model("lenet5", image_size=8, num_classes=3), None)
    trainer.model.load_state_dict(fc.load(trained / "run" / "model.safetensors"))
    train = fc.data.load_npz(trained / "stripes.npz").train
    test = fc.data.Dataset(test.images, test.labels, test.classes, train.mean, train.std)
    scores = trainer.predict(test.subset(range(20)))
    assert [item["class"] for item in found] == [str(i) for i in scores.argmax(1)]
    for item in found:
        assert len(item["top"]) == 3
        np.testing.assert_allclose(sum(rank["probability"] for rank in item["top"]), 1.0)
        assert item["top"][0]["probability"] == item["probability"]
    assert main(["predict", str(trained / "run"), paths[0]]) == 0
    line = capsys.readouterr().out.split()
    assert line[0] == paths[0]
    assert line[1] == found[0]["class"]


def test_predict_takes_any_picture(
    trained: Path, capsys: pytest.CaptureFixture[str], picture: Callable[..., str]
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
    assert main(["predict", str(trained / "run"), *paths, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert len({item["class"] for item in found}) == 1
    np.testing.assert_allclose([item["probability"] for item in found[:3]], found[0]["probability"], atol=1e-5)


def test_predict_hints_at_inverted_pictures(
    trained: Path, capsys: pytest.CaptureFixture[str], picture: Callable[..., str]
) -> None:
    paper = 255 - stripes(60, seed=1).images[0, 0] // 3
    path = picture(paper)
    assert main(["predict", str(trained / "run"), path]) == 0
    assert "try --invert" in capsys.readouterr().out
    assert main(["predict", str(trained / "run"), path, "--invert"]) == 0
    assert "--invert" not in capsys.readouterr().out


def test_predict_mistakes(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("PIL", reason="Pillow is not installed: no pictures")
    run = str(trained / "run")
    assert "No such file" in fails(capsys, "predict", run, str(tmp_path / "none.png"))
    (tmp_path / "x.png").write_bytes(b"\x89PNG\r\n\x1a\n garbage")
    assert "x.png is not a readable picture" in fails(capsys, "predict", run, str(tmp_path / "x.png"))
    assert "--top is 0" in fails(capsys, "predict", run, "x", "--top", "0")
    assert "required: IMAGE" in fails(capsys, "predict", run)
    monkeypatch.setitem(sys.modules, "PIL", None)
    assert "pip install 'fastcnn[images]'" in fails(capsys, "predict", run, "x.png")
    from fastcnn.cli.predict import read_image

    monkeypatch.undo()
    with pytest.raises(ValueError, match="17 channels"):
        read_image("x.png", (17, 8, 8))


# summary, bench, doctor ---------------------------------------------------------------------------------------


def test_summary_prints_the_table(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["summary", "lenet5"]) == 0
    text = capsys.readouterr().out
    assert "1,256,080" in text
    assert "6,522,000" in text
    assert main(["summary", "lenet5", "--in-channels", "3", "--image-size", "32", "--num-classes", "4", "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["input_shape"] == [3, 32, 32]
    assert summary["layers"][-1]["output_shape"] == [4]
    assert main(["summary", str(trained / "run")]) == 0
    assert "input 1 x 8 x 8" in capsys.readouterr().out
    assert "sizes are fixed" in fails(capsys, "summary", str(trained / "run"), "--image-size", "9")
    assert "did you mean lenet5 or " in fails(capsys, "summary", "lenet")


def test_summary_without_a_model_lists_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["summary"]) == 0
    rows = {line.split()[0]: line.split()[1:] for line in capsys.readouterr().out.splitlines() if line}
    assert rows["resnet50"] == ["3", "x", "224", "x", "224", "25,557,032", "4,089,184,256", "50"]
    assert set(models.list_models()) <= set(rows)
    assert main(["summary", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert listed["lenet5"] == {"input_shape": [1, 28, 28], "parameters": 1_256_080, "macs": 6_522_000, "depth": 4}
    assert "--num-classes goes with a MODEL" in fails(capsys, "summary", "--num-classes", "3")


def test_bench_passes_its_options_on(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    seen = []
    fake = types.ModuleType("bench.__main__")
    fake.main = lambda options: seen.append(options) or len(options)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "bench", types.ModuleType("bench"))
    monkeypatch.setitem(sys.modules, "bench.__main__", fake)
    with pytest.raises(SystemExit) as stop:
        main(["bench", "kernels", "--peer", "torch"])
    assert stop.value.code == 3
    assert main(["bench"]) == 0
    with pytest.raises(SystemExit):
        main(["bench", "--", "--help"])
    with pytest.raises(SystemExit):
        main(["bench", "--peer", "torch"])
    assert seen == [["kernels", "--peer", "torch"], [], ["--help"], ["--peer", "torch"]]
    monkeypatch.setitem(sys.modules, "bench.__main__", None)
    monkeypatch.setitem(sys.modules, "bench", None)
    assert "source tree" in fails(capsys, "bench")


def test_doctor_explains_this_installation(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert main(["doctor"]) == 0
    text = capsys.readouterr().out
    assert fc.__version__ in text
    assert _C.active_isa() in text
    assert _C.num_threads_source() in text
    monkeypatch.setattr(cuda, "is_available", lambda: False)
    monkeypatch.setattr(cuda, "why_unavailable", lambda: "no driver")
    from fastcnn.cli import doctor

    monkeypatch.setattr(doctor, "_version", lambda package: None)
    monkeypatch.setenv("FASTCNN_ISA", "scalar")
    _C.set_isa("scalar")
    try:
        assert main(["doctor", "--json"]) == 0
    finally:
        _C.set_isa(_C.best_isa())
    facts = json.loads(capsys.readouterr().out)
    assert facts["cuda"] == "not available: no driver"
    assert facts["instruction set"].startswith("scalar (FASTCNN_ISA); this processor also runs")
    assert "pip install 'fastcnn[demo]'" in facts["mlxtend"]
    assert facts["tqdm"] == "missing, though required"
    monkeypatch.setattr(cuda, "is_available", lambda: True)
    monkeypatch.setattr(cuda, "device_count", lambda: 2)
    gpu = cuda.DeviceProperties("H200", 9, 0, 132, 141 << 30, 232448, 60 << 20)
    monkeypatch.setattr(cuda, "get_device_properties", lambda index: gpu)
    text = doctor.examine()["cuda"]
    assert text.startswith("cuda:0 is H200 (compute capability 9.0, 132 multiprocessors, 141.0 GiB); cuda:1 is H200")
    for build, said in {
        ("real", "13.0", "80 90a"): "CUDA 13.0, machine code for sm_80, sm_90a",
        ("emulated", "", ""): "executed by the CPU",
        ("off", "", ""): "nvcc was not found",
    }.items():
        monkeypatch.setattr(_C, "cuda_build", lambda build=build: build)
        assert said in doctor.examine()["cuda build"]
    monkeypatch.setattr(Path, "read_text", lambda *a, **k: "always [never] madvise")
    assert doctor.examine()["huge pages"].startswith("never (switched off")

    def unreadable(*arguments: Any, **more: Any) -> str:
        raise OSError

    monkeypatch.setattr(Path, "read_text", unreadable)
    assert doctor.examine()["huge pages"].startswith("unknown")


# The command itself -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["", "train", "eval", "predict", "summary", "bench", "doctor"])
def test_help_teaches_by_example(capsys: pytest.CaptureFixture[str], command: str) -> None:
    with pytest.raises(SystemExit) as stop:
        main([*([command] if command else []), "--help"])
    assert stop.value.code == 0
    assert f"fastcnn {command or 'train'}" in capsys.readouterr().out.split("examples:")[1]


def test_interruptions_end_with_130(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from fastcnn.cli import doctor

    for error, words in (
        (KeyboardInterrupt(), "interrupted"),
        (Interrupted("stopped in epoch 1"), "stopped in epoch 1"),
    ):

        def stop(error: BaseException = error) -> None:
            raise error

        monkeypatch.setattr(doctor, "examine", stop)
        assert main(["doctor"]) == 130
        assert capsys.readouterr().err == f"fastcnn doctor: {words}\n"


def test_errors_without_a_text_are_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from fastcnn.cli import doctor

    def stop() -> None:
        raise MemoryError

    monkeypatch.setattr(doctor, "examine", stop)
    assert "error: MemoryError" in fails(capsys, "doctor")


def test_module_runs_as_a_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["fastcnn", "--version"])
    with pytest.raises(SystemExit) as stop:
        runpy.run_module("fastcnn", run_name="__main__")
    assert stop.value.code == 0
    assert capsys.readouterr().out == f"fastcnn {fc.__version__}\n"


def test_commands_as_users_start_them(trained: Path) -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "fastcnn", *arguments], capture_output=True, text=True, check=False, env=os.environ
        )

    done = run("eval", str(trained / "run"))
    assert done.returncode == 0, done.stderr
    assert "accuracy" in done.stdout
    wrong = run("train", "--model", "lenet")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert (
        wrong.stderr
        == "fastcnn train: error: unknown model 'lenet'; did you mean lenet5 or lenet5_1998 or lenet5_sigmoid?\n"
    )


def test_bench_finds_the_benchmarks_of_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bench").mkdir()
    (tmp_path / "bench" / "__init__.py").touch()
    (tmp_path / "bench" / "__main__.py").write_text("def main(options):\n    return 7 if options == ['x'] else 0\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p and not Path(p, "bench").is_dir()])
    for name in [n for n in sys.modules if n.partition(".")[0] == "bench"]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(SystemExit) as stop:
        main(["bench", "x"])
    assert stop.value.code == 7
    for name in ("bench", "bench.__main__"):
        sys.modules.pop(name, None)


def test_a_reader_that_leaves_is_no_error() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "fastcnn", "summary", "lenet5"], stdout=writer, stderr=subprocess.PIPE, check=False
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, b"")
