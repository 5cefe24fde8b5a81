"""Each task's optimum: batched float policy iteration, then a certificate.

The float result is only a proposal. :func:`optimal_policy` proves ``A^{pi*} <= 0``, in enclosures of all tasks
at once where every inequality is strict and in rationals where actions tie, and improves the proposal in
exact arithmetic if it was not optimal after all. So pi* is never a solver's word.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float64, Int, Shaped

from bomrl_theory.exact import kernels
from bomrl_theory.exact.evaluate import Evaluation
from bomrl_theory.exact.model import Model
from bomrl_theory.numbers import ENCLOSURES, FLOATS, Array, Balls, Numbers, Numeric, Rationals, SingularSystem
from bomrl_theory.tasks.family import TaskFamily
from bomrl_theory.tasks.policy import deterministic

Decided = Literal["enclosure", "ball", "rational", "float"]
MAXIMUM_ITERATIONS = 1000
COMPILED_TASKS = 256
"""From so many tasks on, loading the compiled kernel pays for itself."""


@dataclass(frozen=True, eq=False)
class Solution:
    """What policy iteration returned, in float64.

    Attributes:
        actions: greedy action indices [T, S], the lowest index among numerical ties.
        V: value of that policy [T, S].
        status: "converged", or "stopped" (at the iteration cap: raise it, or expect a nearly tied MDP).
        iterations: policy evaluations made.
        residual: ``max_s |T V - V|`` for each task [T].
        backend: "numba" for the compiled kernel, "numpy" otherwise.
    """

    actions: Int[Array, "T S"]
    V: Float64[Array, "T S"]
    status: Literal["converged", "stopped"]
    iterations: int
    residual: Float64[Array, " T"]
    backend: kernels.Backend = "numpy"


def policy_iteration(
    family: TaskFamily, *, model: Model | None = None, maximum_iterations: int = MAXIMUM_ITERATIONS
) -> Solution:
    """Howard's policy iteration on all tasks at once.

    An action is left only for one that is better beyond rounding, so ties cannot make it cycle; at
    the end ties go to the lowest index.
    """
    status: Literal["converged", "stopped"]
    if family.tasks >= COMPILED_TASKS and family.states <= kernels.SMALL_STATES and kernels.backend() == "numba":
        found = kernels.solve_batch(family.P, family.r, float(family.gamma), maximum_iterations=maximum_iterations)
        residual = np.maximum(np.abs(found.residuals.lowest), np.abs(found.residuals.highest))
        status = "converged" if found.converged.all() else "stopped"
        return Solution(found.actions, found.V, status, int(found.iterations.max()), residual, "numba")
    model = model or Model(family, FLOATS)
    actions = model.r.argmax(axis=-1)
    rows = np.arange(family.actions)
    status = "stopped"
    iterations = 0
    while True:
        evaluation = Evaluation.of(model, deterministic(actions, family.actions))
        iterations += 1
        Q, V = evaluation.Q, evaluation.V
        best = Q.max(axis=-1)
        scale = np.abs(V).max(axis=-1, keepdims=True) + np.abs(model.r).max(axis=(-2, -1))[:, None]
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
        decided: for each task "enclosure" or "ball" (strict everywhere, so pi* is unique), "rational" (ties
            decided exactly) or "float" (not certified: the task was too large for exact arithmetic).
    """

    actions: Int[Array, "T S"]
    decided: tuple[Decided, ...]

    @property
    def certified(self) -> bool:
        return "float" not in self.decided


def optimal_policy(
    family: TaskFamily, *, certify: bool = True, models: Callable[[Numbers], Model] | None = None
) -> Optimum:
    """Prove a deterministic optimal policy for each task.

    Args:
        certify: False keeps the float proposal and says so in the result.
        models: the family already seen in number systems, such as :meth:`Solved.model`, to share work.
    """
    models = models or (lambda numbers: Model(family, numbers))
    with FLOATS.activated():
        proposal = policy_iteration(family, model=models(FLOATS)).actions
    if not certify:
        return Optimum(proposal, ("float",) * family.tasks)
    actions = proposal.copy()
    decided: list[Decided] = ["enclosure"] * family.tasks
    for task in np.flatnonzero(~_strictly_optimal(models(ENCLOSURES), proposal)):
        alone = TaskFamily.of([family[int(task)]])
        actions[task], decided[task] = _certify(alone, proposal[task])
    return Optimum(actions, tuple(decided))


def _strictly_optimal(model: Model, actions: Int[Array, "T S"]) -> Bool[Array, " T"]:
    """Tasks where every other action is certainly worse at every state, so that pi* is unique."""
    others = ~deterministic(actions, model.family.actions).astype(bool)
    with model.numbers.activated():
        try:
            advantage = _advantage(model, actions)
        except SingularSystem:
            return np.zeros(len(actions), dtype=bool)
        return np.all(np.asarray(advantage < 0, dtype=bool) | ~others, axis=(-2, -1))


def _certify(task: TaskFamily, actions: Int[Array, " S"]) -> tuple[Int[Array, " S"], Decided]:
    """An exactly optimal policy of a one-task family, starting from a proposal."""
    if _strictly_optimal(Model(task, Balls(128)), actions[None])[0]:
        return actions, "ball"
    model = Model(task, Rationals(128))
    with model.numbers.activated():
        while True:
            advantage = _advantage(model, actions[None])[0]
            # Exact policy iteration from an all but optimal start: strict improvement, so it ends.
            if not np.any(advantage > 0):
                return np.argmax(advantage == 0, axis=-1), "rational"
            actions = np.array([max(range(task.actions), key=row.__getitem__) for row in advantage])


def _advantage(model: Model, actions: Int[Array, "T S"]) -> Shaped[Numeric, "T S A"]:
    return Evaluation.of(model, deterministic(actions, model.family.actions)).advantage
