"""The recording that the calling thread makes, if any: what `fastcnn.capture` and the library tell each other.

Importing this module is cheap: tensors and optimizers do.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from . import _C


class CaptureError(RuntimeError):
    """A captured function did something that its replays could not repeat."""


class StaleRecordingError(Exception):
    """A recording's tensors have been replaced since; raised by hooks, handled by `capture`."""


class Replay:
    """One recording: its inputs, its result, and what Python has to do before and after each replay."""

    def __init__(self) -> None:
        self.inputs: list[Any] = []
        self.result: Any = None
        self.kernels: Any = None  # the _C.Recording
        self.before: list[Callable[[], None]] = []
        self.after: list[Callable[[], None]] = []


class _State(threading.local):
    replay: Replay | None = None


_state = _State()


def active() -> Replay | None:
    """The recording being made by this thread."""
    return _state.replay


@contextmanager
def into(replay: Replay) -> Iterator[None]:
    """Kernel calls inside the block become `replay.kernels`."""
    _state.replay = replay
    _C.begin_recording()
    try:
        yield
    finally:
        _state.replay = None
        replay.kernels = _C.end_recording()


def on_replay(before: Callable[[], None] | None = None, after: Callable[[], None] | None = None) -> None:
    """While a function is recorded: Python that every replay runs before or after the kernels. Else nothing happens.

    Args:
        before: called once per replay however often it was given; may raise `StaleRecordingError`.
        after: called as often as it was given.
    """
    replay = _state.replay
    if replay is None:
        return
    if before is not None and before not in replay.before:
        replay.before.append(before)
    if after is not None:
        replay.after.append(after)


@contextmanager
def instead(after: Callable[[], None]) -> Iterator[None]:
    """`on_replay(after=after)`; what the block would register for itself is left out: `after` contains it."""
    replay = _state.replay
    on_replay(after=after)
    _state.replay = None
    try:
        yield
    finally:
        _state.replay = replay


def refuse(what: str) -> None:
    """Raises CaptureError while a function is recorded: `what` reads values that differ in every replay."""
    if _state.replay is not None:
        raise CaptureError(
            f"{what} reads a tensor's values, which a captured function cannot do: its replays run without Python; "
            "return the tensor and read it outside, or leave this function out of capture"
        )
