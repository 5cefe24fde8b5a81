"""Each task's optimal policy, proved.

Float policy iteration only proposes. That no action improves on the proposal, ``A^{pi*} <= 0``, is proved in
enclosures of all tasks at once: in float64, and in double-double where that leaves something open. Where
actions tie exactly it takes rationals, unless the actions are the same: equal rows of weights and equal
rewards. Rationals also improve a proposal that was not optimal after all. So pi* is never a solver's word.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float64, Int, Shaped

from bomrl_theory.exact.device import certified_optimum_on
from bomrl_theory.exact.enclose import enclose_advantage, refine_advantage
from bomrl_theory.exact.evaluate import DeterministicEvaluation
from bomrl_theory.exact.model import Model
from bomrl_theory.exact.solve import policy_iteration
from bomrl_theory.numbers import (
    FLOATS,
    Array,
    DeviceEnclosures,
    Enclosure,
    Numbers,
    Numeric,
    Rationals,
    first_enclosures,
)
from bomrl_theory.tasks.family import TaskFamily
from bomrl_theory.tasks.policy import deterministic

Decided = Literal["enclosure", "rational", "enclosed", "float"]
RATIONAL_STATES = 600
"""Beyond this many states exact rational solves take minutes."""


@dataclass(frozen=True, eq=False)
class Optimum:
    """A deterministic optimal policy of every task, with how its optimality was decided.

    Attributes:
        actions: pi* as action indices [T, S].
        decided: for each task "enclosure" (every action that differs from pi*'s is certainly worse),
            "rational" (ties decided exactly), "enclosed" (sparse tasks: every quantity of pi* is enclosed over all
            actions that it could take) or "float" (not certified: actions tie, and the task is too large
            for exact arithmetic).
    """

    actions: Int[Array, "T S"]
    decided: tuple[Decided, ...]

    @property
    def certified(self) -> bool:
        return "float" not in self.decided

    def at(self, values: Shaped[Numeric, "T S A"]) -> Shaped[Numeric, "T S"]:
        """``values(s, a*(s))``."""
        return np.take_along_axis(values, self.actions[..., None], axis=-1)[..., 0]


def optimal_policy(
    family: TaskFamily, *, rational_states: int = RATIONAL_STATES, models: Callable[[Numbers], Model] | None = None
) -> Optimum:
    """Prove a deterministic optimal policy for each task: the lowest index among exact ties.

    Args:
        rational_states: tasks with more states are left uncertified where enclosures cannot decide.
        models: the family already seen in number systems, such as :meth:`Solved.model`, to share work.
    """
    numbers = first_enclosures()
    if isinstance(numbers, DeviceEnclosures):
        proposal = certified_optimum_on(numbers.device, family)
    else:
        with FLOATS.activated():
            proposal = policy_iteration(family, model=models(FLOATS) if models else None)

    def advantage(actions: Int[Array, "T S"]) -> Enclosure:
        if not isinstance(numbers, DeviceEnclosures):
            return enclose_advantage(family, actions, proposal.V)
        return _advantage(models(numbers) if models else Model(family, numbers), actions)

    with numbers.activated():
        actions, best = _clearly_best(family, proposal.actions, proposal.V, advantage)
    decided: list[Decided] = ["enclosure"] * family.tasks
    for task in np.flatnonzero(~best):
        if family.states > rational_states:
            decided[task] = "float"
        else:
            decided[task] = "rational"
            actions[task] = _rational_optimum(family.only([int(task)]), actions[task])
    return Optimum(actions, tuple(decided))


def _clearly_best(
    family: TaskFamily,
    actions: Int[Array, "T S"],
    V: Float64[Array, "T S"],
    advantage_of: Callable[[Int[Array, "T S"]], Enclosure],
) -> tuple[Int[Array, "T S"], Bool[Array, " T"]]:
    """The policy, at the lowest index among actions that are the same; and for which tasks all others are
    certainly worse."""
    same = _same_action(family, actions)
    actions = same.argmax(axis=-1)
    settled: Any = same | np.asarray(advantage_of(actions) < 0)
    left_open = np.flatnonzero(~settled.all(axis=(-2, -1)))
    if len(left_open):
        places = np.nonzero(~settled[left_open])
        advantage = refine_advantage(family.only(left_open.tolist()), actions[left_open], V[left_open], places)
        settled[left_open[places[0]], places[1], places[2]] = advantage < 0
    return actions, settled.all(axis=(-2, -1))


def _same_action(family: TaskFamily, actions: Int[Array, "T S"]) -> Bool[Array, "T S A"]:
    """Which actions have the rewards and the very weights of the policy's: an exact tie, whatever V is."""
    same = family.r == np.take_along_axis(family.r, actions[..., None], axis=-1)
    chosen = deterministic(actions, family.actions) > 0
    task, state, action = np.nonzero(same & ~chosen)
    rows = family.P[task, state, action] == family.P[task, state, actions[task, state]]
    same[task, state, action] = rows.all(axis=-1)
    return same


def _rational_optimum(task: TaskFamily, actions: Int[Array, " S"]) -> Int[Array, " S"]:
    """An exactly optimal policy of a one-task family: exact policy iteration from a proposal."""
    model = Model(task, Rationals(128))
    with model.numbers.activated():
        while True:
            advantage = _advantage(model, actions[None])[0]
            # From an all but optimal start; strict improvement, so it ends.
            if not np.any(advantage > 0):
                return np.argmax(advantage == 0, axis=-1)
            actions = np.array([max(range(task.actions), key=row.__getitem__) for row in advantage])


def _advantage(model: Model, actions: Int[Array, "T S"]) -> Shaped[Numeric, "T S A"]:
    return DeterministicEvaluation.of_actions(model, actions).advantage
