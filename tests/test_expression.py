"""The language of bounds: our walker against SymPy's own evaluation of the written-out sums."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import sympy as sp
from flint import fmpq
from helpers import fraction, radius
from hypothesis import given
from hypothesis import strategies as st

from bomrl_theory.errors import InvalidTheorem
from bomrl_theory.numbers import ENCLOSURES, FLOATS, Array, Balls, Numbers, Rationals, to_floats
from bomrl_theory.theory.expression import (
    Expr,
    Largest,
    S,
    T,
    evaluate,
    free_indices,
    largest_over_states,
    largest_over_tasks,
    over_states,
    over_tasks,
    quantities,
    s,
    tau,
)

TASKS, STATES = 2, 3
x = sp.Symbol("x", real=True)


def base(name: str) -> Any:
    """A quantity to be indexed."""
    return sp.IndexedBase(name, real=True)


y, z, u = base("y")[tau], base("z")[tau, s], base("u")[s]
SHAPES = {"x": (1, 1), "y": (TASKS, 1), "z": (TASKS, STATES), "u": (1, STATES)}

LEAVES: st.SearchStrategy[Expr] = st.sampled_from([x, y, z, u]) | st.fractions(-2, 2, max_denominator=3).map(
    lambda value: sp.Rational(value.numerator, value.denominator)
)
UNARY: list[Callable[[Expr], Expr]] = [
    lambda e: -e,
    lambda e: e**2,
    lambda e: e**3,
    lambda e: 1 / (1 + e**2),
    lambda e: (2 + e**2) ** -2,
    sp.Abs,
    lambda e: sp.sqrt(1 + e**2),
    lambda e: 1 / sp.sqrt(2 + e**2),
    lambda e: sp.log(1 + e**2),
    lambda e: sp.exp(-sp.Abs(e)),
    lambda e: over_states(z * e),
    lambda e: over_tasks(y * e),
    largest_over_states,
    largest_over_tasks,
]
BINARY: list[Callable[[Expr, Expr], Expr]] = [
    lambda a, b: a + b,
    lambda a, b: a - b,
    lambda a, b: a * b,
    sp.Max,
    sp.Min,
]
EXPRESSIONS: st.SearchStrategy[Expr] = st.recursive(
    LEAVES,
    lambda inner: (
        st.builds(lambda f, e: f(e), st.sampled_from(UNARY), inner)
        | st.builds(lambda f, a, b: f(a, b), st.sampled_from(BINARY), inner, inner)
    ),
    max_leaves=5,
)
VALUES = st.fixed_dictionaries(
    {
        name: st.lists(
            st.integers(-6, 6).map(lambda n: n / 4), min_size=int(np.prod(shape)), max_size=int(np.prod(shape))
        )
        for name, shape in SHAPES.items()
    }
)


def loaded(values: dict[str, list[float]], numbers: Numbers) -> dict[str, Array]:
    """Drawn doubles as arrays of a number system."""
    return {name: numbers.load(np.array(entries).reshape(SHAPES[name])) for name, entries in values.items()}


def written_out(expression: Expr, values: dict[str, list[float]], task: int, state: int) -> Expr:
    """The expression at one task and state as a SymPy number: sums and maxima spelled out, values put in."""
    at = {tau: (task, TASKS), s: (state, STATES)}

    def spell(term: Expr, index: Expr) -> list[Expr]:
        return [term.xreplace({index: sp.Integer(k)}) for k in range(at[index][1])]

    if isinstance(expression, sp.Expr):
        expression = expression.replace(
            lambda e: isinstance(e, sp.Sum), lambda e: sp.Add(*spell(e.function, e.limits[0][0]))
        )
        expression = expression.replace(lambda e: isinstance(e, Largest), lambda e: sp.Max(*spell(*e.args)))
        expression = expression.xreplace({index: sp.Integer(place) for index, (place, _) in at.items()})
    exact = {name: np.array(entries).reshape(SHAPES[name]) for name, entries in values.items()}
    put = {x: sp.Rational(exact["x"][0, 0])}
    for indexed in expression.atoms(sp.Indexed):
        name, places = str(indexed.base.label), [int(i) for i in indexed.indices]
        row, column = {"y": (places[0], 0), "u": (0, places[0]), "z": tuple(places[:2])}[name]
        put[indexed] = sp.Rational(exact[name][row, column])
    return expression.xreplace(put)


def rational_of(number: Expr) -> Fraction:
    """A SymPy number to 60 digits (exactly, where it is rational)."""
    value: Any = number if isinstance(number, sp.Rational) else sp.Rational(sp.N(number, 60))
    return Fraction(int(value.p), int(value.q))


@given(EXPRESSIONS, VALUES)
def test_walker_agrees_with_sympy(expression: Expr, values: dict[str, list[float]]) -> None:
    """Balls and enclosures contain SymPy's value, rationals equal it where it is rational, floats are near."""
    balls, rationals = Balls(160), Rationals(160)
    systems: tuple[Numbers, ...] = (FLOATS, ENCLOSURES, balls, rationals)
    results: dict[Numbers, Any] = {}
    for numbers in systems:
        with numbers.activated():
            value = evaluate(expression, loaded(values, numbers), numbers, (TASKS, STATES))
            results[numbers] = np.broadcast_to(value, (TASKS, STATES))
    for place in np.ndindex(TASKS, STATES):
        expected = written_out(expression, values, *place)
        exact = rational_of(expected)
        slack = Fraction(1, 10**45) * (1 + abs(exact))
        for numbers in (balls, ENCLOSURES, rationals):
            assert abs(fraction(results[numbers][place]) - exact) <= radius(results[numbers][place]) + slack
        if isinstance(expected, sp.Rational) and isinstance(results[rationals][place], fmpq):
            assert fraction(results[rationals][place]) == exact
        rounding = 4 * radius(results[ENCLOSURES][place]) + Fraction(1, 10**13)
        assert abs(fraction(float(results[FLOATS][place])) - exact) <= rounding


