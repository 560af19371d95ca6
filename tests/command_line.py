"""Runs of the command line that its tests share."""

from __future__ import annotations

import pytest

from fastcnn.cli import main

SMALL = ["--epochs", "2", "--batch-size", "16", "--lr", "0.05", "--quiet"]  # of `fastcnn train`


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
