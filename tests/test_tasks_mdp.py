"""Validation of single tasks and policies, and exact normalisation."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from helpers import fraction
from hypothesis import given
from hypothesis import strategies as st
from strategies import mdps

from bomrl_theory.errors import InvalidTask
from bomrl_theory.exact.model import Model
from bomrl_theory.numbers import Array, Rationals
from bomrl_theory.tasks.family import TaskFamily
from bomrl_theory.tasks.mdp import MDP, exact_discount
from bomrl_theory.tasks.policy import (
    SMALLEST,
    check_policy,
    deterministic,
    from_log_weights,
    mix_uniform,
    uniform_policy,
)

GOOD: dict[str, Any] = {
    "P": [[[1, 0], [0.5, 0.5]], [[0, 1], [0, 1]]],
    "r": [[0, 1], [2, 3]],
    "gamma": 0.5,
    "rho": [1, 0],
}
NAN, INF = float("nan"), float("inf")

# what is wrong, arguments that replace the good ones, what the message says (value, place, remedy)
BAD: list[tuple[str, dict[str, Any], str]] = [
    ("NaN in P", {"P": [[[1, 0], [NAN, 1]], [[0, 1], [0, 1]]]}, r"P\[s=0, a=1, s'=0\] is nan; replace it"),
    ("infinite reward", {"r": [[0, INF], [2, 3]]}, r"r\[s=0, a=1\] is inf; replace it"),
    ("NaN in rho", {"rho": [1, NAN]}, r"rho\[s=1\] is nan; replace it"),
    ("negative", {"P": [[[1, 0], [0.5, 0.5]], [[0, 1], [-0.5, 1.5]]]}, r"P\[s=1, a=1, s'=0\] = -0\.5 is negative"),
    ("row sum", {"P": [[[1, 0], [0.5, 0.4]], [[0, 1], [0, 1]]]}, r"P\[s=0, a=1\] sums to 0\.9, not 1 .*divide the row"),
    ("zero row", {"P": [[[1, 0], [0, 0]], [[0, 1], [0, 1]]]}, r"P\[s=0, a=1\] sums to 0, not 1"),
    ("just off", {"P": [[[1, 2e-9], [0.5, 0.5]], [[0, 1], [0, 1]]]}, r"P\[s=0, a=0\] sums to 1\.000000002, not 1"),
    ("rho sum", {"rho": [0.5, 0.6]}, r"rho sums to 1\.1, not 1 .*divide the row by its sum"),
    ("negative rho", {"rho": [1.5, -0.5]}, r"rho\[s=1\] = -0\.5 is negative"),
    ("P two-dimensional", {"P": [[1, 0], [0, 1]]}, r"P has shape \[2, 2\]; expected \[s, a, s'\]"),
    ("P not square", {"P": [[[1, 0]]]}, r"P has shape \[1, 1, 2\]; its first and last axis"),
    ("r of other shape", {"r": [[0, 1]]}, r"r has shape \[1, 2\]; P \[S, A, S\] asks for \[2, 2\]"),
    ("rho of other shape", {"rho": [1]}, r"rho has shape \[1\]; P \[S, A, S\] asks for \[2\]"),
    ("ragged P", {"P": [[[1, 0], [1]], [[0, 1], [0, 1]]]}, "P is not a rectangular array of numbers"),
    ("words", {"r": [["a", "b"], ["c", "d"]]}, "r is not a rectangular array of numbers"),
    ("empty", {"P": np.zeros((0, 2, 0))}, r"P is empty \(shape \[0, 2, 0\]\); every axis needs"),
    ("complex", {"r": np.array([[1j, 0], [0, 0]])}, "r is not a rectangular array of numbers"),
    ("beyond doubles", {"r": [[10**400, 0], [0, 0]]}, "r is not a rectangular array of numbers"),
    ("gamma one", {"gamma": 1}, r"gamma = 1 is outside \[0, 1\)"),
    ("gamma negative", {"gamma": -0.1}, r"gamma = -0\.1 is outside \[0, 1\)"),
    ("gamma NaN", {"gamma": NAN}, "gamma = nan is not a finite number; give a number or a fraction"),
    ("gamma infinite", {"gamma": INF}, "gamma = inf is not a finite number"),
    ("gamma a word", {"gamma": "half"}, "gamma = 'half' is not a finite number"),
    ("gamma over zero", {"gamma": "1/0"}, "gamma = '1/0' is not a finite number"),
    ("gamma none", {"gamma": None}, "gamma = None is not a finite number"),
    ("gamma complex", {"gamma": 0.5j}, "is not a finite number"),
]


@pytest.mark.parametrize(("change", "message"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])
def test_bad_task_names_value_place_and_remedy(change: dict[str, Any], message: str) -> None:
    """Every kind of bad input is refused with a message a user can act on."""
    with pytest.raises(InvalidTask, match=message):
        MDP.new(**{**GOOD, **change})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"P": [[[0, 0], [1, 1]], [[0, 1], [0, 1]]]}, r"P\[s=0, a=0\] sums to 0, not a positive finite sum"),
        ({"rho": [0, 0]}, "rho sums to 0, not a positive finite sum"),
        ({"P": [[[1e308, 1e308], [1, 1]], [[0, 1], [0, 1]]]}, r"P\[s=0, a=0\] sums to inf, not a positive finite"),
        ({"P": [[[1, -1], [1, 1]], [[0, 1], [0, 1]]]}, r"P\[s=0, a=0, s'=1\] = -1 is negative"),
    ],
)
def test_bad_weights(change: dict[str, Any], message: str) -> None:
    """Weights may have any positive finite sum, and no other."""
    with pytest.raises(InvalidTask, match=message):
        MDP.new(**{**GOOD, **change}, weights=True)


def test_good_task_is_kept_and_frozen() -> None:
    """The arrays are copies that nobody can change afterwards."""
    P = np.array(GOOD["P"], dtype=float)
    task = MDP.new(**{**GOOD, "P": P})
    P[0, 0] = 7
    assert task.P[0, 0].tolist() == [1.0, 0.0]
    assert (task.states, task.actions, task.gamma) == (2, 2, Fraction(1, 2))
    for array in (task.P, task.r, task.rho):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0


@pytest.mark.parametrize(
    ("given_as", "exact"),
    [
        (Fraction(4, 5), Fraction(4, 5)),
        ("4/5", Fraction(4, 5)),
        ("0.8", Fraction(4, 5)),
        (0.8, Fraction(3602879701896397, 4503599627370496)),
        (np.float64(0.5), Fraction(1, 2)),
        (0, Fraction(0)),
    ],
)
def test_discount_is_the_exact_number_given(given_as: Any, exact: Fraction) -> None:
    """A string or a Fraction means itself, a float the double it is."""
    assert exact_discount(given_as) == exact


def exact_row(weights: list[float], *, are_weights: bool) -> list[Fraction]:
    """What a row of P is in rationals."""
    size = len(weights)
    P = np.broadcast_to(np.array(weights), (size, 1, size))
    task = MDP.new(P, np.zeros((size, 1)), 0, np.ones(size), weights=are_weights) if are_weights else None
    task = task or MDP.new(P, np.zeros((size, 1)), 0, np.eye(size)[0])
    numbers = Rationals(64)
    with numbers.activated():
        return [fraction(x) for x in Model(TaskFamily.of([task]), numbers).P[0, 0, 0]]


def test_normalisation_is_exact() -> None:
    """[1, 2] is exactly (1/3, 2/3), and three doubles 1/3 are exactly 1/3 each."""
    assert exact_row([1, 2], are_weights=True) == [Fraction(1, 3), Fraction(2, 3)]
    assert exact_row([1 / 3, 1 / 3, 1 / 3], are_weights=False) == [Fraction(1, 3)] * 3
    assert sum(exact_row([0.1] * 10, are_weights=False)) == 1


@given(mdps())
def test_exact_rows_sum_to_one(task: MDP) -> None:
    """Whatever the doubles, the process is a proper one in exact arithmetic."""
    numbers = Rationals(64)
    with numbers.activated():
        model = Model(TaskFamily.of([task]), numbers)
        assert np.all(model.P.sum(axis=-1) == 1)
        assert np.all(model.rho.sum(axis=-1) == 1)
        assert np.all((model.P == 0) == (task.P == 0))


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        ([[0.5, 0.5]], r"the meta-policy has shape \[1, 2\]; the family asks for \[2, 2\]"),
        ([[0.5, 0.5], [1, 0]], r"the meta-policy\[s=1, a=1\] is 0, but adaptation needs full support; mix in"),
        ([[0.5, 0.5], [0.5, 0.6]], r"the meta-policy\[s=1\] sums to 1\.1, not 1"),
        ([[0.5, 0.5], [1.5, -0.5]], r"the meta-policy\[s=1, a=1\] = -0\.5 is negative"),
        ([[0.5, NAN], [0.5, 0.5]], r"the meta-policy\[s=0, a=1\] is nan; replace it"),
        ([0.5, 0.5], r"the meta-policy has shape \[2\]; expected \[s, a\]"),
    ],
)
def test_bad_policy(policy: Any, message: str) -> None:
    """A meta-policy must be a full-support distribution in every state."""
    with pytest.raises(InvalidTask, match=message):
        check_policy(policy, 2, 2)


def test_policy_helpers() -> None:
    """Uniform, mixed and deterministic policies are what they say."""
    assert check_policy(uniform_policy(2, 4), 2, 4).tolist() == [[0.25] * 4] * 2
    assert mix_uniform(np.array([[1.0, 0.0]]), 0.5).tolist() == [[0.75, 0.25]]
    assert deterministic(np.array([2, 0]), 3).tolist() == [[0, 0, 1], [1, 0, 0]]


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=5))
def test_softmax_never_loses_support(logits: list[float]) -> None:
    """Any log-weights give positive normal doubles that sum to 1, in the order of the weights."""
    policy: Array = from_log_weights(np.array([logits]))
    assert np.all(policy >= SMALLEST)
    assert abs(policy.sum() - 1) < 1e-12
    assert policy.argmax() in np.flatnonzero(np.array(logits) >= max(logits) - 1e-9)
