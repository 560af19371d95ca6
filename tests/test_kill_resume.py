"""SIGKILL at random moments: the resumed run ends with the bytes of the undisturbed one."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.small_data import write_npz

KILLS = 20


def start(npz: Path, out: Path, *more: str) -> subprocess.Popen[str]:
    """`fastcnn train --resume`, once it has begun."""
    process = subprocess.Popen(
        [sys.executable, "-m", "fastcnn", "train", "--data", str(npz), "--out", str(out), "--resume", "--epochs", "12",
         "--batch-size", "4", "--checkpoint-every", "3", "--threads", "1", *more],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=os.environ,
    )  # fmt: skip
    assert process.stderr is not None
    line = process.stderr.readline()
    assert "results go to" in line, line
    return process


def wait_for_checkpoints(process: subprocess.Popen[str], path: Path, count: int) -> None:
    """Returns when the process has replaced the file `count` times (or has ended)."""
    before = None
    seen = -1
    while seen < count and process.poll() is None:
        with contextlib.suppress(FileNotFoundError):
            now = path.stat().st_ino
            if now != before:
                before, seen = now, seen + 1
        time.sleep(0.0005)


def end(process: subprocess.Popen[str]) -> None:
    assert process.stderr is not None
    with process.stderr as errors:
        text = errors.read()
    assert process.wait() == 0, text


@pytest.mark.slow
def test_killed_runs_resume_bit_identically(tmp_path: Path) -> None:
    npz = write_npz(tmp_path / "stripes.npz", train=241)
    end(start(npz, tmp_path / "whole"))
    moments = random.Random(0)
    steps = set()
    checkpoint = tmp_path / "killed" / "checkpoint.safetensors"
    for _ in range(KILLS):
        process = start(npz, tmp_path / "killed")
        wait_for_checkpoints(process, checkpoint, moments.randrange(6))
        time.sleep(moments.uniform(0.0, 0.01))
        process.kill()
        assert process.stderr is not None
        process.stderr.close()
        assert process.wait() == -signal.SIGKILL, "the training ended before it could be killed: make it longer"
        if checkpoint.exists():
            from fastcnn.train import load_checkpoint

            run = load_checkpoint(checkpoint)[0]["run"]  # whole, whenever the kill came
            steps.add((run["epoch"], run["step"]))
    assert len(steps) > KILLS // 2, "the kills fell on too few different places"
    assert any(step for _, step in steps), "no kill fell into the middle of an epoch"
    end(start(npz, tmp_path / "killed"))
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert (whole / "model.safetensors").read_bytes() == (killed / "model.safetensors").read_bytes()
    records = []
    for out in (whole, killed):
        lines = (out / "metrics.jsonl").read_text().splitlines()
        records.append([{k: v for k, v in json.loads(line).items() if "second" not in k} for line in lines])
    assert records[0] == records[1]
    assert not list(killed.glob(".*.tmp"))
