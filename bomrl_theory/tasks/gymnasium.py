"""Task families from Gymnasium's toy-text environments, read from their own transition tables.

An episode that terminates earns nothing further, so every terminating transition leads to one added
absorbing state with reward 0. Time limits are wrappers, not part of the table, and are left out.
"""

from __future__ import annotations

from fractions import Fraction
from itertools import product
from typing import Any

import numpy as np

from bomrl_theory.errors import InvalidTask, MissingExtra, UnknownName
from bomrl_theory.tasks.family import TaskFamily
from bomrl_theory.tasks.mdp import MDP


def gymnasium_task(env_id: str, *, gamma: Any = Fraction(9, 10), **settings: Any) -> MDP:
    """The environment's exact tabular model.

    Args:
        env_id: e.g. ``FrozenLake-v1``, ``CliffWalking-v1``, ``Taxi-v4``.
        gamma: discount (Gymnasium has none).
        settings: passed to ``gymnasium.make``, e.g. ``map_name="8x8", is_slippery=False``.

    Raises:
        MissingExtra: gymnasium is not installed.
        UnknownName: no such environment.
        InvalidTask: the environment has no transition table, or refuses the settings.
    """
    try:
        import gymnasium
    except ImportError:
        raise MissingExtra("gymnasium", "gymnasium") from None
    if env_id not in gymnasium.registry:
        raise UnknownName("Gymnasium environment", env_id, gymnasium.registry)
    try:
        env = gymnasium.make(env_id, **settings).unwrapped
    except (TypeError, ValueError, KeyError, ImportError, gymnasium.error.Error) as error:
        raise InvalidTask(f"Gymnasium refuses {env_id} with {settings}: {error}") from None
    table = getattr(env, "P", None)
    if not isinstance(table, dict):
        raise InvalidTask(
            f"{env_id} has no transition table; use a toy-text environment such as FrozenLake-v1, "
            "CliffWalking-v1 or Taxi-v4"
        )
    states, actions = len(table), len(table[0])
    ended = states
    P = np.zeros((states + 1, actions, states + 1))
    r = np.zeros((states + 1, actions))
    P[ended, :, ended] = 1.0
    for state, by_action in table.items():
        for action, outcomes in by_action.items():
            for probability, successor, reward, terminated in outcomes:
                P[state, action, ended if terminated else successor] += probability
                r[state, action] += probability * reward
    start = getattr(env, "initial_state_distrib", None)
    if start is None:
        raise InvalidTask(f"{env_id} does not tell its start distribution")
    return MDP.new(P, r, gamma, np.append(np.asarray(start, dtype=np.float64), 0.0))


def gymnasium_family(env_id: str, *, gamma: Any = Fraction(9, 10), **settings: Any) -> TaskFamily:
    """One task for each combination of settings; a setting given as a list varies across tasks.

    ``gymnasium_family("FrozenLake-v1", is_slippery=[True, False])`` has two tasks.

    Raises:
        MissingExtra, UnknownName, InvalidTask: as :func:`gymnasium_task`.
    """
    varied = {key: value if isinstance(value, list) else [value] for key, value in settings.items()}
    tasks = [
        gymnasium_task(env_id, gamma=gamma, **dict(zip(varied, choice, strict=True)))
        for choice in product(*varied.values())
    ]
    return TaskFamily.of(tasks, name=f"gymnasium:{env_id}")
