"""Dropout: what is dropped, how it scales, and which random numbers decide."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastcnn as fc
from fastcnn import _C, nn
from fastcnn import functional as F
from tests.test_random import philox_words


@pytest.mark.parametrize("p", [0.1, 0.5, 0.8])
def test_fraction_and_mean(p: float, isa: str) -> None:
    n = 400_000
    y = F.dropout(fc.ones(n), p).numpy()
    five_sigma = 5 * (p * (1 - p) / n) ** 0.5
    assert abs((y == 0).mean() - p) < five_sigma
    assert abs(y.mean() - 1) < five_sigma / (1 - p)
    assert set(np.unique(y)) == {np.float32(0), np.float32(1 / (1 - p))}


def test_eval_and_p_zero_are_the_identity() -> None:
    x = fc.ones(3, 4)
    assert F.dropout(x, 0.5, training=False) is x
    assert F.dropout(x, 0.0) is x
    assert nn.Dropout(0.5).eval()(x) is x
    assert nn.Dropout2d(0.5).eval()(fc.ones(1, 2, 3, 3)).numpy().all()


def test_p_one_drops_everything() -> None:
    x = fc.ones(37, requires_grad=True)
    y = F.dropout(x, 1.0)
    y.backward(fc.ones(37))
    assert x.grad is not None
    assert not y.detach().numpy().any()
    assert not x.grad.numpy().any()


@pytest.mark.parametrize("n", [1, 3, 15, 16, 17, 100, 511, 512, 513, 16383, 16384, 16400, 70001])
@pytest.mark.parametrize("dtype", [fc.float32, fc.float64])
def test_backward_uses_the_mask_of_the_forward(n: int, dtype: _C.dtype, isa: str) -> None:
    x = fc.ones(n, dtype=dtype, requires_grad=True)
    y = F.dropout(x, 0.3)
    y.backward(fc.full((n,), 2.0, dtype))
    assert x.grad is not None
    np.testing.assert_array_equal(x.grad.numpy(), 2 * y.detach().numpy())


def test_decisions_follow_the_philox_words(isa: str) -> None:
    seed, n, p = 12345678901234567, 16384 * 2 + 1001, 0.25
    fc.manual_seed(seed)
    F.dropout(fc.ones(10), 0.5)  # takes three blocks
    y = F.dropout(fc.ones(n), p).numpy()
    words = philox_words(seed, 3, (n + 3) // 4).reshape(-1)[:n]
    np.testing.assert_array_equal(y != 0, words >= round(p * 2**32))


@settings(max_examples=30, deadline=None)
@given(n=st.integers(0, 40000), p=st.floats(0.01, 0.99), seed=st.integers(0, 2**63 - 1))
def test_float32_and_float64_drop_the_same_elements(n: int, p: float, seed: int) -> None:
    masks = []
    for dtype in (fc.float32, fc.float64):
        fc.manual_seed(seed)
        masks.append(F.dropout(fc.ones(n, dtype=dtype), p).numpy() != 0)
    np.testing.assert_array_equal(*masks)


def test_new_mask_on_every_call_same_mask_for_one_seed() -> None:
    x = fc.ones(1000)
    first, second = F.dropout(x).numpy(), F.dropout(x).numpy()
    assert (first != second).any()
    fc.manual_seed(0)
    np.testing.assert_array_equal(F.dropout(x).numpy(), first)


def test_thread_count_does_not_matter() -> None:
    results = []
    for threads in (1, 2, 3):
        _C.set_num_threads(threads)
        fc.manual_seed(3)
        results.append(F.dropout(fc.ones(100_000), 0.4).numpy().tobytes())
    assert len(set(results)) == 1


def test_dropped_elements_are_zero_whatever_they_were() -> None:
    y = F.dropout(fc.full((1000,), float("nan")), 0.5).numpy()
    assert set(np.unique(np.isnan(y))) == {False, True}
    assert (y[~np.isnan(y)] == 0).all()


@pytest.mark.parametrize("shape", [(4, 33, 5, 7), (6, 20, 9)])
def test_dropout2d_drops_whole_channels(shape: tuple[int, ...]) -> None:
    x = fc.ones(*shape, requires_grad=True)
    y = nn.Dropout2d(0.5)(x)
    y.backward(fc.ones(*shape))
    assert x.grad is not None
    flat = y.detach().numpy().reshape(*shape[:2], -1)
    assert (flat == flat[:, :, :1]).all()
    assert set(np.unique(flat)) == {np.float32(0), np.float32(2)}
    np.testing.assert_array_equal(x.grad.numpy(), y.detach().numpy())


def test_average_over_masks_approaches_the_evaluation() -> None:
    x = fc.linspace(-1, 1, 50)
    mean = np.mean([F.dropout(x, 0.5).numpy() for _ in range(4000)], axis=0)
    np.testing.assert_allclose(mean, x.numpy(), atol=5 / 4000**0.5)


def test_keeping_is_one_minus_p() -> None:
    """H9: p is the probability of dropping; layers may be made from that of keeping."""
    assert nn.Dropout.keeping(0.8).p == pytest.approx(0.2)
    assert isinstance(nn.Dropout2d.keeping(0.5), nn.Dropout2d)
    assert (F.dropout(fc.ones(100_000), 0.2).numpy() == 0).mean() == pytest.approx(0.2, abs=0.01)
    assert (nn.Dropout.keeping(0.8)(fc.ones(100_000)).numpy() == 0).mean() == pytest.approx(0.2, abs=0.01)
    assert "not of keeping" in str(nn.Dropout.__doc__)
    with pytest.raises(ValueError, match="probability"):
        nn.Dropout.keeping(1.5)


@pytest.mark.parametrize("p", [-0.1, 1.5, float("nan")])
def test_dropout_rejects_what_is_no_probability(p: float) -> None:
    for call in (lambda: F.dropout(fc.ones(2), p), lambda: F.dropout2d(fc.ones(1, 1, 2, 2), p), lambda: nn.Dropout(p)):
        with pytest.raises(ValueError, match="probability"):
            call()


def test_dropout2d_rejects_other_ranks() -> None:
    with pytest.raises(ValueError, match=r"dropout2d.*\(3, 4\)"):
        F.dropout2d(fc.ones(3, 4))


def test_replayed_dropout_draws_new_masks() -> None:
    x = fc.ones(1000)
    _C.begin_recording()
    y = F.dropout(x)
    recording = _C.end_recording()
    first = y.numpy().copy()
    recording.replay()
    assert (y.numpy() != first).any()
