"""Dense random MDPs: every state reaches every state, rewards of both signs."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np

from bomrl_theory.tasks.family import TaskFamily
from bomrl_theory.tasks.mdp import check_sizes


def random_dense(
    *,
    states: int = 8,
    actions: int = 3,
    tasks: int = 5,
    gamma: Any = Fraction(9, 10),
    rng: np.random.Generator,
) -> TaskFamily:
    """Transition rows and start distributions from the flat Dirichlet, rewards standard normal.

    Raises:
        InvalidTask: a size below 1.
    """
    check_sizes(tasks * states**2 * actions, states=states, actions=actions, tasks=tasks)
    P = rng.dirichlet(np.ones(states), (tasks, states, actions))
    r = rng.normal(size=(tasks, states, actions))
    rho = rng.dirichlet(np.ones(states), tasks)
    return TaskFamily.new(P, r, gamma, rho, name="random-dense", row_weights=True)