def one(expression: Expr, numbers: Numbers, **values: float | list[Any]) -> Any:
    """The value of an expression without free indices."""
    arrays = {name: np.atleast_2d(np.array(value, dtype=float)) for name, value in values.items()}
    with numbers.activated():
        result = evaluate(expression, {n: numbers.load(a) for n, a in arrays.items()}, numbers, (TASKS, STATES))
        assert result.shape == (1, 1)
        return result[0, 0]


def test_rational_constants_stay_exact() -> None:
    """1/3 is 1/3, not the double nearest to it: the reason why the walker exists."""
    third = one(sp.Rational(1, 3) * x, Rationals(64), x=3.0)
    assert isinstance(third, fmpq)
    assert third == 1
    ball = one(sp.Rational(1, 3) + 0 * x, Balls(200), x=1.0)
    assert abs(fraction(ball) - Fraction(1, 3)) <= fraction(ball.rad()) < Fraction(1, 2**190)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        (over_states(z), [[6.0], [15.0]]),
        (over_tasks(z), [[5.0, 7.0, 9.0]]),
        (largest_over_states(-z), [[-1.0], [-4.0]]),
        (largest_over_tasks(z), [[4.0, 5.0, 6.0]]),
        (over_states(1 + z), [[9.0], [18.0]]),
        (over_tasks(y * over_states(z)), [[36.0]]),
        (largest_over_tasks(over_states(z)), [[15.0]]),
        (over_states(z * over_states(z)), [[36.0], [225.0]]),
    ],
    ids=str,
)
def test_sums_and_maxima_by_hand(expression: Expr, expected: list[list[float]]) -> None:
    """Small arrays whose sums anyone can check."""
    values = {"y": np.array([[1.0], [2.0]]), "z": np.arange(1.0, 7.0).reshape(2, 3)}
    with FLOATS.activated():
        assert evaluate(expression, values, FLOATS, (TASKS, STATES)).tolist() == expected


