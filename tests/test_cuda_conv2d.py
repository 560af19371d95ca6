"""Convolutions on the CUDA GEMM core: every tile, precision, split and cut of the batch against the CPU's float64."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import fastcnn as fc
from fastcnn import _C
from fastcnn import functional as F
from tests import walk
from tests.cases.conv2d import OPS, _case
from tests.test_cuda_gemm import ROUNDING, TILES, draw

CONV = OPS[0]

if not fc.cuda.is_available():
    pytest.skip(f"no device cuda: {fc.cuda.why_unavailable()}", allow_module_level=True)


@pytest.fixture(autouse=True)
def defaults() -> Iterator[None]:
    before = fc.get_precision()
    fc.set_precision("highest")
    yield
    fc.set_precision(before)
    _C.cuda_force_gemm()


# Aligned channels, so that every tile is possible, and more than one tile in each of M, N and K.
ALIGNED = (
    _case(3, 16, 9, 8, 72, 3, 1, 1),
    _case(2, 72, 7, 6, 136, (2, 3), (2, 1), (1, 2), (1, 2)),
    _case(2, 48, 9, 11, 32, 3, (2, 3), (0, 2), 1, 2, activation="relu"),
    _case(1, 264, 5, 4, 24, 2, 1, 1),
    _case(2, 8, 13, 11, 8, 5, 3, (3, 1), (2, 1)),
    _case(5, 40, 6, 6, 64, 1),
    _case(2, 24, 4, 9, 16, 4, 4),
)


@pytest.mark.parametrize("tile", list(TILES))
@pytest.mark.parametrize("case", ALIGNED, ids=lambda case: case.id)
def test_bfloat16_tiles(case: Any, tile: str) -> None:
    _C.cuda_force_gemm(TILES[tile])
    walk.check_dtype(CONV, case, "cuda", "bfloat16")
    walk.check_dtype_gradients(CONV, case, "cuda", "bfloat16")


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("splits", [2, 5])
@pytest.mark.parametrize("case", ALIGNED[:5], ids=lambda case: case.id)
def test_split_along_k(case: Any, splits: int, dtype: str) -> None:
    _C.cuda_force_gemm(-1, splits)
    walk.check_dtype(CONV, case, "cuda", dtype)
    walk.check_dtype_gradients(CONV, case, "cuda", dtype)


def arrays(case: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
    made = walk.make_arrays(case.args)
    options = {key: made[key] for key in ("stride", "padding", "dilation", "groups")}
    return made["input"], made["weight"], made["bias"], options


def all_three(case: Any, device: str, dtype: Any) -> list[np.ndarray]:
    """Output and gradients of input and weight for a fixed cotangent."""
    x, w, bias, options = arrays(case)
    tensors = [fc.tensor(a, dtype=dtype).to(device).requires_grad_(True) for a in (x, w, bias)]
    output = F.conv2d(*tensors, **options)
    output.backward(fc.tensor(draw(*output.shape, seed=3), dtype=dtype).to(device))
    return [np.asarray(t.detach().cpu().numpy(), np.float64) for t in (output, tensors[0].grad, tensors[1].grad)]


@pytest.mark.parametrize("tile", ["128x128", "128x64", "64x64"])
@pytest.mark.parametrize("precision", ["high", "medium"])
@pytest.mark.parametrize(
    "case", [*ALIGNED[:4], _case(2, 7, 6, 5, 9, 3, 2, 1), _case(2, 3, 9, 9, 4, 5, 1, 2)], ids=lambda case: case.id
)
def test_lower_precisions(case: Any, precision: str, tile: str) -> None:
    """Off by no more than rounded operands can be: 2 u times the same convolution of absolute values."""
    exact = all_three(case, "cpu", fc.float64)
    fc.set_precision(precision)
    _C.cuda_force_gemm(TILES[tile])
    actual = all_three(case, "cuda", fc.float32)
    _, w, _, _ = arrays(case)
    outputs = exact[0].size / exact[0].shape[1]
    largest = (w[0].size, exact[0].shape[1] * w[0, 0].size, outputs)  # terms of each sum, of products below 1
    for name, got, want, terms in zip(("output", "input", "weight"), actual, exact, largest, strict=True):
        limit = 2.001 * ROUNDING[precision] * terms + 1e-5
        # errors of random signs: a tenth of the worst case is never reached by sums this long
        limit = min(limit, 12 * ROUNDING[precision] * terms**0.5 + 1e-5)
        assert np.abs(got - want).max() <= limit, f"{name}: {np.abs(got - want).max()} > {limit}"
        assert np.abs(got - want).max() > ROUNDING[precision] / 100, f"{name}: the precision was not used"


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("case", [ALIGNED[0], _case(5, 6, 7, 6, 9, 3, 2, 1, 1, 3)], ids=lambda case: case.id)
def test_batch_cut_into_launches(case: Any, dtype: str) -> None:
    """As batches with more than 2^31 pixels are."""
    _C.cuda_force_gemm(images=2)
    walk.check_dtype(CONV, case, "cuda", dtype)
    walk.check_dtype_gradients(CONV, case, "cuda", dtype)


@pytest.mark.parametrize("images", [0, 2])
@pytest.mark.parametrize("dtype", [fc.float32, fc.bfloat16], ids=str)
@pytest.mark.parametrize("tile", list(TILES))
@pytest.mark.parametrize(
    "case",
    [*ALIGNED[:3], ALIGNED[5], _case(5, 7, 9, 6, 13, 3, 1, 1), _case(3, 3, 20, 21, 70, 7, 2, 3)],
    ids=lambda case: case.id,
)
def test_statistics_of_the_output(case: Any, tile: str, dtype: Any, images: int) -> None:
    """Mean and squared deviations of the values as stored, by tiles and merged: near float32's precision, also around a
    mean that is large beside the deviations."""
    x, w, bias, options = arrays(case)
    bias = bias + 50
    tensors = [fc.tensor(a, dtype=fc.float32).to(dtype).to("cuda")._data for a in (x, w, bias)]
    _C.cuda_force_gemm(TILES[tile], images=images)
    pairs = [tuple(v) if isinstance(v, tuple) else (v, v) for v in options.values() if not isinstance(v, bool)][:3]
    output, statistics = _C.conv2d_forward_statistics(*tensors, *pairs, options["groups"])
    plain = _C.conv2d_forward(*tensors, *pairs, options["groups"])
    values = np.asarray(fc.Tensor(output).cpu().float().numpy(), np.float64)
    assert values.tobytes() == np.asarray(fc.Tensor(plain).cpu().float().numpy(), np.float64).tobytes()
    mean, deviations = fc.Tensor(statistics).cpu().numpy()
    rows = values.transpose(1, 0, 2, 3).reshape(values.shape[1], -1)
    np.testing.assert_allclose(mean, rows.mean(1), rtol=1e-6)
    np.testing.assert_allclose(deviations, ((rows - rows.mean(1, keepdims=True)) ** 2).sum(1), rtol=2e-5, atol=1e-6)


def test_statistics_need_cuda() -> None:
    x, w = (fc.tensor(draw(*shape))._data for shape in ((1, 2, 4, 4), (3, 2, 3, 3)))
    with pytest.raises(ValueError, match="must be on cuda"):
        _C.conv2d_forward_statistics(x, w, None, (1, 1), (0, 0), (1, 1), 1)


@pytest.mark.parametrize("dtype", [fc.float32, fc.bfloat16], ids=str)
@pytest.mark.parametrize(
    "case",
    [
        _case(2, 3, 17, 14, 8, 7, 2, 3),
        _case(1, 3, 9, 11, 5, 3, 1, 1),
        _case(2, 1, 12, 9, 8, 5, 2, (1, 2)),
        _case(1, 5, 8, 7, 8, (2, 4), (1, 3), 0),
        _case(2, 8, 9, 8, 16, 3, 2, 1),
    ],
    ids=lambda case: case.id,
)
def test_nan_reaches_only_its_windows(case: Any, dtype: Any) -> None:
    """Elements beside a window that are read together with it, and padding, are zeros, not products with zero."""
    x, w, bias, options = arrays(case)
    x[0, 0, 4, 5], x[-1, -1, -1, -1] = np.nan, np.inf
    exact = F.conv2d(*(fc.tensor(a) for a in (x, w, bias)), **options).numpy()
    actual = F.conv2d(*(fc.tensor(a, dtype=fc.float32).to(dtype).to("cuda") for a in (x, w, bias)), **options)
    actual = actual.cpu().float().numpy()
    np.testing.assert_array_equal(np.isfinite(actual), np.isfinite(exact))
    np.testing.assert_array_equal(np.isnan(actual), np.isnan(exact))
