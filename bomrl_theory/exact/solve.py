"""Each task's optimum: batched float policy iteration, then a certificate.

The float result is only a proposal. :func:`optimal_policy` proves ``A^{pi*} <= 0`` exactly, in balls
where every inequality is strict and in rationals where actions tie, and improves the proposal in
exact arithmetic if it was not optimal after all. So pi* is never a solver's word.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float64, Int

from bomrl_theory.exact.evaluate import Evaluation
from bomrl_theory.exact.model import Model
from bomrl_theory.numbers import FLOATS, Array, Balls, Numbers, Rationals, SingularSystem
from bomrl_theory.tasks.family import TaskFamily
from bomrl_theory.tasks.policy import deterministic

MAXIMUM_ITERATIONS = 1000


@dataclass(frozen=True, eq=False)
class Solution:
    """What policy iteration returned, in float64.

    Attributes:
        actions: greedy action indices [T, S], the lowest index among numerical ties.
        V: value of that policy [T, S].
        status: "converged", or "stopped" (at the iteration cap: raise it, or expect a nearly tied MDP).
        iterations: policy evaluations made.
        residual: ``max_s |T V - V|`` for each task [T].
    """

    actions: Int[Array, "T S"]
    V: Float64[Array, "T S"]
    status: Literal["converged", "stopped"]
    iterations: int
    residual: Float64[Array, " T"]


def policy_iteration(family: TaskFamily, *, maximum_iterations: int = MAXIMUM_ITERATIONS) -> Solution:
    """Howard's policy iteration on all tasks at once.

    An action is left only for one that is better beyond rounding, so ties cannot make it cycle; at
    the end ties go to the lowest index.
    """
    model = Model(family, FLOATS)
    actions = model.r.argmax(axis=-1)
    rows = np.arange(family.actions)
    status: Literal["converged", "stopped"] = "stopped"
    iterations = 0
    while True:
        evaluation = Evaluation.of(model, deterministic(actions, family.actions))
        iterations += 1
        Q, V = evaluation.Q, evaluation.V
        best = Q.max(axis=-1)
        scale = np.abs(V).max(axis=-1, keepdims=True) + np.abs(model.r).max()
        tolerance = 64 * np.finfo(np.float64).eps * scale / (1 - float(family.gamma))
        better = best > np.take_along_axis(Q, actions[..., None], -1)[..., 0] + tolerance
        if not better.any():
            status = "converged"
            break
        if iterations >= maximum_iterations:
            break
        actions = np.where(better, Q.argmax(axis=-1), actions)
    tied = best[..., None] - Q <= tolerance[..., None]
    actions = np.where(tied, rows, family.actions).min(axis=-1)
    return Solution(actions, V, status, iterations, np.abs(best - V).max(axis=-1))


@dataclass(frozen=True, eq=False)
class Optimum:
    """A deterministic optimal policy of every task, with how its optimality was decided.

    Attributes:
        actions: pi* as action indices [T, S].
        decided: for each task "ball" (strict everywhere), "rational" (ties decided exactly) or
            "float" (not certified: the task was too large for exact arithmetic).
    """

    actions: Int[Array, "T S"]
    decided: tuple[Literal["ball", "rational", "float"], ...]

    @property
    def certified(self) -> bool:
        return "float" not in self.decided


def optimal_policy(family: TaskFamily, *, certify: bool = True) -> Optimum:
    """Prove a deterministic optimal policy for each task.

    Args:
        certify: False keeps the float proposal and says so in the result.
    """
    proposal = policy_iteration(family).actions
    if not certify:
        return Optimum(proposal, ("float",) * family.tasks)
    actions = proposal.copy()
    decided: list[Literal["ball", "rational", "float"]] = []
    for task in range(family.tasks):
        alone = TaskFamily.of([family[task]])
        actions[task], how = _certify(alone, proposal[task])
        decided.append(how)
    return Optimum(actions, tuple(decided))


def _certify(task: TaskFamily, actions: Int[Array, " S"]) -> tuple[Int[Array, " S"], Literal["ball", "rational"]]:
    """An exactly optimal policy of a one-task family, starting from a proposal."""
    others = ~deterministic(actions, task.actions).astype(bool)
    balls = Balls(128)
    with balls.activated():
        try:
            if np.all(_advantage(task, actions, balls)[others] < 0):
                return actions, "ball"
        except SingularSystem:
            pass
    rationals = Rationals(128)
    with rationals.activated():
        while True:
            advantage = _advantage(task, actions, rationals)
            # Exact policy iteration from an all but optimal start: strict improvement, so it ends.
            if not np.any(advantage > 0):
                return np.argmax(advantage == 0, axis=-1), "rational"
            actions = np.array([max(range(task.actions), key=row.__getitem__) for row in advantage])


def _advantage(task: TaskFamily, actions: Int[Array, " S"], numbers: Numbers) -> Array:
    model = Model(task, numbers)
    return Evaluation.of(model, deterministic(actions, task.actions)[None]).advantage[0]
