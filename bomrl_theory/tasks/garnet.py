"""Garnet: generic random MDPs with a given branching factor (Archibald, McKinnon and Thomas 1995)."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np

from bomrl_theory.errors import InvalidTask
from bomrl_theory.tasks.family import TaskFamily
from bomrl_theory.tasks.mdp import check_sizes


def garnet(
    *,
    states: int = 16,
    actions: int = 4,
    branching: int = 4,
    tasks: int = 5,
    gamma: Any = Fraction(9, 10),
    rng: np.random.Generator,
) -> TaskFamily:
    """Each (s, a) reaches ``branching`` distinct random states with random probabilities.

    Rewards are uniform in [0, 1], the start distribution is uniform.

    Raises:
        InvalidTask: a size below 1, or more branches than states.
    """
    check_sizes(tasks * states**2 * actions, states=states, actions=actions, branching=branching, tasks=tasks)
    if branching > states:
        raise InvalidTask(f"branching = {branching} exceeds states = {states}; lower it")
    P = np.zeros((tasks, states, actions, states))
    order = rng.random((tasks, states, actions, states)).argsort(axis=-1)[..., :branching]
    np.put_along_axis(P, order, rng.dirichlet(np.ones(branching), (tasks, states, actions)), axis=-1)
    r = rng.random((tasks, states, actions))
    return TaskFamily.new(P, r, gamma, np.full(states, 1.0), name="garnet", row_weights=True)
