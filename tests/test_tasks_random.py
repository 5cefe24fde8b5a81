"""Garnet, chain, bandit and dense random tasks: their defining shape, seeds and limits."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from helpers import drawn, fraction

from bomrl_theory.errors import InvalidTask
from bomrl_theory.exact.solved import Solved
from bomrl_theory.numbers import FLOATS, Rationals
from bomrl_theory.tasks.family import TaskFamily


def optimal_returns(family: TaskFamily) -> list[Fraction]:
    """J* of every task, exact."""
    numbers = Rationals(64)
    with numbers.activated():
        return [fraction(J) for J in Solved(family).star(numbers).J]


@pytest.mark.parametrize("branching", [1, 3, 6])
def test_garnet_branches(branching: int) -> None:
    """Every state and action leads to exactly that many distinct states."""
    family = drawn(f"garnet:states=6,actions=3,branching={branching},tasks=4")
    assert family.P.shape == (4, 6, 3, 6)
    assert np.all((family.P > 0).sum(axis=-1) == branching)
    assert np.allclose(family.P.sum(axis=-1), 1)
    assert np.all((family.r >= 0) & (family.r <= 1))
    assert np.all(family.rho == 1)


def test_random_dense_reaches_everything() -> None:
    """All transitions are possible and rewards have both signs."""
    family = drawn("random-dense:states=5,actions=2,tasks=3")
    assert np.all(family.P > 0)
    assert family.r.min() < 0 < family.r.max()


def test_chain_optimum_by_hand() -> None:
    """Walk to the far end and stay: gamma^(S-1)/(1-gamma), or take the temptation x/(1-gamma), whichever pays more."""
    family = drawn("chain:states=4,tasks=8,gamma=9/10")
    gamma = Fraction(9, 10)
    temptations = [Fraction(float(np.setdiff1d(task.r[:-1], [0.0])[0])) for task in family]
    assert optimal_returns(family) == [max(gamma**3, x) / (1 - gamma) for x in temptations]


def test_chain_tasks_disagree_about_the_way() -> None:
    """No single deterministic policy fits all tasks."""
    family = drawn("chain:states=4,tasks=8,gamma=99/100")
    assert len({tuple(actions) for actions in Solved(family).optimum.actions}) > 1


def test_bandit_optimum_is_the_best_arm() -> None:
    """One state: J* = max r / (1-gamma)."""
    family = drawn("bandit:arms=3,tasks=6,gamma=1/3")
    assert family.P.shape == (6, 1, 3, 1)
    assert optimal_returns(family) == [Fraction(float(r.max())) / (1 - Fraction(1, 3)) for r in family.r]


@pytest.mark.parametrize("spec", ["garnet", "chain", "bandit", "random-dense"])
def test_same_seed_same_family(spec: str) -> None:
    """The generator is the only source of randomness."""
    assert np.array_equal(drawn(spec, 1).P, drawn(spec, 1).P)
    assert np.array_equal(drawn(spec, 1).r, drawn(spec, 1).r)
    assert not np.array_equal(drawn(spec, 1).r, drawn(spec, 2).r)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("garnet:branching=9,states=4", "branching = 9 exceeds states = 4; lower it"),
        ("garnet:actions=0", "actions = 0; it must be at least 1"),
        ("chain:states=0", "states = 0; it must be at least 1"),
        ("bandit:arms=0", "arms = 0; it must be at least 1"),
        ("random-dense:tasks=-1", "tasks = -1; it must be at least 1"),
    ],
)
def test_bad_sizes(spec: str, message: str) -> None:
    """The message names the parameter and its value."""
    with pytest.raises(InvalidTask, match=message):
        drawn(spec)


@pytest.mark.parametrize(
    "spec", ["garnet:states=1,branching=1", "chain:states=1", "bandit:arms=1", "random-dense:states=1"]
)
def test_smallest_sizes_work(spec: str) -> None:
    """One state or one arm is a task like any other."""
    family = drawn(spec)
    with FLOATS.activated():
        assert np.all(np.isfinite(Solved(family).star(FLOATS).J))
