"""Hypothesis strategies that shrink to tasks a person can check by hand.

Small whole numbers come first, and arrays are mostly one fill value or one short pattern repeated, so a
failing case shrinks towards one state, one action, deterministic moves and few different entries.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from bomrl_theory.exact.solved import Solved
from bomrl_theory.numbers import Array
from bomrl_theory.tasks.family import TaskFamily
from bomrl_theory.tasks.mdp import MDP
from bomrl_theory.theory.case import AnyCase, Case
from bomrl_theory.theory.theorem import Theorem
from bomrl_theory.verify.quadratic_cases import quadratic_cases

LARGEST_STATES, LARGEST_ACTIONS, LARGEST_TASKS = 8, 4, 5

DISCOUNTS = st.sampled_from([Fraction(n, d) for n, d in ((0, 1), (1, 2), (4, 5), (9, 10), (99, 100), (999, 1000))])
LAMBDAS = st.builds(
    lambda digit, exponent: digit * Fraction(10) ** exponent, st.integers(1, 9), st.integers(-4, 2)
) | st.just(Fraction(1000))
"""1e-4 to 1e3, exact decimals such as 1/10."""

ROW_WEIGHTS = st.integers(0, 4) | st.floats(2.0**-60, 1)
REWARDS = st.integers(-2, 2) | st.floats(-3, 3, allow_subnormal=False)
POLICY_WEIGHTS = st.integers(1, 4) | st.integers(0, 40).map(lambda k: 2**k) | st.integers(1, 2**40)


def sizes(largest: int) -> st.SearchStrategy[int]:
    """1 to ``largest``."""
    return st.integers(1, largest)


def arrays(shape: tuple[int, ...], elements: st.SearchStrategy, fill: int) -> st.SearchStrategy[Array]:
    """Arrays with few entries other than ``fill``, or dense ones that repeat a drawn pattern."""
    sparse = hnp.arrays(np.float64, shape, elements=elements, fill=st.just(fill))
    pattern = hnp.arrays(np.float64, st.sampled_from([5, 11, 23, 37]), elements=elements, fill=st.nothing())
    return sparse | pattern.map(lambda values: np.resize(values, shape))


@st.composite
def row_weights(draw: st.DrawFn, shape: tuple[int, ...]) -> Array:
    """Rows of non-negative weights with positive sums, from deterministic to dense; an empty row stays home."""
    rows = draw(arrays(shape, ROW_WEIGHTS, 0))
    empty = np.argwhere(rows.sum(axis=-1) == 0)
    for place in empty:
        home = int(place[1]) if len(shape) == 4 else 0
        rows[(*place, home)] = 1.0
    return rows


@st.composite
def families(
    draw: st.DrawFn,
    *,
    states: int = LARGEST_STATES,
    actions: int = LARGEST_ACTIONS,
    tasks: int = LARGEST_TASKS,
    discounts: st.SearchStrategy[Fraction] = DISCOUNTS,
) -> TaskFamily:
    """Task families up to the given sizes: tied actions, unreachable states and degenerate starts included."""
    T, S, A = draw(sizes(tasks)), draw(sizes(states)), draw(sizes(actions))
    P = draw(row_weights((T, S, A, S)))
    r = draw(arrays((T, S, A), REWARDS, 0))
    if A > 1 and draw(st.booleans()):  # one action copies another, so that they tie
        state = draw(st.integers(0, S - 1))
        P[:, state, 1], r[:, state, 1] = P[:, state, 0], r[:, state, 0]
    rho = draw(row_weights((T, S)))
    weights = draw(arrays((T,), st.integers(1, 4), 1))
    return TaskFamily.new(P, r, draw(discounts), rho, weights, name="drawn", row_weights=True)


def mdps(*, states: int = LARGEST_STATES, actions: int = LARGEST_ACTIONS) -> st.SearchStrategy[MDP]:
    """Single tasks."""
    return families(states=states, actions=actions, tasks=1).map(lambda family: family[0])


def policies(states: int, actions: int) -> st.SearchStrategy[Array]:
    """Meta-policy weights [S, A], from uniform to nearly deterministic (1 to 2**40)."""
    return arrays((states, actions), POLICY_WEIGHTS, 1)


@st.composite
def cases(draw: st.DrawFn, algorithms: Sequence[str], *, steps: int = 1, **limits: Any) -> Case:
    """Cases of the given algorithms, with 1 to ``steps`` adaptation steps."""
    family = draw(families(**limits))
    phi = draw(policies(family.states, family.actions))
    return Case.new(
        Solved(family),
        phi,
        draw(st.sampled_from(list(algorithms))),
        draw(LAMBDAS),
        steps=draw(st.integers(1, steps)),
    )


def cases_of(theorem: Theorem, *, steps: int = 1) -> st.SearchStrategy[AnyCase]:
    """Cases that a theorem speaks about; ``steps`` where it speaks about any number."""
    if theorem.setting == "tabular":
        return cases(theorem.algorithms, steps=theorem.steps or steps)
    seeds = st.integers(0, 2**32 - 1).map(np.random.SeedSequence)
    return seeds.map(lambda seed: next(case for case in quadratic_cases(seed, 1) if theorem.covers(case)))
