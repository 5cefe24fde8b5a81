"""Gymnasium's tables: read faithfully, which a roll-out of the environment itself confirms."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
from helpers import evaluation

from bomrl_theory.errors import InvalidTask, UnknownName
from bomrl_theory.exact.solved import Solved
from bomrl_theory.numbers import FLOATS, Array
from bomrl_theory.tasks.family import TaskFamily
from bomrl_theory.tasks.gymnasium import gymnasium_family, gymnasium_task

ENVIRONMENTS: list[tuple[str, dict[str, Any], int, int]] = [
    ("FrozenLake-v1", {"map_name": "4x4", "is_slippery": True}, 16, 4),
    ("FrozenLake-v1", {"map_name": "4x4", "is_slippery": False}, 16, 4),
    ("FrozenLake-v1", {"map_name": "8x8", "is_slippery": True}, 64, 4),
    ("FrozenLake-v1", {"map_name": "8x8", "is_slippery": False}, 64, 4),
    ("CliffWalking-v1", {}, 48, 4),
    ("Taxi-v4", {}, 500, 6),
]
every_environment = pytest.mark.parametrize(("env_id", "settings", "states", "actions"), ENVIRONMENTS)


@every_environment
def test_table_is_read_entry_by_entry(env_id: str, settings: dict[str, Any], states: int, actions: int) -> None:
    """Probabilities, expected rewards and the start are the environment's own; ends lead to one more state."""
    task = gymnasium_task(env_id, **settings)
    env: Any = gymnasium.make(env_id, **settings).unwrapped
    assert (task.states, task.actions) == (states + 1, actions)
    for state in range(states):
        for action in range(actions):
            outcomes = env.P[state][action]
            ending = sum(p for p, _, _, ended in outcomes if ended)
            assert task.P[state, action, states] == pytest.approx(ending, abs=1e-15)
            for successor in {z for _, z, _, _ in outcomes}:
                going_on = sum(p for p, z, _, ended in outcomes if z == successor and not ended)
                assert task.P[state, action, successor] == pytest.approx(going_on, abs=1e-15)
            assert task.r[state, action] == pytest.approx(sum(p * reward for p, _, reward, _ in outcomes), abs=1e-12)
    assert np.all(task.P[states, :, states] == 1)
    assert np.all(task.r[states] == 0)
    assert task.rho[states] == 0
    assert np.array_equal(task.rho[:states], env.initial_state_distrib)


def test_taxi_starts_where_the_environment_starts() -> None:
    """Resets only ever show states of positive start weight, and they show most of the 300 of them."""
    task = gymnasium_task("Taxi-v4")
    env: Any = gymnasium.make("Taxi-v4").unwrapped
    env.reset(seed=0)
    seen = {int(env.reset()[0]) for _ in range(2000)}
    starts = set(np.flatnonzero(task.rho).tolist())
    assert len(starts) == 300
    assert seen <= starts
    assert len(seen) > 280


def rollout_returns(env_id: str, settings: dict[str, Any], policy: Array, gamma: float, episodes: int) -> Array:
    """Discounted returns of episodes in the real environment, without its time limit."""
    env: Any = gymnasium.make(env_id, **settings).unwrapped
    rng = np.random.default_rng(11)
    cumulative = policy.cumsum(axis=-1)
    horizon = int(np.log(1e-8) / np.log(gamma))
    returns = np.zeros(episodes)
    env.reset(seed=11)
    for episode in range(episodes):
        state, discount = int(env.reset()[0]), 1.0
        for u in rng.random(horizon):
            action = min(int(np.searchsorted(cumulative[state], u)), policy.shape[1] - 1)
            state, reward, terminated, _, _ = env.step(action)
            returns[episode] += discount * float(reward)
            discount *= gamma
            if terminated:
                break
    return returns


@pytest.mark.parametrize(
    ("env_id", "settings", "greed"),
    [
        ("FrozenLake-v1", {"is_slippery": False}, 0.6),
        ("FrozenLake-v1", {"is_slippery": True}, 0.8),
        ("CliffWalking-v1", {}, 0.7),
    ],
    ids=["frozen lake", "slippery lake", "cliff"],
)
def test_exact_value_agrees_with_rollouts(env_id: str, settings: dict[str, Any], greed: float) -> None:
    """The exact return of a mixed policy lies within five standard errors of a Monte-Carlo estimate."""
    family = TaskFamily.of([gymnasium_task(env_id, gamma="9/10", **settings)])
    optimal = np.eye(family.actions)[Solved(family).optimum.actions[0]]
    policy = greed * optimal + (1 - greed) / family.actions
    with FLOATS.activated():
        exact = float(evaluation(family, policy).J[0])
    returns = rollout_returns(env_id, settings, policy, 0.9, 1500)
    error = returns.std(ddof=1) / np.sqrt(len(returns))
    assert error > 0
    assert abs(returns.mean() - exact) <= 5 * error
    assert abs(exact) > 10 * error  # the estimate is sharp enough to tell


def test_optimum_of_deterministic_environments_by_hand() -> None:
    """FrozenLake 4x4 is won by the sixth move, the cliff is walked around in 13 moves of cost 1."""
    lake, cliff = (
        TaskFamily.of([gymnasium_task(env_id, gamma="9/10", **settings)])
        for env_id, settings in (("FrozenLake-v1", {"is_slippery": False}), ("CliffWalking-v1", {}))
    )
    with FLOATS.activated():
        assert Solved(lake).star(FLOATS).J[0] == pytest.approx(0.9**5, rel=1e-13)
        assert Solved(cliff).star(FLOATS).J[0] == pytest.approx(-(1 - 0.9**13) / (1 - 0.9), rel=1e-13)


def test_list_of_settings_gives_one_task_each() -> None:
    """Combinations of listed settings are tasks in order."""
    family = gymnasium_family("FrozenLake-v1", is_slippery=[True, False])
    assert family.tasks == 2
    assert (family.P[0] > 0).sum() > (family.P[1] > 0).sum()


@pytest.mark.parametrize(
    ("env_id", "settings", "error", "message"),
    [
        ("FrozenLak-v1", {}, UnknownName, "unknown Gymnasium environment 'FrozenLak-v1'; did you mean FrozenLake-v1"),
        ("CartPole-v1", {}, InvalidTask, "CartPole-v1 has no transition table; use a toy-text environment"),
        ("FrozenLake-v1", {"color": "red"}, InvalidTask, "Gymnasium refuses FrozenLake-v1 with .*color"),
        ("FrozenLake-v1", {"map_name": "9x9"}, InvalidTask, "Gymnasium refuses FrozenLake-v1 with .*9x9"),
        ("FrozenLake-v1", {"gamma": 1}, InvalidTask, r"gamma = 1 is outside \[0, 1\)"),
    ],
)
def test_what_cannot_be_read(env_id: str, settings: dict[str, Any], error: type[Exception], message: str) -> None:
    """Unknown environments, environments without a table and refused settings are errors of the input."""
    with pytest.raises(error, match=message):
        gymnasium_task(env_id, **settings)
