"""NumPy in and out: whatever an array's strides, byte order and flags, the result equals that of a contiguous copy."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastcnn as fc

BASE = np.arange(4 * 6 * 8 * 10).reshape(4, 6, 8, 10)

VARIANTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "contiguous": lambda a: a,
    "strided": lambda a: a[::2, 1:5, ::3, 1::2],
    "reversed": lambda a: a[::-1, :, ::-2, ::-1],
    "transposed": lambda a: a.transpose(2, 0, 3, 1),
    "nhwc-as-nchw": lambda a: a.transpose(0, 3, 1, 2),
    "fortran": np.asfortranarray,
    "big-endian": lambda a: a.astype(a.dtype.newbyteorder(">")),
    "big-endian-strided": lambda a: a.astype(a.dtype.newbyteorder(">"))[:, ::-2],
    "broadcast": lambda a: np.broadcast_to(a[:1, :, :1], (3, 6, 5, 10)),
    "empty": lambda a: a[:0],
    "empty-inside": lambda a: a[:, :, 3:3],
    "one-pixel": lambda a: a[:, :, :1, :1],
    "one-channel": lambda a: a[:, :1],
    "matrix": lambda a: a[0, 0].T,
    "vector": lambda a: a[0, 0, 0, ::-3],
    "scalar": lambda a: a[1, 1, 1, 1, ...],
}


@pytest.mark.parametrize(
    "dtype", ["float32", "float64", "int64", "uint8", "bool", "float16", "int8", "int16", "int32", "uint16", "uint32"]
)
@pytest.mark.parametrize("variant", VARIANTS)
def test_every_array_is_read_like_its_contiguous_copy(variant: str, dtype: str) -> None:
    array = VARIANTS[variant]((BASE % 101).astype(dtype))
    if array.flags.writeable:
        array = array[...]
        array.flags.writeable = False
    before = array.tobytes()
    x = fc.from_numpy(array)
    expected = {"float16": "float32", "bool": "bool"}.get(
        dtype, dtype if dtype in ("float32", "float64", "uint8") else "int64"
    )
    assert x.numpy().dtype == np.dtype(expected)
    assert x.shape == array.shape
    np.testing.assert_array_equal(x.numpy(), np.ascontiguousarray(array).reshape(array.shape))
    assert x.numpy().tobytes() == np.ascontiguousarray(array).astype(expected).tobytes()
    assert array.tobytes() == before
    assert x._data.layout == ("channels_last" if array.ndim >= 3 else "row_major")
    assert not np.shares_memory(x.numpy(), array)


def test_unaligned_and_packed_arrays_are_read() -> None:
    raw = np.zeros(4 * 6 + 1, np.uint8)
    unaligned = raw[1:].view(np.float32)
    unaligned[:] = np.arange(6)
    assert not unaligned.flags.aligned
    assert fc.from_numpy(unaligned).tolist() == [0, 1, 2, 3, 4, 5]
    packed = np.zeros(3, np.dtype([("flag", "u1"), ("value", "f4")]))
    packed["value"] = [1, 2, 3]
    assert fc.from_numpy(packed["value"]).tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    "array",
    [np.zeros(2, np.complex64), np.array([None, 1]), np.array(["a"]), np.zeros(2, np.uint64), np.zeros(2, "M8[s]")],
    ids=lambda a: str(a.dtype),
)
def test_other_dtypes_raise_and_name_the_supported_ones(array: np.ndarray) -> None:
    with pytest.raises(TypeError, match=r"float32.*uint8.*int64.*astype"):
        fc.from_numpy(array)
    with pytest.raises(TypeError, match="supported"):
        fc.tensor(array)


def test_numpy_scalars_are_arrays_and_lists_are_not() -> None:
    assert fc.from_numpy(np.float32(2.5)).tolist() == 2.5
    with pytest.raises(TypeError, match=r"list.*fastcnn\.tensor"):
        fc.from_numpy([1.0])  # type: ignore[arg-type]


def test_too_many_dimensions_raise() -> None:
    with pytest.raises(ValueError, match="at most 8"):
        fc.from_numpy(np.zeros((1,) * 9, np.float32))


def test_numpy_view_writes_through() -> None:
    x = fc.from_numpy((BASE % 7).astype(np.float32))
    x.numpy()[1, 2, 3, 4] = 99
    assert x[1, 2, 3, 4].item() == 99


def test_array_protocol() -> None:
    x = fc.from_numpy((BASE % 7).astype(np.float32))
    np.testing.assert_array_equal(np.asarray(x), BASE % 7)
    assert np.shares_memory(np.asarray(x), x.numpy())
    assert not np.shares_memory(np.array(x), x.numpy())
    assert np.asarray(x, dtype=np.float64).dtype == np.float64
    with pytest.raises(ValueError, match="copy"):
        x.__array__(np.float64, copy=False)
    with pytest.raises(RuntimeError, match="detach"):
        np.asarray(fc.tensor([1.0], requires_grad=True))
    with pytest.raises(TypeError, match=r"float\(\)"):
        fc.tensor([1.0]).bfloat16().numpy()


def test_numpy_scalars_are_operands_and_arrays_are_not() -> None:
    x = fc.tensor([3.0, 4.0])
    for result in (np.float32(2) * x, x * np.float32(2), np.int64(2) * x):
        assert isinstance(result, fc.Tensor)
        assert result.tolist() == [6.0, 8.0]
    for misuse in (lambda: np.ones(2, np.float32) * x, lambda: x + np.ones(2, np.float32)):
        with pytest.raises(TypeError, match=r"fastcnn\.tensor"):
            misuse()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 9), min_size=1, max_size=5), st.data())
def test_random_views_round_trip(shape: list[int], data: st.DataObject) -> None:
    array = np.arange(int(np.prod(shape)), dtype=np.float32).reshape(shape)
    view = array.transpose(data.draw(st.permutations(range(array.ndim))))
    view = view[tuple(slice(None, None, data.draw(st.sampled_from([1, 2, -1, -2]))) for _ in shape)]
    np.testing.assert_array_equal(fc.from_numpy(view).numpy(), view)
