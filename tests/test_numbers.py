"""The three number systems agree, balls enclose the truth, and exact values stay exact."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from flint import arb, fmpq
from helpers import NUMBERS, encloses, fraction, normalised
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from strategies import DISCOUNTS, row_weights

from bomrl_theory.numbers import (
    ENCLOSURES,
    FLOATS,
    Array,
    Balls,
    Enclosure,
    Numbers,
    Rationals,
    SingularSystem,
    certainly_nonnegative,
    rational,
    to_float,
    to_floats,
)

DOUBLES = st.floats(-(2.0**60), 2.0**60)
every_system = pytest.mark.parametrize("numbers", NUMBERS, ids=lambda numbers: numbers.name)


def one(value: Any) -> Array:
    """An object array holding one number."""
    array = np.empty(1, dtype=object)
    array[0] = value
    return array


@st.composite
def discounted_systems(draw: st.DrawFn) -> tuple[Array, Fraction, Array]:
    """Row weights, a discount and a right-hand side for two tasks of up to five states."""
    size = draw(st.integers(1, 5))
    weights = draw(row_weights((2, size, 1, size)))[:, :, 0]
    rhs = draw(hnp.arrays(np.float64, (2, size), elements=DOUBLES))
    return weights, draw(DISCOUNTS), rhs


@given(discounted_systems(), st.booleans())
def test_solutions_agree_and_enclose_the_exact_one(system: tuple[Array, Fraction, Array], transposed: bool) -> None:
    """The exact solution satisfies the equations; balls and enclosures contain it; floats are near."""
    weights, gamma, rhs = system
    solved: dict[str, Any] = {}
    systems: list[Numbers] = [FLOATS, ENCLOSURES, Balls(53), Rationals(53)]
    for numbers in systems:
        with numbers.activated():
            P, discount = numbers.normalised(weights), numbers.constant(gamma)
            solved[numbers.name] = numbers.solve_discounted(P, discount, numbers.load(rhs), transposed=transposed)
    exact = np.vectorize(fraction, otypes=[object])(solved[Rationals(53).name])
    for task, row in np.ndindex(*rhs.shape):
        P = np.array([normalised(line) for line in weights[task]], dtype=object)
        line = P[:, row] if transposed else P[row]
        assert exact[task, row] - gamma * (line * exact[task]).sum() == fraction(float(rhs[task, row]))
        assert encloses(solved[Balls(53).name][task, row], exact[task, row])
        assert encloses(solved[ENCLOSURES.name][task, row], exact[task, row])
    scale = np.abs(rhs).max() / (1 - float(gamma))
    assert np.allclose(solved["float64"], to_floats(solved[Rationals(53).name]), rtol=1e-9, atol=1e-12 * scale + 1e-300)


@pytest.mark.parametrize("numbers", [FLOATS, ENCLOSURES, Balls(64)], ids=lambda numbers: numbers.name)
def test_singular_system_is_never_solved_with_a_guarantee(numbers: Numbers) -> None:
    """gamma = 1 makes ``I - gamma P`` singular: an error, or an answer that claims nothing."""
    with numbers.activated():
        try:
            x = numbers.solve_discounted(
                numbers.normalised(np.ones((1, 2, 2))), numbers.constant(1), numbers.load(np.ones((1, 2)))
            )
        except SingularSystem:
            return
        assert isinstance(x, Enclosure)
        assert not np.any(np.isfinite(x.rad))


def test_ball_that_cannot_exclude_singularity() -> None:
    """A discount whose ball reaches 1 is refused rather than guessed."""
    balls = Balls(30)
    with balls.activated(), pytest.raises(SingularSystem):
        balls.solve_discounted(balls.normalised(np.ones((1, 2, 2))), arb(1, 1e-3), balls.load(np.ones((1, 2))))


@given(DOUBLES)
def test_doubles_are_read_as_the_rationals_they_are(x: float) -> None:
    """Reading a double never rounds, even where the working precision is below 53 bits."""
    for numbers in (Balls(20), Rationals(20)):
        with numbers.activated():
            value = numbers.load(np.array([x]))[0]
            assert fraction(value) == Fraction(x)
            assert numbers.name.startswith("rational") or value.is_exact()
    assert fraction(rational(x)) == Fraction(x)


@given(st.fractions())
def test_constants(value: Fraction) -> None:
    """A constant is exact in rationals, enclosed by balls and correctly rounded in floats."""
    with Rationals(24).activated():
        assert fraction(Rationals(24).constant(value)) == value
    with Balls(24).activated():
        assert encloses(Balls(24).constant(value), value)
    assert FLOATS.constant(value) == float(value)


@given(st.fractions(), st.fractions(), st.sampled_from([8, 24, 53, 200]))
def test_ball_arithmetic_encloses_the_exact_result(x: Fraction, y: Fraction, precision: int) -> None:
    """Sums, products, quotients and maxima of balls contain the exact ones at every precision."""
    balls = Balls(precision)
    with balls.activated():
        a, b = one(balls.constant(x)), one(balls.constant(y))
        results = {x + y: a + b, x - y: a - b, x * y: balls.multiply(a, b), max(x, y): balls.maximum(a, b)}
        assert all(encloses(ball[0], exact) for exact, ball in results.items())
        if y:
            assert encloses((a / b)[0], x / y)


@given(st.fractions(Fraction(1, 1000), 1000))
def test_transcendental_functions_agree(x: Fraction) -> None:
    """log, exp and sqrt: balls of 53 bits contain the values at 500 bits, and floats lie close."""
    functions = {"log": math.log, "exp": lambda v: math.exp(v / 8), "sqrt": math.sqrt}
    for name, reference in functions.items():
        argument = x / 8 if name == "exp" else x
        values = []
        for numbers in (Balls(53), Rationals(53), Rationals(500)):
            with numbers.activated():
                values.append(getattr(numbers, name)(one(numbers.constant(argument)))[0])
        for value in values[:2]:
            assert encloses(value, fraction(values[2])) or value.overlaps(arb(values[2]))
            assert math.isclose(to_float(value), reference(float(x)), rel_tol=1e-12, abs_tol=1e-12)
        function = getattr(FLOATS, name)
        assert math.isclose(function(np.array([float(argument)]))[0], reference(float(x)), rel_tol=1e-12, abs_tol=1e-12)


EXACT = Rationals(64)


@pytest.mark.parametrize(
    ("function", "argument", "expected"),
    [
        ("log", fmpq(1), fmpq(0)),
        ("exp", fmpq(0), fmpq(1)),
        ("sqrt", fmpq(4, 9), fmpq(2, 3)),
        ("sqrt", fmpq(0), fmpq(0)),
    ],
)
def test_rational_values_stay_rational(function: str, argument: fmpq, expected: fmpq) -> None:
    """Where the exact value is rational, no ball takes its place: ties can then be decided."""
    with EXACT.activated():
        result = getattr(EXACT, function)(one(argument))[0]
    assert isinstance(result, fmpq)
    assert result == expected


@pytest.mark.parametrize(("function", "argument"), [("log", fmpq(2)), ("exp", fmpq(1)), ("sqrt", fmpq(2))])
def test_irrational_values_become_balls(function: str, argument: fmpq) -> None:
    """An irrational value is never passed off as a rational."""
    with EXACT.activated():
        result = getattr(EXACT, function)(one(argument))[0]
    assert isinstance(result, arb)
    assert not result.is_exact()


def test_zero_times_a_ball_is_exactly_zero() -> None:
    """0 log 2 is exactly 0; 0 times something not finite is not."""
    with EXACT.activated():
        log2 = EXACT.log(one(fmpq(2)))
        for product in (EXACT.multiply(one(fmpq(0)), log2), EXACT.multiply(log2, one(fmpq(0)))):
            assert isinstance(product[0], fmpq)
            assert product[0] == 0
        for wild in ("nan", "inf"):
            assert certainly_nonnegative(EXACT.multiply(one(fmpq(0)), one(arb(wild)))[0]) is None


def test_maximum_keeps_exact_entries() -> None:
    """A certain comparison returns the larger entry itself; an uncertain one a ball that contains both ends."""
    with EXACT.activated():
        log2 = EXACT.log(one(fmpq(2)))
        assert isinstance(EXACT.maximum(one(fmpq(1)), log2)[0], fmpq)
        assert isinstance(EXACT.maximum(log2, one(fmpq(1)))[0], fmpq)
        assert EXACT.maximum(one(fmpq(1, 3)), one(fmpq(1, 2)))[0] == fmpq(1, 2)
        wide = arb(0, 1)
        both = EXACT.maximum(one(wide), one(arb(0, 2)))[0]
        assert both.contains(arb(2))
        assert both.contains(arb(0))


@every_system
def test_largest_equals_the_sorted_last(numbers: Numbers) -> None:
    """The maximum along an axis, with and without keeping it."""
    values = np.array([[3.0, -1.0, 2.0], [-5.0, -4.0, -6.0]])
    with numbers.activated():
        loaded = numbers.load(values)
        assert to_floats(numbers.largest(loaded, 1)).tolist() == [3.0, -4.0]
        assert to_floats(numbers.largest(loaded, 0)).tolist() == [3.0, -1.0, 2.0]
        assert numbers.largest(loaded, -1, keepdims=True).shape == (2, 1)
        assert numbers.largest(loaded, 0, keepdims=True).shape == (1, 3)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1.0, True),
        (0.0, True),
        (-1e-300, False),
        (float("nan"), None),
        (float("-inf"), False),
        (fmpq(0), True),
        (fmpq(-1, 10**40), False),
        (arb(1, 0.5), True),
        (arb(-1, 0.5), False),
        (arb(0), True),
        (arb(0, 1e-30), None),
        (arb("nan"), None),
    ],
)
def test_nonnegativity_has_three_answers(value: Any, expected: bool | None) -> None:
    """A ball around zero and a NaN are never decided."""
    assert certainly_nonnegative(value) is expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (fmpq(1, 3), 1 / 3),
        (fmpq(10**400, 3), math.inf),
        (fmpq(1, 10**400), 0.0),
        (arb(2, 0.1), 2.0),
        (np.float64(0.5), 0.5),
    ],
)
def test_display_value(value: Any, expected: float) -> None:
    """The nearest double, also beyond the range of doubles."""
    assert to_float(value) == expected


def test_number_systems_are_equal_by_kind_and_precision() -> None:
    """Views are shared between equal systems only: a ball of few bits never answers for one of many."""
    assert Balls(64) == Balls(64)
    assert hash(Balls(64)) == hash(Balls(64))
    assert len({Balls(64), Balls(128), Rationals(64), Rationals(64)}) == 3


def test_precision_is_restored_after_use() -> None:
    """The global working precision of python-flint does not leak."""
    import flint

    before = flint.ctx.prec
    with Balls(777).activated():
        assert flint.ctx.prec == 777
    assert flint.ctx.prec == before
