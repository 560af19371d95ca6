"""The command `fastcnn` (= `python -m fastcnn`)."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from ..train.signals import Interrupted
from . import bench, doctor, evaluate, predict, profile, summary, train

_EXAMPLES = """\
examples:
  fastcnn train                                       LeNet-5 on 5,000 real digits, offline, in seconds
  fastcnn train --data mnist --data-dir data/mnist    the 60,000 digits
  fastcnn predict runs/lenet5-mnist5k digit.png       what is in a picture
  fastcnn summary lenet5                              layers, shapes, parameters, multiply-adds
  fastcnn profile resnet50 --batch 8                  where the time goes, layer by layer
  fastcnn doctor                                      what this installation can do, and why not more

fastcnn COMMAND --help explains each command.
"""


class _Parser(argparse.ArgumentParser):
    """Reports mistakes in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {message} (see {self.prog} --help)\n")


def make_parser() -> argparse.ArgumentParser:
    """The parser of the whole command line."""
    from .. import __version__

    parser = _Parser(
        prog="fastcnn",
        description="Train and run convolutional networks.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"fastcnn {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True, parser_class=_Parser)
    for module in (train, evaluate, predict, summary, profile, bench, doctor):
        command = commands.add_parser(
            module.NAME,
            help=module.HELP,
            description=module.DESCRIPTION,
            epilog=module.EXAMPLES,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(command)
        command.add_argument("--debug", action="store_true", help="show the traceback of an error")
        command.set_defaults(run=module.run)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command.

    Returns:
        0, 1 when nobody reads the output any more, 2 after an error (one line on stderr), 130 after Ctrl-C.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    if words[:1] == [bench.NAME] and words[1:2] not in (["-h"], ["--help"]):
        words.insert(1, "--")  # its options are the benchmarks', not argparse's
    arguments = make_parser().parse_args(words)
    prefix = f"fastcnn {arguments.command}"
    try:
        arguments.run(arguments)
        sys.stdout.flush()
    except Interrupted as stop:
        hint = "; continue with --resume" if "saved to" in str(stop) else ""
        print(f"{prefix}: {stop}{hint}", file=sys.stderr)
        return 130
    except KeyboardInterrupt:
        print(f"{prefix}: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output has left, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (ArithmeticError, ImportError, MemoryError, OSError, RuntimeError, TypeError, ValueError) as error:
        if arguments.debug:
            raise
        print(f"{prefix}: error: {_one_line(error)}", file=sys.stderr)
        return 2
    return 0


def _one_line(error: BaseException) -> str:
    text = str(error)
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        text = f"{error.filename}: {error.strerror}"
    return " ".join(text.split()) or type(error).__name__
