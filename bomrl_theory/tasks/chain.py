"""A chain with a tempting start: the classic test of long horizons (Strens 2000, without noise)."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np

from bomrl_theory.tasks.family import TaskFamily
from bomrl_theory.tasks.mdp import check_sizes


def chain(*, states: int = 6, tasks: int = 4, gamma: Any = Fraction(9, 10), rng: np.random.Generator) -> TaskFamily:
    """Action 1 walks right, action 0 returns to the start; the far end pays 1, returning pays a little.

    Tasks differ in the small reward for returning, uniform in [0, 0.5], and in which of the two
    actions walks right (a fair coin), so that no single policy fits all.

    Raises:
        InvalidTask: fewer than one state or task.
    """
    check_sizes(tasks * states**2 * 2, states=states, tasks=tasks)
    P = np.zeros((tasks, states, 2, states))
    r = np.zeros((tasks, states, 2))
    rho = np.zeros(states)
    rho[0] = 1.0
    for task in range(tasks):
        walk = int(rng.integers(2))
        P[task, :, 1 - walk, 0] = 1.0
        r[task, :, 1 - walk] = rng.uniform(0.0, 0.5)
        for state in range(states):
            P[task, state, walk, min(state + 1, states - 1)] = 1.0
        r[task, states - 1, walk] = 1.0
    return TaskFamily.new(P, r, gamma, rho, name="chain")
