"""The tensor-core GEMM core on device `cuda`: every tile, operand order, precision and split of matrix products.

Precisions: operands are rounded to u = 2^-11 (TF32) or 2^-9 (bfloat16) relative, products and sums are float32, so an
element of A B is off by at most 2 u (|A| |B|), plus the float32 error of the sum.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import fastcnn as fc
from fastcnn import _C
from fastcnn import functional as F

if not fc.cuda.is_available():
    pytest.skip(f"no device cuda: {fc.cuda.why_unavailable()}", allow_module_level=True)

ROUNDING = {"highest": 0.0, "high": 2.0**-11, "medium": 2.0**-9}
TILES = {"128x256": 0, "128x128": 1, "128x64": 2, "64x128": 3, "64x64": 4}


@pytest.fixture(autouse=True)
def defaults() -> Iterator[None]:
    before = fc.get_precision()
    yield
    fc.set_precision(before)
    _C.cuda_force_gemm()


def draw(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng((seed, *shape)).uniform(-1, 1, shape).astype(np.float32)


def on_device(array: np.ndarray, dtype: Any = None) -> fc.Tensor:
    tensor = fc.tensor(array)
    return (tensor if dtype is None else tensor.to(dtype)).to("cuda")


def back(tensor: Any) -> np.ndarray:
    return np.array(tensor.detach().cpu().float().numpy(), dtype=np.float64)


def bound(a: np.ndarray, b: np.ndarray, u: float) -> np.ndarray:
    """Largest error of a b with operands rounded to u and float32 sums."""
    terms = a.shape[-1]
    absolute = np.abs(a.astype(np.float64)) @ np.abs(b.astype(np.float64))
    return (2.001 * u + 2.0 * terms**0.5 * 2.0**-23) * absolute + 1e-30


def multiply(a: np.ndarray, b: np.ndarray, order: str, dtype: Any = None) -> np.ndarray:
    """a b with the operands in memory as `order` says: 'k' K-major, 'm' M/N-major."""
    left = a if order[0] == "k" else np.ascontiguousarray(np.swapaxes(a, -1, -2))
    right = np.ascontiguousarray(np.swapaxes(b, -1, -2)) if order[1] == "k" else b
    return back(raw_matmul(on_device(left, dtype), on_device(right, dtype), order[0] == "m", order[1] == "k"))


def raw_matmul(a: Any, b: Any, transpose_a: bool, transpose_b: bool) -> Any:
    return fc.Tensor(_C.matmul(a._data, b._data, transpose_a, transpose_b))


SIZES = [
    (64, 64, 64),
    (65, 72, 40),
    (130, 264, 200),
    (1, 8, 8),
    (200, 16, 136),
    (72, 300, 96),
    (33, 10, 7),
    (5, 129, 63),
]


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("order", ["kk", "km", "mm", "mk"])
@pytest.mark.parametrize("precision", ["highest", "high", "medium"])
def test_float32_precisions(precision: str, order: str, size: tuple[int, int, int]) -> None:
    m, n, k = size
    a, b = draw(m, k), draw(k, n, seed=1)
    fc.set_precision(precision)
    error = np.abs(multiply(a, b, order) - a.astype(np.float64) @ b)
    assert np.all(error <= bound(a, b, ROUNDING[precision]))
    if precision != "highest" and k >= 32:
        assert error.max() > bound(a, b, ROUNDING[precision]).max() / 1000, "the precision was not used"


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("order", ["kk", "km", "mm", "mk"])
@pytest.mark.parametrize("tile", list(TILES))
def test_bfloat16_tiles(tile: str, order: str, size: tuple[int, int, int]) -> None:
    m, n, k = size
    a, b = (back(on_device(x, fc.bfloat16)).astype(np.float32) for x in (draw(m, k), draw(k, n, seed=1)))
    _C.cuda_force_gemm(TILES[tile])
    actual, exact = multiply(a, b, order, fc.bfloat16), a.astype(np.float64) @ b
    assert np.all(np.abs(actual - exact) <= bound(a, b, 0.0) + 2.0**-8 * np.abs(exact))


@pytest.mark.parametrize("order", ["kk", "km", "mm"])
@pytest.mark.parametrize("tile", ["128x128", "128x64"])
@pytest.mark.parametrize("precision", ["high", "medium"])
def test_float32_tiles(precision: str, tile: str, order: str) -> None:
    a, b = draw(140, 100), draw(100, 136, seed=1)
    fc.set_precision(precision)
    _C.cuda_force_gemm(TILES[tile])
    assert np.all(np.abs(multiply(a, b, order) - a.astype(np.float64) @ b) <= bound(a, b, ROUNDING[precision]))


@pytest.mark.parametrize("dtype", [fc.float32, fc.bfloat16], ids=str)
@pytest.mark.parametrize("splits", [2, 3, 7, 50])
@pytest.mark.parametrize("n", [40, 37])
def test_split_along_k(n: int, splits: int, dtype: Any) -> None:
    """Sums of partial products: the same up to rounding, bias and ReLU applied once, and bitwise repeatable."""
    x, w, bias = draw(30, 600), draw(n, 600, seed=1), 5 * draw(n, seed=2)
    tensors = [on_device(array, dtype) for array in (x, w, bias)]
    x, w, bias = (back(t) for t in tensors)
    _C.cuda_force_gemm(-1, splits)
    first = F.linear(*tensors, activation="relu")
    second = F.linear(*tensors, activation="relu")
    assert back(first).tobytes() == back(second).tobytes()
    exact = np.maximum(x @ w.T + bias, 0)
    rounding = ROUNDING["high"] if dtype == fc.float32 else 0.0
    output = 2.0**-8 if dtype == fc.bfloat16 else 2.0**-20
    assert np.all(np.abs(back(first) - exact) <= bound(x, w.T, rounding) + output * (np.abs(exact) + 1))


def test_result_does_not_depend_on_the_tile() -> None:
    a, b = on_device(draw(130, 256), fc.bfloat16), on_device(draw(256, 264, seed=1), fc.bfloat16)
    results = []
    for tile in TILES.values():
        _C.cuda_force_gemm(tile, 1)
        results.append(back(fc.matmul(a, b)).tobytes())
    assert len(set(results)) == 1


@pytest.mark.parametrize("precision", ["highest", "high", "medium"])
def test_nan_and_inf_stay_where_they_are(precision: str) -> None:
    a, b = draw(70, 64), draw(64, 72, seed=1)
    a[3, 5], a[66, 60], b[7, 70] = np.nan, np.inf, np.nan
    fc.set_precision(precision)
    actual = multiply(a, b, "kk")
    exact = a.astype(np.float64) @ b
    np.testing.assert_array_equal(np.isnan(actual), np.isnan(exact))
    np.testing.assert_array_equal(actual[np.isinf(exact)], exact[np.isinf(exact)])


def test_relu_keeps_nan() -> None:
    x, w = draw(3, 8), draw(9, 8, seed=1)
    x[1, 2] = np.nan
    assert np.isnan(back(F.linear(on_device(x), on_device(w), activation="relu"))[1]).all()


@pytest.mark.parametrize(("a", "b"), [((3, 2, 8, 64), (64, 16)), ((2, 3, 16, 8), (3, 8, 24)), ((5, 8, 8), (5, 8, 8))])
def test_batches_of_aligned_matrices(a: tuple[int, ...], b: tuple[int, ...]) -> None:
    x, y = draw(*a), draw(*b, seed=1)
    actual = back(fc.matmul(on_device(x), on_device(y)))
    assert np.all(np.abs(actual - x.astype(np.float64) @ y) <= bound(x, y, ROUNDING["high"]))
