"""Linear, Identity, F.linear and the matrix products: what the case tables do not cover."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import fastcnn as fc
from fastcnn import _C, nn
from fastcnn import functional as F
from fastcnn.ops import linalg
from tests.cases import tolerance


def random(*shape: int, seed: int = 0, dtype: str = "float32") -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(dtype)


def test_linear_computes_x_w_transposed_plus_b() -> None:
    layer = nn.Linear(3, 2)
    x = random(4, 3)
    expected = x @ layer.weight.detach().numpy().T + layer.bias.detach().numpy()
    np.testing.assert_allclose(layer(fc.tensor(x)).detach().numpy(), expected, atol=1e-6)


def test_linear_without_bias() -> None:
    layer = nn.Linear(3, 2, bias=False)
    assert layer.bias is None
    assert list(layer.state_dict()) == ["weight"]
    x = random(4, 3)
    np.testing.assert_allclose(layer(fc.tensor(x)).detach().numpy(), x @ layer.weight.detach().numpy().T, atol=1e-6)


def test_linear_loads_weights_of_torch() -> None:
    torch = pytest.importorskip("torch")
    theirs = torch.nn.Linear(70, 33)
    ours = nn.Linear(70, 33)
    assert ours.state_dict().keys() == theirs.state_dict().keys()
    ours.load_state_dict({k: fc.tensor(v.numpy()) for k, v in theirs.state_dict().items()})
    x = random(5, 70)
    np.testing.assert_allclose(
        ours(fc.tensor(x)).detach().numpy(), theirs(torch.from_numpy(x)).detach().numpy(), atol=tolerance("float32", 70)
    )
    assert repr(ours) == repr(theirs)
    assert repr(nn.Linear(2, 3, bias=False)) == repr(torch.nn.Linear(2, 3, bias=False))


def test_linear_starts_uniform_within_one_over_root_of_the_inputs() -> None:
    fc.manual_seed(0)
    layer = nn.Linear(400, 300)
    bound = 1 / math.sqrt(400)
    weight, bias = layer.weight.detach().numpy(), layer.bias.detach().numpy()
    for values in (weight, bias):
        assert np.abs(values).max() <= bound
        assert np.abs(values).max() > 0.98 * bound
    assert weight.std() == pytest.approx(bound / math.sqrt(3), rel=0.02)
    assert abs(weight.mean()) < 0.01 * bound
    fc.manual_seed(0)
    assert nn.Linear(400, 300).weight.detach().numpy().tobytes() == weight.tobytes()
    before = weight.copy()
    layer.reset_parameters()
    assert not np.array_equal(layer.weight.detach().numpy(), before)


def test_linear_dtype_and_empty_sizes() -> None:
    layer = nn.Linear(3, 2, dtype=fc.float64)
    assert layer.weight.dtype == fc.float64
    assert layer(fc.tensor(random(4, 3, dtype="float64"))).dtype == fc.float64
    assert nn.Linear(0, 2)(fc.tensor(np.zeros((3, 0), np.float32))).shape == (3, 2)
    assert nn.Linear(2, 0)(fc.tensor(np.zeros((3, 2), np.float32))).shape == (3, 0)
    for sizes in ((-1, 2), (2, -1)):
        with pytest.raises(ValueError, match="must not be negative"):
            nn.Linear(*sizes)


def test_identity_returns_its_input_and_ignores_arguments() -> None:
    x = fc.tensor(random(2, 3))
    assert nn.Identity(54, unused="yes")(x) is x


def test_gradient_of_an_empty_batch_is_zero() -> None:
    # Frameworks have left the memory of the weight gradient uninitialised here.
    w, b = (fc.tensor(random(*s), requires_grad=True) for s in ((300, 40), (300,)))
    _C.poison_allocations(True)
    try:
        F.linear(fc.tensor(np.zeros((0, 40), np.float32)), w, b).backward(fc.tensor(np.zeros((0, 300), np.float32)))
    finally:
        _C.poison_allocations(False)
    assert not w.grad.numpy().any()
    assert not b.grad.numpy().any()


def test_fused_relu_equals_relu_after_linear(isa: str) -> None:
    for rows, K, N in ((5, 70, 9), (33, 20, 40), (3, 10, 65)):
        x, w, b, g = random(rows, K), random(N, K, seed=1), random(N, seed=2), random(rows, N, seed=3)
        fused, plain = ([fc.tensor(a, requires_grad=True) for a in (x, w, b)] for _ in range(2))
        y = F.linear(*fused, activation="relu")
        z = F.linear(*plain)
        positive = z.detach().numpy() > 0
        np.testing.assert_array_equal(y.detach().numpy(), np.where(positive, z.detach().numpy(), 0))
        y.backward(fc.tensor(g))
        z.backward(fc.tensor(np.where(positive, g, 0).astype(np.float32)))
        for f, p in zip(fused, plain, strict=True):
            assert f.grad.numpy().tobytes() == p.grad.numpy().tobytes()


def test_fused_relu_keeps_nan(isa: str) -> None:
    for rows, K in ((2, 70), (40, 10)):
        x = random(rows, K)
        x[1, 3] = np.nan
        y = F.linear(fc.tensor(x), fc.tensor(random(5, K)), activation="relu").numpy()
        assert np.isnan(y[1]).all()
        assert not np.isnan(np.delete(y, 1, 0)).any()


def test_large_products_cross_every_block(isa: str) -> None:
    # More rows than a super-block (8 MB of A), several K blocks, and columns that end inside a panel.
    M, K, N = 1200, 2100, 37
    a, b = random(M, K), random(K, N, seed=1)
    expected = a.astype(np.float64) @ b.astype(np.float64)
    error = np.abs(fc.matmul(fc.tensor(a), fc.tensor(b)).numpy() - expected).max()
    assert error <= tolerance("float32", K)


@pytest.mark.parametrize("rows", [7, 28])
def test_few_rows_and_long_sums(rows: int, isa: str) -> None:
    """B is read in place, by panels of equal and of unequal heights, whatever the length of the sum."""
    a, b = random(rows, 100_000), random(100_000, 40, seed=1)
    expected = a.astype(np.float64) @ b.astype(np.float64)
    error = np.abs(fc.matmul(fc.tensor(a), fc.tensor(b)).numpy() - expected).max()
    assert error <= tolerance("float32", 100_000, np.abs(expected).max())


def test_every_transpose_combination(isa: str) -> None:
    for M, K, N in ((5, 7, 3), (30, 300, 45), (20, 70, 33), (1, 90, 40)):
        expected = random(M, K).astype(np.float64) @ random(K, N, seed=1).astype(np.float64)
        for transpose_a in (False, True):
            for transpose_b in (False, True):
                a, b = random(M, K), random(K, N, seed=1)
                raw_a = fc.tensor(a.T.copy() if transpose_a else a)._data
                raw_b = fc.tensor(b.T.copy() if transpose_b else b)._data
                product = _C.matmul(raw_a, raw_b, transpose_a, transpose_b).numpy()
                assert np.abs(product - expected).max() <= tolerance("float32", K)


@pytest.mark.parametrize("layout", ["row_major", "channels_last"])
def test_batches_in_either_memory_layout(layout: str) -> None:
    a, b = random(3, 4, 5, dtype="float64"), random(3, 5, 6, seed=1, dtype="float64")
    product = _C.matmul(_C.to_layout(fc.tensor(a)._data, layout), fc.tensor(b)._data)
    np.testing.assert_allclose(product.numpy(), a @ b, atol=1e-14)
    c = random(2, 3, 4, 5, dtype="float64")
    product = _C.matmul(_C.to_layout(fc.tensor(c)._data, layout), fc.tensor(b)._data)
    np.testing.assert_allclose(product.numpy(), c @ b, atol=1e-14)


def test_named_products() -> None:
    m, n = random(3, 4), random(4, 5, seed=1)
    v, u = random(4, seed=2), random(4, seed=3)
    batch = random(2, 3, 4, seed=4)
    cases: tuple[tuple[Any, Any, Any], ...] = (
        (linalg.mm, (m, n), m @ n),
        (linalg.bmm, (batch, random(2, 4, 5)), batch @ random(2, 4, 5)),
        (linalg.mv, (m, v), m @ v),
        (linalg.dot, (v, u), v @ u),
        (linalg.outer, (v, u), np.outer(v, u)),
    )
    for function, arguments, expected in cases:
        result = function(*[fc.tensor(a) for a in arguments])
        assert result.shape == expected.shape
        np.testing.assert_allclose(result.numpy(), expected, atol=1e-6)
    for function, arguments, words in (
        (linalg.mm, (batch, n), "two matrices"),
        (linalg.bmm, (m, n), "two batches of matrices"),
        (linalg.bmm, (batch, random(3, 4, 5)), "different lengths"),
        (linalg.mv, (m, n), "a matrix and a vector"),
        (linalg.dot, (m, v), "two vectors"),
        (linalg.outer, (m, v), "two vectors"),
    ):
        with pytest.raises(ValueError, match=words):
            function(*[fc.tensor(a) for a in arguments])


def test_a_vector_cannot_be_transposed() -> None:
    with pytest.raises(ValueError, match="cannot be transposed"):
        _C.matmul(fc.tensor(random(3))._data, fc.tensor(random(3, 2))._data, True, False)


def test_gradient_kernels_reject_shapes_that_do_not_fit() -> None:
    x, w, g = (fc.tensor(random(*s))._data for s in ((4, 3), (2, 3), (4, 2)))
    out = fc.tensor(random(3, 2))._data
    vector = fc.tensor(random(3))._data
    for call, words in (
        (lambda: _C.linear_backward_input(x, w), "grad_output has shape"),
        (lambda: _C.linear_backward_input(g, vector), "weight has shape"),
        (lambda: _C.linear_backward_weight(w, x), "grad_output has shape"),
        (lambda: _C.linear_backward_weight(vector, x), "grad_output has shape"),
        (lambda: _C.linear_backward_weight(g, x, out), "out has shape"),
        (lambda: _C.linear_backward_bias(g, vector), "out has shape"),
        (lambda: _C.linear_backward_relu(g, x), "grad_output has shape"),
    ):
        with pytest.raises(ValueError, match=words):
            call()


@pytest.mark.parametrize(
    ("rows", "inputs", "outputs"),
    [(512, 17, 6), (530, 130, 19), (1030, 70, 67), (1100, 300, 270), (5000, 31, 33)],
)
def test_weight_gradients_over_many_rows_equal_float64(rows: int, inputs: int, outputs: int, isa: str) -> None:
    """Several blocks and parts of the sum, slices of rows and columns, and their tails, on any number of threads."""
    x, g = random(rows, inputs), random(rows, outputs, seed=1)
    expected = g.astype(np.float64).T @ x.astype(np.float64)
    threads, results = _C.num_threads(), []
    try:
        for count in (1, 2, 3):
            _C.set_num_threads(count)
            results.append(_C.linear_backward_weight(fc.tensor(g)._data, fc.tensor(x)._data).numpy())
    finally:
        _C.set_num_threads(threads)
    np.testing.assert_allclose(results[0], expected, rtol=0, atol=tolerance("float32", rows, np.abs(expected).max()))
    assert results[0].tobytes() == results[1].tobytes() == results[2].tobytes()


@pytest.mark.parametrize(("inputs", "outputs"), [(70, 67), (1, 300), (1024, 9), (1025, 9), (9, 1024)])
def test_many_rows_equal_float64(inputs: int, outputs: int, isa: str) -> None:
    """The paths of many rows: short sums and, one longer, others; channel tails; on any number of threads."""
    x, w, b, g = random(300, inputs), random(outputs, inputs), random(outputs), random(300, outputs, seed=1)
    y = np.maximum(x.astype(np.float64) @ w.T + b, 0)
    gx = g.astype(np.float64) @ w
    threads, results = _C.num_threads(), []
    try:
        for count in (1, 2, 3):
            _C.set_num_threads(count)
            tensors = [fc.tensor(a)._data for a in (x, w, b, g)]
            results.append(
                (
                    _C.linear_forward(*tensors[:3], "relu").numpy(),
                    _C.linear_backward_input(tensors[3], tensors[1]).numpy(),
                )
            )
    finally:
        _C.set_num_threads(threads)
    for index, (expected, terms) in enumerate(((y, inputs + 1), (gx, outputs))):
        got = results[0][index]
        np.testing.assert_allclose(got, expected, rtol=0, atol=tolerance("float32", terms, np.abs(expected).max()))
        assert got.tobytes() == results[1][index].tobytes() == results[2][index].tobytes()


def test_a_recorded_layer_replays_with_new_values() -> None:
    x, w, b = (fc.tensor(random(*s))._data for s in ((40, 30), (50, 30), (50,)))
    _C.begin_recording()
    try:
        y = _C.linear_forward(x, w, b, "relu")
        gw = _C.linear_backward_weight(y, x)
    finally:
        recording = _C.end_recording()
    x.numpy()[...] = random(40, 30, seed=5)
    recording.replay()
    expected = _C.linear_forward(x, w, b, "relu")
    assert y.numpy().tobytes() == expected.numpy().tobytes()
    assert gw.numpy().tobytes() == _C.linear_backward_weight(expected, x).numpy().tobytes()


def test_running_out_of_memory_raises_and_leaves_nothing_behind() -> None:
    x, w = fc.tensor(random(60, 300)), fc.tensor(random(50, 300))
    expected = F.linear(x, w).numpy().tobytes()
    allocated = _C.memory_stats()["allocated"]
    for nth in range(1, 10):
        _C.fail_nth_allocation(nth)
        try:
            result = F.linear(x, w).numpy().tobytes()
        except MemoryError:
            assert _C.memory_stats()["allocated"] == allocated
        else:
            assert result == expected
            break
        finally:
            _C.fail_nth_allocation(0)
    assert nth > 1
    assert F.linear(x, w).numpy().tobytes() == expected


def test_python_threads_may_multiply_at_once() -> None:
    import threading

    a, b = fc.tensor(random(200, 300)), fc.tensor(random(300, 170))
    expected = fc.matmul(a, b).numpy().tobytes()
    results: list[bytes] = []

    def work() -> None:
        results.extend(fc.matmul(a, b).numpy().tobytes() for _ in range(5))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(results) == 20
    assert set(results) == {expected}
