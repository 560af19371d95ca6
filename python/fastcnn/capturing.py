"""Whole training steps as one replay: `fastcnn.capture`.

The kernel calls of a Python function are recorded once and then replayed without Python: forward, loss, backward and
optimizer of a step become one call. Numbers that change from step to step (learning rate, step counts, positions of
random generators) live in tensors, so schedules and dropout go on as if the function ran.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from . import _C, autograd, observing, recording
from .recording import Replay, StaleRecordingError
from .tensor import Tensor

_Signature = tuple[Any, ...]


class CapturedFunction:
    """What `capture` returns: call it like the function.

    Attributes:
        reserved: bytes of CPU memory that the recordings own.
        requested: bytes that they would own if no intermediate result's memory were used twice.
    """

    def __init__(self, function: Callable[..., Any], warmup: int) -> None:
        functools.update_wrapper(self, function)
        self._function = function
        self._warmup = warmup
        self._calls: dict[_Signature, int] = {}
        self._replays: dict[_Signature, Replay] = {}

    @property
    def reserved(self) -> int:
        """Bytes of CPU memory that the recordings own."""
        return sum(replay.kernels.reserved for replay in self._replays.values())

    @property
    def requested(self) -> int:
        """Bytes that the recordings would own if no intermediate result's memory were used twice."""
        return sum(replay.kernels.requested for replay in self._replays.values())

    def __call__(self, *args: Any) -> Any:
        """Runs, records or replays a step; exactly one step happens either way."""
        if recording.active() is not None or observing.observer is not None:
            return self._function(*args)
        signature = _signature(args)
        replay = self._replays.get(signature)
        if replay is not None:
            try:
                return _run(replay, args)
            except StaleRecordingError:
                del self._replays[signature]
                return self._function(*args)
        count = self._calls.get(signature, 0)
        if count < self._warmup:
            self._calls[signature] = count + 1
            return self._function(*args)
        replay = _record(self._function, args)
        self._replays[signature] = replay
        return replay.result


def capture(function: Callable[..., Any], *, warmup: int = 1) -> CapturedFunction:
    """Makes a function whose later calls replay the kernel calls of an earlier one, without Python in between.

    The first `warmup` calls with inputs of new shapes run as usual, the next one is recorded while it runs, and all
    further ones copy their inputs into the recorded ones' memory and replay: every call is one step, with the same bits
    as without `capture`. Each combination of input shapes and other arguments has its own recording.

    Inside a `fastcnn.profile` calls run as usual, kernel by kernel.

    Results are the recorded call's tensors, overwritten by every replay: `clone()` what must last. Python code of the
    function does not run during replays, except that optimizers read their learning rates and schedulers step.

    Args:
        function: takes tensors and plain values, returns a tensor, a tuple, list or dict of them, or None. Reading
            values in Python (`.item()`, `.numpy()`, `if tensor:`) is an error inside, since a replay cannot do it.
        warmup: ordinary calls per combination of shapes before the recording, at least 1: they make what is made once,
            such as an optimizer's memory.

    Returns:
        A callable with the function's arguments (positional only).

    Raises:
        ValueError: `warmup` below 1.
        CaptureError: from a call, when the function reads a tensor's values while it is recorded (a RuntimeError).
        TypeError: from a call, when an argument is neither a tensor nor hashable.

    Example:
        >>> import fastcnn as fc
        >>> from fastcnn import functional, nn, optim
        >>> model = nn.Linear(3, 2)
        >>> sgd = optim.SGD(model.parameters(), lr=0.1)
        >>> def train_step(x, y):
        ...     loss = functional.cross_entropy(model(x), y)
        ...     sgd.zero_grad()
        ...     loss.backward()
        ...     sgd.step()
        ...     return loss
        >>> step = fc.capture(train_step)
        >>> x, y = fc.ones(4, 3), fc.tensor([0, 1, 0, 1])
        >>> losses = [step(x, y).item() for _ in range(4)]
        >>> losses[3] < losses[0]
        True
    """
    if warmup < 1:
        raise ValueError(f"capture: warmup is {warmup}, but at least 1 is expected")
    return CapturedFunction(function, warmup)


def _signature(args: tuple[Any, ...]) -> _Signature:
    parts: list[Any] = [autograd.is_grad_enabled()]
    for arg in args:
        if isinstance(arg, Tensor):
            raw = arg._data
            parts.append((raw.shape, raw.dtype, raw.device, raw.layout, arg.requires_grad))
        else:
            hash(arg)  # TypeError here rather than a recording for something that changes
            parts.append(arg)
    return tuple(parts)


def _record(function: Callable[..., Any], args: tuple[Any, ...]) -> Replay:
    _C.empty_cache()  # the recording has memory of its own: what the warm-up used would stay beside it
    replay = Replay()
    own = []
    for arg in args:
        if isinstance(arg, Tensor):
            copy = Tensor(_C.empty_like(arg._data), requires_grad=arg.requires_grad)
            _C.copy_(copy._data, arg._data)
            replay.inputs.append(copy)
            own.append(copy)
        else:
            own.append(arg)
    with recording.into(replay):
        replay.result = _detached(function(*own))
    return replay


def _run(replay: Replay, args: tuple[Any, ...]) -> Any:
    for hook in replay.before:
        hook()
    tensors = [arg for arg in args if isinstance(arg, Tensor)]
    for own, given in zip(replay.inputs, tensors, strict=True):
        _C.copy_(own._data, given._data)
    replay.kernels.replay()
    for hook in replay.after:
        hook()
    return replay.result


def _detached(result: Any) -> Any:
    """Results without their recorded computation: its saved tensors' memory serves later calls of the recording."""
    if isinstance(result, Tensor):
        return result.detach()
    if isinstance(result, tuple):
        return tuple(_detached(item) for item in result)
    if isinstance(result, list):
        return [_detached(item) for item in result]
    if isinstance(result, dict):
        return {key: _detached(value) for key, value in result.items()}
    return result
