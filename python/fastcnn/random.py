"""Random numbers: Philox-4x32-10 streams keyed by (seed, position), the same for any number of threads and on a GPU.

A `Generator` holds its seed and position in a small tensor on its device that kernels read and advance, so recorded
steps draw new numbers when replayed, and checkpoints save 16 bytes. Every device has a default generator; `manual_seed`
seeds all of them, so that the first numbers drawn on a GPU are those the CPU would draw first. A forked process
continues with the same numbers as its parent, as PyTorch's does: give worker processes their own seeds.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from . import _C
from .tensor import Tensor

_CPU = _C.device("cpu")
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
        self.state = _C.generator_state(DEFAULT_SEED, self.device)

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
        return int(self._read()[0]) % 2**64

    def get_state(self) -> Tensor:
        """A copy of (seed, next Philox block), int64 (2,), on the CPU; waits for a GPU."""
        copy = _C.empty((2,), _C.int64)
        copy.numpy()[...] = self._read()
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
        self._write(_C.to_device(state._data, _CPU).numpy())

    def _read(self) -> np.ndarray[Any, Any]:
        return _C.to_device(self.state, _CPU).numpy()[:2]

    def _write(self, words: np.ndarray[Any, Any]) -> None:
        staged = _C.zeros(self.state.shape, _C.int64)
        staged.numpy()[:2] = words
        _C.write_(self.state, staged)


default_generator = Generator()
_cuda_generators: dict[int, Generator] = {}  # made when first used
_first_seed = DEFAULT_SEED  # of those that are not made yet


def generator_of(device: _C.device | str | None = None) -> Generator:
    """The default generator of a device."""
    place = _C.device(device or "cpu")
    if place.type == "cpu":
        return default_generator
    made = _cuda_generators.get(place.index)
    if made is None:
        made = _cuda_generators.setdefault(place.index, Generator(place).manual_seed(_first_seed))
    return made


def cuda_generators() -> dict[int, Generator]:
    """The default generators of the GPUs that have one already, by index."""
    return dict(sorted(_cuda_generators.items()))


def seed_cuda(seed: int) -> None:
    """Starts the default generator's stream of `seed` on every GPU, also on those not used yet."""
    global _first_seed
    Generator().manual_seed(seed)  # a seed out of range leaves everything as it was
    _first_seed = seed
    for generator in _cuda_generators.values():
        generator.manual_seed(seed)


def manual_seed(seed: int) -> Generator:
    """Starts the default generators' stream of `seed`: everything random afterwards is the same on every run.

    Returns:
        The CPU's generator; those of the GPUs are seeded, too.

    Example:
        >>> import fastcnn as fc
        >>> g = fc.manual_seed(0)
        >>> g.initial_seed()
        0
    """
    seed_cuda(seed)
    return default_generator.manual_seed(seed)


def seed() -> int:
    """Starts the default generators with a seed from the operating system; returns the seed."""
    drawn = default_generator.seed()
    seed_cuda(drawn)
    return drawn


def initial_seed() -> int:
    """The seed of the CPU's default generator."""
    return default_generator.initial_seed()


def get_rng_state() -> Tensor:
    """A copy of the state of the CPU's default generator; `cuda.get_rng_state` has those of the GPUs."""
    return default_generator.get_state()


def set_rng_state(state: Tensor) -> None:
    """Continues the CPU's default generator where `get_rng_state` was called."""
    default_generator.set_state(state)


def all_states() -> dict[str, Tensor]:
    """The states of the default generators of all devices, for a checkpoint."""
    states = {"cpu": get_rng_state()}
    return states | {f"cuda:{index}": generator.get_state() for index, generator in cuda_generators().items()}


def set_all_states(states: dict[str, Tensor]) -> None:
    """Continues where `all_states` was called, on the devices that are here."""
    for device, state in states.items():
        if device == "cpu" or _C.device(device).index < _C.cuda_device_count():
            generator_of(device).set_state(state)


def default_state(device: _C.device | str | None = None) -> _C.Tensor:
    """The raw state of the default generator of a device, which kernels advance."""
    return generator_of(device).state


def state_of(generator: Generator | None, device: _C.device | str | None = None) -> _C.Tensor:
    """The raw state of `generator`, or of the default one of `device`."""
    return generator.state if generator is not None else default_state(device)
