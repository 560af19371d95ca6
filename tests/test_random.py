"""The random generator: published vectors, streams, distributions, reproducibility."""

from __future__ import annotations

import os
import threading

import numpy as np
import pytest

import fastcnn as fc
from fastcnn import _C
from fastcnn import random as fcrandom


def philox4x32(counter: np.ndarray, key: tuple[int, int]) -> np.ndarray:
    """Philox-4x32-10 of Salmon et al. 2011 in NumPy: (n, 4) counters to (n, 4) words."""
    mask = np.uint64(0xFFFFFFFF)
    c = [counter[:, i].astype(np.uint64) for i in range(4)]
    k0, k1 = key
    for _ in range(10):
        p0, p1 = c[0] * np.uint64(0xD2511F53), c[2] * np.uint64(0xCD9E8D57)
        c = [
            (p1 >> np.uint64(32)) ^ c[1] ^ np.uint64(k0),
            p1 & mask,
            (p0 >> np.uint64(32)) ^ c[3] ^ np.uint64(k1),
            p0 & mask,
        ]
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return np.stack(c, axis=1).astype(np.uint32)


def philox_words(seed: int, first: int, blocks: int) -> np.ndarray:
    """(blocks, 4) words of fastcnn's stream."""
    index = np.arange(first, first + blocks, dtype=np.uint64)
    zero = np.zeros_like(index)
    counters = np.stack([index & np.uint64(0xFFFFFFFF), index >> np.uint64(32), zero, zero], axis=1)
    return philox4x32(counters, (seed & 0xFFFFFFFF, seed >> 32))


# Random123, tests/kat_vectors: philox4x32 10.
KNOWN = [
    ([0] * 4, [0] * 2, [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]),
    ([0xFFFFFFFF] * 4, [0xFFFFFFFF] * 2, [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]),
    (
        [0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344],
        [0xA4093822, 0x299F31D0],
        [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1],
    ),
]


@pytest.mark.parametrize(("counter", "key", "words"), KNOWN)
def test_philox_equals_the_published_vectors(counter: list[int], key: list[int], words: list[int]) -> None:
    assert list(_C.philox4x32(counter, key)) == words
    assert philox4x32(np.array([counter]), (key[0], key[1]))[0].tolist() == words


