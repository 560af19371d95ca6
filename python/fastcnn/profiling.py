"""Where the time of a step goes: `fastcnn.profile`.

While a profile is made, modules, differentiable functions, their backward and optimizer steps report to it when they
begin and end. Otherwise each of them looks at one variable, `observing.observer`, and that is all.
"""

from __future__ import annotations

import json
import math
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self

from . import _C, observing, recording
from .roofline import Ceiling, measure_ceiling

_PEAK_SAMPLES = 10


@dataclass
class ProfileEvent:
    """Something that took time.

    Attributes:
        layer: path of the innermost module that was called; for the outermost one its class, "" outside of modules.
        op: what was computed, e.g. "batch_norm"; the class of a module.
        phase: "forward", "backward", "step" (an optimizer's) or "module" (a module's call, containing others).
        fused: what the kernel did besides, e.g. ("add", "relu").
        start: nanoseconds of `time.perf_counter_ns`.
        duration: nanoseconds.
        flops: operations of the products, two per multiply-add; 0 for ops without products.
        bytes: least traffic: every input, saved tensor and output read or written once.
        device: "cpu" or "cuda"; of modules always "cpu".
    """

    layer: str
    op: str
    phase: str
    fused: tuple[str, ...]
    start: int
    duration: int = 0
    flops: int = 0
    bytes: int = 0
    device: str = "cpu"


@dataclass
class ProfileRow:
    """All events with the same layer, op and fused parts; times in seconds, everything per step.

    Attributes:
        layer: as in `ProfileEvent`.
        op: as in `ProfileEvent`.
        fused: as in `ProfileEvent`.
        calls: forward calls, or steps of an optimizer.
        forward: seconds.
        backward: seconds; of an optimizer "step" those of the step.
        flops: of both.
        bytes: of both.
    """

    layer: str
    op: str
    fused: tuple[str, ...]
    calls: float = 0.0
    forward: float = 0.0
    backward: float = 0.0
    flops: float = 0.0
    bytes: float = 0.0

    @property
    def seconds(self) -> float:
        """Forward and backward."""
        return self.forward + self.backward


