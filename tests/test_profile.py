"""`fastcnn.profile`: what it sees, counts and writes, that it changes no result, and that it costs nothing when off."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import fastcnn as fc
from fastcnn import autograd, nn, observing, optim
from fastcnn import functional as F
from fastcnn.cli import main
from fastcnn.profiling import ProfileRow, profile
from fastcnn.roofline import Ceiling
from tests.command_line import fails

CEILING = Ceiling(threads=1, gflops=100.0, gigabytes=10.0)


def block() -> nn.Module:
    return nn.Sequential({"block": nn.ConvBNAct(3, 4), "pool": nn.AdaptiveAvgPool2d(1), "flat": nn.Flatten(),
                          "head": nn.Linear(4, 5)})  # fmt: skip


def row(p: profile, layer: str, op: str) -> ProfileRow:
    (found,) = [row for row in p.rows() if (row.layer, row.op) == (layer, op)]
    return found


def profiled_step() -> profile:
    model = block()
    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    x, y = fc.randn(2, 3, 6, 5), fc.tensor([1, 4])
    with fc.profile() as p:
        loss = nn.CrossEntropyLoss()(model(x), y)
        loss.backward()
        optimizer.step()
    return p


def test_a_step_is_listed_layer_by_layer_with_what_was_fused() -> None:
    p = profiled_step()
    assert [(r.layer, r.op, r.fused, r.calls) for r in p.rows()] == [
        ("block.0", "conv2d", (), 1),
        ("block.1", "batch_norm", ("relu",), 1),
        ("pool", "adaptive_avg_pool2d", (), 1),
        ("flat", "reshape", (), 1),
        ("head", "linear", ("bias",), 1),
        ("CrossEntropyLoss", "cross_entropy", (), 1),
        ("", "SGD.step", (), 1),
    ]
    assert all(r.forward > 0 for r in p.rows() if r.op != "SGD.step")
    assert all(r.backward > 0 for r in p.rows())
    assert sum(r.seconds for r in p.rows()) < p.seconds < 60


def test_operations_and_bytes_are_those_of_the_formulas() -> None:
    p = profiled_step()
    maps, image, filters = 2 * 4 * 6 * 5, 2 * 3 * 6 * 5, 4 * 3 * 3 * 3
    convolution = row(p, "block.0", "conv2d")
    # Forward, and the gradient of the weight; the images need none.
    assert convolution.flops == 2 * (2 * maps * 27)
    assert convolution.bytes == 4 * (image + filters + maps) + 4 * (maps + image + filters + filters)
    linear = row(p, "head", "linear")
    assert linear.flops == 3 * (2 * 2 * 4 * 5)
    norm = row(p, "block.1", "batch_norm")
    assert norm.flops == 0
    forward = 4 * (2 * maps) + 4 * 4 * 4 + 8 + 8 * 2 * 4  # x, y; weight, bias and running statistics; count; statistics
    backward = 4 * (3 * maps) + 4 * 4 * 4 + 8 * 2 * 4  # x, dy, dx; weight, bias and their gradients; statistics
    assert norm.bytes == forward + backward
    assert row(p, "", "SGD.step").bytes >= 3 * 4 * (filters + 4 + 4 + 20 + 5)


def test_the_gradient_of_a_residual_is_seen() -> None:
    x = fc.randn(3, 4, requires_grad=True)
    y = x * 1.0
    with fc.profile() as p:
        (F.relu(y) + y).backward(fc.ones(3, 4))
    assert row(p, "", "add_gradients").bytes == 2 * 3 * 4 * 4
    assert [r.op for r in p.rows()] == ["relu", "add", "add_gradients", "mul"]


def test_profiling_changes_no_result_and_captured_steps_go_on() -> None:
    results = []
    for watched in (False, True):
        fc.manual_seed(0)
        model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 3))
        optimizer = optim.Adam(model.parameters(), lr=0.01)
        x, y = fc.randn(6, 4), fc.randint(0, 3, (6,))

        @fc.capture
        def step(x: fc.Tensor, y: fc.Tensor, model=model, optimizer=optimizer) -> fc.Tensor:
            loss = F.cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return loss

        losses = [step(x, y).item() for _ in range(3)]
        if watched:
            with fc.profile() as p:
                losses += [step(x, y).item() for _ in range(2)]
            assert row(p, "0", "linear").calls == 2
        else:
            losses += [step(x, y).item() for _ in range(2)]
        losses += [step(x, y).item() for _ in range(2)]
        results.append(losses)
    assert results[0] == results[1]


def test_the_table_shows_shares_and_sorts() -> None:
    p = profiled_step()
    text = p.table(ceiling=CEILING)
    lines = text.splitlines()
    assert lines[0].split()[:3] == ["layer", "op", "calls"]
    assert lines[2].startswith("block.0")
    assert lines[3].endswith("relu")
    assert "all ops" in lines[-2]
    assert "Python and the rest" in lines[-1]
    by_time = p.table(ceiling=CEILING, sort="time").splitlines()
    slowest = max(p.rows(), key=lambda r: r.seconds)
    assert slowest.op in by_time[2]
    half = p.rows(steps=2)[0]
    assert (half.calls, half.flops) == (0.5, p.rows()[0].flops / 2)
    with pytest.raises(ValueError, match="sort is 'name'"):
        p.table(ceiling=CEILING, sort="name")
    with pytest.raises(ValueError, match="steps is 0"):
        p.rows(0)


def test_the_roofline_is_the_longer_of_arithmetic_and_traffic() -> None:
    assert CEILING.share(10**9, 10**6, 0.1) == pytest.approx(0.1)
    assert CEILING.share(10**6, 10**9, 0.2) == pytest.approx(0.5)
    with fc.profile() as p:
        F.linear(fc.zeros(8, 16), fc.zeros(4, 16))
    p.events[0].duration = 10**6
    p.events[0].flops = 50 * 10**6
    assert "50%" in p.table(ceiling=CEILING)


def test_work_on_a_gpu_has_no_share_of_the_limits_of_the_cpu() -> None:
    p = profiled_step()
    assert p.table(ceiling=CEILING).splitlines()[2].endswith("%")
    p.events[-1].device = "cuda"
    assert not p.table(ceiling=CEILING).splitlines()[2].endswith("%")


def test_the_chrome_trace_nests_ops_in_modules(tmp_path: Path) -> None:
    p = profiled_step()
    p.save_chrome_trace(tmp_path / "trace.json")
    events = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    complete = [event for event in events if event["ph"] == "X"]
    assert len(complete) == len(p.events)
    assert all(event["ts"] >= 0 and event["dur"] > 0 and {"pid", "tid", "cat"} <= set(event) for event in complete)
    (outer,) = [event for event in complete if event["name"] == "block" and event["cat"] == "module"]
    (inner,) = [event for event in complete if event["name"] == "batch_norm + relu"]
    assert outer["ts"] <= inner["ts"]
    assert inner["ts"] + inner["dur"] <= outer["ts"] + outer["dur"]
    assert inner["args"]["layer"] == "block.1"
    assert {event["name"] for event in complete} >= {"conv2d (backward)", "SGD.step"}


def test_a_profile_ends_with_its_block_and_there_is_one_at_a_time() -> None:
    with pytest.raises(ZeroDivisionError), fc.profile() as p:
        fc.zeros(3) + 1 / 0
    assert observing.observer is None
    count = len(p.events)
    fc.ones(3) + 1
    assert len(p.events) == count
    with fc.profile(), pytest.raises(RuntimeError, match="another profile"), fc.profile():
        pass

    @fc.capture
    def step(x: fc.Tensor) -> fc.Tensor:
        with fc.profile():
            return x + 1

    step(fc.ones(3))
    with pytest.raises(fc.CaptureError, match=r"profile\(\)"):
        step(fc.ones(3))


def test_other_threads_are_not_recorded() -> None:
    def work() -> None:
        model = nn.Linear(3, 2)
        model(fc.ones(1, 3)).sum().backward()

    with fc.profile() as p:
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert p.events == []


def test_ops_of_a_profile_that_began_after_their_forward_have_no_layer() -> None:
    y = F.relu(nn.Linear(3, 2)(fc.ones(1, 3)))
    with fc.profile() as p:
        y.backward(fc.ones(1, 2))
    assert [(r.layer, r.op, r.calls) for r in p.rows()] == [("", "relu", 0), ("", "linear", 0)]


def test_time_in_ops_is_measured() -> None:
    class Slow(autograd.Function):
        @staticmethod
        def forward(ctx, x):
            time.sleep(0.02)
            return x

    with fc.profile() as p:
        Slow.apply(fc.ones(1))
    assert 0.02 <= p.rows()[0].forward <= p.seconds
    assert p.rows()[0].op == "slow"


@pytest.mark.parametrize("arguments", [["--train", "--sort", "time"], [], ["--unfused", "--precision", "bf16"]])
def test_command_line_prints_the_table(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["profile", "resnet20", "--batch", "2", "--size", "16", "--repeats", "1", *arguments]) == 0
    out = capsys.readouterr().out
    assert "input 2 x 3 x 16 x 16" in out
    assert ("backward" in out and "SGD.step" in out) == ("--train" in arguments)
    assert ("bias + relu" in out) == (not arguments)
    assert ("batch_norm" in out.split("layer1.0.bn2")[0]) == bool(arguments) or "time" in arguments


def test_command_line_writes_json_and_a_trace(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trace = tmp_path / "trace.json"
    assert main(["profile", "lenet5", "--json", "--trace", str(trace), "--threads", "1"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["model"] == "lenet5"
    assert report["layers"][0]["fused"] == ["bias", "relu"]
    np.testing.assert_allclose(report["layers"][0]["flops"], 2 * 20 * 28 * 28 * 25)
    assert json.loads(trace.read_text())["traceEvents"]


def test_command_line_reports_mistakes(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, words in (
        (["nothing"], "unknown model 'nothing'"),
        (["lenet5", "--batch", "0"], "--batch is 0"),
        (["lenet5", "--train", "--unfused"], "--unfused goes with inference"),
    ):
        assert words in fails(capsys, "profile", *arguments)
