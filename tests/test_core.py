"""The C++ core as Python sees it: memory, threads, instruction sets, devices, recordings."""

import gc
import os
import re
import threading

import numpy as np
import pytest

import fastcnn as fc
from fastcnn import _C


@pytest.fixture
def threads():
    """Restores the number of threads."""
    before = _C.num_threads()
    yield
    _C.set_num_threads(before)


def filled(shape, value, dtype=_C.float32):
    raw = _C.empty(shape, dtype)
    raw.numpy()[...] = value
    return raw


@pytest.mark.parametrize("shape", [(5,), (2, 3), (2, 3, 4), (2, 3, 4, 5), (2, 3, 4, 5, 6)])
def test_numpy_view_is_logical_and_channels_last_in_memory(shape):
    raw = _C.empty(shape, _C.float32)
    view = raw.numpy()
    assert view.shape == shape
    assert raw.layout == ("channels_last" if len(shape) >= 3 else "row_major")
    if len(shape) >= 3:
        assert view.strides[1] == 4, "neighbouring channels are neighbours in memory"
        assert np.moveaxis(view, 1, -1).flags.c_contiguous
    view[...] = np.arange(view.size).reshape(shape)
    np.testing.assert_array_equal(_C.to_layout(raw, "row_major").numpy().ravel(), np.arange(view.size))


@pytest.mark.parametrize("dtype", [_C.float32, _C.float64, _C.int64, _C.uint8, _C.bool_])
def test_to_layout_round_trips_every_item_size(dtype):
    raw = _C.empty((2, 3, 4, 5), dtype)
    raw.numpy()[...] = np.arange(120).reshape(2, 3, 4, 5) % 2
    there = _C.to_layout(raw, "row_major")
    assert there.layout == "row_major"
    np.testing.assert_array_equal(there.numpy(), raw.numpy())
    np.testing.assert_array_equal(_C.to_layout(there, "channels_last").numpy(), raw.numpy())


def test_numpy_view_keeps_memory_alive():
    raw = filled((1000,), 7.0)
    view = raw.numpy()
    del raw
    others = [filled((1000,), 1.0) for _ in range(8)]
    assert (view == 7.0).all()
    assert others


def test_bfloat16_has_no_numpy_view():
    with pytest.raises(TypeError, match=r"bfloat16.*\.float\(\)"):
        _C.empty((2,), _C.bfloat16).numpy()


@pytest.mark.parametrize(
    ("shape", "error", "words"),
    [
        ((2**40, 2**40), ValueError, "overflow"),
        ((2**62,), ValueError, "overflow"),
        ((-1, 3), ValueError, "negative"),
        ((1,) * 9, ValueError, "at most 8"),
        ((2**46,), MemoryError, "out of memory"),
    ],
)
def test_absurd_shapes_are_refused(shape, error, words):
    with pytest.raises(error, match=words):
        _C.empty(shape, _C.float32)


def test_memory_is_aligned_counted_and_reused():
    gc.collect()
    _C.empty_cache()  # else another test's block may fit the second allocation as well
    before = _C.memory_stats()
    raw = _C.empty((3 << 20,), _C.uint8)
    assert raw.data_ptr() % 64 == 0
    assert _C.memory_stats()["allocated"] >= before["allocated"] + (3 << 20)
    address = raw.data_ptr()
    del raw
    assert _C.memory_stats()["allocated"] == before["allocated"]
    again = _C.empty((3 << 20,), _C.uint8)
    assert again.data_ptr() == address
    _C.reset_max_memory_allocated()
    assert _C.memory_stats()["max_allocated"] == _C.memory_stats()["allocated"]


def test_memory_freed_last_is_reused_first():
    """Its contents are the likeliest to be in the caches."""
    gc.collect()
    _C.empty_cache()
    blocks = [_C.empty((3 << 20,), _C.uint8) for _ in range(4)]
    for i in (2, 0, 3, 1):
        address = blocks[i].data_ptr()
        blocks[i] = None
        assert _C.empty((3 << 20,), _C.uint8).data_ptr() == address


def test_reserved_memory_does_not_grow_with_new_shapes():
    for size in range(1, 200):
        _C.empty((size * 40_000,), _C.float32)
    _C.empty_cache()
    first = _C.memory_stats()["reserved"]
    for size in range(1, 200):
        _C.empty((size * 40_011,), _C.float32)
    _C.empty_cache()
    assert _C.memory_stats()["reserved"] == first


def test_failing_allocation_raises_and_leaves_everything_usable():
    raw = filled((4, 5), 3.0)
    live = _C.memory_stats()["allocated"]
    _C.fail_nth_allocation(2)
    kept = _C.empty((8,), _C.float32)
    with pytest.raises(MemoryError, match="was made to fail"):
        _C.empty((8,), _C.float32)
    del kept
    assert _C.memory_stats()["allocated"] == live
    assert (raw.numpy() == 3.0).all()
    _C.empty((8,), _C.float32)


def test_batch_slice_shares_memory():
    raw = filled((4, 3, 2, 2), 0.0)
    part = raw.batch_slice(1, 3)
    part.numpy()[...] = 5.0
    assert (raw.numpy()[1:3] == 5.0).all()
    assert (raw.numpy()[0] == 0.0).all()
    with pytest.raises(ValueError, match="batch_slice"):
        raw.batch_slice(2, 5)


