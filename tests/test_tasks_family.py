"""Task families: validation, stacking of single tasks, and interpolation towards zero variance."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from helpers import drawn
from hypothesis import given
from hypothesis import strategies as st
from strategies import families

from bomrl_theory.errors import InvalidTask
from bomrl_theory.tasks.family import TaskFamily
from bomrl_theory.tasks.interpolation import interpolate
from bomrl_theory.tasks.mdp import MDP

ROW = [[[1, 0], [0.5, 0.5]], [[0, 1], [0, 1]]]
GOOD: dict[str, Any] = {
    "P": [ROW, ROW],
    "r": [[[0, 1], [2, 3]], [[1, 0], [0, 0]]],
    "gamma": "1/2",
    "rho": [1, 0],
}
NAN = float("nan")
BAD_ROW = [[[1, 0], [0.5, 0.4]], [[0, 1], [0, 1]]]
NAN_ROW = [[[1, 0], [0.5, NAN]], [[0, 1], [0, 1]]]

BAD: list[tuple[str, dict[str, Any], str]] = [
    ("row sum", {"P": [ROW, BAD_ROW]}, r"P\[tau=1, s=0, a=1\] sums to 0\.9, not 1 .*divide the row"),
    ("NaN", {"P": [ROW, NAN_ROW]}, r"P\[tau=1, s=0, a=1, s'=1\] is nan; replace it by a finite number"),
    ("P of one task", {"P": ROW}, r"P has shape \[2, 2, 2\]; expected \[tau, s, a, s'\]"),
    ("P not square", {"P": [[[[1, 0]]]]}, r"P has shape \[1, 1, 1, 2\]; its second and last axis"),
    ("r of other shape", {"r": [[[0, 1], [2, 3]]]}, r"r has shape \[1, 2, 2\]; P \[T, S, A, S\] asks for \[2, 2, 2\]"),
    ("rho too short", {"rho": [1]}, r"rho has shape \[2, 1\]; .* asks for \[2, 2\] or \[2\]"),
    ("rho of three tasks", {"rho": [[1, 0]] * 3}, r"rho has shape \[3, 2\]"),
    ("rho scalar", {"rho": 1}, r"rho has shape \[\]; expected \[tau, s\]"),
    ("rho sum", {"rho": [[1, 0], [0.5, 0.6]]}, r"rho\[tau=1\] sums to 1\.1, not 1"),
    ("shared rho sum", {"rho": [0.5, 0.6]}, r"rho sums to 1\.1, not 1"),
    ("ragged rho", {"rho": [[1, 0], [1]]}, "rho is not a rectangular array of numbers"),
    ("weights of other length", {"weights": [1]}, r"weights has shape \[1\]; there are 2 tasks"),
    ("zero weight", {"weights": [1, 0]}, r"weights\[tau=1\] is 0; leave out tasks that never occur"),
    ("negative weight", {"weights": [2, -1]}, r"weights\[tau=1\] = -1 is negative"),
    ("NaN weight", {"weights": [1, NAN]}, r"weights\[tau=1\] is nan; replace it"),
    ("labels", {"labels": ["only one"]}, "1 state labels for 2 states; give one label a state"),
    ("gamma", {"gamma": 1.5}, r"gamma = 1\.5 is outside \[0, 1\)"),
]


@pytest.mark.parametrize(("change", "message"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])
def test_bad_family_names_value_place_and_remedy(change: dict[str, Any], message: str) -> None:
    """Every kind of bad input is refused with a message a user can act on."""
    with pytest.raises(InvalidTask, match=message):
        TaskFamily.new(**{**GOOD, **change})


@pytest.mark.parametrize("gamma", [Fraction(10**20 - 1, 10**20), "0.99999999999999999999"])
def test_discount_that_rounds_to_one(gamma: Any) -> None:
    """A discount that doubles cannot tell from 1 is refused before a float system becomes singular."""
    with pytest.raises(InvalidTask, match="gamma"):
        TaskFamily.new(**{**GOOD, "gamma": gamma})


def test_good_family() -> None:
    """Shapes, defaults and the tasks inside."""
    family = TaskFamily.new(**GOOD, labels=["here", "there"], name="pair")
    assert (family.tasks, family.states, family.actions, len(family)) == (2, 2, 2, 2)
    assert family.rho.tolist() == [[1, 0], [1, 0]]
    assert family.weights.tolist() == [1, 1]
    assert family.labels == ("here", "there")
    assert repr(family) == "TaskFamily('pair', 2 tasks, 2 states, 2 actions, gamma = 1/2)"
    assert [task.r[0, 1] for task in family] == [1, 0]
    assert not family.P.flags.writeable


def task(states: int = 2, gamma: Any = "1/2") -> MDP:
    """A task that stays where it is."""
    return MDP.new(np.eye(states)[:, None, :], np.zeros((states, 1)), gamma, np.eye(states)[0])


@pytest.mark.parametrize(
    ("tasks", "message"),
    [
        ([], "the family is empty; a task distribution needs at least one task"),
        ([task(2), task(3)], "task 1 has 3 states and 1 actions, task 0 has 2 and 1; all tasks of a family share"),
        ([task(), task(gamma="1/3")], "task 1 has gamma 1/3, task 0 has 1/2; share one gamma"),
    ],
    ids=["empty", "shapes", "discounts"],
)
def test_tasks_that_do_not_fit_together(tasks: list[MDP], message: str) -> None:
    """A family shares states, actions and discount."""
    with pytest.raises(InvalidTask, match=message):
        TaskFamily.of(tasks)


@given(families())
def test_taking_a_family_apart_and_together_changes_nothing(family: TaskFamily) -> None:
    """Every array survives bit for bit."""
    again = TaskFamily.of(list(family), family.weights)
    for name in ("P", "r", "rho", "weights"):
        assert np.array_equal(getattr(again, name), getattr(family, name))
    assert again.gamma == family.gamma


@given(families(tasks=3))
def test_interpolation_ends_at_zero_variance_and_at_the_family(family: TaskFamily) -> None:
    """At x = 0 all tasks are equal to the last bit; at x = 1 the family is back; P stays stochastic between."""
    still = interpolate(family, 0.0)
    for array in (still.P, still.r, still.rho):
        assert np.array_equal(array, np.broadcast_to(array[:1], array.shape))
    w = family.weights / family.weights.sum()
    assert np.allclose(still.r[0], sum(w[i] * family.r[i] for i in range(family.tasks)), atol=1e-12)
    back = interpolate(family, 1.0)
    assert np.allclose(back.P, family.P / family.P.sum(axis=-1, keepdims=True), atol=1e-15)
    assert np.array_equal(back.r, family.r)
    assert np.allclose(back.rho, family.rho / family.rho.sum(axis=-1, keepdims=True), atol=1e-15)
    assert np.array_equal(back.weights, family.weights)


@given(families(tasks=3), st.floats(0, 1))
def test_spread_of_rewards_grows_linearly(family: TaskFamily, x: float) -> None:
    """The distance between two tasks' rewards is x times what it was."""
    between = interpolate(family, x)
    assert np.allclose(between.r[-1] - between.r[0], x * (family.r[-1] - family.r[0]), atol=1e-12)
    assert np.allclose(between.P.sum(axis=-1), 1)


def test_interpolation_towards_a_given_task() -> None:
    """With a base, x = 0 is that base."""
    family = drawn("garnet:states=4,actions=2,branching=2,tasks=3")
    at_base = interpolate(family, 0.0, base=family[1])
    assert np.array_equal(at_base.r, np.broadcast_to(family.r[1], family.r.shape))


@pytest.mark.parametrize("x", [-0.1, 1.1, NAN])
def test_interpolation_outside_the_unit_interval(x: float) -> None:
    """Extrapolated tasks need not be tasks."""
    with pytest.raises(InvalidTask, match=rf"x = {x} is outside \[0, 1\]"):
        interpolate(drawn("bandit"), x)


def test_interpolation_towards_a_foreign_task() -> None:
    """The base must share shapes and discount."""
    with pytest.raises(InvalidTask, match=r"the base task has 2 states, 1 actions and gamma 1/2; .* must agree"):
        interpolate(drawn("bandit"), 0.5, base=task())
