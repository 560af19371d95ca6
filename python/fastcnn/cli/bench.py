"""`fastcnn bench`."""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path

NAME = "bench"
HELP = "measure kernels and models, and compare with PyTorch"
DESCRIPTION = """\
Measure kernels and models: median and spread, GFLOP/s, GB/s, share of this machine's measured ceiling, and, with
--peer torch, the ratio to PyTorch's best configuration. Everything after "bench" goes to the benchmarks; `fastcnn
bench -- --help` lists their options.
"""
EXAMPLES = """\
examples:
  fastcnn bench kernels --peer torch
  fastcnn bench models --json results.json --plot roofline.png
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options."""
    parser.add_argument("options", nargs=argparse.REMAINDER, metavar="...", help="options of the benchmarks")


def run(arguments: argparse.Namespace) -> None:
    """Runs the benchmarks of this checkout."""
    if Path("bench", "__main__.py").is_file() and "" not in sys.path:
        sys.path.insert(0, "")  # as `python -m bench` has it
    try:
        main = importlib.import_module("bench.__main__").main
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != "bench":
            raise
        raise ModuleNotFoundError(
            "the benchmarks are part of fastcnn's source tree, not of the installed package; run fastcnn bench in its "
            "folder"
        ) from None
    code = main([option for option in arguments.options if option != "--"])
    if code:
        sys.exit(code)
