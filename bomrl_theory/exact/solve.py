"""Batched policy iteration in float64: proposals, which :mod:`optimum` proves or corrects."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float64, Int

from bomrl_theory.exact import kernels
from bomrl_theory.exact.evaluate import DeterministicEvaluation
from bomrl_theory.exact.model import Model
from bomrl_theory.numbers import FLOATS, Array
from bomrl_theory.tasks.family import TaskFamily

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
        evaluation = DeterministicEvaluation.of_actions(model, actions)
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
    actions = np.minimum(actions, family.actions - 1)  # values that overflowed are tied with none
    return Solution(actions, V, status, iterations, np.abs(best - V).max(axis=-1))
