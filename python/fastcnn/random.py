"""Random numbers: Philox-4x32-10 streams keyed by (seed, position), the same for any number of threads.

A `Generator` holds its seed and position in a small tensor that kernels read and advance, so recorded steps draw new
numbers when replayed, and checkpoints save 16 bytes. A forked process continues with the same numbers as its parent, as
PyTorch's does: give worker processes their own seeds.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from . import _C
from .tensor import Tensor

DEFAULT_SEED = 67280421310721  # PyTorch's: runs that never set a seed are reproducible too


class Generator:
    """A stream of random numbers of its own.

    Args:
        device: where its numbers are drawn.

    Example:
        >>> import fastcnn as fc
        >>> g = fc.Generator().manual_seed(1)
        >>> bool((fc.rand(3, generator=g).numpy() == fc.rand(3, generator=g.manual_seed(1)).numpy()).all())
        True
    """

    def __init__(self, device: str | _C.device = "cpu") -> None:
        self.device = _C.device(device)
        self.state = _C.generator_state(DEFAULT_SEED)

    def manual_seed(self, seed: int) -> Generator:
        """Starts the stream of `seed`, an integer in [-2^63, 2^64), from its beginning; returns the generator."""
        if not -(2**63) <= seed < 2**64:
            raise ValueError(f"manual_seed: seed is {seed}, but an integer in [-2^63, 2^64) is expected")
        self._write(np.array([seed % 2**64, 0], np.uint64).view(np.int64))
        return self

    def seed(self) -> int:
        """Starts a stream with a seed from the operating system; returns the seed."""
        seed = int.from_bytes(os.urandom(8), "little")
        self.manual_seed(seed)
        return seed

    def initial_seed(self) -> int:
        """The seed of the stream, in [0, 2^64)."""
        return int(self.state.numpy()[0]) % 2**64

    def get_state(self) -> Tensor:
        """A copy of (seed, next Philox block), int64 (2,)."""
        copy = _C.empty_like(self.state)
        _C.copy_(copy, self.state)
        return Tensor(copy)

    def set_state(self, state: Tensor) -> None:
        """Continues where `get_state` was called.

        Raises:
            ValueError: not a state: another shape.
            TypeError: not a state: another dtype.
        """
        if state.dtype != _C.int64:
            raise TypeError(f"set_state: state is {state.dtype}, but expected int64")
        if state.shape != (2,):
            raise ValueError(f"set_state: state has shape {state.shape}, but expected (2,)")
        self._write(state._data.numpy())

    def _write(self, words: np.ndarray[Any, Any]) -> None:
        self.state.numpy()[...] = words
        self.state.bump_version()


default_generator = Generator()


def manual_seed(seed: int) -> Generator:
    """Starts the default generator's stream of `seed`: everything random afterwards is the same on every run.

    Example:
        >>> import fastcnn as fc
        >>> g = fc.manual_seed(0)
        >>> g.initial_seed()
        0
    """
    return default_generator.manual_seed(seed)


def seed() -> int:
    """Starts the default generator with a seed from the operating system; returns the seed."""
    return default_generator.seed()


def initial_seed() -> int:
    """The default generator's seed."""
    return default_generator.initial_seed()


def get_rng_state() -> Tensor:
    """A copy of the default generator's state."""
    return default_generator.get_state()


def set_rng_state(state: Tensor) -> None:
    """Continues the default generator where `get_rng_state` was called."""
    default_generator.set_state(state)


def default_state() -> _C.Tensor:
    """The raw state of the default generator, which kernels advance."""
    return default_generator.state


def state_of(generator: Generator | None) -> _C.Tensor:
    """The raw state of `generator`, or of the default one."""
    return (generator or default_generator).state
