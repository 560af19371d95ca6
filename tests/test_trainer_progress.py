"""What a training says while it runs: lines, a bar on a terminal, durations."""

from __future__ import annotations

import sys

import pytest

from fastcnn.train import progress
from tests.small_run import FIT, TEST, TRAIN, VAL, make_trainer


def test_progress_prints_one_plain_line_per_epoch(capsys: pytest.CaptureFixture[str]) -> None:
    make_trainer().fit(TRAIN, VAL, test=TEST, **FIT | {"progress": True})
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3
    assert lines[0].startswith("epoch 1/3  loss ")
    for word in ("accuracy", "val accuracy", "test accuracy", "images/s", "left"):
        assert word in lines[0]
    assert "left" not in lines[2]


def test_progress_of_a_long_epoch(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(progress.time, "perf_counter", lambda: now)
    line = progress.Progress("epoch 1/2", 100, done=10, images=640)
    for step in range(11, 101):
        now += 1.0
        line.update(step, 64 * step, 0.5, None)
    line.close()
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "epoch 1/2  step 40/100  loss 0.5000  64 images/s  1:00 left",
        "epoch 1/2  step 70/100  loss 0.5000  64 images/s  30 s left",
        "epoch 1/2  step 100/100  loss 0.5000  64 images/s  0.0 s left",
    ]


def test_progress_is_a_bar_on_a_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setattr(progress, "_BAR_INTERVAL", 0.0)
    make_trainer().fit(TRAIN, epochs=1, batch_size=4)
    text = capsys.readouterr().err
    assert "images/s" in text
    assert "/24" in text
    assert "epoch 1/1  loss" in text


@pytest.mark.parametrize(("seconds", "text"), [(0.84, "0.8 s"), (12.4, "12 s"), (185, "3:05"), (3725, "1:02:05")])
def test_durations_are_for_people(seconds: float, text: str) -> None:
    assert progress.duration(seconds) == text
