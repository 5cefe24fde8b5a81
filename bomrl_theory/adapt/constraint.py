"""Constraints on the lower level: a cost budget, or a trust region in place of lambda."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64

from bomrl_theory.errors import InvalidTask
from bomrl_theory.numbers import Array
from bomrl_theory.tasks.mdp import as_doubles, at


@dataclass(frozen=True, eq=False)
class CostBudget:
    """``sum_s nu^phi(s) <pi(s), Qc^phi(s)> <= budget``, as in constrained policy optimisation.

    ``Qc^phi`` is the action value of the cost: discounted, not normalised. At ``pi = phi`` the left
    side is the mean of ``Vc^phi`` over the visitation. Build it with :meth:`new`.

    Attributes:
        cost: cost per step [T, S, A], or [S, A] when all tasks share it; any sign.
        budget: in the unit of discounted cost, one a task [T] or one for all [1].
    """

    cost: Float64[Array, "... S A"]
    budget: Float64[Array, " n"]

    @classmethod
    def new(cls, cost: Any, budget: Any) -> CostBudget:
        """Validate and build; ``cost`` is [S, A] or [T, S, A], ``budget`` a number or [T].

        Raises:
            InvalidTask: not a rectangular array of finite numbers.
        """
        axes = ("s", "a") if _dimensions(cost) == 2 else ("tau", "s", "a")
        return cls(as_doubles("cost", cost, axes), _per_task("budget", budget))


@dataclass(frozen=True, eq=False)
class TrustRegion:
    """``sum_s nu^phi(s) d_i(phi, pi)(s) <= radius``; lambda is then the multiplier. Build it with :meth:`new`.

    Attributes:
        radius: positive, in nats, one a task [T] or one for all [1].
    """

    radius: Float64[Array, " n"]

    @classmethod
    def new(cls, radius: Any) -> TrustRegion:
        """Validate and build; ``radius`` is a number or [T].

        Raises:
            InvalidTask: not finite, or not positive.
        """
        values = _per_task("radius", radius)
        bad = np.flatnonzero(values <= 0)
        if len(bad):
            raise InvalidTask(
                f"{at('radius', (int(bad[0]),), ('tau',))} = {values[bad[0]]:g} must be positive; "
                "for no change at all adapt with 'none'"
            )
        return cls(values)


Constraint = CostBudget | TrustRegion


def _dimensions(values: Any) -> int:
    try:
        return np.ndim(values)
    except ValueError:  # ragged: as_doubles says so
        return 0


def _per_task(name: str, values: Any) -> Array:
    return as_doubles(name, np.atleast_1d(values) if _dimensions(values) == 0 else values, ("tau",))


def for_tasks(name: str, values: Float64[Array, " n"], tasks: int) -> Float64[Array, " T"]:
    """One value for all tasks, or one each, as one each.

    Raises:
        InvalidTask: neither one nor ``tasks`` values.
    """
    if len(values) not in (1, tasks):
        raise InvalidTask(f"{name} has shape {list(values.shape)}; give one number, or one for each of {tasks} tasks")
    return np.broadcast_to(values, (tasks,))
