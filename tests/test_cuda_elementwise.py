"""Elementwise and data-movement kernels on device `cuda`: pack and tile edges, unaligned memory, every dtype.

Copies, conversions and integers equal the CPU's results exactly. The case tables cover float32 and bfloat16 arithmetic.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastcnn as fc
from fastcnn import functional as F

if not fc.cuda.is_available():
    pytest.skip(f"no device cuda: {fc.cuda.why_unavailable()}", allow_module_level=True)

DTYPES = (fc.float32, fc.float64, fc.bfloat16, fc.int64, fc.uint8, fc.bool_)
NAN, INF = float("nan"), float("inf")


def name(dtype: Any) -> str:
    return str(dtype).rsplit(".", 1)[-1]


def draw(shape: tuple[int, ...], dtype: Any = fc.float32, seed: int = 0) -> fc.Tensor:
    """Small values that every dtype holds."""
    values = np.random.default_rng(seed).integers(0, 2 if dtype == fc.bool_ else 100, shape)
    return fc.tensor(values.astype(np.int64)).to(dtype)


def same(actual: fc.Tensor, expected: fc.Tensor) -> None:
    """Equal dtype, shape, layout and bits (NaN equals NaN)."""
    assert actual.is_cuda
    assert actual.dtype == expected.dtype
    assert actual._data.layout == expected._data.layout
    got, want = (x.cpu().float() if x.dtype == fc.bfloat16 else x.cpu() for x in (actual, expected))
    np.testing.assert_array_equal(got.numpy(), want.numpy())


def check(function: Callable[..., fc.Tensor], *tensors: fc.Tensor) -> None:
    """The same result on both devices."""
    same(function(*[t.to("cuda") for t in tensors]), function(*tensors))


@pytest.mark.parametrize("source", DTYPES, ids=name)
@pytest.mark.parametrize("target", DTYPES, ids=name)
def test_cast(source: Any, target: Any) -> None:
    for n in (1, 3, 16, 17, 5000):
        check(lambda x: x.to(target), draw((n,), source))
        check(lambda x: x[1:].to(target), draw((n, 1), source))  # unaligned for most dtypes


@pytest.mark.parametrize("target", DTYPES, ids=name)
def test_cast_of_special_values(target: Any) -> None:
    values = fc.tensor(
        [NAN, INF, -INF, 1e30, -1e30, -1.5, 0.0, -0.0, 1.00390625, 3.3895314e38, 300.7], dtype=fc.float64
    )
    check(lambda x: x.to(target), values)
    check(lambda x: x.to(target), values.float())


@pytest.mark.parametrize("dtype", DTYPES, ids=name)
def test_fill(dtype: Any) -> None:
    for n in (0, 1, 5, 64, 5000):
        x = fc.zeros((n + 2, 1), dtype=dtype, device="cuda")
        x[1:-1].fill_(1)
        expected = np.ones(n + 2)
        expected[[0, -1]] = 0
        np.testing.assert_array_equal(x.cpu().double().numpy()[:, 0], expected)


@pytest.mark.parametrize("dtype", DTYPES, ids=name)
def test_permute_tiles(dtype: Any) -> None:
    for shape in (
        (2, 3, 5, 7),
        (1, 16, 4, 4),
        (2, 63, 5, 13),
        (3, 64, 8, 8),
        (1, 65, 5, 13),
        (2, 130, 1, 17),
        (1, 7, 9, 16),
    ):
        x = draw(shape, dtype)
        check(lambda t: t.permute(0, 2, 3, 1), x)
        check(lambda t: fc.Tensor(fc._C.to_layout(t._data, "row_major")), x)
        check(lambda t: t.flatten(1), x)
        check(lambda t: t.permute(3, 1, 0, 2)[::-1, :, :, 1:], x)


@pytest.mark.parametrize("dtype", DTYPES, ids=name)
def test_strided_copies(dtype: Any) -> None:
    x, y = draw((2, 16, 3, 5), dtype), draw((2, 5, 3, 5), dtype, 1)
    check(lambda a, b: fc.cat([a, b, a], 1), x, y)
    check(lambda a: fc.cat([a, a], 3), x)
    check(lambda a: a[:, 8:, ::2, 1:4], x)
    check(lambda a: a[:, ::-3, :, ::-1], x)
    check(lambda a: fc.expand(a[:, :, :1, :1], (2, 16, 4, 6)), x)
    check(lambda a: a.repeat(2, 1, 3, 2), x)

    def assign(a: fc.Tensor) -> fc.Tensor:
        a = a.clone()
        a[:, 1:9, ::2] = a[:, 3:11, :1]
        return a

    check(assign, x)


SHAPES = (
    ((2, 8, 3, 5), (8, 1, 1)),  # per channel: packs
    ((2, 7, 3, 5), (7, 1, 1)),  # odd channels: elements
    ((4, 16), (4, 1)),
    ((4, 16), (16,)),
    ((4, 1, 6), (5, 1)),
    ((2, 8, 3, 5), (2, 1, 3, 1)),
    ((2, 8, 3, 5), ()),
    ((), (3, 4)),
    ((5000,), (5000,)),
    ((1, 4, 2), (0, 4, 2)),
)


@pytest.mark.parametrize("dtype", DTYPES, ids=name)
def test_binary_broadcasts(dtype: Any) -> None:
    for a, b in SHAPES:
        x, y = draw(a, dtype), draw(b, dtype, 1)
        for function in (fc.add, fc.mul, fc.maximum, fc.minimum, fc.eq, fc.lt, fc.ge, fc.ne):
            check(function, x, y)
            check(function, y, x)
        if x.ndim:
            check(lambda u, v: fc.add(u[1:], v[1:] if v.ndim == u.ndim > 0 and v.shape[0] > 1 else v), x, y)
        check(lambda u, v: fc.where(fc.gt(u, v), u, v), x, y)


@pytest.mark.parametrize("dtype", [fc.float32, fc.float64, fc.bfloat16, fc.int64, fc.uint8], ids=name)
def test_binary_with_numbers(dtype: Any) -> None:
    x = draw((3, 7), dtype) + 1
    for number, function in itertools.product((2, 3), (fc.add, fc.sub, fc.mul, fc.floor_divide, fc.remainder, fc.pow)):
        check(lambda u, f=function, n=number: f(u, n), x)
        check(lambda u, f=function, n=number: f(n, u), x % 3 + 1)
    check(lambda u: fc.add(u, u, alpha=3), x)
    check(lambda u: u * 0.1, x)
    check(lambda u: u / 3, x)


def test_logic() -> None:
    x, y = draw((5, 33), fc.bool_), draw((33,), fc.bool_, 1)
    for function in (fc.logical_and, fc.logical_or, fc.logical_xor, fc.add, fc.mul, fc.maximum, fc.minimum, fc.eq):
        check(function, x, y)
        check(lambda u, f=function: f(u, True), x)
        check(lambda u, f=function: f(False, u), x)
    check(fc.logical_and, draw((5,), fc.int64), draw((5,), fc.float32, 1))


def test_integer_division_by_zero_is_refused() -> None:
    x = fc.tensor([4, 5], device="cuda")
    for divisor in (0, fc.tensor([1, 0], device="cuda")):
        with pytest.raises(ValueError, match="division by zero"):
            fc.floor_divide(x, divisor)


@pytest.mark.parametrize("dtype", [fc.float32, fc.bfloat16, fc.int64], ids=name)
def test_in_place(dtype: Any) -> None:
    def run(x: fc.Tensor, y: fc.Tensor) -> fc.Tensor:
        x = x.clone()
        x += y
        x *= 2
        x[1:] -= x[:-1]
        return x

    check(run, draw((3, 8, 2, 5), dtype), draw((8, 1, 1), dtype, 1))


@pytest.mark.parametrize("dtype", [fc.float32, fc.bfloat16], ids=name)
def test_sum_to_shape_splits(dtype: Any) -> None:
    """Sums of integers are exact: long and short, few and many results, packed and odd."""
    for shape, target in (
        ((2, 16, 9, 11), (16, 1, 1)),
        ((2, 3, 9, 11), (3, 1, 1)),
        ((2, 700, 2, 3), (700, 1, 1)),
        ((1, 1, 90, 91), ()),
        ((3, 5000), (3, 1)),
        ((3, 40), (3, 1)),
        ((9000, 3), (3,)),
        ((9000, 8), (1, 8)),
        ((4, 6, 5, 7), (1, 6, 1, 7)),
        ((4, 6, 5, 7), (4, 1, 5, 1)),
    ):
        x = (draw(shape) % 3 - 1).to(dtype)
        actual = fc.Tensor(fc._C.sum_to_shape(x.to("cuda")._data, target))
        expected = fc.Tensor(fc._C.sum_to_shape(x.double()._data, target)).to(dtype)
        same(actual, expected)
        again = fc.Tensor(fc._C.sum_to_shape(x.to("cuda")._data, target))
        same(again, expected)


@pytest.mark.parametrize("dtype", [fc.float32, fc.bfloat16], ids=name)
def test_index_gradients_with_repeats(dtype: Any) -> None:
    """Rows that few, many and no indices name, in the order of the index: the CPU's bits in float32."""
    index = fc.tensor(np.concatenate([np.full(40, 2), [5, 0, 5, 5], np.full(15, 3), np.full(16, 4), [-1]]))
    x = fc.tensor(np.random.default_rng(0).normal(size=(7, 3)).astype(np.float32))
    g = fc.tensor(np.random.default_rng(1).normal(size=(len(index), 3)).astype(np.float32)).to(dtype)

    def gradient(x: fc.Tensor, index: fc.Tensor, g: fc.Tensor) -> fc.Tensor:
        x.requires_grad_(True)
        x[index].backward(g)
        assert x.grad is not None
        return x.grad

    if dtype == fc.float32:
        same(gradient(x.to("cuda"), index.to("cuda"), g.to("cuda")), gradient(x.clone(), index, g))
    else:
        expected = gradient(x.clone(), index, g.float()).to(dtype)
        same(gradient(x.to(dtype).to("cuda"), index.to("cuda"), g.to("cuda")), expected)


