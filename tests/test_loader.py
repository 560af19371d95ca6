"""DataLoader: order, batches, native normalisation, random access, resuming, threads."""

from __future__ import annotations

import itertools
import os
import signal
import threading
import time
from typing import Any

import numpy as np
import pytest

import fastcnn as fc
from fastcnn import _C
from fastcnn.data import DataLoader, Dataset, default_collate, sample_generator


def ids(loader: DataLoader) -> list[list[int]]:
    return [batch[-1].numpy().tolist() for batch in loader]


def numbered(count: int) -> tuple[np.ndarray, ...]:
    return (np.arange(count),)


class Samples:
    """A random-access data set whose sample i is (array full of i, i)."""

    def __init__(self, count: int = 10) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Any:
        return np.full((2, 3), index, np.float32), index


# Order and batches --------------------------------------------------------------------------------------------


def test_loader_keeps_the_order_and_the_last_batch() -> None:
    loader = DataLoader(numbered(10), batch_size=4)
    assert len(loader) == 3
    assert ids(loader) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    loader = DataLoader(numbered(10), batch_size=4, drop_last=True)
    assert len(loader) == 2
    assert ids(loader) == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert ids(DataLoader(numbered(0), batch_size=4)) == []


@pytest.mark.parametrize("dataset", [numbered(50), Samples(50)], ids=["arrays", "samples"])
def test_shuffle_is_a_permutation_that_depends_on_seed_and_epoch_only(dataset: Any) -> None:
    loader = DataLoader(dataset, batch_size=7, shuffle=True, seed=5)
    first, second = ids(loader), ids(loader)
    assert sorted(itertools.chain(*first)) == list(range(50))
    assert first != second
    assert first != ids(DataLoader(dataset, batch_size=7))
    again = DataLoader(dataset, batch_size=7, shuffle=True, seed=5)
    assert [ids(again), ids(again)] == [first, second]
    assert ids(DataLoader(dataset, batch_size=7, shuffle=True, seed=6)) != first


def test_shuffle_gives_the_same_order_for_ever() -> None:
    order = DataLoader(numbered(8), shuffle=True, seed=1).order(2)
    assert order.tolist() == [4, 2, 0, 6, 1, 5, 7, 3]  # a checkpoint written today must continue tomorrow


def test_abandoned_pass_is_followed_by_a_new_epoch() -> None:
    loader = DataLoader(numbered(20), batch_size=4, shuffle=True)
    next(iter(loader))
    reference = DataLoader(numbered(20), batch_size=4, shuffle=True)
    ids(reference)
    assert ids(loader) == ids(reference)


@pytest.mark.parametrize("dataset", [numbered(23), Samples(23)], ids=["arrays", "samples"])
@pytest.mark.parametrize("stop", [0, 1, 3, 5, 6])
def test_loader_resumes_at_any_batch(dataset: Any, stop: int) -> None:
    def make() -> DataLoader:
        return DataLoader(dataset, batch_size=4, shuffle=True, seed=9)

    loader = make()
    expected = [ids(loader), ids(loader)]
    loader = make()
    seen = [batch[-1].numpy().tolist() for batch in itertools.islice(loader, stop)]
    state = loader.state_dict()
    resumed = make()
    resumed.load_state_dict(state)
    rest = ids(resumed)
    if stop < 6:
        assert seen + rest == expected[0]
        rest = ids(resumed)
    assert rest == expected[1]


@pytest.mark.parametrize(
    "change", [{"seed": 1}, {"batch_size": 5}, {"shuffle": False}, {"drop_last": True}, {"dataset": numbered(22)}]
)
def test_loader_refuses_the_state_of_another_order(change: dict[str, Any]) -> None:
    arguments: dict[str, Any] = {"dataset": numbered(23), "batch_size": 4, "shuffle": True}
    state = DataLoader(**arguments).state_dict()
    with pytest.raises(ValueError, match="cannot continue"):
        DataLoader(**(arguments | change)).load_state_dict(state)


