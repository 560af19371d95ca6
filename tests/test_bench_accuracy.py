"""`python -m bench.accuracy`: both libraries learn by the same recipe, on tiny data."""

from __future__ import annotations

import re
from typing import Any

import pytest

from fastcnn.data import Splits
from tests.test_examples import photographs

pytest.importorskip("torch", reason="PyTorch is not installed: accuracies are not compared")

accuracy = pytest.importorskip("bench.accuracy")

TINY = ["--widths", "24", "24", "32", "--batch-size", "50", "--test-images", "100", "--threads", "1"]


@pytest.fixture(autouse=True)
def tiny_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accuracy, "load_cifar10", lambda _: Splits(photographs(300), photographs(100, seed=1)))


def test_speedrun_learns_in_both_libraries(capsys: pytest.CaptureFixture[str]) -> None:
    pairs = accuracy.main(["data", "speedrun", "--epochs", "6", "--runs", "1", *TINY])
    (((mine, my_seconds), (theirs, their_seconds)),) = pairs
    assert min(mine, theirs) > 0.4, "chance is 0.1"
    assert min(my_seconds, their_seconds) > 0
    lines = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"seed 0: fastcnn 0\.\d{4} in [\d.]+ s, PyTorch 0\.\d{4} in [\d.]+ s", lines[0])
    assert lines[1] == "speedrun, 6 epochs, all images, 1 threads:"
    assert float(lines[-1].split()[-1]) == pytest.approx(their_seconds / my_seconds, abs=0.006)


def test_resnet20_starts_from_the_same_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    firsts: dict[str, Any] = {}
    original = accuracy.torch_resnet20

    def spy(*arguments: Any, begin: Any, **others: Any) -> Any:
        firsts.update(begin)
        return original(*arguments, begin=begin, **others)

    monkeypatch.setattr(accuracy, "torch_resnet20", spy)
    pairs = accuracy.main(["data", "resnet20", "--epochs", "1", "--train-images", "150", "--runs", "2", *TINY])
    assert len(pairs) == 2
    assert firsts["conv1.weight"].shape == (16, 3, 3, 3)
    assert all(0 <= result[0] <= 1 for pair in pairs for result in pair)