@pytest.mark.parametrize("dtype", DTYPES, ids=name)
def test_rows(dtype: Any) -> None:
    x, index = draw((6, 16, 2), dtype), fc.tensor([5, -6, 5, 2])
    check(lambda a, i: a[i], x, index)
    check(lambda a, i: a[:, :, i % 2], x, index)
    check(lambda a, i: fc.gather(a[:, :, 0], 1, fc.expand(i % 6 + 3, (6, 4))), x, index)

    def write(a: fc.Tensor, i: fc.Tensor) -> fc.Tensor:
        a = a.clone()
        fc._C.index_write_(a._data, 0, i._data, a[1:5].clone()._data)
        return a

    check(write, x, index)  # row 5 is named twice: the later value stays
    check(write, x[:, :3], index)


def test_masks_and_positions() -> None:
    x = draw((4, 5, 3)) % 4

    def zero_ones(a: fc.Tensor) -> fc.Tensor:
        a = a.clone()
        a[a == 1] = 7.0
        return a

    check(lambda a: a[a > 1], x)
    check(zero_ones, x)
    check(lambda a: fc.nonzero(a), x)
    check(lambda a: fc.nonzero(a.bfloat16()), x)
    check(lambda a: F.one_hot(a.to(fc.int64)), x)
    check(lambda a: fc.masked_select(a, a[0] > 1), x)
    check(lambda a: a[[0, 2], 1:3, [0, 1]], x)


