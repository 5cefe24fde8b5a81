"""Implicit differentiation by conjugate gradients on Hessian-vector products."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Bool, Float64

from bomrl_theory.errors import InvalidTask
from bomrl_theory.meta.hypergradient.method import Answer, Method, average, with_constraint
from bomrl_theory.meta.lower_level import LowerLevel
from bomrl_theory.meta.lower_level.base import inverted
from bomrl_theory.numbers import Array


@dataclass(frozen=True)
class ConjugateGradient(Method):
    """Never forms H. All tasks run at once, each with its own steps; the constraint is one more right side.

    Attributes:
        tolerance: of the relative residual, in the metric's inverse.
        iterations: cap; None: four times the number of unknowns of a task.

    Raises:
        InvalidTask: a tolerance outside (0, 1), or a negative cap.
    """

    tolerance: float = 1e-14
    iterations: int | None = None

    name: ClassVar[str] = "conjugate-gradient"
    summary: ClassVar[str] = "conjugate gradients on Hessian-vector products, with a tolerance and a cap"

    def __post_init__(self) -> None:
        if not 0 < self.tolerance < 1:
            raise InvalidTask(f"tolerance = {self.tolerance} of the linear solver must lie between 0 and 1")
        if self.iterations is not None and self.iterations < 0:
            raise InvalidTask(f"iterations = {self.iterations} of the linear solver must not be negative")

    def gradient(self, level: LowerLevel) -> Answer:
        g = level.return_gradient
        metric = level.metric
        cap = 4 * g[0].size if self.iterations is None else self.iterations
        runs: list[Run] = []

        def solve(right: Float64[Array, "T S A"]) -> Float64[Array, "T S A"]:
            runs.append(conjugate_gradient(level.product, right, metric, self.tolerance, cap))
            return runs[-1].z

        solution = with_constraint(level, g, solve)
        gradient = average(level, level.to_logits(solution))
        used = max(run.iterations for run in runs)
        residual = level.residual(solution, g)
        if any(np.any(run.indefinite) for run in runs):
            return Answer(gradient, "indefinite", residual, used)
        done = all(np.all(run.converged) for run in runs)
        return Answer(gradient, "solved" if done else "stopped", residual, used)


@dataclass(frozen=True, eq=False)
class Run:
    """A run of conjugate gradients.

    Attributes:
        z: [T, S, A].
        converged: which tasks met the tolerance [T].
        indefinite: where a direction of nonpositive curvature ended the run [T].
        iterations: the most of any task.
    """

    z: Float64[Array, "T S A"]
    converged: Bool[Array, " T"]
    indefinite: Bool[Array, " T"]
    iterations: int


def conjugate_gradient(
    product: Callable[[Float64[Array, "T S A"]], Float64[Array, "T S A"]],
    right: Float64[Array, "T S A"],
    metric: Float64[Array, "T S A"],
    tolerance: float,
    cap: int,
) -> Run:
    """Solve ``H z = right`` task by task, preconditioned by the diagonal ``metric``.

    H may be singular as long as the right side is in its range, as along the softmax gauge.
    """

    def dot(x: Array, y: Array) -> Float64[Array, "T 1 1"]:
        return (x * y).sum(axis=(-2, -1), keepdims=True)

    precondition = inverted(metric)
    # Squares of tiny right sides would underflow: each task is solved for a right side of order one.
    size = np.abs(np.sqrt(precondition) * right).max(axis=(-2, -1), keepdims=True)
    size = np.where(size > 0, size, 1)
    r = right / size
    z = np.zeros_like(r)
    p = y = precondition * r
    rho = dot(r, y)
    target = tolerance**2 * rho
    indefinite = np.zeros(rho.shape, dtype=bool)
    iteration = 0
    while iteration < cap:
        running = (rho > target) & ~indefinite
        if not np.any(running):
            break
        iteration += 1
        q = product(p)
        curvature = dot(p, q)
        indefinite |= running & (curvature <= 0)
        running &= curvature > 0
        step = np.where(running, rho / np.where(running, curvature, 1), 0)
        z = z + step * p
        r = np.where(running, r - step * q, r)
        y = precondition * r
        following = np.where(running, dot(r, y), rho)
        p = np.where(running, y + following / np.where(rho > 0, rho, 1) * p, p)
        rho = following
    converged = (rho <= target)[:, 0, 0]
    return Run(size * z, converged, indefinite[:, 0, 0], iteration)