def test_versions_count_writes_of_shared_storage():
    raw = filled((4, 2), 0.0)
    part = raw.batch_slice(0, 2)
    start = raw.version
    _C.zero_(part)
    assert raw.version == start + 1
    _C.copy_(raw, filled((4, 2), 1.0))
    assert part.version == start + 2


@pytest.mark.parametrize("count", [1, 2, 3])
def test_parallel_work_is_the_same_for_any_thread_count(threads, count):
    _C.set_num_threads(count)
    source = filled((3 << 20,), 1.5)
    target = filled((3 << 20,), 2.0)
    _C.accumulate_(target, source)
    assert (target.numpy() == 3.5).all()
    assert _C.num_threads() == count
    assert _C.num_threads_source() == "set_num_threads"


@pytest.mark.parametrize("count", [0, -1, 100_000])
def test_bad_thread_counts_are_refused(count):
    with pytest.raises(ValueError, match="set_num_threads: threads is"):
        _C.set_num_threads(count)


def test_toggling_threads_does_not_start_new_ones(threads):
    raw = filled((8 << 20,), 0.0, _C.uint8)
    _C.set_num_threads(3)
    _C.zero_(raw)
    started = _C.running_pool_threads()
    for i in range(50):
        _C.set_num_threads(1 + i % 3)
        _C.zero_(raw)
    assert _C.running_pool_threads() == started


def test_python_threads_may_call_concurrently(threads):
    _C.set_num_threads(2)
    failures = []

    def work(value):
        for _ in range(50):
            target, source = filled((300_000,), value), filled((300_000,), 1.0)
            _C.accumulate_(target, source)
            if not (target.numpy() == value + 1.0).all():
                failures.append(value)

    workers = [threading.Thread(target=work, args=(float(i),)) for i in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not failures


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_fork_after_threads_makes_a_new_pool(threads):
    _C.set_num_threads(2)
    raw = filled((8 << 20,), 1, _C.uint8)
    _C.zero_(raw)
    assert _C.running_pool_threads() >= 1
    child = os.fork()
    if child == 0:
        fresh = _C.running_pool_threads() == 0
        raw.numpy()[...] = 1
        _C.zero_(raw)
        os._exit(0 if fresh and not raw.numpy().any() and _C.running_pool_threads() == 1 else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_recording_replays_calls_on_fixed_memory():
    source, target = filled((4,), 1.0), filled((4,), 0.0)
    _C.begin_recording()
    _C.copy_(target, source)
    _C.accumulate_(target, source)
    recording = _C.end_recording()
    assert recording.names() == ["copy_", "accumulate_"]
    assert (target.numpy() == 2.0).all(), "recorded calls run at once as well"
    source.numpy()[...] = 10.0
    recording.replay()
    assert (target.numpy() == 20.0).all()
    _C.copy_(target, source)
    assert len(recording) == 2, "calls after the end are not recorded"


def test_recording_keeps_its_tensors_alive():
    target = filled((1000,), 0.0)
    source = filled((1000,), 4.0)
    _C.begin_recording()
    _C.copy_(target, source)
    recording = _C.end_recording()
    del source
    others = [filled((1000,), -1.0) for _ in range(8)]
    _C.zero_(target)
    recording.replay()
    assert (target.numpy() == 4.0).all()
    assert others


def test_recording_twice_is_refused():
    with pytest.raises(RuntimeError, match="no recording"):
        _C.end_recording()
    _C.begin_recording()
    with pytest.raises(RuntimeError, match="already"):
        _C.begin_recording()
    _C.end_recording()


def test_devices_compare_and_print():
    assert _C.device("cpu") == "cpu"
    assert _C.device("cuda") == _C.device("cuda:0") != _C.device("cuda:1")
    assert str(_C.device("cuda:1")) == "cuda:1"
    assert len({_C.device("cpu"), _C.device("cpu")}) == 1
    with pytest.raises(ValueError, match="device is 'gpu'"):
        _C.device("gpu")


def test_missing_cuda_is_an_error_not_a_fallback():
    with pytest.raises(ValueError, match=f"device cuda:99: {re.escape(_C.cuda_why_unavailable()) or 'this machine'}"):
        _C.empty((2,), _C.float32, "cuda:99")


def test_copies_between_mismatched_tensors_are_refused():
    with pytest.raises(ValueError, match="destination is"):
        _C.copy_(_C.empty((2,), _C.float32), _C.empty((3,), _C.float32))
    with pytest.raises(TypeError, match=r"float32.*float64"):
        _C.copy_(_C.empty((2,), _C.float32), _C.empty((2,), _C.float64))
    with pytest.raises(TypeError, match="int64"):
        _C.accumulate_(_C.empty((2,), _C.int64), _C.empty((2,), _C.int64))


def test_isa_is_one_this_cpu_runs():
    names = ["scalar", "avx2", "avx512"]
    best = names.index(_C.best_isa())
    before = _C.active_isa()
    for name in names[: best + 1]:
        _C.set_isa(name)
        assert _C.active_isa() == name
    _C.set_isa(before)
    with pytest.raises(ValueError, match="scalar, avx2 or avx512"):
        _C.set_isa("neon")


def test_precision_is_one_of_three_words():
    before = fc.get_precision()
    for word in ("highest", "high", "medium"):
        fc.set_precision(word)
        assert fc.get_precision() == word
    fc.set_precision(before)
    with pytest.raises(ValueError, match="'exact', but 'highest', 'high' or 'medium'"):
        fc.set_precision("exact")


def test_top_level_thread_setting(threads):
    fc.set_num_threads(3)
    assert fc.get_num_threads() == _C.num_threads() == 3
