"""docs/lectures.md names tests that exist and objects that fastcnn has."""

from __future__ import annotations

import re
from pathlib import Path

import fastcnn as fc
from fastcnn import data, functional, nn, optim, train
from fastcnn.optim import lr_scheduler

ROOT = Path(__file__).parents[1]
TABLE = (ROOT / "docs" / "lectures.md").read_text()
ROWS = re.findall(r"^\| ([A-Z]\d+) \|.*\| ([^|]*) \| ([^|]*) \|$", TABLE, re.MULTILINE)


def test_every_named_test_exists() -> None:
    named = {name for _, _, tests in ROWS for name in re.findall(r"`(test_\w+\.py::\w+)`", tests)}
    assert len(named) > 100
    for name in sorted(named):
        file, function = name.split("::")
        assert f"\ndef {function}(" in (ROOT / "tests" / file).read_text(), name


def test_rows_are_unique_and_each_has_a_test_or_is_open() -> None:
    ids = [row for row, _, _ in ROWS]
    assert len(set(ids)) == len(ids) > 230
    assert all(tests == "open" or "::" in tests for _, _, tests in ROWS)
    assert sum(tests == "open" for _, _, tests in ROWS) < 40


def test_every_named_object_exists() -> None:
    places = {"nn": nn, "functional": functional, "optim": optim, "data": data, "train": train}
    places |= {"lr_scheduler": lr_scheduler, "fastcnn": fc}
    for row, offer, _ in ROWS:
        for owner, name in re.findall(r"`(\w+)\.([\w.]+)", offer):
            if owner in places:
                found = places[owner]
                for part in name.split("."):
                    assert hasattr(found, part), (row, owner, name)
                    found = getattr(found, part)
