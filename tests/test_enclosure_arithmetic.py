"""Every operation of enclosures, on ordinary and extreme doubles, against exact rationals and 300-bit balls."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import flint
import numpy as np
import pytest
from flint import arb, fmpq
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bomrl_theory.numbers import ENCLOSURES, Enclosure
from bomrl_theory.numbers import double_double as dd
from bomrl_theory.numbers import enclosure as module
from bomrl_theory.numbers.enclosure import as_enclosure, enclose_rational

SPECIAL = [0.0, 5e-324, 1e-310, 2.0**-1022, 2.0**-1020, 1e-300, 1e-160, 1e-17, 0.1, 1.0, 1 + 2.0**-52, 3.0, 2.0**53]
SPECIAL += [1e16, 1e160, 1e300, 1.7e308]
NON_NEGATIVE = st.one_of(st.sampled_from(SPECIAL), st.floats(0, 1.7e308), st.floats(0.1, 10))
DOUBLES = st.one_of(st.sampled_from(SPECIAL + [-x for x in SPECIAL]), st.floats(-1.7e308, 1.7e308), st.floats(-10, 10))
MANY = settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def enclosures(draw: st.DrawFn, low: float = -1.7e308) -> tuple[Enclosure, list[fmpq]]:
    """An enclosure of two entries and exact numbers that it encloses: its ends, its middle, something inside."""
    numbers = DOUBLES if low < 0 else NON_NEGATIVE
    mid = np.array([draw(numbers), draw(numbers)])
    share = draw(st.sampled_from([0.0, 0.0, 2.0**-52, 1e-10, 0.3, 1.0, 7.0]))
    rad = np.minimum(np.abs(mid), 1e307) * share
    position = draw(st.sampled_from([fmpq(-1), fmpq(0), fmpq(1, 3), fmpq(1)]))
    return Enclosure(mid, rad), [rational(m) + position * rational(r) for m, r in zip(mid, rad, strict=True)]


def rational(x: Any) -> fmpq:
    return fmpq(*float(x).as_integer_ratio())


def holds(result: Enclosure, exact: list) -> None:
    """Every exact value is inside, or nothing is claimed."""
    for value, mid, rad in zip(exact, result.mid.ravel(), result.rad.ravel(), strict=True):
        if np.isnan(rad) or np.isinf(rad) or np.isnan(mid):
            continue
        assert rad >= 0
        assert np.isfinite(mid), "a finite radius around infinity"
        with flint.ctx.workprec(2500):  # enough for any pair of doubles
            off = abs(arb(value) - arb(rational(mid))) - arb(rational(rad))
            assert not (off > 0), f"{value} is outside {mid} +/- {rad}"
        assert not np.isfinite(mid + rad) or rational(np.nextafter(mid + rad, np.inf)) >= rational(mid) + rational(rad)


@MANY
@given(enclosures(), enclosures())
def test_add_subtract_multiply(x: tuple, y: tuple) -> None:
    with ENCLOSURES.activated():
        holds(x[0] + y[0], [a + b for a, b in zip(x[1], y[1], strict=True)])
        holds(x[0] - y[0], [a - b for a, b in zip(x[1], y[1], strict=True)])
        holds(x[0] * y[0], [a * b for a, b in zip(x[1], y[1], strict=True)])
        holds(3 - x[0], [3 - a for a in x[1]])


@MANY
@given(enclosures(), enclosures())
def test_divide(x: tuple, y: tuple) -> None:
    with ENCLOSURES.activated():
        quotient = x[0] / y[0]
        for place in range(2):
            if y[1][place] != 0:
                holds(quotient[place : place + 1], [x[1][place] / y[1][place]])
            else:
                assert not quotient.rad[place] < np.inf


@MANY
@given(enclosures(), enclosures())
def test_comparisons_and_maximum(x: tuple, y: tuple) -> None:
    with ENCLOSURES.activated():
        for place in range(2):
            a, b = x[1][place], y[1][place]
            assert a >= b or not (x[0] >= y[0])[place]
            assert a > b or not (x[0] > y[0])[place]
            assert a <= b or not (x[0] <= y[0])[place]
            assert a < b or not (x[0] < y[0])[place]
        holds(module.maximum(x[0], y[0]), [max(a, b) for a, b in zip(x[1], y[1], strict=True)])
        holds(module.largest(x[0], 0, keepdims=True), [max(x[1])])
        low, high = x[0].low, x[0].high
        for place in range(2):
            assert not np.isfinite(low[place]) or rational(low[place]) <= x[1][place]
            assert not np.isfinite(high[place]) or rational(high[place]) >= x[1][place]


@MANY
@given(st.data(), st.integers(1, 40))
def test_sum_and_dot(data: st.DataObject, n: int) -> None:
    x = data.draw(arrays(np.float64, n, elements=DOUBLES))
    y = data.draw(arrays(np.float64, n, elements=DOUBLES))
    share = data.draw(st.sampled_from([0.0, 2.0**-50, 0.1]))
    x_rad, y_rad = np.abs(x) * share, np.abs(y) * share
    sign = data.draw(st.sampled_from([-1, 0, 1]))
    exact_x = [rational(m) + sign * rational(r) for m, r in zip(x, x_rad, strict=True)]
    exact_y = [rational(m) + sign * rational(r) for m, r in zip(y, y_rad, strict=True)]
    with ENCLOSURES.activated():
        holds(Enclosure(x, x_rad).sum(axis=0, keepdims=True), [sum(exact_x, fmpq(0))])
        product = module.dot(Enclosure(x, x_rad), Enclosure(y, y_rad))
        exact = sum((a * b for a, b in zip(exact_x, exact_y, strict=True)), fmpq(0))
        holds(product.reshape(1), [exact])
        high, low, radius = dd.dot2(x, y)
        if np.isfinite(radius) and np.isfinite(high + low):
            exact = sum((rational(a) * rational(b) for a, b in zip(x, y, strict=True)), fmpq(0))
            assert abs(exact - rational(high) - rational(low)) <= rational(radius)


@MANY
@given(enclosures(low=0), st.floats(-30, 30), st.sampled_from([0.0, 1e-12, 0.5, 1.0, 2.0]))
def test_log_exp_sqrt(x: tuple, exponent: float, radius: float) -> None:
    with ENCLOSURES.activated(), flint.ctx.workprec(300):
        for place in range(2):
            value, one = x[1][place], x[0][place : place + 1]
            if value > 0:
                holds(module.log(one), [arb(value).log()])
            else:
                assert not module.log(one).rad[0] < np.inf
            if value >= 0:
                holds(module.sqrt(one), [arb(value).sqrt()])
        for mid in (exponent, exponent * 25, exponent * 1e6, x[0].mid[0]):
            for sign in (-1, 0, 1):
                value = rational(mid) + sign * rational(radius)
                if value > 10**6:
                    with_overflow = module.exp(Enclosure(np.array([mid]), np.array([radius])))
                    assert not with_overflow.rad[0] < np.inf
                    continue
                exact = arb(value).exp() if value > -(10**6) else arb(0)
                holds(module.exp(Enclosure(np.array([mid]), np.array([radius]))), [exact])


def test_log_and_exp_stay_within_their_constants() -> None:
    """The proved errors, u (2 |log| + 4) and 16 u exp, on a grid that is dense around the hard places."""
    rng = np.random.default_rng(0)
    near_one = [1 + rng.uniform(-0.5, 1, 3000), 1 + rng.uniform(-1e-8, 1e-8, 500)]
    x = np.concatenate([np.exp(rng.uniform(-700, 700, 3000)), *near_one])
    x = np.concatenate([x, [np.sqrt(0.5), np.nextafter(np.sqrt(0.5), 0), 5e-324, 2.0**-1022, 1.7e308]])
    with ENCLOSURES.activated(), flint.ctx.workprec(200):
        result = module.log(Enclosure.exact(x))
        worst = max(
            float(abs(arb(m).log() - arb(v))) / (2.0**-53 * (2 * abs(v) + 4))
            for m, v in zip(x, result.mid, strict=True)
        )
        assert worst < 0.75
        y = np.concatenate([rng.uniform(-700, 700, 3000), rng.uniform(-0.4, 0.4, 3000)])
        result = module.exp(Enclosure.exact(y))
        worst = max(float(abs(arb(m).exp() - arb(v)) / arb(v)) * 2.0**53 for m, v in zip(y, result.mid, strict=True))
        assert worst < 8


@MANY
@given(st.data(), st.integers(1, 20))
def test_normalised(data: st.DataObject, n: int) -> None:
    weights = data.draw(arrays(np.float64, n, elements=NON_NEGATIVE))
    with ENCLOSURES.activated():
        result = module.normalised(weights)
    total = sum((rational(x) for x in weights), fmpq(0))
    if total == 0:
        assert not np.any(result.rad < np.inf)
    else:
        holds(result, [rational(x) / total for x in weights])


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 10**6), st.integers(1, 5), st.sampled_from([Fraction(0), Fraction(9, 10), 1 - Fraction(1, 10**9)])
)
def test_solve_discounted(seed: int, states: int, gamma: Fraction) -> None:
    rng = np.random.default_rng(seed)
    weights = rng.random((1, states, states)) * rng.choice([1.0, 1e-300, 1e-20], (1, states, states)) + 1e-308
    rhs = rng.standard_normal((1, states)) * 10.0 ** rng.integers(-300, 300)
    exact_P = np.array([[fmpq(*float(x).as_integer_ratio()) for x in row] for row in weights[0]])
    exact_P = exact_P / exact_P.sum(axis=-1, keepdims=True)
    g = fmpq(gamma.numerator, gamma.denominator)
    for transposed in (False, True):
        with ENCLOSURES.activated():
            x = ENCLOSURES.solve_discounted(
                module.normalised(weights), ENCLOSURES.constant(gamma), Enclosure.exact(rhs), transposed=transposed
            )
        P = exact_P.T if transposed else exact_P
        entries = [fmpq(int(s == t)) - g * P[s, t] for s in range(states) for t in range(states)]
        matrix = flint.fmpq_mat(states, states, entries)
        holds(x[0], matrix.solve(flint.fmpq_mat(states, 1, [rational(b) for b in rhs[0]])).entries())


def test_infinity_and_nan_decide_nothing() -> None:
    with ENCLOSURES.activated():
        overflow = Enclosure.exact([1e308, 1e308, -3e307]).sum(axis=0) * 10 - 2e308
        for bad in (
            overflow,
            Enclosure(np.array(np.inf), np.array(np.inf)),
            Enclosure(np.array(-np.inf), np.array(np.inf)),
            Enclosure(np.array(np.nan), np.array(0.0)),
            Enclosure(np.array(1.0), np.array(np.nan)),
            Enclosure.exact(1.0) / Enclosure.exact(0.0),
            module.exp(Enclosure.exact(1e18)),
            module.log(Enclosure.exact(0.0)),
            module.sqrt(Enclosure.exact(-1.0)),
        ):
            for other in (0, Enclosure.exact(1.0), bad):
                assert not (bad >= other)
                assert not (bad > other)
                assert not (bad <= other)
                assert not (bad < other)


def test_normalised_rows_below_the_normal_range() -> None:
    """Sums of subnormal weights are exact, so their radius is ordinary; it used to come out negative."""
    with ENCLOSURES.activated():
        result = module.normalised(np.array([1e-310, 2e-310]))
    assert np.all(result.rad >= 0)
    assert np.all(result.rad < 1e-14)


def test_dot_pays_for_a_magnified_underflow() -> None:
    x, y = np.array([2.0**1000, 2.0**1000]), np.array([2.0**-1050, 3 * 2.0**-1052])
    with ENCLOSURES.activated():
        result = module.dot(x / 3, y)
    exact = sum((rational(a / 3) * rational(b) for a, b in zip(x, y, strict=True)), fmpq(0))
    holds(result.reshape(1), [exact])
    assert result.rad >= 2.0**-54 * abs(float(result.mid))


def test_a_dot_product_that_overflows_is_unknown() -> None:
    with ENCLOSURES.activated():
        result = module.dot([6.7e11], [2.72e296])
        assert not (result >= 0)
        assert result.rad == np.inf


def test_whole_numbers_and_fractions_are_exact() -> None:
    with ENCLOSURES.activated():
        for value in (2**53 + 1, Fraction(1, 3), -(10**25), 7, True):
            x = as_enclosure(value)
            assert abs(Fraction(float(x.mid)) - Fraction(value)) <= Fraction(float(x.rad))
        assert enclose_rational(10**400).rad == np.inf
    with pytest.raises(TypeError, match="2\\^53"):
        as_enclosure(np.array([2**53 + 1]))
    with pytest.raises(TypeError, match="no exact enclosure"):
        as_enclosure(np.array([1j]))


@MANY
@given(DOUBLES, DOUBLES)
def test_error_free_transformations(a: float, b: float) -> None:
    with np.errstate(all="ignore"):
        a64, b64 = np.float64(a), np.float64(b)
        s, e = dd.two_sum(a64, b64)
        if np.isfinite(s) and np.isfinite(e):
            assert rational(s) + rational(e) == rational(a) + rational(b)
        if max(abs(a), abs(b), abs(a64 * b64)) <= 2.0**990:
            high, low = dd.split(a64)
            assert rational(high) + rational(low) == rational(a)
            p, e = dd.two_prod(a64, b64)
            off = abs(rational(p) + rational(e) - rational(a) * rational(b))
            assert off <= 5 * fmpq(1, 2**1074)
            if abs(p) >= 2.0**-960 or 0 in (a, b):
                assert off == 0


def test_narrowed_radii_are_caught() -> None:
    """Power: a third of the radius that a sum or a dot product claims is too little somewhere."""
    rng = np.random.default_rng(0)
    caught = 0
    for _ in range(300):
        x, y = rng.standard_normal(2), rng.standard_normal(2)
        result = module.dot(x, y)
        exact = sum((rational(a) * rational(b) for a, b in zip(x, y, strict=True)), fmpq(0))
        caught += abs(exact - rational(result.mid)) * 5 > rational(result.rad)
    assert caught > 0
