"""The emulated CUDA device: every primitive against its definition, and planted errors that it must find."""

from __future__ import annotations

import math
import os
import pathlib
import signal
import subprocess
import sys
from collections.abc import Sequence

import numpy as np
import pytest

from fastcnn import _C

pytestmark = pytest.mark.skipif(
    not hasattr(_C, "emulator_selftest"), reason="this build has no emulated CUDA device (FASTCNN_CUDA=emulated)"
)

LANES = np.arange(32)
POISON = 0xFFFFFFFF


def run(
    name: str,
    input: np.ndarray | Sequence[int] = (0,),
    output: np.ndarray | int = 32,
    grid: int | tuple[int, ...] = 1,
    block: int | tuple[int, ...] = 32,
    shared: int = 0,
) -> np.ndarray:
    """Runs a kernel on words; `output` is what they contain before, or how many words of poison."""
    words = np.asarray(input)
    if words.dtype != np.float32:
        words = (words.astype(np.int64) & 0xFFFFFFFF).astype(np.uint32)
    out = np.full(output, POISON, np.uint32) if isinstance(output, int) else output
    pad = [tuple(np.r_[size, 1, 1][:3].tolist()) for size in (grid, block)]
    return _C.emulator_selftest(name, words.view(np.uint32).ravel(), out.astype(np.uint32), *pad, shared)