def test_sum_of_sums() -> None:
    """SymPy merges nested sums into one; the walker must understand the result."""
    assert one(over_tasks(over_states(z)), FLOATS, z=[[1, 2, 3], [4, 5, 6]]) == 21


@pytest.mark.parametrize("term", [x, y, sp.Integer(1), 2 * x], ids=str)
def test_sum_of_a_term_without_the_index_counts_the_states(term: Expr) -> None:
    """``sum_s c`` is S times c."""
    values = {"x": np.array([[5.0]]), "y": np.array([[1.0], [2.0]])}
    with FLOATS.activated():
        result = evaluate(over_states(term), values, FLOATS, (TASKS, STATES))
        assert result.tolist() == (STATES * evaluate(term, values, FLOATS, (TASKS, STATES))).tolist()


def test_numbers_of_states_and_tasks_may_be_written() -> None:
    """A plain average: the sum divided by how many there are."""
    third = one(over_states(u) / S, Rationals(64), u=[1, 2, 5])
    assert fraction(third) == Fraction(8, 3)
    assert one(over_tasks(over_states(1)) / T - S, FLOATS) == 0


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        (sp.sin(x), "the language of bounds has no sin"),
        (sp.Float(0.5), "the language of bounds has no Float"),
        (sp.pi * x, "the language of bounds has no Pi"),
        (sp.gamma(x), "the language of bounds has no gamma"),
        (sp.Piecewise((x, x > 0), (0, True)), "the language of bounds has no"),
        (sp.Abs(x) ** sp.Rational(1, 3), "power 1/3 of .*: use whole powers and square roots"),
        (sp.Integer(2) ** x, "power x of 2: use whole powers and square roots"),
        (sp.Sum(x, (sp.Symbol("k"), 1, 3)), "use over_states or over_tasks"),
    ],
    ids=str,
)
def test_what_the_language_lacks_is_refused(expression: Expr, message: str) -> None:
    """Nothing is approximated silently."""
    with pytest.raises(InvalidTheorem, match=message):
        one(expression, FLOATS, x=1.0)


def test_free_indices() -> None:
    """Sums and maxima bind their index, and only theirs."""
    assert free_indices(x) == set()
    assert free_indices(y) == {tau}
    assert free_indices(z * x) == {tau, s}
    assert free_indices(over_states(z)) == {tau}
    assert free_indices(over_tasks(z) + u) == {s}
    assert free_indices(largest_over_tasks(over_states(z))) == set()
    assert free_indices(over_states(z) + u) == {tau, s}


def test_quantities() -> None:
    """The names that must be among a theorem's constants; indices and sizes are none."""
    assert quantities(over_tasks(y * over_states(z * sp.log(u))) + x) == {"x", "y", "z", "u"}
    assert quantities(largest_over_states(u)) == {"u"}
    assert quantities(sp.Integer(1)) == set()


def test_maximum_of_a_scalar_and_an_array() -> None:
    """Max and Min broadcast like sums do."""
    values = {"x": np.array([[2.5]]), "u": np.array([[1.0, 2.0, 3.0]])}
    with FLOATS.activated():
        assert evaluate(sp.Max(x, u), values, FLOATS, (1, STATES)).tolist() == [[2.5, 2.5, 3.0]]
        assert evaluate(sp.Min(x, u), values, FLOATS, (1, STATES)).tolist() == [[1.0, 2.0, 2.5]]
    rationals = Rationals(64)
    with rationals.activated():
        exact = {name: rationals.load(value) for name, value in values.items()}
        assert to_floats(evaluate(sp.Max(x, u, 0), exact, rationals, (1, STATES))).tolist() == [[2.5, 2.5, 3.0]]
