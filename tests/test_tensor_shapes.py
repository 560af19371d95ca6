"""Methods of tensors that change shapes: values, which of them share memory, errors, copies by every kernel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastcnn as fc
from fastcnn import _C, nn
from tests.small_data import image


def test_shape_methods() -> None:
    a = image()
    x = fc.tensor(a)
    pairs = [
        (x.reshape(2, -1), a.reshape(2, -1)),
        (x.reshape((6, 20)), a.reshape(6, 20)),
        (x.view(-1), a.reshape(-1)),
        (x.view_as(x.flatten()), a.reshape(-1)),
        (x.reshape_as(x.flatten()), a.reshape(-1)),
        (x.flatten(1), a.reshape(2, 60)),
        (x.flatten(1, 2).unflatten(1, (3, -1)), a),
        (x.permute(0, 2, 3, 1), a.transpose(0, 2, 3, 1)),
        (x.permute((3, 2, 1, 0)), a.T),
        (x.transpose(1, -1), a.swapaxes(1, 3)),
        (x[0, 0].T, a[0, 0].T),
        (x[0, 0].t(), a[0, 0].T),
        (x[0, 0, 0].t(), a[0, 0, 0]),
        (x.movedim(1, -1), np.moveaxis(a, 1, -1)),
        (x.movedim((0, 1), (2, 0)), np.moveaxis(a, (0, 1), (2, 0))),
        (x.unsqueeze(1), a[:, None]),
        (x.unsqueeze(-1).squeeze(-1), a),
        (x[:1].squeeze(), a[0]),
        (x.squeeze(1), a),
        (x[:, :1].squeeze((1, 2)), a[:, 0]),
        (x[:1].expand(4, -1, 4, 5), np.broadcast_to(a[:1], (4, 3, 4, 5))),
        (x[:1].expand_as(x), np.broadcast_to(a[:1], a.shape)),
        (x[0, 0].broadcast_to((2, 4, 5)), np.broadcast_to(a[0, 0], (2, 4, 5))),
        (x.repeat(1, 2, 1, 3), np.tile(a, (1, 2, 1, 3))),
        (x.tile(2), np.tile(a, (1, 1, 1, 2))),
        (x.narrow(2, 1, 2), a[:, :, 1:3]),
        (x.narrow(-1, -2, 2), a[..., -2:]),
        (x.select(1, -1), a[:, -1]),
        (x.split(2, 1)[1], a[:, 2:]),
        (x.split([1, 2], 1)[1], a[:, 1:]),
        (x.chunk(2, 3)[1], a[..., 3:]),
        (x.unbind(1)[2], a[:, 2]),
        (x.flip(1, 3), a[:, ::-1, :, ::-1]),
        (x.index_select(2, fc.tensor([3, 0])), a[:, :, [3, 0]]),
        (x.gather(3, fc.tensor(np.zeros((2, 3, 4, 1), np.int64))), a[..., :1]),
    ]
    for i, (got, want) in enumerate(pairs):
        assert got.shape == want.shape, i
        np.testing.assert_array_equal(got.numpy(), want, err_msg=str(i))
    assert [len(part) for part in fc.zeros((7, 2)).chunk(4)] == [2, 2, 2, 1]
    assert [len(part) for part in fc.zeros((0, 2)).chunk(3)] == [0, 0, 0]
    assert fc.concat is fc.cat
    assert fc.broadcast_to(fc.tensor([1.0]), (3,)).tolist() == [1.0, 1.0, 1.0]
    assert fc.tensor(3.0).flatten().shape == (1,)
    assert x.flatten(1, 1) is x
    assert x.transpose(1, 1) is x


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda x: x.transpose(0, 4), "transpose: dim is 4"),
        (lambda x: x.t(), "at most 2"),
        (lambda x: x.unflatten(1, (2, 2)), r"\(2, 2\).*3"),
        (lambda x: x.unflatten(1, (0, -1)), r"\(0, -1\)"),
        (lambda x: x.movedim((0, 0), (1, 2)), "distinct"),
        (lambda x: x.unsqueeze(6), "unsqueeze: dim is 6"),
        (lambda x: x.squeeze(4), "squeeze: dim is 4"),
        (lambda x: x.narrow(0, 0, -1), "length is -1"),
        (lambda x: x.chunk(0), "chunks is 0"),
        (lambda x: x.sum().unbind(), "scalar"),
        (lambda x: fc.stack([]), "at least one"),
        (lambda x: x.sum().index_select(0, fc.tensor([0])), "scalar"),
        (lambda x: fc.functional.one_hot(fc.tensor(np.zeros(0, np.int64))), "cannot be inferred"),
        (lambda x: fc.functional.one_hot(fc.tensor([0]), 0), "num_classes is 0"),
    ],
)
def test_bad_shape_arguments_raise(call: Callable[[fc.Tensor], Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        call(fc.tensor(image()))


def test_positions_outside_raise_index_error() -> None:
    x = fc.tensor(image())
    for call in (lambda: x.select(1, 3), lambda: x.narrow(1, 2, 2), lambda: x.narrow(1, -4, 1)):
        with pytest.raises(IndexError, match="dimension 1 with size 3"):
            call()


def test_merged_memory_orders_are_views() -> None:
    x = fc.tensor(image())
    channel, pixel = x[:, :1], x[:, :, :1, :1]
    for base, view in (
        (x, x.reshape(2, 3, 20)),
        (channel, channel.reshape(2, 20)),
        (pixel, pixel.flatten(1)),
        (x, x.unsqueeze(-1)),
        (x, x.flatten(2)),
    ):
        assert view._data.storage_ptr() == base._data.storage_ptr(), view.shape
    for shape, flat in [
        ((4, 1, 5, 6), (4, 30)),
        ((4, 7, 1, 1), (4, 7)),
        ((4, 30), (4, 1, 5, 6)),
        ((4, 30), (2, 2, 30, 1)),
    ]:
        y = fc.zeros(shape)
        assert (y.reshape(flat).data_ptr() == y.data_ptr()) == (flat != (2, 2, 30, 1)), (shape, flat)
    assert x.flatten(1).data_ptr() != x.data_ptr()


def test_flatten_layers(torch: Any) -> None:
    x = image()
    np.testing.assert_array_equal(nn.Flatten()(fc.tensor(x)).numpy(), torch.nn.Flatten()(torch.tensor(x)).numpy())
    np.testing.assert_array_equal(nn.Flatten(2)(fc.tensor(x)).numpy(), x.reshape(2, 3, 20))
    np.testing.assert_array_equal(nn.Unflatten(1, (3, -1))(fc.tensor(x.reshape(2, 60))).numpy(), x.reshape(2, 3, 20))
    assert repr(nn.Flatten()) == repr(torch.nn.Flatten())
    assert repr(nn.Unflatten(1, (3, -1))) == repr(torch.nn.Unflatten(1, (3, -1)))


@pytest.mark.parametrize("threads", [1, 2, 7])
def test_copies_do_not_depend_on_the_isa_or_threads(threads: int, isa: str) -> None:
    _C.set_num_threads(threads)
    for dtype in ("uint8", "float32", "float64"):
        a = (np.arange(3 * 37 * 51 * 50) % 251).reshape(3, 37, 51, 50).astype(dtype)
        x = fc.tensor(a)
        np.testing.assert_array_equal(x.permute(0, 2, 3, 1).numpy(), a.transpose(0, 2, 3, 1))
        np.testing.assert_array_equal(x.flatten(1).numpy(), a.reshape(3, -1))
        np.testing.assert_array_equal(x[:, 3:20, ::-2].numpy(), a[:, 3:20, ::-2])
        np.testing.assert_array_equal(fc.cat([x, x[:, :5]], 1).numpy(), np.concatenate([a, a[:, :5]], 1))
    b = fc.tensor(np.arange(64 * 96.0).reshape(64, 96)).bfloat16()
    np.testing.assert_array_equal(b.t().float().numpy(), b.float().numpy().T)


def test_flatten_of_channels_last_uses_the_copied_order_in_its_gradient() -> None:
    x = fc.tensor(image(), requires_grad=True)
    weight = fc.tensor(np.arange(60, dtype=np.float32))
    (x.flatten(1) * weight).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), np.broadcast_to(np.arange(60).reshape(3, 4, 5), (2, 3, 4, 5)))
    assert x.grad._data.layout == "channels_last"


def test_out_of_memory_leaves_everything_usable() -> None:
    x = fc.tensor(image())
    for nth in (1, 2):
        _C.fail_nth_allocation(nth)
        try:
            x.flatten(1).reshape(6, 20).permute(1, 0)
        except MemoryError:
            continue
        finally:
            _C.fail_nth_allocation(0)
        pytest.fail(f"allocation {nth} did not fail")
    np.testing.assert_array_equal(x.flatten(1).numpy(), image().reshape(2, 60))
