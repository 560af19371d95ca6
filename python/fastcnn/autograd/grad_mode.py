"""Whether ops called now are recorded for `backward`, by thread."""

from __future__ import annotations

import threading
from contextlib import ContextDecorator


class _GradMode(threading.local):
    enabled = True


mode = _GradMode()


def is_grad_enabled() -> bool:
    """Whether ops called now are recorded for `backward`."""
    return mode.enabled


class set_grad_enabled(ContextDecorator):
    """Switches gradient recording on or off inside a `with` block or a decorated function."""

    def __init__(self, mode: bool) -> None:
        self._wanted = bool(mode)
        self._previous: list[bool] = []

    def __enter__(self) -> None:
        self._previous.append(mode.enabled)
        mode.enabled = self._wanted

    def __exit__(self, *exc: object) -> None:
        mode.enabled = self._previous.pop()


class no_grad(set_grad_enabled):
    """Ops inside do not record gradients: `with fc.no_grad(): ...` or `@fc.no_grad()`."""

    def __init__(self) -> None:
        super().__init__(False)


class enable_grad(set_grad_enabled):
    """Ops inside record gradients again, within a `no_grad` block."""

    def __init__(self) -> None:
        super().__init__(True)
