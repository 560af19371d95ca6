"""`tensor[key]` and `tensor[key] = value` against NumPy, over shapes, layouts and keys."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastcnn as fc
from fastcnn import _C

LAYOUTS = ("channels_last", "row_major")


def numbered(shape: tuple[int, ...], dtype: str = "float32") -> np.ndarray:
    """1, 2, 3, ...: every element differs, none is zero."""
    return (np.arange(math.prod(shape)) + 1).reshape(shape).astype(dtype)


def tensor_of(array: np.ndarray, layout: str = "channels_last", requires_grad: bool = False) -> fc.Tensor:
    return fc.Tensor(_C.to_layout(fc.from_numpy(array)._data, layout), requires_grad)


sliceables = st.lists(st.integers(1, 6), min_size=1, max_size=5).map(tuple)


@st.composite
def shape_and_key(draw: st.DrawFn, arrays: bool = False) -> tuple[tuple[int, ...], Any]:
    """A shape and a key of integers, slices (also reversed), None, at most one Ellipsis, at most one index array."""
    shape = draw(sliceables)
    used = draw(st.integers(0, len(shape)))
    before = draw(st.integers(0, used))
    skips_middle = draw(st.booleans()) and not (arrays and used == 0)
    dims = (
        list(range(before)) + list(range(len(shape) - used + before, len(shape))) if skips_middle else list(range(used))
    )
    key: list[Any] = []
    has_array = False
    for position, d in enumerate(dims):
        if skips_middle and position == before:
            key.append(Ellipsis)
        size = shape[d]
        kinds = ["int", "slice", "slice"] + (["array"] if arrays and not has_array else [])
        kind = draw(st.sampled_from(kinds))
        if kind == "int":
            key.append(draw(st.integers(-size, size - 1)))
        elif kind == "slice":
            bound = st.none() | st.integers(-size - 2, size + 2)
            key.append(slice(draw(bound), draw(bound), draw(st.none() | st.sampled_from([-3, -2, -1, 1, 2, 3]))))
        else:
            has_array = True
            key.append(np.array(draw(st.lists(st.integers(-size, size - 1), max_size=6)), np.int64))
        if draw(st.integers(0, 9)) == 0 and not arrays:
            key.append(None)
    return shape, tuple(key) if len(key) != 1 or draw(st.booleans()) else key[0]


@settings(max_examples=150, deadline=None)
@given(shape_and_key(), st.sampled_from(LAYOUTS), st.sampled_from(["float32", "float64", "uint8", "bool"]))
def test_basic_keys_agree_with_numpy(pair: tuple[Any, Any], layout: str, dtype: str) -> None:
    shape, key = pair
    array = numbered(shape, dtype)
    if len(array[key].shape) <= 8:
        result = tensor_of(array, layout)[key]
        assert result.shape == array[key].shape
        np.testing.assert_array_equal(result.numpy(), array[key])


@settings(max_examples=100, deadline=None)
@given(shape_and_key(arrays=True), st.sampled_from(LAYOUTS))
def test_array_keys_agree_with_numpy(pair: tuple[Any, Any], layout: str) -> None:
    shape, key = pair
    array = numbered(shape)
    np.testing.assert_array_equal(tensor_of(array, layout)[key].numpy(), array[key])


@settings(max_examples=100, deadline=None)
@given(shape_and_key(arrays=True), st.sampled_from(LAYOUTS))
def test_gradient_lands_where_the_key_points(pair: tuple[Any, Any], layout: str) -> None:
    shape, key = pair
    x = tensor_of(numbered(shape), layout, requires_grad=True)
    y = x[key]
    cotangent = -numbered(y.shape)
    y.backward(fc.from_numpy(cotangent))
    expected = np.zeros(shape, np.float32)
    np.add.at(expected, key, cotangent)
    np.testing.assert_array_equal(x.grad.numpy(), expected)


@settings(max_examples=100, deadline=None)
@given(shape_and_key(), st.sampled_from(LAYOUTS), st.data())
def test_assignment_agrees_with_numpy(pair: tuple[Any, Any], layout: str, data: st.DataObject) -> None:
    shape, key = pair
    array = numbered(shape)
    target = array[key].shape
    if len(target) > 8:
        return
    tail = data.draw(st.integers(0, len(target)))
    small = tuple(s if data.draw(st.booleans()) else 1 for s in target[tail:])
    value = -numbered(small)
    x = tensor_of(array, layout)
    version = x._data.version
    x[key] = fc.from_numpy(value)
    array[key] = value
    np.testing.assert_array_equal(x.numpy(), array)
    assert x._data.version > version


@pytest.mark.parametrize("layout", LAYOUTS)
def test_masks_read_and_write(layout: str, rng: np.random.Generator) -> None:
    array = rng.standard_normal((2, 3, 4, 5)).astype(np.float32)
    x = tensor_of(array, layout, requires_grad=True)
    mask = fc.from_numpy(array > 0)
    picked = x[mask]
    np.testing.assert_array_equal(picked.detach().numpy(), array[array > 0])
    picked.backward(fc.from_numpy(numbered(picked.shape)))
    expected = np.zeros_like(array)
    expected[array > 0] = numbered(picked.shape)
    np.testing.assert_array_equal(x.grad.numpy(), expected)

    written = x.detach().clone()
    written[mask] = 0
    np.testing.assert_array_equal(written.numpy(), np.where(array > 0, 0, array))


def test_row_mask_selects_whole_images(rng: np.random.Generator) -> None:
    array = rng.standard_normal((5, 2, 3, 4)).astype(np.float32)
    keep = np.array([True, False, True, True, False])
    x = fc.from_numpy(array)
    np.testing.assert_array_equal(x[keep].numpy(), array[keep])
    x[fc.from_numpy(keep)] = -1
    array[keep] = -1
    np.testing.assert_array_equal(x.numpy(), array)


def test_labels_pick_one_class_per_row() -> None:
    scores = fc.from_numpy(numbered((4, 3)))
    scores.requires_grad_()
    labels = fc.tensor([2, 0, 1, 2])
    picked = scores[fc.tensor([0, 1, 2, 3]), labels]
    assert picked.tolist() == [3.0, 4.0, 8.0, 12.0]
    picked.sum().backward()
    np.testing.assert_array_equal(scores.grad.numpy(), np.eye(3, dtype=np.float32)[[2, 0, 1, 2]])


def test_index_arrays_write_in_order() -> None:
    x = fc.zeros((5, 2))
    x[[3, 1, 3]] = fc.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    assert x.tolist() == [[0, 0], [3, 4], [0, 0], [5, 6], [0, 0]]


def test_scalar_tensors_are_indices() -> None:
    x = fc.from_numpy(numbered((4, 3)))
    assert x[fc.tensor(2), fc.tensor(0)].item() == 7.0
    assert x[fc.tensor(1) : fc.tensor(3)].tolist() == x[1:3].tolist()


def test_rows_of_dimension_0_are_views() -> None:
    x = fc.from_numpy(numbered((6, 2, 3, 4)))
    assert x[2:5]._data.storage_ptr() == x._data.storage_ptr()
    assert x[2:5]._data.data_ptr() == x._data.data_ptr() + 2 * 24 * 4
    assert x[::2]._data.storage_ptr() != x._data.storage_ptr()


def test_overlapping_assignment_reads_first() -> None:
    x = fc.from_numpy(numbered((6,)))
    x[1:] = x[:-1]
    assert x.tolist() == [1, 1, 2, 3, 4, 5]
    y = fc.from_numpy(numbered((6,)))
    y[[1, 2, 3]] = y[:3]
    assert y.tolist() == [1, 1, 2, 3, 5, 6]


def test_assignment_converts_numbers_lists_and_dtypes() -> None:
    x = fc.zeros((2, 3))
    x[0] = [1, 2, 3]
    x[1, 1] = 5
    x[1, 2:] = np.array([7], np.int32)
    assert x.tolist() == [[1, 2, 3], [0, 5, 7]]
    counts = fc.tensor([1, 2, 3])
    counts[0] = 9.7
    assert counts.tolist() == [9, 2, 3]


def test_assignment_rejects_shapes_and_leaves_the_tensor() -> None:
    x = fc.from_numpy(numbered((2, 3)))
    with pytest.raises(ValueError, match=r"\(4,\).*\(3,\)"):
        x[0] = fc.tensor([1.0, 2.0, 3.0, 4.0])
    with pytest.raises(IndexError, match="2 is out of range for dimension 0 with size 2"):
        x[2] = 0
    np.testing.assert_array_equal(x.numpy(), numbered((2, 3)))


def test_assignment_is_recorded() -> None:
    x = fc.from_numpy(numbered((3, 4)))
    x.requires_grad_()
    value = fc.tensor([10.0, 20.0], requires_grad=True)
    y = x.clone()
    y[1:, 1:3] = value
    cotangent = numbered((3, 4))
    y.backward(fc.from_numpy(cotangent))
    expected = cotangent.copy()
    expected[1:, 1:3] = 0
    np.testing.assert_array_equal(x.grad.numpy(), expected)
    np.testing.assert_array_equal(value.grad.numpy(), cotangent[1:, 1:3].sum(0))


def test_masked_assignment_is_recorded() -> None:
    x = fc.from_numpy(numbered((2, 3, 2, 2)))
    x.requires_grad_()
    value = fc.tensor(3.0, requires_grad=True)
    y = x.clone()
    mask = np.arange(24).reshape(2, 3, 2, 2) % 3 == 0
    y[mask] = value
    cotangent = numbered((2, 3, 2, 2))
    y.backward(fc.from_numpy(cotangent))
    np.testing.assert_array_equal(x.grad.numpy(), np.where(mask, 0, cotangent))
    assert value.grad.item() == cotangent[mask].sum()


def test_assignment_to_a_leaf_with_gradient_raises() -> None:
    x = fc.tensor([1.0, 2.0], requires_grad=True)
    with pytest.raises(RuntimeError, match="no_grad"):
        x[0] = 3.0
    with fc.no_grad():
        x[0] = 3.0
    assert x.tolist() == [3.0, 2.0]


def test_assignment_invalidates_saved_tensors() -> None:
    x = fc.tensor([1.0, 2.0], requires_grad=True)
    y = x.clone()
    z = y * y
    y[0] = 5.0
    with pytest.raises(RuntimeError, match="modified in place"):
        z.sum().backward()


def test_iteration_and_length() -> None:
    x = fc.from_numpy(numbered((3, 2, 2)))
    assert len(x) == 3
    assert [row.tolist() for row in x] == x.tolist()
    with pytest.raises(TypeError, match="scalar"):
        len(x.sum())
    with pytest.raises(TypeError, match="scalar"):
        iter(x.sum())


def test_two_ellipses_raise() -> None:
    with pytest.raises(IndexError, match="Ellipsis"):
        fc.zeros((2, 3))[..., ...]


def test_nonzero_and_masked_select() -> None:
    array = numbered((2, 3, 4)) % 3
    x = fc.from_numpy(array)
    np.testing.assert_array_equal(fc.nonzero(x).numpy(), np.argwhere(array))
    np.testing.assert_array_equal(x.masked_select(x > 1).numpy(), array[array > 1])
    np.testing.assert_array_equal(
        fc.masked_select(x, fc.tensor([True, False, False, True])).numpy(), array[..., [0, 3]].ravel()
    )
    with pytest.raises(TypeError, match="bool"):
        fc.masked_select(x, x)


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_scatter_add_is_the_same_for_any_number_of_threads(threads: int, rng: np.random.Generator) -> None:
    x = fc.from_numpy(rng.standard_normal((50, 700)).astype(np.float32)).requires_grad_()
    index = fc.from_numpy(rng.integers(0, 50, 4000))
    cotangent = rng.standard_normal((4000, 700)).astype(np.float32)
    _C.set_num_threads(threads)
    x[index].backward(fc.from_numpy(cotangent))
    expected = np.zeros((50, 700), np.float32)
    np.add.at(expected, index.numpy(), cotangent)
    assert x.grad.numpy().tobytes() == expected.tobytes()
