"""Memory shared with other libraries through DLPack."""

from __future__ import annotations

import gc
import sys
from typing import Any

import numpy as np
import pytest

import fastcnn as fc
from fastcnn import _C

NUMPY_DTYPES = ("float32", "float64", "int64", "uint8", "bool")


def image(dtype: str = "float32") -> np.ndarray:
    return (np.arange(2 * 3 * 4 * 5) % 7).reshape(2, 3, 4, 5).astype(dtype)


def address(array: np.ndarray) -> int:
    return int(array.__array_interface__["data"][0])


@pytest.mark.parametrize("dtype", NUMPY_DTYPES)
def test_numpy_reads_our_memory(dtype: str) -> None:
    x = fc.from_numpy(image(dtype))
    shared = np.from_dlpack(x)
    np.testing.assert_array_equal(shared, image(dtype))
    assert shared.dtype == np.dtype(dtype)
    assert address(shared) == x.data_ptr()
    assert [s // shared.itemsize for s in shared.strides] == list(x.stride()) == [60, 1, 15, 3]


@pytest.mark.parametrize("dtype", NUMPY_DTYPES)
def test_row_major_arrays_are_shared(dtype: str) -> None:
    array = image(dtype)
    x = fc.from_dlpack(array)
    assert x.data_ptr() == address(array)
    assert x._data.layout == "row_major"
    np.testing.assert_array_equal(x.numpy(), array)
    array[1, 2, 3, 4] = 1
    assert x[1, 2, 3, 4].item() == 1
    assert fc.from_numpy(image(dtype))[0, :, 1:].tolist() == x[0, :, 1:].tolist()


def test_channels_last_arrays_are_shared() -> None:
    array = np.ascontiguousarray(image().transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    x = fc.from_dlpack(array)
    assert x.data_ptr() == address(array)
    assert x._data.layout == "channels_last"
    np.testing.assert_array_equal(x.numpy(), image())


@pytest.mark.parametrize(
    "view",
    [
        lambda a: a[:, :, ::2],
        lambda a: a[::-1],
        lambda a: a.transpose(3, 2, 1, 0),
        lambda a: np.broadcast_to(a[:1], (4, 3, 4, 5)),
        lambda a: a[0, 0, 0, ::-2],
    ],
    ids=["step", "reversed", "transposed", "broadcast", "vector"],
)
def test_strided_arrays_are_copied(view: Any) -> None:
    array = image()
    strided = view(array)
    if not strided.flags.writeable:
        strided = np.lib.stride_tricks.as_strided(array, strided.shape, strided.strides)
    x = fc.from_dlpack(strided)
    np.testing.assert_array_equal(x.numpy(), strided)
    x[...] = 9
    np.testing.assert_array_equal(array, image())


def test_read_only_arrays_are_copied() -> None:
    array = image()
    array.flags.writeable = False
    try:
        x = fc.from_dlpack(array)
    except BufferError:
        pytest.skip("this NumPy does not export read-only arrays")
    assert x.data_ptr() != address(array)
    x[...] = 9
    np.testing.assert_array_equal(array, image())


@pytest.mark.parametrize("shape", [(), (0,), (3,), (0, 3, 2), (1, 1, 1, 1), (2, 1, 3), (4, 3)])
def test_shapes_survive(shape: tuple[int, ...]) -> None:
    array = np.arange(int(np.prod(shape)), dtype=np.float32).reshape(shape)
    np.testing.assert_array_equal(fc.from_dlpack(array).numpy(), array)
    np.testing.assert_array_equal(np.from_dlpack(fc.from_numpy(array)), array)


def test_our_memory_outlives_our_tensor() -> None:
    gc.collect()
    before = _C.memory_stats()["allocated"]
    x = fc.from_numpy(image())
    shared = np.from_dlpack(x)
    del x
    gc.collect()
    assert _C.memory_stats()["allocated"] > before
    np.testing.assert_array_equal(shared, image())
    del shared
    gc.collect()
    assert _C.memory_stats()["allocated"] == before


def test_their_memory_outlives_their_array() -> None:
    array = image()
    references = sys.getrefcount(array)
    x = fc.from_dlpack(array)
    rows = x[1:]
    assert sys.getrefcount(array) == references + 1
    del x
    assert sys.getrefcount(array) == references + 1
    np.testing.assert_array_equal(rows.numpy(), array[1:])
    del rows
    gc.collect()
    assert sys.getrefcount(array) == references


@pytest.mark.parametrize("version", [None, (1, 0), (1, 3), (0, 8)])
def test_unused_capsules_free_their_memory(version: tuple[int, int] | None) -> None:
    before = _C.memory_stats()["allocated"]
    x = fc.from_numpy(image())
    capsule = x.__dlpack__(max_version=version)
    wanted = "dltensor_versioned" if version and version[0] >= 1 else "dltensor"
    assert f'"{wanted}"' in repr(capsule)
    del x, capsule
    gc.collect()
    assert _C.memory_stats()["allocated"] == before


@pytest.mark.parametrize("version", [None, (1, 0)])
def test_a_capsule_is_consumed_once(version: tuple[int, int] | None) -> None:
    x = fc.from_numpy(image())
    capsule = x.__dlpack__(max_version=version)
    shared = fc.from_dlpack(capsule)
    assert shared.data_ptr() == x.data_ptr()
    assert shared._data.layout == "channels_last"
    with pytest.raises(ValueError, match="only once"):
        fc.from_dlpack(capsule)
    del capsule
    np.testing.assert_array_equal(shared.numpy(), image())


def test_copies_on_request() -> None:
    x = fc.from_numpy(image())
    copy = fc.from_dlpack(x.__dlpack__(copy=True, max_version=(1, 0)))
    assert copy.data_ptr() != x.data_ptr()
    np.testing.assert_array_equal(copy.numpy(), image())
    same = fc.from_dlpack(x.__dlpack__(copy=False, dl_device=(1, 0)))
    assert same.data_ptr() == x.data_ptr()


def test_device_is_the_cpu() -> None:
    x = fc.from_numpy(image())
    assert x.__dlpack_device__() == (1, 0)
    with pytest.raises(BufferError, match="cpu"):
        x.__dlpack__(dl_device=(2, 0))


def test_gradients_are_not_shared() -> None:
    with pytest.raises(BufferError, match="detach"):
        fc.tensor([1.0], requires_grad=True).__dlpack__()


def test_unsupported_dtypes_and_objects_raise() -> None:
    array = np.zeros((2, 2), np.int32)
    references = sys.getrefcount(array)
    with pytest.raises(TypeError, match="int64"):
        fc.from_dlpack(array)
    gc.collect()
    assert sys.getrefcount(array) == references
    with pytest.raises(TypeError, match="list has no __dlpack__"):
        fc.from_dlpack([1, 2])
    with pytest.raises(ValueError, match="at most 8"):
        fc.from_dlpack(np.zeros((1,) * 9, np.float32))


class ElsewhereArray:
    """An array of another device."""

    def __dlpack_device__(self) -> tuple[int, int]:
        return (2, 1)

    def __dlpack__(self, **_: Any) -> Any:
        raise AssertionError("must not be asked")


class OldArray:
    """A producer older than DLPack 1.0: no keyword but `stream`."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array

    def __dlpack__(self, stream: Any = None) -> Any:
        return self.array.__dlpack__()


def test_other_devices_and_old_producers() -> None:
    with pytest.raises(ValueError, match=r"\(2, 1\)"):
        fc.from_dlpack(ElsewhereArray())
    array = image()
    assert fc.from_dlpack(OldArray(array)).data_ptr() == address(array)


def test_torch_shares_both_ways(torch: Any) -> None:
    for dtype in ("float32", "float64", "bfloat16", "int64", "uint8", "bool"):
        theirs = torch.arange(120).reshape(2, 3, 4, 5).remainder(5).to(getattr(torch, dtype))
        ours = fc.from_dlpack(theirs)
        assert ours.data_ptr() == theirs.data_ptr()
        assert str(ours.dtype).endswith(dtype)
        back = torch.from_dlpack(ours)
        assert back.data_ptr() == theirs.data_ptr()
        assert back.dtype == theirs.dtype
        assert torch.equal(back, theirs)
        ours[1, 2] = 1
        assert bool((theirs[1, 2] == 1).all())


def test_torch_channels_last_is_channels_last(torch: Any) -> None:
    theirs = torch.rand(2, 3, 4, 5).to(memory_format=torch.channels_last)
    ours = fc.from_dlpack(theirs)
    assert (ours.data_ptr(), ours._data.layout) == (theirs.data_ptr(), "channels_last")
    back = torch.from_dlpack(fc.from_numpy(image()))
    assert back.is_contiguous(memory_format=torch.channels_last)
    np.testing.assert_array_equal(back.numpy(), image())


def test_torch_memory_stays_alive(torch: Any) -> None:
    theirs = torch.full((2, 3, 64, 64), 3.0)
    ours = fc.from_dlpack(theirs)
    del theirs
    gc.collect()
    torch.zeros(2, 3, 64, 64)  # would reuse freed memory
    assert ours.numpy().min() == ours.numpy().max() == 3.0

    kept = torch.from_dlpack(fc.from_numpy(image()))
    gc.collect()
    fc.from_numpy(np.zeros_like(image()))
    np.testing.assert_array_equal(kept.numpy(), image())


def test_torch_gradient_tensors_are_refused(torch: Any) -> None:
    with pytest.raises((BufferError, RuntimeError)):
        fc.from_dlpack(torch.zeros(2, requires_grad=True))
