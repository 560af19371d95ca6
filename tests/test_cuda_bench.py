"""The benchmarks of device `cuda`: what they would measure, and a run with the smallest sizes."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import pytest

import fastcnn as fc
from bench import __main__ as command_line
from bench import gpu, kernels, report
from tests.cases import Array

if not fc.cuda.is_available():
    pytest.skip(f"no device cuda: {fc.cuda.why_unavailable()}", allow_module_level=True)


def settings(pattern: str = "") -> kernels.Settings:
    return kernels.Settings((1,), 1, 0.0, re.compile(pattern), "cuda", None)


def test_rows_at_gpu_sizes() -> None:
    rows = [job for job, dtype in gpu.jobs(settings()) if dtype == "bfloat16"]
    assert [job.op.name for job in rows[:1]] == ["conv2d"], "what matters most is measured first"
    names = {job.op.name for job in rows}
    assert {"linear", "matmul", "batch_norm", "max_pool2d", "softmax", "cross_entropy", "layer_norm", "add"} <= names
    convolutions = [job.case for job in rows if job.op.name == "conv2d"]
    for words in ("1x1", "3x3 64", "3x3s2", "7x7s2 3-64", "vgg", "depthwise"):
        assert any(words in case.id for case in convolutions), words
    for case in convolutions:
        shape = case.args["input"].shape
        assert 64 <= shape[0] <= 256
        assert math.prod(shape) <= 1 << 28, "fits a GPU next to the peer's copies"


def test_arrays_repeat_their_first_elements() -> None:
    case = next(job.case for job, _ in gpu.jobs(settings("cifar.*forward")))
    values = gpu.make_arrays(case)["input"]
    assert values.shape == case.args["input"].shape
    assert values.reshape(-1)[7] == values.reshape(-1)[kernels.BLOCK + 7]
    assert not isinstance(case.args["input"], Array) or values.std() > 0.1


def test_smallest_sizes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "bench.json"
    arguments = ["--device", "cuda", "--tiny", "--rounds", "1", "--json", str(file)]
    assert command_line.main([*arguments, "--filter", r"optimizer|(conv2d|add)\[.*(forward|d input)"]) == 0
    rows = json.loads(file.read_text())["kernels"]
    assert {row["op"] for row in rows} == {"optimizer", "conv2d", "add"}
    assert {row["case"].split()[0] for row in rows if row["op"] == "optimizer"} == {"sgd", "adamw"}
    assert all(0 < row["seconds"] < 10 and not row["wrong"] for row in rows)
    assert "optimizer[adamw lenet5 float32]" in capsys.readouterr().out


def test_a_row_that_fails_costs_no_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("no such algorithm")

    monkeypatch.setattr(gpu, "run_job", broken)
    file = tmp_path / "bench.json"
    arguments = ["--device", "cuda", "--tiny", "--rounds", "1", "--json", str(file), "--filter", r"add\[|optimizer"]
    assert command_line.main(arguments) == 1
    assert "RuntimeError: no such algorithm" in capsys.readouterr().err
    rows = json.loads(file.read_text())["kernels"]
    assert [math.isinf(row["seconds"]) for row in rows[:2]] == [False, False]
    assert all(math.isinf(row["seconds"]) for row in rows[2:])
    assert report.seconds(math.inf) == "-"
