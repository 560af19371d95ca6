"""sin, cos, log1p, expm1, pow, remainder and floor_divide on every ISA against float64; short softmax lines."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

import fastcnn as fc
from fastcnn import _C
from fastcnn import functional as F

INF, NAN = math.inf, math.nan
SMALLEST, SMALLEST_NORMAL, LARGEST = 2.0**-149, 2.0**-126, 3.4028235e38
SPECIAL = [0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 1.5, 2.0, -2.0, 3.0, -3.0, INF, -INF, NAN, SMALLEST, -SMALLEST]
SPECIAL += [SMALLEST_NORMAL, -SMALLEST_NORMAL, LARGEST, -LARGEST, 1 - 2.0**-24, 1 + 2.0**-23, -1 - 2.0**-23]
SPECIAL += [2.0**22 - 1, 2.0**22, 2.0**23 + 1, 2.0**24 - 1, -(2.0**24) + 1, 2.0**24, 1e10, -1e30]


def patterns(n: int) -> np.ndarray:
    """n float32 values of every sign, exponent and kind, NaN included."""
    x = np.linspace(0, 2**32 - 1, n).astype(np.uint32).view(np.float32)
    return np.where(np.isnan(x), np.float32(NAN), x)  # NumPy warns of signalling ones


def call(function: Any, *arrays: np.ndarray) -> np.ndarray:
    return function(*(fc.tensor(array) for array in arrays)).numpy()


def assert_within(got: np.ndarray, want: np.ndarray, ulps: float, *arguments: np.ndarray) -> None:
    """got (float32) equals want (float64) up to `ulps` units of the last float32 digit; specials and signs exactly."""
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        limit = want.astype(np.float32)
        number = np.isfinite(limit)
        spacing = np.maximum(2.0 ** (np.frexp(np.where(number, want, 1))[1] - 24.0), SMALLEST)
        error = np.where(number, np.abs(got.astype(np.float64) - want) / spacing, 0)
    bad = ~(error <= ulps)
    bad |= ~number & ~((got == limit) | (np.isnan(got) & np.isnan(limit)))
    bad |= (np.signbit(got) != np.signbit(want)) & ~np.isnan(want)
    first = np.flatnonzero(bad)[:5]
    assert first.size == 0, [(*(float(a[i]) for a in arguments), float(got[i]), float(want[i])) for i in first]


def assert_bits(got: np.ndarray, want: np.ndarray) -> None:
    both_nan = np.isnan(got) & np.isnan(want)
    np.testing.assert_array_equal(got.view(np.uint32)[~both_nan], want.view(np.uint32)[~both_nan])


# The scalar ISA calls the C library, whose log1p and expm1 are good to about one ulp.
UNARY = {
    "sin": (fc.sin, np.sin, 0.6, 0.6),
    "cos": (fc.cos, np.cos, 0.6, 0.6),
    "log1p": (fc.log1p, np.log1p, 1.5, 1.5),
    "expm1": (fc.expm1, np.expm1, 0.51, 1.5),
}


@pytest.mark.parametrize("name", UNARY)
def test_accuracy(name: str, isa: str) -> None:
    function, oracle, vector_ulps, scalar_ulps = UNARY[name]
    ulps = scalar_ulps if isa == "scalar" else vector_ulps
    rng = np.random.default_rng(0)
    multiples = np.arange(-3000, 3000) * (math.pi / 2)  # where sin and cos vanish or turn
    far = multiples * 10.0 ** rng.uniform(0, 8, multiples.size)
    x = np.concatenate([multiples, far, rng.normal(0, 1, 100000), rng.uniform(-110, 110, 100000), SPECIAL])
    x = np.concatenate([x.astype(np.float32), patterns(400001)])
    x = np.concatenate([x, np.arange(-2000, 2000, dtype=np.float32) * np.float32(SMALLEST)])
    with np.errstate(all="ignore"):
        want = oracle(x.astype(np.float64))
    assert_within(call(function, x), want, ulps, x)


def test_sin_and_cos_around_the_largest_reduced_argument(isa: str) -> None:
    """The vector reduction by pi ends at 2^40; beyond it single lanes are computed otherwise."""
    rng = np.random.default_rng(0)
    edge = (2.0**40 * np.float32(1) + np.arange(-50, 50) * 2.0**17).astype(np.float32)
    x = np.concatenate([edge, rng.uniform(2.0**39, 2.0**41, 20000), 2.0 ** rng.uniform(20, 127, 20000)])
    # Close to a multiple of pi / 2: the second one is 16367173 * 2^72 (Kahan's search for such numbers).
    x = np.append(x, [0.0, 16367173 * 2.0**72]).astype(np.float32)
    for sign, (function, oracle) in itertools.product((1, -1), ((fc.sin, math.sin), (fc.cos, math.cos))):
        want = np.array([oracle(float(v)) for v in sign * x])
        assert_within(call(function, sign * x), want, 0.6, sign * x)


def test_pow_accuracy(isa: str) -> None:
    rng = np.random.default_rng(0)
    n = 100000
    base = np.concatenate([patterns(n), rng.permutation(patterns(n)), rng.uniform(0, 3, n), rng.normal(0, 2, n)])
    base = base.astype(np.float32)
    with np.errstate(all="ignore"):
        spread = rng.uniform(-152, 130, n) / np.log2(np.abs(base[:n].astype(np.float64)))  # results of all magnitudes
    exponent = np.concatenate([spread, rng.permutation(patterns(n)), rng.normal(0, 20, n), rng.integers(-40, 41, n)])
    exponent = exponent.astype(np.float32)
    with np.errstate(all="ignore"):
        want = np.power(base.astype(np.float64), exponent.astype(np.float64))
    assert_within(call(fc.pow, base, exponent), want, 0.55 if isa != "scalar" else 1.0, base, exponent)


def test_pow_special_values(isa: str) -> None:
    pairs = list(itertools.product(SPECIAL, SPECIAL))
    base, exponent = np.array(pairs, np.float32).T.copy()

    def oracle(x: float, y: float) -> float:
        try:
            return math.pow(x, y)
        except ValueError:  # Python's name for 0^negative and negative^fraction
            if x != 0:
                return NAN
            return math.copysign(INF, x) if y % 2 == 1 else INF
        except OverflowError:
            return math.copysign(INF, x) if y % 2 == 1 else INF

    want = np.array([oracle(float(x), float(y)) for x, y in zip(base, exponent, strict=True)])
    assert_within(call(fc.pow, base, exponent), want, 1.0, base, exponent)
    for y in (2.5, -3.5, 5.0, -4.0, 0.5):  # an exponent for all elements is another kernel
        want = np.array([oracle(float(x), y) for x in base])
        assert_within(fc.pow(fc.tensor(base), y).numpy(), want, 1.0, base)


def divisions() -> tuple[np.ndarray, np.ndarray]:
    """Dividends and divisors: arbitrary, of similar size, and with quotients at or next to a whole number."""
    rng = np.random.default_rng(0)
    n = 30000
    b = np.concatenate([patterns(n), rng.normal(0, 3, 2 * n), rng.uniform(0.01, 3, n)]).astype(np.float32)
    a = np.concatenate([rng.permutation(patterns(n)), rng.normal(0, 3, n), rng.normal(0, 1e4, n), np.zeros(n)])
    a = a.astype(np.float32)
    whole = np.round(2.0 ** rng.uniform(0, 24, n)) * rng.choice([-1, 1], n) * b[-n:].astype(np.float64)
    a[-n:] = whole.astype(np.float32)
    a[-n // 2 :] = np.nextafter(a[-n // 2 :], np.float32(0))
    pairs = np.array(list(itertools.product(SPECIAL, SPECIAL)), np.float32).T
    return np.concatenate([a, pairs[0]]), np.concatenate([b, pairs[1]])


def test_remainder_is_exact(isa: str) -> None:
    """fmod, plus the divisor where the signs differ: the rounding of that sum is the only one."""
    a, b = divisions()
    with np.errstate(all="ignore"):
        rest = np.fmod(a, b)
        want = np.where((rest != 0) & ((rest < 0) != (b < 0)), rest + b, rest)
        want = np.where(rest == 0, np.copysign(np.float32(0), b), want)
    assert_bits(call(fc.remainder, a, b), want)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_remainder_has_the_divisor_s_sign_even_if_zero(dtype: str, isa: str) -> None:
    """As Python and NumPy have it."""
    pairs = list(itertools.product((-6.0, 6.0, -0.0, 0.0, -2.5, 2.5), (3.0, -3.0, 2.5, -2.5, INF, -INF)))
    a, b = np.tile(np.array(pairs, dtype).T, 3)  # more than a vector, and not a multiple of one
    got = call(fc.remainder, a, b)
    np.testing.assert_array_equal(got, np.remainder(a, b))
    np.testing.assert_array_equal(np.signbit(got), np.signbit(b))
    np.testing.assert_array_equal(np.signbit(got), [math.copysign(1, x % y) < 0 for x, y in zip(a, b, strict=True)])


def test_floor_divide_is_exact(isa: str) -> None:
    a, b = divisions()
    got = call(fc.floor_divide, a, b)
    with np.errstate(all="ignore"):
        quotient = a.astype(np.float64) / b.astype(np.float64)
    finite = np.isfinite(a) & np.isfinite(b) & (b != 0)
    checked = np.flatnonzero(finite & (np.abs(quotient) < 2.0**21))
    assert checked.size > 60000
    for i in checked:
        want = math.floor(Fraction(float(a[i])) / Fraction(float(b[i])))
        assert got[i] == want, (a[i], b[i], got[i], want)
    large = finite & (np.abs(quotient) >= 2.0**21) & (np.abs(quotient) < 1e38)
    np.testing.assert_allclose(got[large], quotient[large], rtol=2.0**-21)
    zero = finite & (got == 0)
    np.testing.assert_array_equal(np.signbit(got[zero]), np.signbit(a[zero]) != np.signbit(b[zero]))
    by_zero = ~np.isnan(a) & (b == 0)
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(got[by_zero], (a / b)[by_zero])
    assert np.isnan(got[np.isnan(a) | np.isnan(b) | np.isinf(a) & np.isfinite(b) & (b != 0)]).all()


def test_division_follows_python_s_signs(isa: str) -> None:
    for a, b in itertools.product((7.0, -7.0, 6.0, -6.0, 0.5, -0.5), (3.0, -3.0, INF, -INF)):
        x, y = fc.tensor([a] * 17), fc.tensor([b] * 17)
        assert fc.remainder(x, y).numpy().tolist() == [a % b] * 17
        if math.isfinite(b):
            assert fc.floor_divide(x, y).numpy().tolist() == [a // b] * 17


FUNCTIONS = {
    "sin": fc.sin,
    "cos": fc.cos,
    "log1p": fc.log1p,
    "expm1": fc.expm1,
    "pow_scalar": lambda x: fc.pow(x, 2.5),
    "pow": lambda x: fc.pow(fc.abs(x), x),
    "remainder": lambda x: fc.remainder(x, fc.sub(2.0, x)),
    "floor_divide": lambda x: fc.floor_divide(x, fc.sub(2.0, x)),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_results_depend_on_neither_position_nor_threads(name: str, isa: str) -> None:
    function = FUNCTIONS[name]
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(0, 3, 40), SPECIAL, 10.0 ** rng.uniform(-40, 38, 40)]).astype(np.float32)
    whole = call(function, x)
    for start, count in itertools.product((0, 1, 5, 63), (1, 2, 7, 8, 9, 15, 16, 17, 31)):
        assert_bits(call(function, x[start : start + count]), whole[start : start + count])
    large = np.resize(x, 100003)
    _C.set_num_threads(1)
    one = call(function, large)
    _C.set_num_threads(3)
    assert_bits(call(function, large), one)
    assert_bits(one[: x.size], whole)


@pytest.mark.parametrize("function", [fc.pow, fc.remainder, fc.floor_divide], ids=["pow", "remainder", "floor_divide"])
def test_broadcast_operands_equal_repeated_ones(function: Any, isa: str) -> None:
    rng = np.random.default_rng(0)
    a = rng.uniform(-9, 9, (37, 1)).astype(np.float32)
    b = np.append(rng.uniform(-3, 3, 18), [2, -3, 0]).astype(np.float32)
    full = call(function, np.repeat(a, b.size, 1), np.repeat(b[None], a.size, 0))
    assert_bits(call(function, a, b[None]), full)
    assert_bits(call(function, np.repeat(a, b.size, 1), b[None]), full)


@pytest.mark.parametrize("length", [1, 2, 7, 8, 9, 16, 21, 24, 33, 63, 64, 65])
@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_softmax_of_a_line_does_not_depend_on_its_neighbours(name: str, length: int, isa: str) -> None:
    function = getattr(F, name)
    rng = np.random.default_rng(0)
    x = rng.normal(0, 4, (37, length)).astype(np.float32)
    x[3, length // 2] = NAN
    x[20, length // 2] = INF
    g = rng.normal(size=x.shape).astype(np.float32)

    def run(rows: slice) -> tuple[np.ndarray, np.ndarray]:
        t = fc.tensor(x[rows], requires_grad=True)
        y = function(t, 1)
        y.backward(fc.tensor(g[rows]))
        assert t.grad is not None
        return y.detach().numpy(), t.grad.numpy()

    y, grad = run(slice(None))
    bad = np.isin(np.arange(37), [3, 20])
    wide = x[~bad].astype(np.float64)
    want = wide - wide.max(1, keepdims=True)
    want -= np.log(np.exp(want).sum(1, keepdims=True))
    want = want if name == "log_softmax" else np.exp(want)
    np.testing.assert_allclose(y[~bad], want, rtol=(length + 16) * 2.0**-23, atol=2.0**-22)
    assert np.isnan(y[bad]).all()
    assert np.isnan(grad[bad]).all()
    for rows in (slice(0, 1), slice(2, 5), slice(15, 37), slice(36, 37)):
        part, part_grad = run(rows)
        assert_bits(part, y[rows])
        assert_bits(part_grad, grad[rows])
