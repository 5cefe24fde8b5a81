"""Dense random MDPs: every state reaches every state, rewards of both signs."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np

from bomrl_theory.errors import InvalidTask
from bomrl_theory.tasks.family import TaskFamily


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
    for name, value in (("states", states), ("actions", actions), ("tasks", tasks)):
        if value < 1:
            raise InvalidTask(f"{name} = {value}; it must be at least 1")
    P = rng.dirichlet(np.ones(states), (tasks, states, actions))
    r = rng.normal(size=(tasks, states, actions))
    rho = rng.dirichlet(np.ones(states), tasks)
    return TaskFamily.new(P, r, gamma, rho, name="random-dense", row_weights=True)
