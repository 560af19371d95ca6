"""docs/lectures.md lists every row, names tests that exist and objects that fastcnn has."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import fastcnn as fc
from fastcnn import data, func, functional, models, nn, optim, train, utils
from fastcnn.nn import init
from fastcnn.optim import lr_scheduler

ROOT = Path(__file__).parents[1]
TABLE = (ROOT / "docs" / "lectures.md").read_text()
ROWS = re.findall(r"^\| ([A-Z]\d+) \| ([^|]*) \| ([^|]*) \| ([^|]*) \| ([^|]*) \|$", TABLE, re.MULTILINE)
SIZES = {"A": 23, "B": 28, "C": 17, "D": 12, "E": 30, "F": 11, "G": 14, "H": 23, "I": 24, "J": 37, "K": 21, "Q": 23,
         "W": 11}  # fmt: skip


def test_every_row_of_every_group_is_there() -> None:
    """In order, without gaps, and no line of the tables escapes the pattern."""
    assert [row for row, *_ in ROWS] == [f"{group}{i}" for group, size in SIZES.items() for i in range(1, size + 1)]
    assert len(ROWS) == 274 == len(re.findall(r"^\| [A-Z]\d+ ", TABLE, re.MULTILINE))
    assert set(Counter(lecture for _, lecture, *_ in ROWS)) == {"Wang", "Torralba", "Szeliski", "CNN deck"}


def test_every_row_has_something_and_a_test() -> None:
    for row, _, subject, offer, tests in ROWS:
        assert subject.strip(), row
        assert "`" in offer, row
        names = re.findall(r"`([^`]+)`", tests)
        assert names, row
        assert tests == "<br>".join(f"`{name}`" for name in names), row
        assert len(set(names)) == len(names), row


def test_every_named_test_exists() -> None:
    """As a function of the module, so that pytest collects it, plain or parametrised."""
    named = {name for *_, tests in ROWS for name in re.findall(r"`([^`]+)`", tests)}
    assert len(named) > 190
    defined: dict[str, set[str]] = {}
    for name in sorted(named):
        match = re.fullmatch(r"((?:models/)?test_\w+\.py)::(test_\w+)", name)
        assert match, name
        file, function = match.groups()
        if file not in defined:
            defined[file] = set(re.findall(r"^def (test_\w+)\(", (ROOT / "tests" / file).read_text(), re.MULTILINE))
        assert function in defined[file], name


def test_every_named_object_exists() -> None:
    places = {"nn": nn, "functional": functional, "optim": optim, "data": data, "train": train, "models": models}
    places |= {"lr_scheduler": lr_scheduler, "fastcnn": fc, "func": func, "utils": utils, "init": init}
    checked = 0
    for row, _, _, offer, _ in ROWS:
        for owner, name in re.findall(r"`(\w+)\.([\w.]+)", offer):
            if owner in places:
                found = places[owner]
                for part in name.split("."):
                    assert hasattr(found, part), (row, owner, name)
                    found = getattr(found, part)
                checked += 1
        for path in re.findall(r"`(examples/\S+|csrc/\S+)`", offer):
            assert (ROOT / path).exists(), (row, path)
    assert checked > 220


def test_every_example_is_listed() -> None:
    listed = re.findall(r"^python (examples/lectures/\w+\.py) --out DIR", TABLE, re.MULTILINE)
    assert sorted(listed) == sorted(
        f"examples/lectures/{path.name}" for path in (ROOT / "examples/lectures").glob("*.py")
    )


def test_every_disagreement_is_decided() -> None:
    decisions = TABLE.partition("## Where the notes disagree")[2].partition("## ")[0]
    assert len(re.findall(r"^\| [^|-][^|]* \| [^|]+ \| [^|]+ \|$", decisions, re.MULTILINE)) == 1 + 33
