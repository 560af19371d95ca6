"""Interleaved wall-clock timing: every round runs each contender once, so that all see the same machine."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass
class Contender:
    """One way to do a job. `activate` sets its number of threads; `run` does the job once."""

    name: str
    run: Callable[[], Any]
    activate: Callable[[], None] = lambda: None
    threads: int = 1
    seconds: list[float] = field(default_factory=list)  # per run, one entry per round

    @property
    def median(self) -> float:
        """Median seconds per run."""
        return float(np.median(self.seconds))

    @property
    def spread(self) -> float:
        """Interquartile range as a share of the median."""
        low, high = np.percentile(self.seconds, [25, 75])
        return float((high - low) / self.median)


def interleave(contenders: Sequence[Contender], rounds: int, sample_seconds: float) -> None:
    """Fills `seconds` of every contender.

    A sample repeats the job until it takes about `sample_seconds`. Before each sample the contender runs once untimed:
    its threads wake up, its code and data come back into the caches, and the last one's spinning threads fall asleep.
    """
    repeats = []
    for contender in contenders:
        contender.activate()
        contender.run()
        start = time.perf_counter()
        contender.run()
        repeats.append(max(1, round(sample_seconds / max(time.perf_counter() - start, 1e-7))))
    enabled = gc.isenabled()
    gc.disable()
    try:
        for i in range(rounds):
            for j in range(len(contenders)):
                k = (i + j) % len(contenders)  # no contender always goes first
                contenders[k].seconds.append(_sample(contenders[k], repeats[k]))
    finally:
        if enabled:
            gc.enable()


def _sample(contender: Contender, repeats: int) -> float:
    contender.activate()
    time.sleep(1e-3)
    contender.run()
    run = contender.run
    start = time.perf_counter()
    for _ in range(repeats):
        run()
    return (time.perf_counter() - start) / repeats


def comparison(ours: Contender, peers: Sequence[Contender]) -> dict[str, Any]:
    """Ours against the peer's best configuration: times, and how many times faster we are.

    `ratio` is the median over rounds of the peer's time by ours; `ratio_of_best` compares the fastest rounds.
    """
    peer = min(peers, key=lambda c: c.median)
    return {
        "peer": peer.name,
        "peer_seconds": peer.median,
        "peer_spread": peer.spread,
        "ratio": float(np.median(np.array(peer.seconds) / np.array(ours.seconds))),
        "ratio_of_best": min(min(c.seconds) for c in peers) / min(ours.seconds),
        "peers": {c.name: c.median for c in peers},
    }