class profile:
    """Records the ops that the calling thread runs in a `with` block, layer by layer.

    Captured functions run without their recordings meanwhile: the same kernels, one by one, with the same results. On a
    GPU every op is waited for, so that the times are those of its kernels.

    Attributes:
        events: in the order in which they began.
        seconds: from entering the block to leaving it.

    Raises:
        RuntimeError: on entering: another profile is being made, or a function is being captured.

    Example:
        >>> import fastcnn as fc
        >>> model = fc.nn.Sequential(fc.nn.Linear(4, 8), fc.nn.ReLU(), fc.nn.Linear(8, 2))
        >>> with fc.profile() as p:
        ...     model(fc.ones(3, 4)).sum().backward()
        >>> [(row.layer, row.op, row.fused) for row in p.rows()]
        [('0', 'linear', ('bias', 'relu')), ('2', 'linear', ('bias',)), ('', 'sum', ())]
        >>> print(p.table())  # doctest: +ELLIPSIS
        layer ...
    """

    def __init__(self) -> None:
        self.events: list[ProfileEvent] = []
        self.seconds = 0.0
        self._thread = 0
        self._start = 0
        self._paths: dict[int, str] = {}
        self._modules: list[str] = []

    def __enter__(self) -> Self:
        if observing.observer is not None:
            raise RuntimeError("profile: another profile is being made; leave its block first")
        recording.refuse("profile()")
        self.events.clear()
        self._thread = threading.get_ident()
        self._start = time.perf_counter_ns()
        observing.observer = self
        return self

    def __exit__(self, *exc: object) -> None:
        observing.observer = None
        self.seconds = (time.perf_counter_ns() - self._start) / 1e9

    # What the library reports -------------------------------------------------------------------------------------

    @contextmanager
    def module(self, module: Any) -> Iterator[None]:
        """A module's call."""
        if threading.get_ident() != self._thread:
            yield
            return
        if not self._modules:  # the outermost one: names for everything below
            self._paths = {id(part): path for path, part in module.named_modules()}
        kind = type(module).__name__
        path = self._paths.get(id(module)) or kind
        event = ProfileEvent(path, kind, "module", (), time.perf_counter_ns())
        self.events.append(event)
        self._modules.append(path)
        try:
            yield
        finally:
            self._modules.pop()
            event.duration = time.perf_counter_ns() - event.start

    def forward(self, ctx: Any, raw: Sequence[Any], call: Callable[[], Any]) -> Any:
        """A Function's forward."""
        if threading.get_ident() != self._thread:
            return call()
        name = _name(ctx.function)
        event = ProfileEvent(
            self._modules[-1] if self._modules else "", name, "forward", _fused(name, raw), time.perf_counter_ns()
        )
        self.events.append(event)
        outputs = call()
        _finish(event, [*raw, outputs, *ctx._saved])
        event.flops = _product_flops(name, raw, outputs)
        ctx.observed = event
        return outputs

    def backward(self, ctx: Any, incoming: Sequence[Any], call: Callable[[], Any]) -> Any:
        """A Function's backward."""
        if threading.get_ident() != self._thread:
            return call()
        of: ProfileEvent | None = getattr(ctx, "observed", None)  # None: the forward ran before the profile
        layer, name, fused = (of.layer, of.op, of.fused) if of else ("", _name(ctx.function), ())
        event = ProfileEvent(layer, name, "backward", fused, time.perf_counter_ns())
        self.events.append(event)
        saved = ctx._saved
        results = call()
        _finish(event, [*incoming, *saved, results])
        event.flops = (of.flops if of else 0) * sum(ctx.needs_input_grad[:2])
        return results

    def recompute(self, ctx: Any, call: Callable[[], Any]) -> Any:
        """A Function's output that was not kept, computed again in backward."""
        if threading.get_ident() != self._thread:
            return call()
        of: ProfileEvent | None = getattr(ctx, "observed", None)
        layer, name, fused = (of.layer, of.op, of.fused) if of else ("", _name(ctx.function), ())
        event = ProfileEvent(layer, name, "backward", fused, time.perf_counter_ns())
        self.events.append(event)
        output = call()
        _finish(event, [ctx._saved, output])
        return output

    def run(self, op: str, phase: str, tensors: Sequence[Any], call: Callable[[], Any]) -> Any:
        """Anything else that the library wants to be seen; `tensors` are read or written."""
        if threading.get_ident() != self._thread:
            return call()
        event = ProfileEvent("", op, phase, (), time.perf_counter_ns())
        self.events.append(event)
        result = call()
        _finish(event, list(tensors))
        return result

    # Reports ------------------------------------------------------------------------------------------------------

    def rows(self, steps: int = 1) -> list[ProfileRow]:
        """Times, operations and bytes by layer and op, in the order of their first calls.

        Args:
            steps: how many steps the block ran; everything is divided by it.

        Raises:
            ValueError: `steps` below 1.
        """
        if steps < 1:
            raise ValueError(f"profile: steps is {steps}, but at least 1 is expected")
        found: dict[tuple[Any, ...], ProfileRow] = {}
        for event in self.events:
            if event.phase == "module":
                continue
            key = (event.layer, event.op, event.fused)
            row = found.setdefault(key, ProfileRow(*key))
            if event.phase == "forward":
                row.forward += event.duration / 1e9 / steps
            else:
                row.backward += event.duration / 1e9 / steps
            row.calls += (event.phase != "backward") / steps
            row.flops += event.flops / steps
            row.bytes += event.bytes / steps
        return list(found.values())

    def table(self, steps: int = 1, *, ceiling: Ceiling | None = None, sort: str = "order") -> str:
        """The rows as text, with their shares of the total time and of the roofline.

        "roofline" is the shortest time in which this machine could do the operations and move the bytes, as a share of
        the time that was needed; above 100 % data stayed in the caches. It stays empty for work on a GPU.

        Args:
            steps: how many steps the block ran; times are per step.
            ceiling: the CPU's limits; by default measured now, in about a second.
            sort: "order" of the first calls, or "time", the longest first.

        Raises:
            ValueError: `steps` below 1, or another `sort`.
        """
        if sort not in ("order", "time"):
            raise ValueError(f"profile: sort is {sort!r}, but 'order' or 'time' is expected")
        rows = self.rows(steps)
        if sort == "time":
            rows.sort(key=lambda row: -row.seconds)
        limits = ceiling
        if any(event.device != "cpu" for event in self.events):
            limits = None
        elif limits is None:
            limits = measure_ceiling(_C.num_threads(), _PEAK_SAMPLES)
        total = self.seconds / steps
        columns = ("layer", "op", "calls", "forward ms", "backward ms", "time", "GFLOP", "MB", "roofline", "fused")
        lines = [_cells(row, total, limits) for row in rows]
        ops = ProfileRow("", "all ops", ())
        for row in rows:
            for name in ("calls", "forward", "backward", "flops", "bytes"):
                setattr(ops, name, getattr(ops, name) + getattr(row, name))
        rest = max(total - ops.seconds, 0.0)
        lines.append(_cells(ops, total, limits))
        lines.append(("", "Python and the rest", "", _milliseconds(rest), "", _percent(rest, total), "", "", "", ""))
        text = ("layer", "op", "fused")
        widths = [max(map(len, column)) for column in zip(columns, *lines, strict=True)]

        def line(cells: Sequence[str]) -> str:
            aligned = [
                cell.ljust(width) if name in text else cell.rjust(width)
                for cell, width, name in zip(cells, widths, columns, strict=True)
            ]
            return "  ".join(aligned).rstrip()

        rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
        return "\n".join([line(columns), rule, *map(line, lines[:-2]), rule, *map(line, lines[-2:])])

    def save_chrome_trace(self, path: str | os.PathLike[str]) -> None:
        """Writes the events for chrome://tracing or https://ui.perfetto.dev: modules contain the ops that they call.

        Raises:
            OSError: the file cannot be written.
        """
        process = os.getpid()
        traced: list[dict[str, Any]] = [
            {"name": "process_name", "ph": "M", "pid": process, "args": {"name": "fastcnn"}},
            {"name": "thread_name", "ph": "M", "pid": process, "tid": 0, "args": {"name": "ops"}},
        ]
        for event in self.events:
            name = event.layer if event.phase == "module" else " + ".join((event.op, *event.fused))
            about = {"layer": event.layer, "op": event.op, "GFLOP": event.flops / 1e9, "MB": event.bytes / 1e6}
            traced.append(
                {
                    "name": name if event.phase != "backward" else f"{name} (backward)",
                    "cat": event.phase,
                    "ph": "X",
                    "ts": (event.start - self._start) / 1e3,
                    "dur": event.duration / 1e3,
                    "pid": process,
                    "tid": 0,
                    "args": about,
                }
            )
        with open(path, "w", encoding="utf-8") as file:
            json.dump({"traceEvents": traced, "displayTimeUnit": "ms"}, file)


