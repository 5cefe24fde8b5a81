"""Frozen Lake: the published optimum, maps with a path, and what differs between tasks in each setting."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any, Literal

import numpy as np
import pytest
from helpers import fraction

from bomrl_theory.errors import InvalidTask
from bomrl_theory.exact.solved import Solved
from bomrl_theory.numbers import Rationals
from bomrl_theory.tasks.family import TaskFamily
from bomrl_theory.tasks.frozen_lake import frozen_lake
from bomrl_theory.tasks.mdp import MDP

Variance = Literal["high", "low"]
VARIANCES: tuple[Variance, Variance] = ("high", "low")
both_variances = pytest.mark.parametrize("variance", VARIANCES)


def lake(variance: Variance, seed: int = 0, **settings: Any) -> TaskFamily:
    """A family drawn from a seed."""
    return frozen_lake(variance, rng=np.random.default_rng(seed), **settings)


def optimal_returns(family: TaskFamily) -> Iterator[Fraction]:
    """J* of every task, exact."""
    numbers = Rationals(64)
    with numbers.activated():
        yield from (fraction(J) for J in Solved(family).star(numbers).J)


def steps_to_goal(task: MDP, forbidden: np.ndarray) -> int:
    """Moves from start to goal that enter no forbidden tile, by repeated expansion; -1 if there is no path."""
    reached = {0}
    for moves in range(task.states + 1):
        if task.states - 1 in reached:
            return moves
        ahead = {int(z) for s in reached for a in range(4) for z in np.flatnonzero(task.P[s, a])}
        reached |= {z for z in ahead if not forbidden[z]}
    return -1


def bad_tiles(task: MDP) -> np.ndarray:
    """Tiles that cost 1 when entered, found through the expected payments."""
    entered = np.zeros(task.states, dtype=bool)
    for state in range(task.states):
        for action in range(4):
            if task.r[state, action] == -1:
                entered[np.flatnonzero(task.P[state, action])] = True
    return entered


@both_variances
@pytest.mark.parametrize("size", [2, 3, 4, 5])
def test_optimum_of_a_clean_map(variance: Variance, size: int) -> None:
    """Without marks the goal is 2(size-1) moves away and pays from the last of them on, for ever."""
    gamma = Fraction(4, 5)
    expected = gamma ** (2 * size - 3) / (1 - gamma)
    assert list(optimal_returns(lake(variance, frozen=1.0, size=size, tasks=1, gamma=gamma))) == [expected]


def test_published_optimum() -> None:
    """4x4 and gamma = 0.8: gamma^5/(1-gamma) = 1.6384, whenever a shortest path is free of marks."""
    family = lake("low", tasks=20)
    clean = [steps_to_goal(task, bad_tiles(task)) == 6 for task in family]
    returns = list(optimal_returns(family))
    assert any(clean)
    for free, value in zip(clean, returns, strict=True):
        assert (value == Fraction("1.6384")) == free


@both_variances
def test_every_map_has_a_path(variance: Variance) -> None:
    """Start and goal are joined without entering a hole or a marked tile, also on sparse maps."""
    for task in lake(variance, seed=3, size=5, tasks=30, frozen=0.65):
        assert steps_to_goal(task, bad_tiles(task)) >= 8


def test_low_variance_tasks_move_alike_and_pay_differently() -> None:
    """Only the marks differ."""
    family = lake("low", tasks=10)
    assert np.array_equal(family.P, np.broadcast_to(family.P[:1], family.P.shape))
    assert len({task.r.tobytes() for task in family}) > 1


def test_high_variance_holes_absorb_and_cost_forever() -> None:
    """A hole pays -1 at each step and is never left; the holes differ between tasks."""
    family = lake("high", tasks=10)
    assert len({task.P.tobytes() for task in family}) > 1
    for task in family:
        holes = np.flatnonzero(bad_tiles(task))
        assert len(holes)
        for hole in holes:
            assert np.all(task.P[hole, :, hole] == 1)
            assert np.all(task.r[hole] == -1)


@both_variances
def test_goal_absorbs_and_pays(variance: Variance) -> None:
    """The lower-right corner pays 1 at each step spent there."""
    family = lake(variance, tasks=3)
    assert np.all(family.P[:, -1, :, -1] == 1)
    assert np.all(family.r[:, -1, :] == 1)
    assert np.all(family.rho[:, 0] == 1)


def test_moves_and_walls() -> None:
    """Actions are left, down, right, up; a wall keeps the agent where it is."""
    P = lake("low", size=3, tasks=1, frozen=1.0).P[0]
    assert [int(P[4, action].argmax()) for action in range(4)] == [3, 7, 5, 1]
    assert [int(P[0, action].argmax()) for action in range(4)] == [0, 3, 1, 0]


def test_slipping_goes_to_the_two_sides() -> None:
    """With slip 0.2 the move succeeds with 0.8 and goes to either perpendicular side with 0.1."""
    P = lake("low", size=3, tasks=1, frozen=1.0, slip=0.2).P[0]
    assert np.allclose(P[4, 1], [0, 0, 0, 0.1, 0, 0.1, 0, 0.8, 0])
    assert np.allclose(P[4, 2], [0, 0.1, 0, 0, 0, 0.8, 0, 0.1, 0])


def test_expected_payment_under_slip() -> None:
    """r(s,a) is the expected payment of the tile that the move ends on."""
    task = next(iter(lake("low", seed=1, slip=0.2, tasks=1)))
    marked = -1.0 * bad_tiles(next(iter(lake("low", seed=1, tasks=1))))
    marked[-1] = 1.0
    assert np.allclose(task.r, task.P @ marked)


@both_variances
def test_same_seed_same_family(variance: Variance) -> None:
    """The generator is the only source of randomness."""
    first, again, other = (lake(variance, seed) for seed in (5, 5, 6))
    assert np.array_equal(first.P, again.P)
    assert np.array_equal(first.r, again.r)
    assert not np.array_equal(first.r, other.r)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": 0}, "size = 0; it must be at least 1"),
        ({"size": 1}, "size = 1; start and goal need different tiles, use at least 2"),
        ({"tasks": 0}, "tasks = 0; it must be at least 1"),
        ({"frozen": 1.5}, r"frozen = 1\.5 is not a probability"),
        ({"slip": -0.1}, r"slip = -0\.1 is not a probability"),
        ({"slip": float("nan")}, "slip = nan is not a probability"),
        ({"frozen": 0.0, "size": 6}, r"no 6x6 map .* raise frozen = 0\.0 or lower size"),
    ],
)
def test_bad_parameters(settings: dict[str, Any], message: str) -> None:
    """The message names the parameter, its value and what to do."""
    with pytest.raises(InvalidTask, match=message):
        lake("low", **settings)