def words(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Random 32-bit words."""
    return rng.integers(0, 2**32, shape, dtype=np.uint32)


def test_indices_cover_grid_and_block() -> None:
    grid, block = (3, 2, 2), (4, 3, 2)
    found = run("indices", output=6 * 12 * 24, grid=grid, block=block).reshape(12, 24, 6)
    for b in range(12):
        for t in range(24):
            place = (t % 4, t // 4 % 3, t // 12, b % 3, b // 3 % 2, b // 6)
            assert tuple(found[b, t]) == place


@pytest.mark.parametrize("width", [32, 16, 8, 2])
@pytest.mark.parametrize("by", [0, 1, 3, 7, 16, 31])
def test_shuffles_follow_the_definition(rng: np.random.Generator, width: int, by: int) -> None:
    values = words(rng, 32)
    args = np.r_[by, width, values]
    first, last = LANES // width * width, LANES // width * width + width - 1
    np.testing.assert_array_equal(run("shfl", args), values[first + by % width])
    source = LANES ^ by
    np.testing.assert_array_equal(run("shfl_xor", args), values[np.where(source > last, LANES, source)])
    source = LANES - by
    np.testing.assert_array_equal(run("shfl_up", args), values[np.where(source < first, LANES, source)])
    source = LANES + by
    np.testing.assert_array_equal(run("shfl_down", args), values[np.where(source > last, LANES, source)])


def test_shuffle_reads_the_lane_that_each_lane_names(rng: np.random.Generator) -> None:
    source = rng.integers(0, 32, 32)
    np.testing.assert_array_equal(run("shfl_own_source", source), 3 * source)


@pytest.mark.parametrize(("name", "dtype"), [("float", np.float32), ("double", np.float64), ("int64", np.int64)])
def test_shuffle_moves_values_of_other_types(rng: np.random.Generator, name: str, dtype: type) -> None:
    values = (rng.standard_normal(32) * 1e15).astype(dtype)
    found = run("shfl_" + name, values.view(np.uint32), output=values.view(np.uint32).size)
    np.testing.assert_array_equal(found.view(dtype), values[::-1])


def test_shuffle_of_part_of_a_warp(rng: np.random.Generator) -> None:
    values = words(rng, 32)
    np.testing.assert_array_equal(run("shfl_halves", values), values[LANES ^ np.where(LANES % 2, 2, 4)])


def test_shuffle_from_a_lane_that_does_not_exist_gives_poison() -> None:
    found = run("shfl_xor", np.r_[16, 32, LANES], output=20, block=20)
    np.testing.assert_array_equal(
        found, np.where(LANES[:20] < 4, LANES[:20] + 16, np.where(LANES[:20] < 16, POISON, LANES[:20] - 16))
    )


@pytest.mark.parametrize("chance", [0.0, 0.5, 1.0])
def test_votes(rng: np.random.Generator, chance: float) -> None:
    predicate = rng.random(32) < chance
    ballot = int((predicate * 2.0**LANES).sum())
    found = run("votes", predicate, output=96).reshape(32, 3)
    np.testing.assert_array_equal(found, np.tile([ballot, predicate.any(), predicate.all()], (32, 1)))


@pytest.mark.parametrize("chance", [0.0, 0.5, 1.0])
def test_barriers_that_count(rng: np.random.Generator, chance: float) -> None:
    predicate = rng.random(200) < chance
    found = run("barrier_votes", predicate, output=600, block=200).reshape(200, 3)
    np.testing.assert_array_equal(found, np.tile([predicate.any(), predicate.all(), predicate.sum()], (200, 1)))


@pytest.mark.parametrize("threads", [1, 31, 32, 33, 250, 1024])
def test_barriers_keep_rounds_apart(rng: np.random.Generator, threads: int) -> None:
    values = words(rng, threads)
    np.testing.assert_array_equal(
        run("prefix_sum", values, output=threads, block=threads), np.cumsum(values, dtype=np.uint32)
    )


def test_atomics(rng: np.random.Generator) -> None:
    values = words(rng, 5 * 96)
    start = np.zeros(9 + 480, np.uint32)
    start[1], start[4], start[8] = 2**31 - 1, POISON, 77
    found = run("atomics", values, start, grid=5, block=96)
    assert found[0] == values.sum(dtype=np.uint32)
    assert found[1].astype(np.int32) == values.astype(np.int32).min()
    assert found[2] == values.max()
    assert found[3] == np.bitwise_or.reduce(values)
    assert found[4] == np.bitwise_and.reduce(values)
    assert found[6:8].view(np.uint64)[0] == int(values.astype(object).sum()) << 20
    expected = 0
    for _ in range(480):
        expected = (expected * 2654435761 + 1) % 2**32
    assert found[5] == expected
    # Every value but the last was handed to exactly one thread.
    assert sorted([*found[9:], found[8]]) == sorted([77, *values])


@pytest.mark.parametrize(("before", "after"), [(5, 9), (6, 6)])
def test_compare_and_swap_writes_what_it_expected_only(before: int, after: int) -> None:
    assert run("compare_and_swap", [5, 9], np.array([before, 0]), block=1).tolist() == [after, before]


def test_last_block_sees_what_all_blocks_wrote(rng: np.random.Generator) -> None:
    values = words(rng, 37)
    found = run("last_block", values, np.zeros(39, np.uint32), grid=37, block=64)
    assert found[1] == values.sum(dtype=np.uint32)


def test_integer_functions(rng: np.random.Generator) -> None:
    values = np.r_[words(rng, 56), 0, 1, 2**31, POISON, 0, 0, POISON, POISON].astype(np.uint32).reshape(32, 2)
    found = run("bits", values, output=256).reshape(32, 8)
    for (a, b), row in zip(values.tolist(), found.tolist(), strict=True):
        assert row[0] == a * b >> 32
        assert row[1] == a.bit_count()
        assert row[2] == 32 - a.bit_length()
        assert row[3] == (a & -a).bit_length()
        assert row[4] == int(f"{a:032b}"[::-1], 2)
        signed = [x - 2**32 if x >= 2**31 else x for x in (a, b)]
        assert row[5] == min(signed) % 2**32
        assert row[6] == max(a, b)
        source = a.to_bytes(4, "little") + b.to_bytes(4, "little")
        assert row[7] == int.from_bytes(bytes(source[i] for i in (5, 7, 1, 3)), "little")


def test_float_functions(rng: np.random.Generator) -> None:
    values = rng.standard_normal((32, 2)).astype(np.float32)
    values[0], values[1], values[2] = (np.nan, 1), (1, np.nan), (3, -2)
    a, b = values.astype(np.float64).T
    found = run("floats", values, output=256).view(np.float32).reshape(32, 8)
    normal = [0.5 * math.erfc(-x / math.sqrt(2)) for x in a]
    saturated = np.where(np.isnan(a), 0, np.clip(a, 0, 1))
    columns = [1 / np.sqrt(abs(a)), np.exp(a), np.fmin(a, b), np.fmax(a, b), a / b, a * b + 1, normal, saturated]
    np.testing.assert_allclose(found, np.stack(columns, 1), rtol=3e-7, atol=1e-7)


@pytest.mark.parametrize("by", [1, 2, 3, 5, 7, 10, 31, 641, 65535, 65536, 2**20 + 7, 2**31 - 1])
def test_divisor_is_exact(rng: np.random.Generator, by: int) -> None:
    edges = np.r_[0, 1, by - 1, by, min(by + 1, 2**31 - 1), 2 * by - 1, 2**31 - 2, 2**31 - 1] % 2**31
    n = np.r_[edges, rng.integers(0, 2**31, 1016)]
    found = run("divisor", np.r_[by, n], output=2048, block=1024).reshape(1024, 2)
    np.testing.assert_array_equal(found, np.stack([n // by, n % by], 1))


def test_packs_move_four_words(rng: np.random.Generator) -> None:
    values = words(rng, 64, 4)
    np.testing.assert_array_equal(
        run("packs", values, output=256, block=64).reshape(64, 4), values + np.arange(4, dtype=np.uint32)
    )


def test_warp_reductions_reach_every_lane(rng: np.random.Generator) -> None:
    values = rng.integers(-100, 100, 64).astype(np.float32)
    found = run("warp_sums", values, output=128, block=64).view(np.float32).reshape(2, 2, 32)
    warps = values.reshape(2, 32)
    np.testing.assert_array_equal(found, np.stack([warps.sum(1), warps.max(1)])[:, :, None] * np.ones(32))


def test_bfloat16_rounds_to_nearest_even(rng: np.random.Generator) -> None:
    values = rng.standard_normal(32).astype(np.float32)
    values[:3] = [1 + 2.0**-8, 1 + 3 * 2.0**-8, np.inf]
    bits = values.view(np.uint32).astype(np.uint64)
    expected = ((bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000).astype(np.uint32)
    np.testing.assert_array_equal(run("bfloat16s", values), expected)


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("count", [4, 2])
def test_ldmatrix_distributes_rows(rng: np.random.Generator, count: int, transposed: bool) -> None:
    memory = rng.integers(0, 2**16, (64, 8), dtype=np.uint16)
    rows = rng.permutation(64)[:32]
    name = f"matrices_x{count}" + "_transposed" * transposed
    found = run(name, np.r_[rows, memory.view(np.uint32).ravel()], output=32 * count).view(np.uint16)
    for lane, registers in enumerate(found.reshape(32, count, 2)):
        for m, pair in enumerate(registers):
            matrix = memory[rows[8 * m : 8 * m + 8]]
            matrix = matrix.T if transposed else matrix
            np.testing.assert_array_equal(pair, matrix[lane // 4, lane % 4 * 2 : lane % 4 * 2 + 2])


def as_bfloat16(values: np.ndarray) -> np.ndarray:
    """Truncated to bfloat16, as float32."""
    return (values.astype(np.float32).view(np.uint32) & 0xFFFF0000).view(np.float32)


def fragments_d(d: np.ndarray) -> np.ndarray:
    """The accumulators of each lane, (32, 4)."""
    group, quad = LANES // 4, LANES % 4
    return np.stack([d[group, 2 * quad], d[group, 2 * quad + 1], d[group + 8, 2 * quad], d[group + 8, 2 * quad + 1]], 1)


def test_mma_bf16_multiplies_16x8x16(rng: np.random.Generator) -> None:
    a, b = as_bfloat16(rng.standard_normal((16, 16))), as_bfloat16(rng.standard_normal((16, 8)))
    d = rng.standard_normal((16, 8)).astype(np.float32)
    group, quad = LANES // 4, LANES % 4

    def pair(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        return (first.view(np.uint32) >> 16) | (second.view(np.uint32) & 0xFFFF0000)

    registers = [pair(a[group + r, 2 * quad + c], a[group + r, 2 * quad + c + 1]) for c in (0, 8) for r in (0, 8)]
    registers += [pair(b[2 * quad + r, group], b[2 * quad + r + 1, group]) for r in (0, 8)]
    input = np.concatenate([np.stack(registers, 1), fragments_d(d).view(np.uint32)], 1)
    found = run("mma", np.r_[0, input.ravel()], output=128).view(np.float32).reshape(32, 4)
    exact = d.astype(np.float64) + a.astype(np.float64) @ b.astype(np.float64)
    np.testing.assert_allclose(found, fragments_d(exact), rtol=0, atol=2e-6 * abs(exact).max())


def test_mma_tf32_multiplies_16x8x8_and_ignores_low_bits(rng: np.random.Generator) -> None:
    a, b = rng.standard_normal((16, 8)).astype(np.float32), rng.standard_normal((8, 8)).astype(np.float32)
    d = rng.standard_normal((16, 8)).astype(np.float32)
    group, quad = LANES // 4, LANES % 4
    registers = [a[group + r, quad + c] for c in (0, 4) for r in (0, 8)] + [b[quad + r, group] for r in (0, 4)]
    input = np.concatenate([np.stack(registers, 1), fragments_d(d)], 1).astype(np.float32)
    found = run("mma", np.r_[1, input.view(np.uint32).ravel()], output=128).view(np.float32).reshape(32, 4)
    a, b = ((x.view(np.uint32) & 0xFFFFE000).view(np.float32).astype(np.float64) for x in (a, b))
    exact = d + a @ b
    np.testing.assert_allclose(found, fragments_d(exact), rtol=0, atol=2e-6 * abs(exact).max())


def test_tf32_rounds_ties_away_from_zero(rng: np.random.Generator) -> None:
    step = 2.0**-10
    values = np.r_[1 + step / 2, -1 - step / 2, 1 + step * 0.49, np.inf, rng.standard_normal(28)].astype(np.float32)
    found = run("tf32", values).view(np.float32).astype(np.float64)
    scale = 2.0 ** (np.floor(np.log2(abs(values[4:].astype(np.float64)))) - 10)
    expected = np.r_[
        1 + step, -1 - step, 1, np.inf, np.sign(values[4:]) * np.floor(abs(values[4:]) / scale + 0.5) * scale
    ]
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("size", [4, 8, 16])
def test_async_copies_arrive_at_the_wait_for_their_group(rng: np.random.Generator, size: int) -> None:
    n = size // 4
    values = words(rng, 32, n)
    found = run(f"async_copy_{size}", values, output=4 * 32 * 3 * n).reshape(4, 32, 3, n)
    first, outside, second = found.transpose(2, 0, 1, 3)
    poison = np.full((32, n), POISON, np.uint32)
    # Looks: before a wait; after a wait with only the first group committed; after waiting for all but one; for all.
    np.testing.assert_array_equal(first, [poison, values, values, values])
    np.testing.assert_array_equal(outside, [poison, 0 * values, 0 * values, 0 * values])
    np.testing.assert_array_equal(second, [poison, poison, poison, values])


def test_bad_label_reaches_the_host() -> None:
    with pytest.raises(ValueError, match=r"target\[5\].* is -7, but labels from 0 to 9 are expected for 10 classes"):
        run("report", [5, -7, 10])
    run("nothing")


def test_memory_starts_as_garbage_in_every_block() -> None:
    np.testing.assert_array_equal(run("unwritten_shared", output=3 * 128, grid=3, block=64, shared=256), POISON)


@pytest.mark.parametrize(("grid", "block"), [(1, 256), (256, 1)])
def test_threads_and_blocks_run_in_no_order(grid: int, block: int) -> None:
    start = np.zeros(257, np.uint32)
    tickets = run("ticket_per_thread", output=start, grid=grid, block=block)[1:]
    assert sorted(tickets) == list(range(256))
    in_order = (np.diff(tickets.astype(int)) == 1).mean()
    assert in_order < 0.3, f"{in_order:.0%} of the neighbours ran in order"


RACES = ["missing_syncthreads", "missing_wait", "wait_without_barrier"]


@pytest.mark.parametrize("threads", [32, 64, 256])
@pytest.mark.parametrize("name", RACES)
def test_races_spoil_the_result(name: str, threads: int) -> None:
    values = np.arange(threads)
    assert (run(name, values, output=threads, block=threads) != values[::-1]).any()


def test_missing_syncwarp_spoils_the_result() -> None:
    assert (run("missing_syncwarp", LANES) != LANES[::-1]).any()


@pytest.mark.parametrize("threads", [32, 64, 256])
def test_missing_second_barrier_spoils_the_result(threads: int) -> None:
    values = np.arange(threads)
    found = run("missing_second_syncthreads", values, output=2 * threads, block=threads)
    assert (found != np.r_[values[::-1], values[::-1] + 1]).any()


ERRORS = [
    (
        "exit_before_barrier",
        {"input": [32], "block": 64},
        r", block \(0, 0, 0\): deadlock: 32 threads waiting at __syncthreads .*; 32 threads exited",
    ),
    ("divergent_barrier", {}, r"divergent barrier: .*__syncthreads"),
    ("barrier_against_collective", {}, r"deadlock: 16 threads waiting at __syncthreads .*__syncwarp .* 0xffffffff"),
    ("divergent_collective", {}, r"divergent collective: lane .* (__ballot_sync|__any_sync)"),
    ("divergent_places", {}, r"divergent collective: lane .* is at __syncwarp .* waits at __syncwarp"),
    ("foreign_mask", {}, r"__syncwarp .*: the mask does not name the calling lane"),
    ("touch_nowhere", {}, r"out-of-bounds write of global memory, address 0x12340 is far from every allocation"),
    ("endless_stack", {}, r"the stack of 64 KB is too small"),
    (
        "misaligned_load",
        {"input": LANES},
        r"misaligned address: .* needs a multiple of 16, but the address is 4 beyond",
    ),
    ("misaligned_store", {}, r"misaligned address: .* needs a multiple of 16, but the address is 8 beyond"),
    ("misaligned_copy", {"input": LANES}, r"misaligned address: cp_async from global memory needs a multiple of 16"),
    ("copy_to_global", {"input": LANES}, r"cp_async: the address is not in shared memory"),
    ("misaligned_matrix", {}, r"thread \(9, 0, 0\): misaligned address: ldmatrix_x4 needs a multiple of 16"),
    ("unwritten_shared", {}, r"uses dynamic shared memory, but was launched with 0 bytes"),
    ("too_much_static", {}, r"the shared variables take 65536 bytes, but at most 49152 are possible"),
    ("much_shared", {"shared": 220 << 10}, r"more than the 232448 bytes a block may have"),
    ("mma", {"block": 16, "input": np.zeros(400)}, r"mma needs a whole warp"),
    ("host_pointer", {}, r"pointer argument 1 \(0x[0-9a-f]+\) is no device memory"),
    ("nothing", {"block": 1025}, r"could not be launched with grid \(1, 1, 1\), block \(1025, 1, 1\)"),
    ("nothing", {"block": (16, 8, 16)}, r"could not be launched"),
    ("nothing", {"block": (1, 1, 65)}, r"could not be launched"),
    ("nothing", {"grid": 0}, r"could not be launched with grid \(0, 1, 1\)"),
    ("nothing", {"grid": 2**31}, r"could not be launched"),
    ("nothing", {"grid": (1, 65536)}, r"could not be launched with grid \(1, 65536, 1\)"),
    ("nothing", {"shared": 233472}, r"could not be launched .* 233472 bytes of shared memory"),
]


@pytest.mark.parametrize(("name", "arguments", "message"), ERRORS, ids=[f"{e[0]}-{i}" for i, e in enumerate(ERRORS)])
def test_errors_are_found_and_the_device_survives(name: str, arguments: dict, message: str) -> None:
    with pytest.raises(RuntimeError, match=rf"^CUDA kernel {name} for sizes \(\d+, 32\).*{message}"):
        run(name, **arguments)
    np.testing.assert_array_equal(run("prefix_sum", LANES, block=32), np.cumsum(LANES))


def test_fibers_of_failed_launches_are_used_again() -> None:
    for _ in range(3):
        with pytest.raises(RuntimeError, match="deadlock: 1000 threads waiting"):
            run("exit_before_barrier", [1000], block=1024)


GLOBAL = r"thread \(3, 0, 0\): out-of-bounds {} of global memory, address is {} an allocation of 128 bytes"
BOUNDS = [
    ("touch_global", 32, 1, GLOBAL.format("write", "0 bytes past the end of")),
    ("touch_global", 33, 0, GLOBAL.format("read", "4 bytes past the end of")),
    ("touch_global", 100_000, 0, GLOBAL.format("read", "399872 bytes past the end of")),
    ("touch_global", -2000, 0, GLOBAL.format("read", "8000 bytes before the start of")),
    ("touch_global", -1, 1, r"out-of-bounds write of global memory, just outside the allocation of pointer argument 2"),
    (
        "touch_shared",
        100,
        1,
        r"out-of-bounds write of shared memory, .* 0 bytes past the end of a shared variable of 400",
    ),
    (
        "touch_shared",
        103,
        0,
        r"out-of-bounds read of shared memory, .* 12 bytes past the end of a shared variable of 400",
    ),
    ("touch_shared", -1000, 0, r"out-of-bounds read of shared memory, .* 4000 bytes before the start"),
    ("touch_shared", -1, 1, r"out-of-bounds write of shared memory, beside a variable of 400 bytes"),
    (
        "touch_dynamic",
        64,
        1,
        r"write of shared memory, .* 0 bytes past the end of the dynamic shared memory of 256 bytes",
    ),
    ("touch_dynamic", -1, 1, r"out-of-bounds write of shared memory, beside the dynamic shared memory of 256 bytes"),
]


@pytest.mark.parametrize(("name", "index", "write", "message"), BOUNDS)
def test_out_of_bounds_accesses_are_found(name: str, index: int, write: int, message: str) -> None:
    for _ in range(2):
        with pytest.raises(RuntimeError, match=message):
            run(name, [index, write], block=4, shared=256)
    run(name, [0, 1], block=4, shared=256)


def test_writes_into_the_rounding_are_found() -> None:
    with pytest.raises(RuntimeError, match="just outside the allocation"):
        run("touch_global", [30, 1], output=30, block=4)
    with pytest.raises(RuntimeError, match="beside the dynamic shared memory of 200 bytes"):
        run("touch_dynamic", [50, 1], block=4, shared=200)


def new_process(code: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Runs `code`, with this module's names, in a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", "import numpy as np\nfrom tests.test_emulator import *\n" + code],
        env=environment,
        cwd=pathlib.Path(__file__).parents[1],
        capture_output=True,
        text=True,
        check=False,
    )


def in_new_process(code: str, **environment: str) -> str:
    """What `code` prints with the emulator's variables set."""
    result = new_process(code, {**os.environ, **environment})
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_seed_changes_the_order_and_repeats_it() -> None:
    code = "print(run('ticket_per_thread', output=np.zeros(65, np.uint32), block=64)[1:].tolist())"
    orders = [in_new_process(code, FASTCNN_EMULATED_SEED=seed) for seed in ("1", "1", "2")]
    assert orders[0] == orders[1] != orders[2]


def test_guard_before_finds_reads_before_the_start() -> None:
    code = "try: run('touch_global', [-1, 0], block=4)\nexcept RuntimeError as error: print(error)"
    assert "4 bytes before the start of an allocation of 128" in in_new_process(code, FASTCNN_EMULATED_GUARD="before")


def test_private_memory_is_for_kernels_and_copies_only() -> None:
    code = """
import ctypes
from fastcnn import _C
np.testing.assert_array_equal(run("prefix_sum", LANES, block=32), np.cumsum(LANES))
try: run("touch_global", [-1, 1], block=4)
except RuntimeError as error: print(error)
device = _C.to_device(_C.zeros((4,), _C.float32), "cuda")
_C.copy_(device, _C.zeros((4,), _C.float32, "cuda"))
print(_C.to_device(device, "cpu").numpy(), flush=True)
ctypes.string_at(device.data_ptr(), 16)
"""
    environment = {**os.environ, "FASTCNN_EMULATED_PRIVATE": "1"}
    result = new_process(code, environment)
    assert result.returncode == -signal.SIGSEGV, result.stderr
    assert "just outside the allocation" in result.stdout
    assert "[0. 0. 0. 0.]" in result.stdout


def test_switching_fibers_is_faster_than_the_c_library() -> None:
    speed = _C.emulator_speed()
    assert speed["ns per swapcontext"] > 10 * speed["ns per fiber switch"]


def test_older_architecture_has_no_tensor_cores_for_bfloat16() -> None:
    code = "try: run('mma', np.zeros(400), block=32)\nexcept RuntimeError as error: print(error)"
    assert "mma_bf16_16x8x16 needs sm_80, but this device is sm_75" in in_new_process(code, FASTCNN_EMULATED_ARCH="75")


def test_faults_outside_kernels_go_where_they_went() -> None:
    code = "run('nothing'); import faulthandler, ctypes; faulthandler.enable(); run('nothing'); ctypes.string_at(16)"
    result = new_process(code, dict(os.environ))
    assert result.returncode == -signal.SIGSEGV
    assert "Fatal Python error: Segmentation fault" in result.stderr