@pytest.mark.parametrize("first", [0, 5, 2**32 - 3, 2**33 + 1])
def test_uniform_numbers_are_the_words_of_the_stream(first: int) -> None:
    seed, n = 0x0123456789ABCDEF, 20_003
    generator = fc.Generator().manual_seed(seed)
    generator.set_state(fc.tensor(np.array([seed, first])))
    got = fc.rand(n, generator=generator).numpy()
    words = philox_words(seed, first, (n + 3) // 4).reshape(-1)[:n]
    np.testing.assert_array_equal(got, (words >> 8).astype(np.float32) * np.float32(2.0**-24))
    assert generator.get_state().numpy().tolist() == [seed, first + (n + 3) // 4]


def test_normal_numbers_are_box_muller(isa: str) -> None:
    n = 20_001
    fc.manual_seed(5)
    got = fc.randn(n).numpy()
    words = philox_words(5, 0, (n + 3) // 4).reshape(-1, 2) >> 8
    radius = np.sqrt(-2 * np.log((words[:, 0] + 1.0) * 2.0**-24))
    angle = 2 * np.pi * words[:, 1] * 2.0**-24
    expected = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1).reshape(-1)[:n]
    np.testing.assert_allclose(got, expected, atol=1e-6)


def test_every_instruction_set_draws_the_same_bits() -> None:
    results = set()
    before = _C.active_isa()
    for isa in ("scalar", "avx2", "avx512")[: ("scalar", "avx2", "avx512").index(_C.best_isa()) + 1]:
        _C.set_isa(isa)
        fc.manual_seed(1)
        results.add(fc.rand(1001).numpy().tobytes() + fc.randn(1001).numpy().tobytes())
    _C.set_isa(before)
    assert len(results) == 1


@pytest.mark.parametrize("dtype", [fc.float32, fc.float64])
def test_moments(dtype: _C.dtype) -> None:
    n = 400_000
    u, z = fc.rand(n, dtype=dtype).numpy(), fc.randn(n, dtype=dtype).numpy()
    assert u.min() >= 0
    assert u.max() < 1
    assert abs(u.mean() - 0.5) < 5 / (12 * n) ** 0.5
    assert abs(u.var() - 1 / 12) < 0.001
    assert abs(z.mean()) < 5 / n**0.5
    assert abs(z.std() - 1) < 0.006
    assert abs((z**4).mean() - 3) < 0.1
    assert abs((z[::2] * z[1::2]).mean()) < 5 / (n / 2) ** 0.5


def test_uniform_range_is_half_open() -> None:
    raw = _C.empty((100_000,), fc.float32)
    _C.uniform_(raw, 1.0, 1.0000001, fcrandom.default_state())
    assert raw.numpy().max() < np.float32(1.0000001)
    with pytest.raises(ValueError, match="uniform_"):
        _C.uniform_(raw, 1.0, 0.0, fcrandom.default_state())


def test_integers_cover_their_range() -> None:
    drawn = fc.randint(-3, 4, (70_000,)).numpy()
    counts = np.bincount(drawn + 3, minlength=7)
    assert len(counts) == 7
    assert (abs(counts - 10_000) < 500).all()
    assert fc.randint(1, (5,)).numpy().tolist() == [0] * 5
    wide = fc.randint(-(2**63), 2**63 - 1, (1000,)).numpy()
    assert wide.min() < -(2**61)
    assert wide.max() > 2**61
    assert fc.randint(5, (3,), dtype=fc.float32).dtype == fc.float32
    with pytest.raises(ValueError, match="randint"):
        fc.randint(3, 3, (2,))


@pytest.mark.parametrize("n", [0, 1, 2, 7, 1000])
def test_permutations(n: int) -> None:
    assert sorted(fc.randperm(n).numpy().tolist()) == list(range(n))


def test_permutations_are_uniform() -> None:
    first = np.array([fc.randperm(5).numpy() for _ in range(4000)])
    for place in range(5):
        assert (abs(np.bincount(first[:, place], minlength=5) - 800) < 140).all()


def test_bernoulli() -> None:
    p = fc.tensor(np.repeat(np.array([0.0, 0.3, 1.0], np.float32), 50_000))
    draws = fc.bernoulli(p).numpy().reshape(3, -1).mean(axis=1)
    assert draws[0] == 0
    assert abs(draws[1] - 0.3) < 0.011
    assert draws[2] == 1


def test_thread_count_does_not_matter() -> None:
    results = []
    for threads in (1, 2, 3):
        _C.set_num_threads(threads)
        fc.manual_seed(9)
        results.append(fc.randn(100_001).numpy().tobytes() + fc.rand(77_777).numpy().tobytes())
    assert len(set(results)) == 1


def test_seeds_and_states() -> None:
    fc.manual_seed(11)
    a = fc.rand(5).numpy().copy()
    state = fc.get_rng_state()
    b = fc.rand(5).numpy().copy()
    fc.set_rng_state(state)
    np.testing.assert_array_equal(fc.rand(5).numpy(), b)
    assert fc.initial_seed() == 11
    fc.manual_seed(11)
    np.testing.assert_array_equal(fc.rand(5).numpy(), a)
    fc.manual_seed(12)
    assert (fc.rand(5).numpy() != a).any()
    assert fc.manual_seed(2**64 - 1).initial_seed() == fc.manual_seed(-1).initial_seed() == 2**64 - 1
    assert fc.Generator().seed() != fc.Generator().seed()


def test_generators_are_independent() -> None:
    g = fc.Generator().manual_seed(4)
    fc.manual_seed(4)
    a = fc.rand(3, generator=g).numpy().copy()
    np.testing.assert_array_equal(fc.rand(3).numpy(), a)
    np.testing.assert_array_equal(fc.rand(3, generator=g).numpy(), fc.rand(3).numpy())


def test_misuse() -> None:
    with pytest.raises(ValueError, match="manual_seed"):
        fc.manual_seed(2**64)
    with pytest.raises(ValueError, match=r"set_state.*\(3,\)"):
        fc.Generator().set_state(fc.zeros(3, dtype=fc.int64))
    with pytest.raises(TypeError, match=r"set_state.*float32"):
        fc.Generator().set_state(fc.zeros(2))


def test_threads_draw_different_numbers() -> None:
    fc.manual_seed(1)
    draws: list[np.ndarray] = []
    threads = [threading.Thread(target=lambda: draws.extend(fc.rand(64).numpy() for _ in range(50))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({d.tobytes() for d in draws}) == 200


def test_forked_process_draws() -> None:
    fc.manual_seed(1)
    fc.randn(100_000)
    state = fc.get_rng_state()
    expected = fc.randn(100_000).numpy().copy()
    fc.set_rng_state(state)
    pid = os.fork()
    if pid == 0:
        os._exit(0 if (fc.randn(100_000).numpy() == expected).all() else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_bfloat16_and_like() -> None:
    assert fc.rand(3, dtype=fc.bfloat16).dtype == fc.bfloat16
    x = fc.zeros(2, 3, 4, 5, dtype=fc.float64)
    for made in (
        fc.rand_like(x),
        fc.randn_like(x),
        fc.zeros_like(x),
        fc.ones_like(x),
        fc.empty_like(x),
        fc.full_like(x, 2),
    ):
        assert made.shape == x.shape
        assert made.dtype == x.dtype


def test_creation() -> None:
    assert fc.zeros(2, 3).numpy().tolist() == [[0.0] * 3] * 2
    assert fc.ones((2,), dtype=fc.int64).numpy().tolist() == [1, 1]
    assert fc.full((2,), 3).dtype == fc.int64
    assert fc.full((2,), 3.0).dtype == fc.float32
    assert fc.full((), True).dtype == fc.bool_
    assert fc.arange(5).numpy().tolist() == [0, 1, 2, 3, 4]
    assert fc.arange(1, 2, 0.25).numpy().tolist() == [1.0, 1.25, 1.5, 1.75]
    assert fc.arange(3, 0, -1).numpy().tolist() == [3, 2, 1]
    assert fc.linspace(0, 1, 3).numpy().tolist() == [0.0, 0.5, 1.0]
    assert fc.eye(2, 3).numpy().tolist() == [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
    assert fc.empty(0, 3).shape == (0, 3)
    assert fc.zeros(2, requires_grad=True).requires_grad
    with pytest.raises(ValueError, match="arange"):
        fc.arange(0, 5, -1)
    with pytest.raises(ValueError, match="zeros"):
        fc.zeros(-1)
    with pytest.raises(TypeError, match="ones"):
        fc.ones(1.5)