def test_bad_index_is_reported_and_the_device_survives() -> None:
    x = fc.zeros((3, 4), device="cuda")

    def select() -> None:
        fc.index_select(x, 0, fc.tensor([1, 3], device="cuda"))
        fc.cuda.synchronize()

    def loss() -> None:
        F.binary_cross_entropy(fc.full((2, 2), 1.5, device="cuda"), fc.zeros((2, 2), device="cuda"))
        fc.cuda.synchronize()

    message = r"index_select: index\(1,\) is 3, but expected 0 to 2 \(dim 0 of input \(3, 4\)\)"
    with pytest.raises(IndexError, match=message):
        select()
    with pytest.raises(ValueError, match=r"input contains 1\.5"):
        loss()
    same(x + 1, fc.ones((3, 4)))


@pytest.mark.parametrize("mode", ["constant", "reflect", "replicate", "circular"])
@pytest.mark.parametrize("dtype", [fc.float32, fc.bfloat16], ids=name)
def test_pad_packs(mode: str, dtype: Any) -> None:
    for channels in (3, 8, 24):
        x = draw((2, channels, 5, 4), dtype)

        def gradient(a: fc.Tensor) -> fc.Tensor:
            a = a.detach().requires_grad_(True)
            y = F.pad(a, (3, 2, 1, 4), mode=mode)
            y.backward((draw(y.shape, seed=2) % 3).to(a.dtype).to(a.device))
            assert a.grad is not None
            return a.grad

        check(lambda a: F.pad(a, (3, 2, 1, 4), mode=mode), x)
        same(gradient(x.to("cuda")), gradient(x.float()).to(dtype))


def test_accumulate() -> None:
    for dtype, n in itertools.product((fc.float32, fc.bfloat16), (1, 8, 33, 5000)):
        x, y = draw((n,), dtype), draw((n,), dtype, 1)
        a, b = x.to("cuda"), y.to("cuda")
        fc._C.accumulate_(a._data, b._data)
        same(a, (x.float() + y.float()).to(dtype))


@pytest.mark.parametrize("dtype", [fc.float32, fc.bfloat16])
@pytest.mark.parametrize("count", [65_535, 65_536, 65_541])
def test_long_rows_that_are_no_whole_packs(count: int, dtype: Any, rng: np.random.Generator) -> None:
    a, b = (rng.integers(-99, 99, count).astype(np.float32) for _ in range(2))
    x, y = (fc.tensor(values).to("cuda").to(dtype) for values in (a, b))
    np.testing.assert_array_equal((x + y).float().cpu().numpy(), a + b)
    np.testing.assert_array_equal((x - 3.0).float().cpu().numpy(), a - 3.0)
    np.testing.assert_array_equal(fc.abs(x).float().cpu().numpy(), np.abs(a))
    np.testing.assert_array_equal(fc.where(x > y, x, y).float().cpu().numpy(), np.maximum(a, b))
