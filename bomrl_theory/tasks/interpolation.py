"""Sweep a family's task variance continuously from zero."""

from __future__ import annotations

import numpy as np

from bomrl_theory.errors import InvalidTask
from bomrl_theory.tasks.family import TaskFamily
from bomrl_theory.tasks.mdp import MDP


def interpolate(family: TaskFamily, x: float, base: MDP | None = None) -> TaskFamily:
    """``(1-x) base + x task`` for every task, in P, r and rho.

    Args:
        x: 0 makes all tasks equal to ``base``, 1 gives ``family`` back.
        base: by default the family's average task.

    Raises:
        InvalidTask: x outside [0, 1], or a base with other shapes or discount.
    """
    if not 0 <= x <= 1:
        raise InvalidTask(f"x = {x} is outside [0, 1]")
    P = family.P / family.P.sum(axis=-1, keepdims=True)
    rho = family.rho / family.rho.sum(axis=-1, keepdims=True)
    w = family.weights / family.weights.sum()
    if base is None:
        base_P, base_r, base_rho = (np.tensordot(w, array, 1) for array in (P, family.r, rho))
    else:
        if base.P.shape != family.P.shape[1:] or base.gamma != family.gamma:
            raise InvalidTask(
                f"the base task has {base.states} states, {base.actions} actions and gamma {base.gamma}; the "
                f"family has {family.states}, {family.actions} and {family.gamma}; they must agree"
            )
        base_P = base.P / base.P.sum(axis=-1, keepdims=True)
        base_r, base_rho = base.r, base.rho / base.rho.sum()
    return TaskFamily.new(
        (1 - x) * base_P + x * P,
        (1 - x) * base_r + x * family.r,
        family.gamma,
        (1 - x) * base_rho + x * rho,
        family.weights,
        name=f"{family.name} at {x:g} of its task variance",
        labels=family.labels,
        row_weights=True,
    )
