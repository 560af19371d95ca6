"""Initialisers: formulas of torch.nn.init, moments, reproducibility."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import fastcnn as fc
from fastcnn import _C
from fastcnn.nn import init

SHAPE = (200, 30, 5, 5)
FAN_IN, FAN_OUT = 30 * 25, 200 * 25


def test_fans() -> None:
    assert init._calculate_fan_in_and_fan_out(fc.empty(*SHAPE)) == (FAN_IN, FAN_OUT)
    assert init._calculate_fan_in_and_fan_out(fc.empty(7, 11)) == (11, 7)
    with pytest.raises(ValueError, match=r"\(3,\)"):
        init._calculate_fan_in_and_fan_out(fc.empty(3))


NONLINEARITIES = ("linear", "conv2d", "conv_transpose3d", "sigmoid", "tanh", "relu", "leaky_relu", "selu")


@pytest.mark.parametrize(("name", "param"), [*((n, None) for n in NONLINEARITIES), ("leaky_relu", 0.3)])
def test_gains_equal_torch(name: str, param: float | None, torch: Any) -> None:
    assert init.calculate_gain(name, param) == torch.nn.init.calculate_gain(name, param)


def test_unknown_names() -> None:
    with pytest.raises(ValueError, match="'elu'"):
        init.calculate_gain("elu")
    with pytest.raises(ValueError, match="'fan_avg'"):
        init.kaiming_normal_(fc.empty(3, 4), mode="fan_avg")
    with pytest.raises(ValueError, match="eye_"):
        init.eye_(fc.empty(3))


@pytest.mark.parametrize(
    ("fill", "std", "uniform"),
    [
        (init.xavier_uniform_, math.sqrt(2 / (FAN_IN + FAN_OUT)), True),
        (init.xavier_normal_, math.sqrt(2 / (FAN_IN + FAN_OUT)), False),
        (lambda t: init.xavier_normal_(t, gain=3.0), 3 * math.sqrt(2 / (FAN_IN + FAN_OUT)), False),
        (init.kaiming_uniform_, math.sqrt(2 / FAN_IN), True),
        (lambda t: init.kaiming_uniform_(t, a=math.sqrt(5)), math.sqrt(1 / (3 * FAN_IN)), True),
        (lambda t: init.kaiming_normal_(t, nonlinearity="relu"), math.sqrt(2 / FAN_IN), False),
        (lambda t: init.kaiming_normal_(t, mode="fan_out"), math.sqrt(2 / FAN_OUT), False),
        (lambda t: init.normal_(t, 0.0, 0.001), 0.001, False),
        (lambda t: init.uniform_(t, -1.0, 1.0), 1 / math.sqrt(3), True),
    ],
)
@pytest.mark.parametrize("dtype", [fc.float32, fc.float64])
def test_standard_deviations(
    fill: Callable[[fc.Tensor], fc.Tensor], std: float, uniform: bool, dtype: _C.dtype
) -> None:
    weight = fc.empty(*SHAPE, dtype=dtype)
    assert fill(weight) is weight
    values = weight.numpy()
    assert abs(values.std() / std - 1) < 0.01
    assert abs(values.mean()) < 5 * std / values.size**0.5
    bound = math.sqrt(3) * std
    assert (abs(values).max() <= bound) == uniform
    if uniform:
        assert abs(values).max() > 0.999 * bound


def test_constants() -> None:
    assert init.constant_(fc.empty(2), 0.25).numpy().tolist() == [0.25, 0.25]
    assert init.ones_(fc.empty(2)).numpy().tolist() == [1.0, 1.0]
    assert init.zeros_(fc.empty(2)).numpy().tolist() == [0.0, 0.0]
    assert init.eye_(fc.empty(3, 2)).numpy().tolist() == np.eye(3, 2).tolist()
    assert init.kaiming_normal_(fc.empty(0, 3)).shape == (0, 3)


def test_truncated_normal() -> None:
    values = init.trunc_normal_(fc.empty(200_000, dtype=fc.float64), mean=1.0, std=2.0, a=-1.0, b=2.0).numpy()
    assert values.min() >= -1
    assert values.max() <= 2
    # Quantiles: the distribution function of the result must be uniform.
    normal = statistics.NormalDist(1.0, 2.0)
    low, high = normal.cdf(-1.0), normal.cdf(2.0)
    for q in (0.01, 0.25, 0.5, 0.75, 0.99):
        assert abs(np.quantile(values, q) - normal.inv_cdf(low + q * (high - low))) < 0.02
    with pytest.raises(ValueError, match="trunc_normal_"):
        init.trunc_normal_(fc.empty(3), a=1.0, b=0.0)


def test_truncated_normal_tail_inverts_exactly() -> None:
    """With the whole range kept, the draws are the inverse distribution function of the uniform stream."""
    fc.manual_seed(2)
    values = init.trunc_normal_(fc.empty(5000, dtype=fc.float64), a=-40.0, b=40.0).numpy()
    fc.manual_seed(2)
    uniform = fc.rand(5000, dtype=fc.float64).numpy()
    expected = [statistics.NormalDist().inv_cdf(u) for u in uniform]
    np.testing.assert_allclose(values, expected, rtol=1e-12, atol=1e-12)


def test_same_seed_same_numbers_for_any_number_of_threads() -> None:
    results = []
    for threads in (1, 2, 3):
        _C.set_num_threads(threads)
        fc.manual_seed(3)
        weights = [init.kaiming_uniform_(fc.empty(*SHAPE)), init.xavier_normal_(fc.empty(300, 200))]
        weights.append(init.trunc_normal_(fc.empty(50_000)))
        results.append(b"".join(w.numpy().tobytes() for w in weights))
    assert len(set(results)) == 1


def test_parameters_are_filled_without_recording() -> None:
    weight = fc.nn.Parameter(fc.empty(4, 3))
    init.xavier_uniform_(weight)
    assert weight.requires_grad
    assert weight.is_leaf
    assert init.normal_(fc.empty(8, dtype=fc.bfloat16)).dtype == fc.bfloat16
    generator = fc.Generator().manual_seed(1)
    a = init.normal_(fc.empty(4), generator=generator).numpy().copy()
    np.testing.assert_array_equal(init.normal_(fc.empty(4), generator=generator.manual_seed(1)).numpy(), a)


def test_variance_is_preserved_under_relu() -> None:
    """Kaiming keeps the power of activations over layers; 1/sqrt(n) halves it per layer."""
    x = fc.randn(512, 256).numpy()
    rms = []
    for gain in (math.sqrt(2.0), 1.0):
        y = x
        for _ in range(6):
            weight = init.normal_(fc.empty(256, 256), std=gain / 16).numpy()
            y = np.maximum(y @ weight, 0)
        rms.append(float(np.sqrt((y**2).mean())))
    assert 0.6 < rms[0] < 1.5
    assert 0.05 < rms[1] / rms[0] < 0.25
