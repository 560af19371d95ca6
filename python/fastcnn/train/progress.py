"""The progress line: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import Any

_BAR_INTERVAL, _PLAIN_INTERVAL = 0.1, 30.0  # seconds between updates within an epoch


class Progress:
    """Reports one epoch: loss, accuracy, images per second, time left.

    Args:
        label: e.g. "epoch 2/5".
        steps: in this epoch.
        done: steps already done when a run continues in mid-epoch.
        images: images already seen then.
        enabled: False prints nothing.
    """

    def __init__(self, label: str, steps: int, done: int = 0, images: int = 0, enabled: bool = True) -> None:
        self._label = label
        self._steps = steps
        self._first = done
        self._first_image = images
        self._enabled = enabled
        self._start = self._shown = time.perf_counter()
        self._bar: Any = None
        if enabled and sys.stderr.isatty():
            from tqdm import tqdm

            self._bar = tqdm(total=steps, initial=done, desc=label, unit="step", leave=False, dynamic_ncols=True)

    def update(self, step: int, images: int, loss: float, accuracy: float | None) -> None:
        """After `step` steps and `images` images of this epoch."""
        if not self._enabled:
            return
        now = time.perf_counter()
        if now - self._shown < (_BAR_INTERVAL if self._bar is not None else _PLAIN_INTERVAL):
            return
        self._shown = now
        rate = (images - self._first_image) / max(now - self._start, 1e-9)
        text = describe(loss, accuracy) + f"  {rate:,.0f} images/s"
        if self._bar is not None:
            self._bar.set_postfix_str(text, refresh=False)
            self._bar.update(step - self._bar.n)
        else:
            left = (now - self._start) / max(step - self._first, 1) * (self._steps - step)
            print(
                f"{self._label}  step {step}/{self._steps}  {text}  {duration(left)} left", file=sys.stderr, flush=True
            )

    def close(self, record: Mapping[str, Any] | None = None, left: float | None = None) -> None:
        """Ends the epoch; with its record, prints the epoch's line."""
        if self._bar is not None:
            self._bar.close()
        if not self._enabled or record is None:
            return
        parts = [self._label, describe(record["train_loss"], record.get("train_accuracy"))]
        for part in ("val", "test"):
            if f"{part}_accuracy" in record:
                parts.append(f"{part} accuracy {100 * record[f'{part}_accuracy']:.2f} %")
            elif f"{part}_loss" in record:
                parts.append(f"{part} loss {record[f'{part}_loss']:.4f}")
        parts.append(f"{record['images_per_second']:,.0f} images/s")
        parts.append(f"{duration(record['seconds'])}" + (f", {duration(left)} left" if left else ""))
        print("  ".join(parts), file=sys.stderr, flush=True)


def describe(loss: float, accuracy: float | None) -> str:
    """Loss and accuracy as in: loss 0.1234  accuracy 96.12 %."""
    return f"loss {loss:.4f}" + (f"  accuracy {100 * accuracy:.2f} %" if accuracy is not None else "")


def duration(seconds: float) -> str:
    """Seconds for people: "0.8 s", "12 s", "3:05", "1:02:03"."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
