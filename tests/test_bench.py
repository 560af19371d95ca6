"""The benchmarks: arithmetic of the comparison, wrong results are noticed, files are written."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fastcnn as fc
from bench import __main__ as command_line
from bench import kernels, machine, memory, report, timing
from fastcnn import _C
from tests.cases import Array, Case, Op
from tests.test_walkers import make_op

CASE = Case("n6-c5", {"x": Array((6, 5)), "w": Array((6, 5))}, bench=True)


def small_op(plant: str = "") -> Op:
    def torch_scale(x: Any, w: Any) -> Any:
        return x * w

    return replace(make_op(plant), cases=(CASE,), torch=torch_scale, flops=lambda case: 30, bytes=lambda case: 360)


def settings(peer: str | None = None) -> kernels.Settings:
    return kernels.Settings((1, 2), 2, 1e-5, re.compile(""), "cpu", peer)


@pytest.fixture
def one_op(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "all_ops", lambda: iter([small_op()]))


def test_fma_peak_counts_operations_and_copy_peak_copies(isa: str) -> None:
    width = {"scalar": 1, "avx2": 8, "avx512": 16}[isa]
    assert _C.fma_peak(3, 10) == 2 * width * 12 * 3 * 10
    source = fc.tensor(np.arange(100_003, dtype=np.float32))._data
    copy = _C.zeros(source.shape, source.dtype)
    _C.copy_peak(copy, source)
    assert np.array_equal(copy.numpy(), source.numpy())
    with pytest.raises(ValueError, match="fma_peak: chunks is 0"):
        _C.fma_peak(0, 1)
    with pytest.raises(ValueError, match="source has 100003 elements, but destination 5"):
        _C.copy_peak(_C.zeros((5,), _C.float32), source)
    with pytest.raises(TypeError, match="float32 is expected"):
        _C.copy_peak(_C.zeros((5,), _C.int64), _C.zeros((5,), _C.int64))


@pytest.mark.skipif(not fc.cuda.is_available(), reason="no device cuda")
def test_peaks_of_a_gpu() -> None:
    for n in (1, 4095, 4096, 10_003):
        source = fc.tensor(np.arange(n, dtype=np.float32)).to("cuda")
        copy = fc.zeros(n, device="cuda")
        _C.copy_peak(copy._data, source._data)
        assert np.array_equal(copy.cpu().numpy(), source.cpu().numpy())
    with pytest.raises(ValueError, match="destination is on cpu"):
        _C.copy_peak(fc.zeros(n)._data, source._data)
    assert _C.mma_peak(2, 3, "cuda") == 2 * 8 * 3 * 8 * 2 * 16 * 8 * 16
    with pytest.raises(ValueError, match="rounds 0"):
        _C.mma_peak(2, 0, "cuda")


def test_interleave_takes_turns() -> None:
    calls: list[str] = []
    contenders = [timing.Contender(name, lambda name=name: calls.append(name)) for name in "ab"]  # type: ignore[misc]
    timing.interleave(contenders, rounds=3, sample_seconds=0)
    assert [len(c.seconds) for c in contenders] == [3, 3]
    turns = "".join(calls[4:])  # after two calibrating calls each; every sample is an untimed and a timed call
    assert turns == "aabb" + "bbaa" + "aabb"


def test_comparison_pairs_rounds_with_the_best_configuration() -> None:
    ours = timing.Contender("ours", lambda: None, seconds=[1.0, 2.0, 4.0])
    slow = timing.Contender("slow", lambda: None, seconds=[9.0, 9.0, 9.0])
    fast = timing.Contender("fast", lambda: None, seconds=[3.0, 4.0, 4.0])
    result = timing.comparison(ours, [slow, fast])
    assert result["peer"] == "fast"
    assert result["ratio"] == 2.0
    assert result["ratio_of_best"] == 3.0
    assert result["peers"] == {"slow": 9.0, "fast": 4.0}


def test_ceiling_share_is_the_larger_of_compute_and_traffic() -> None:
    ceiling = machine.Ceiling(threads=2, gflops=100.0, gigabytes=10.0)
    assert ceiling.share(flops=10**9, bytes_=0, seconds=0.02) == pytest.approx(0.5)
    assert ceiling.share(flops=10**9, bytes_=10**9, seconds=0.2) == pytest.approx(0.5)
    measured = machine.measure_ceiling(1, samples=1)
    assert measured.gflops > 0.1
    assert measured.gigabytes > 0.1
    assert machine.better(ceiling, machine.Ceiling(2, 50.0, 20.0)) == machine.Ceiling(2, 100.0, 20.0)


@pytest.mark.usefixtures("one_op")
def test_jobs_are_the_passes_that_match() -> None:
    names = [job.name for job in kernels.jobs(settings())]
    assert names == ["scale[n6-c5] forward", "scale[n6-c5] d x", "scale[n6-c5] d w"]
    filtered = replace(settings(), pattern=re.compile("d w$"))
    assert [job.kind for job in kernels.jobs(filtered)] == ["d w"]


@pytest.mark.usefixtures("one_op", "torch")
def test_kernels_write_table_json_and_roofline(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed: no picture")
    files = [str(tmp_path / "results.json"), str(tmp_path / "roofline.png")]
    threads = _C.num_threads()
    arguments = ["kernels", "--peer", "torch", "--quick", "--json", files[0], "--plot", files[1]]
    assert command_line.main([*arguments, "--threads", "1"]) == 0
    assert _C.num_threads() == threads
    printed = capsys.readouterr().out
    assert re.search(r"scale\[n6-c5\] +d w .* torch 1t", printed)
    result = json.loads(Path(files[0]).read_text())
    assert result["machine"]["isa"] == _C.active_isa()
    assert result["ceilings"][0]["gflops"] > 0
    forward = result["kernels"][0]
    assert forward["pass"] == "forward"
    assert forward["gflops"] == pytest.approx(30 / forward["seconds"] / 1e9)
    assert Path(files[1]).read_bytes().startswith(b"\x89PNG")


@pytest.mark.usefixtures("torch")
@pytest.mark.parametrize(("plant", "kind"), [("off by 1 percent", "forward"), ("sign of a gradient", "d w")])
def test_wrong_results_are_reported(
    plant: str, kind: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(kernels, "all_ops", lambda: iter([small_op(plant)]))
    assert command_line.main(["--peer", "torch", "--quick", "--threads", "1"]) == 1
    assert f"WRONG scale[n6-c5] {kind}" in capsys.readouterr().err


def test_bias_gradients_are_not_counted() -> None:
    job = kernels.Job(small_op(), CASE, "bias")
    assert job.count(small_op().flops) == 0
    assert kernels.Job(small_op(), CASE, None).count(small_op().flops) == 30


@pytest.mark.usefixtures("one_op")
def test_bad_options_are_explained(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, words in [
        (["--filter", "("], "not a regular expression"),
        (["--threads", "0"], "must be positive"),
        (["kernels", "--peer", "torch", "openvino"], "peers of 'models' only"),
    ]:
        with pytest.raises(SystemExit) as stopped:
            command_line.main(arguments)
        assert stopped.value.code == 2
        assert words in capsys.readouterr().err
    with pytest.raises(SystemExit, match="nothing matches --filter 'xyz'"):
        command_line.main(["--filter", "xyz", "--quick"])


def test_milliseconds_have_three_digits() -> None:
    assert [report.seconds(s) for s in (1.2345, 0.012345, 1.2345e-4, 1.2345e-6)] == ["1234", "12.3", "0.123", "0.00123"]


@pytest.mark.usefixtures("torch")
def test_models_train_the_same_step_in_both_libraries(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed: no picture")
    files = [str(tmp_path / "models.json"), str(tmp_path / "models.png")]
    arguments = ["models", "--peer", "torch", "--quick", "--threads", "1", "--filter", "lenet5 train batch 16"]
    assert command_line.main([*arguments, "--json", files[0], "--plot", files[1]]) == 0
    assert re.search(r"lenet5 train +16 .* torch eager", capsys.readouterr().out)
    (row,) = json.loads(Path(files[0]).read_text())["models"]
    # Parameters, gradients and momenta at least; nothing near a gigabyte.
    assert 3 * 4 * 1_256_080 < row["memory"] < 1e9
    assert 3 * 4 * 1_256_080 < row["peer_memory"] < 1e9
    assert Path(files[1]).read_bytes().startswith(b"\x89PNG")


def test_inference_runtimes_get_a_line_of_their_own() -> None:
    compared = {"peer": "openvino 2t", "peer_seconds": 0.5, "ratio": 0.25, "ratio_of_best": 0.5}
    row = {"model": "resnet50", "kind": "inference", "batch": 1, "seconds": 2.0, "spread": 0.0, "memory": 1e6}
    row |= {"images_per_second": 0.5, "configuration": "2t", "runtimes": {"openvino": compared}}
    lines = report.table(report.MODEL_COLUMNS, report.model_rows([row])).splitlines()
    assert len(lines) == 3
    assert re.search(r"^resnet50 inference +1 +2000 .* 2t", lines[1])
    assert re.search(r"^ +500 +0.25x +0.50x +openvino 2t$", lines[2])


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_inference_runtimes_compute_the_same(
    runtime: str, monkeypatch: pytest.MonkeyPatch, torch: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    for module in ("onnx", "onnxscript", runtime):
        pytest.importorskip(module, reason=f"{module} is not installed: inference runtimes are not compared")
    from bench import models, peer_onnx

    monkeypatch.setattr(models, "JOBS", (models.Job("resnet18", 1, train=False, size=64),))
    monkeypatch.setattr(memory, "measure", lambda *_: 1)
    arguments = ["models", "--peer", runtime, "--quick", "--threads", "1"]
    assert command_line.main(arguments) == 0
    assert re.search(rf"x +{runtime} 1t", capsys.readouterr().out)
    monkeypatch.setattr(peer_onnx, "TOLERANCE", 0.0)
    with pytest.raises(SystemExit, match=f"{runtime}, resnet18 inference batch 1: the first result differs by"):
        command_line.main(arguments)


def test_a_missing_runtime_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", missing)
    with pytest.raises(SystemExit, match=r"--peer openvino: .*openvino.*pip install '\.\[bench\]'"):
        command_line.main(["models", "--peer", "openvino", "--quick"])


@pytest.mark.usefixtures("torch")
@pytest.mark.parametrize("name", ["resnet18", "resnet20", "resnet50"])
@pytest.mark.parametrize("train", [True, False])
def test_models_of_the_peer_are_the_same(name: str, train: bool) -> None:
    from bench import models, peer_torch_models

    job = models.Job(name, 4, train, size=64)
    state = models.initial_state(job)
    ours = models.fastcnn_call(job, state)
    theirs = peer_torch_models.make_call(job, state, "channels_last", compiled=False)
    # Ordinary, recorded and replayed; the loss of a fresh ResNet-50 with 2 x 2 maps soon depends on every rounding.
    for _ in range(1 if train and name == "resnet50" else 3):
        np.testing.assert_allclose(ours().detach().numpy(), theirs().detach().numpy(), rtol=1e-3, atol=1e-4)
    other = models.fastcnn_call(job, {key: value * 1.5 for key, value in state.items()})
    assert not np.allclose(ours().detach().numpy(), other().detach().numpy(), rtol=1e-2)


def test_jobs_of_models_are_those_of_the_published_table() -> None:
    from bench import models

    names = [job.name for job in models.JOBS]
    assert names[:4] == [f"lenet5 train batch {n}" for n in (1, 16, 64, 256)]
    assert names[4:] == [
        "resnet20 train batch 128",
        "resnet18 train batch 16",
        "resnet50 train batch 8",
        "resnet50 inference batch 1",
        "resnet50 inference batch 8",
    ]
    assert models.find("resnet50 inference batch 8").shape == (8, 3, 224, 224)


def test_memory_of_a_job_that_fails_says_why() -> None:
    from bench import memory

    with pytest.raises(RuntimeError, match=r"(?s)memory of nothing in fastcnn: .*StopIteration"):
        memory.measure("nothing")
