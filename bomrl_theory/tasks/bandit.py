"""Multi-armed bandits: one state, so that bounds can be checked by hand."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np

from bomrl_theory.tasks.family import TaskFamily
from bomrl_theory.tasks.mdp import check_sizes


def bandit(*, arms: int = 4, tasks: int = 5, gamma: Any = Fraction(1, 2), rng: np.random.Generator) -> TaskFamily:
    """One state, ``arms`` actions with rewards uniform in [0, 1], independent across tasks.

    Raises:
        InvalidTask: fewer than one arm or task.
    """
    check_sizes(tasks * arms, arms=arms, tasks=tasks)
    P = np.ones((tasks, 1, arms, 1))
    return TaskFamily.new(P, rng.random((tasks, 1, arms)), gamma, np.ones(1), name="bandit")