# In-memory images ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 2, 3, 17])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("size", [(1, 1), (5, 7), (9, 16)])
def test_image_batch_equals_the_definition(isa: str, channels: int, dtype: Any, size: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    images = (rng.random((9, channels, *size)) * 255).astype(dtype)
    dataset = Dataset(images, np.arange(9), mean=rng.random(channels), std=rng.random(channels) + 0.1)
    x, y = next(iter(DataLoader(dataset, batch_size=6, shuffle=True, seed=2)))
    assert x.shape == (6, channels, *size)
    assert x.dtype == fc.float32
    scale, shift = (part.astype(np.float64)[:, None, None] for part in dataset.affine)
    expected = images[y.numpy()].astype(np.float64) * scale + shift
    magnitude = np.abs(images[y.numpy()] * scale).max() + np.abs(shift).max()
    np.testing.assert_allclose(x.numpy(), expected, atol=2 * np.finfo(np.float32).eps * magnitude, rtol=0)


@pytest.mark.parametrize("device", ["cpu", *(["cuda"] if fc.cuda.is_available() else [])])
@pytest.mark.parametrize(("channels", "wide"), [(3, 4), (3, 8), (1, 8), (3, 3), (5, 7), (8, 8)])
@pytest.mark.parametrize("size", [(1, 1), (5, 7), (16, 24), (23, 64)])
@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_image_batch_pads_channels(device: str, channels: int, wide: int, size: tuple[int, int], kind: Any) -> None:
    rng = np.random.default_rng(0)
    images = (rng.random((4, channels, *size)) * 255).astype(kind)
    scale, shift = (rng.random(channels).astype(np.float32) for _ in range(2))
    raw = [fc.from_numpy(a).to(device)._data for a in (images, scale, shift)]
    index = fc.from_numpy(np.array([2, 0, 2]))._data
    want = np.zeros((3, wide, *size))
    want[:, :channels] = images[[2, 0, 2]] * scale.astype(float)[:, None, None] + shift[:, None, None]
    for dtype, rounding in ((fc.float32, 2.0**-24), (fc.bfloat16, 2.0**-8)):
        got = fc.Tensor(_C.image_batch(raw[0], index, raw[1], raw[2], wide, dtype))
        assert (got.dtype, got.shape, got.device.type) == (dtype, want.shape, device)
        np.testing.assert_allclose(got.cpu().double().numpy(), want, rtol=1.01 * rounding, atol=0)
        if channels == wide and dtype == fc.float32:
            on_cpu = [fc.Tensor(part).cpu()._data for part in raw]
            expected = _C.image_batch(on_cpu[0], index, on_cpu[1], on_cpu[2])
            assert got.cpu().numpy().tobytes() == expected.numpy().tobytes()
    empty = fc.from_numpy(np.zeros(0, np.int64))._data
    assert _C.image_batch(raw[0], empty, raw[1], raw[2], wide).shape == (0, wide, *size)


def test_image_batch_is_the_same_for_any_number_of_threads() -> None:
    images = np.random.default_rng(0).integers(0, 256, (64, 3, 40, 40), np.uint8)
    batches = []
    for threads in (1, 2, 3):
        fc.set_num_threads(threads)
        batches.append(next(iter(DataLoader((images,), batch_size=64, shuffle=True)))[0].numpy().tobytes())
    assert len(set(batches)) == 1


def test_uint8_arrays_are_scaled_to_one_and_others_kept() -> None:
    x = np.full((3, 1, 2, 2), 255, np.uint8)
    image, flat, label = next(iter(DataLoader((x, np.ones((3, 4)), np.arange(3, dtype=np.int32)), batch_size=3)))
    assert image.dtype == fc.float32
    assert np.all(image.numpy() == 1.0)
    assert flat.dtype == fc.float64
    assert label.dtype == fc.int64
    tensors = next(iter(DataLoader((fc.tensor([1.0, 2.0]),), batch_size=2)))
    assert tensors[0].numpy().tolist() == [1.0, 2.0]


def test_image_batch_rejects_bad_arguments() -> None:
    def raw(array: np.ndarray) -> Any:
        return fc.from_numpy(array)._data

    images, index, one = raw(np.zeros((4, 3, 2, 2), np.uint8)), raw(np.array([0, 3])), raw(np.ones(3, np.float32))
    assert _C.image_batch(images, index, one, one).shape == (2, 3, 2, 2)
    assert _C.image_batch(images, raw(np.zeros(0, np.int64)), one, one).shape == (0, 3, 2, 2)
    for arguments, exception, words in (
        ((raw(np.zeros((4, 3, 2))), index, one, one), ValueError, "(4, 3, 2)"),
        ((raw(np.zeros((4, 3, 2, 2))), index, one, one), TypeError, "float64"),
        ((_C.to_layout(images, "row_major"), index, one, one), ValueError, "row-major"),
        ((images, one, one, one), TypeError, "index is float32"),
        ((images, raw(np.zeros((1, 1), np.int64)), one, one), ValueError, "(1, 1)"),
        ((images, raw(np.array([0, 4])), one, one), ValueError, "index[1] is 4, but there are 4 images"),
        ((images, raw(np.array([-1])), one, one), ValueError, "index[0] is -1"),
        ((images, index, raw(np.ones(2, np.float32)), one), ValueError, "scale has shape (2,), but (3,)"),
        ((images, index, one, raw(np.ones(3))), TypeError, "shift is float64"),
        ((images, index, one, one, 2), ValueError, "channels is 2, but the images have 3"),
        ((images, index, one, one, 4, fc.float64), TypeError, "dtype is float64"),
    ):
        with pytest.raises(exception) as error:
            _C.image_batch(*arguments)
        assert words in str(error.value)


# Random access ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("threads", [1, 4])
def test_samples_are_read_by_threads_in_order(threads: int) -> None:
    used = set()

    class Slow(Samples):
        def __getitem__(self, index: int) -> Any:
            used.add(threading.get_ident())
            time.sleep(0.002 * (index % 3))
            return super().__getitem__(index)

    loader = DataLoader(Slow(20), batch_size=3, num_threads=threads)
    for x, y in loader:
        np.testing.assert_array_equal(x.numpy()[:, 0, 0], y.numpy())
        assert x.shape[1:] == (2, 3)
    assert 1 <= len(used) <= threads
    assert threading.get_ident() not in used


def test_no_two_samples_share_their_random_numbers() -> None:
    """Worker processes with one NumPy seed gave every worker the same augmentation (pytorch 5059)."""

    class Noise(Samples):
        def __getitem__(self, index: int) -> Any:
            return sample_generator().random(2)

    def draw(threads: int, seed: int = 0) -> list[list[float]]:
        loader = DataLoader(Noise(40), batch_size=8, num_threads=threads, seed=seed)
        return [row.tolist() for _ in range(2) for batch in loader for row in batch.numpy()]

    numbers = draw(4)
    assert len({tuple(row) for row in numbers}) == 80  # not one twice, over two epochs
    assert draw(1) == numbers  # whichever thread reads a sample
    assert draw(4, seed=1) != numbers


def test_sample_generator_belongs_to_a_sample() -> None:
    with pytest.raises(RuntimeError, match="__getitem__"):
        sample_generator()


def test_error_in_a_sample_names_it_and_leaves_no_thread() -> None:
    class Broken(Samples):
        def __getitem__(self, index: int) -> Any:
            if index == 7:
                raise OSError("disk on fire")
            return super().__getitem__(index)

    before = threading.active_count()
    with pytest.raises(OSError, match="disk on fire") as error:
        list(DataLoader(Broken(), batch_size=2, num_threads=3))
    assert "sample 7 of Broken" in error.value.__notes__[0]
    assert threading.active_count() == before


def test_abandoned_pass_leaves_no_thread() -> None:
    before = threading.active_count()
    iterator = iter(DataLoader(Samples(), batch_size=2, num_threads=3))
    next(iterator)
    iterator.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before


def test_collate_stacks_nested_samples() -> None:
    batch = default_collate(
        [{"a": (1, 2.5), "b": "x", "c": fc.tensor([1.0])}, {"a": (3, 4.5), "b": "y", "c": fc.tensor([2.0])}]
    )
    assert batch["a"][0].dtype == fc.int64
    assert batch["a"][0].numpy().tolist() == [1, 3]
    assert batch["a"][1].dtype == fc.float32
    assert batch["b"] == ["x", "y"]
    assert batch["c"].shape == (2, 1)
    assert default_collate([np.float32(1), np.float32(2)]).dtype == fc.float32
    assert default_collate([True, False]).dtype == fc.bool_


@pytest.mark.parametrize(
    ("samples", "exception", "words"),
    [
        ([np.zeros((3, 4)), np.zeros((3, 5))], ValueError, ("sample 1", "(3, 5)", "(3, 4)", "collate_fn")),
        ([(1, 2), (1, 2, 3)], ValueError, ("sample 1", "3 elements", "2")),
        ([object()], TypeError, ("object", "collate_fn")),
    ],
    ids=["shape", "length", "type"],
)
def test_collate_errors_help(samples: list[Any], exception: type[Exception], words: tuple[str, ...]) -> None:
    with pytest.raises(exception) as error:
        default_collate(samples)
    for word in words:
        assert word in str(error.value)


def test_collate_fn_replaces_the_default() -> None:
    batches = list(DataLoader(numbered(4)[0].tolist(), batch_size=2, collate_fn=sum))
    assert batches == [1, 5]
    assert list(DataLoader((np.arange(4),), batch_size=1, collate_fn=len)) == [1]  # the tuple is one sample then


@pytest.mark.parametrize(
    ("arguments", "exception", "words"),
    [
        ({"dataset": 5}, TypeError, "dataset is int"),
        ({"dataset": numbered(4), "batch_size": 0}, ValueError, "batch_size is 0"),
        ({"dataset": numbered(4), "num_threads": 0}, ValueError, "num_threads is 0"),
        ({"dataset": (np.zeros(4), np.zeros(5))}, ValueError, "[4, 5]"),
        ({"dataset": (np.zeros(()),)}, ValueError, "no sample axis"),
    ],
)
def test_loader_rejects(arguments: dict[str, Any], exception: type[Exception], words: str) -> None:
    with pytest.raises(exception) as error:
        DataLoader(**arguments)
    assert words in str(error.value)


# Fork ---------------------------------------------------------------------------------------------------------


def in_child(work: Any, seconds: float = 20.0) -> int:
    """Exit status of `work` in a forked child; a hanging child is killed and reported as -SIGKILL."""
    child = os.fork()
    if child == 0:
        try:
            work()
            os._exit(0)
        except BaseException:
            os._exit(1)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_loader_works_in_a_child_forked_after_threads_started() -> None:
    """A child inherits thread pools whose threads are gone: waiting for them deadlocks (pytorch 2245)."""
    fc.set_num_threads(2)
    images = np.random.default_rng(0).integers(0, 256, (64, 3, 40, 40), np.uint8)
    native, samples = DataLoader((images,), batch_size=64), DataLoader(Samples(30), batch_size=4, num_threads=2)
    expected = next(iter(native))[0].numpy().copy()
    pass_under_way = iter(samples)
    next(pass_under_way)

    def work() -> None:
        np.testing.assert_array_equal(next(iter(native))[0].numpy(), expected)
        assert sum(len(batch) for batch in ids(samples)) == 30
        with pytest.raises(RuntimeError, match="forked"):
            list(pass_under_way)

    assert in_child(work) == 0
    assert len(list(pass_under_way)) == 7  # the parent's pass goes on
