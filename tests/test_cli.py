"""The command line itself, as users start it, and fastcnn summary, bench and doctor."""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import pytest

import fastcnn as fc
from fastcnn import _C, cuda, models
from fastcnn.cli import doctor, main
from fastcnn.train import Interrupted
from tests.command_line import fails


@pytest.mark.parametrize("command", ["", "train", "eval", "predict", "summary", "profile", "bench", "doctor"])
def test_help_teaches_by_example(capsys: pytest.CaptureFixture[str], command: str) -> None:
    with pytest.raises(SystemExit) as stop:
        main([*([command] if command else []), "--help"])
    assert stop.value.code == 0
    assert f"fastcnn {command or 'train'}" in capsys.readouterr().out.split("examples:")[1]


def test_interruptions_end_with_130(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
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


def test_commands_as_users_start_them(trained_lenet: Path) -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "fastcnn", *arguments], capture_output=True, text=True, check=False, env=os.environ
        )

    done = run("eval", str(trained_lenet / "run"))
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


# summary, bench, doctor ---------------------------------------------------------------------------------------


def test_summary_prints_the_table(trained_lenet: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["summary", "lenet5"]) == 0
    text = capsys.readouterr().out
    assert "1,256,080" in text
    assert "6,522,000" in text
    assert main(["summary", "lenet5", "--in-channels", "3", "--image-size", "32", "--num-classes", "4", "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["input_shape"] == [3, 32, 32]
    assert summary["layers"][-1]["output_shape"] == [4]
    assert main(["summary", str(trained_lenet / "run")]) == 0
    assert "input 1 x 8 x 8" in capsys.readouterr().out
    assert "sizes are fixed" in fails(capsys, "summary", str(trained_lenet / "run"), "--image-size", "9")
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