# Names, operations, bytes -----------------------------------------------------------------------------------------


def _name(function: Any) -> str:
    """The op's name in small letters, e.g. "batch_norm" of _BatchNorm."""
    name: str = function.name()
    parts = ["_" + c.lower() if c.isupper() and i and not name[i - 1].isdigit() else c for i, c in enumerate(name)]
    return "".join(parts).lower()


def _fused(name: str, raw: Sequence[Any]) -> tuple[str, ...]:
    """What a kernel does besides its own op; arguments as in the Function's forward."""
    if name == "batch_norm":
        flags = [("add", raw[3] is not None), (raw[8], raw[8] is not None)]
    elif name == "conv2d":
        flags = [("bias", raw[2] is not None), ("add", raw[3] is not None), (raw[5], raw[5] != "none")]
    elif name == "linear":
        flags = [("bias", raw[2] is not None), (raw[3], raw[3] is not None)]
    else:
        return ()
    return tuple(part for part, used in flags if used)


def _product_flops(name: str, raw: Sequence[Any], outputs: Any) -> int:
    """Two operations per multiply-add of convolutions and matrix products; each gradient takes as many again."""
    if name == "conv2d":  # every output value is a dot product with one filter
        return int(2 * outputs.numel() * math.prod(raw[1].shape[1:]))
    if name == "conv_transpose2d":  # every input value is multiplied by one filter
        return int(2 * raw[0].numel() * math.prod(raw[1].shape[1:]))
    if name in ("linear", "matmul"):
        return int(2 * outputs.numel() * raw[0].shape[-1])
    return 0


def _tensors(values: Any) -> Iterator[Any]:
    for value in values:
        if isinstance(value, _C.Tensor):
            yield value
        elif isinstance(value, tuple | list):
            yield from _tensors(value)


def _finish(event: ProfileEvent, values: list[Any]) -> None:
    """The end of an op that read or wrote the tensors among `values`, each counted once."""
    distinct = {(t.data_ptr(), t.numel()): t for t in _tensors(values)}
    for index in {t.device.index for t in distinct.values() if t.device.type == "cuda"}:
        event.device = "cuda"
        _C.cuda_synchronize(index)
    event.duration = time.perf_counter_ns() - event.start
    event.bytes = sum(t.numel() * t.dtype.itemsize for t in distinct.values())


def _milliseconds(seconds: float) -> str:
    return f"{seconds * 1e3:.3f}"


def _percent(part: float, whole: float) -> str:
    return f"{part / whole:.1%}" if whole > 0 else ""


def _cells(row: ProfileRow, total: float, limits: Ceiling | None) -> tuple[str, ...]:
    share = limits.share(row.flops, row.bytes, row.seconds) if limits and row.seconds > 0 else 0.0
    return (
        row.layer,
        row.op,
        f"{row.calls:g}",
        _milliseconds(row.forward) if row.forward else "",
        _milliseconds(row.backward) if row.backward else "",
        _percent(row.seconds, total),
        f"{row.flops / 1e9:.3f}" if row.flops else "",
        f"{row.bytes / 1e6:.2f}",
        f"{share:.0%}" if limits else "",
        " + ".join(row.fused),
    )
