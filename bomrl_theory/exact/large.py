"""One large task, dense or sparse: modified policy iteration that certifies its own result.

The last backup is both the stopping test and the certificate, so the bounds cost nothing beyond the solve.
Memory stays at the task's own arrays and a few vectors [S]; where numba is missing, two more of [S, A].
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Float64, Int

from bomrl_theory.exact import kernels
from bomrl_theory.exact.enclose import Bounds, backup_error
from bomrl_theory.numbers import ENCLOSURES, Array, Enclosure, discounted_error
from bomrl_theory.numbers.enclosure import TINY, U, rounded_up
from bomrl_theory.tasks.mdp import MDP
from bomrl_theory.tasks.sparse import SparseMDP

INNER_REDUCTION = 0.02
"""Sweeps of a fixed policy stop once the spread of their change fell by this factor; a backup is then worth more."""

MIXING_SWEEPS = 20
"""A policy that needs more simultaneous sweeps than this mixes slowly."""


@dataclass(frozen=True, eq=False)
class LargeSolution:
    """What modified policy iteration returned, and what is certain about it.

    Attributes:
        actions: greedy policy [S].
        V: float64 value near the middle of the bounds [S].
        bounds: certified, ``low <= V^pi <= V* <= high`` [S] for the policy ``actions``.
        suboptimality: certified, ``V* - V^pi`` is at most this at every state.
        status: "converged" where the certified radius is at most the tolerance; "stopped" at the iteration
            cap, or where rounding keeps the bounds from getting closer. The bounds hold either way.
        iterations: backups over all actions.
        sweeps: cheaper sweeps of a fixed policy.
        residual: ``max_s |T V - V|`` for this V, as computed before it was moved to the middle of the bounds.
        backend: "numba" or "numpy".
    """

    actions: Int[Array, " S"]
    V: Float64[Array, " S"]
    bounds: Bounds
    suboptimality: float
    status: Literal["converged", "stopped"]
    iterations: int
    sweeps: int
    residual: float
    backend: kernels.Backend


def solve_large(
    task: MDP | SparseMDP, *, tolerance: float = 1e-8, sweeps: int = 100, maximum_iterations: int = 100_000
) -> LargeSolution:
    """Modified policy iteration until V* is certified within ``tolerance``.

    Theorem. With T the optimal operator, pi greedy for V and d = T V - V as computed, each entry off by at most
    e (:func:`backup_error`): ``V + (min d - e)/(1-gamma) <= V^pi <= V* <= V + (max d + e)/(1-gamma)`` (MacQueen 1966;
    the first inequality because ``T_pi V`` is the action value that was computed).

    Args:
        task: dense or sparse.
        tolerance: wanted radius of the certified bounds, in units of return.
        sweeps: most sweeps of a fixed policy between two backups over all actions.
        maximum_iterations: most backups over all actions.
    """
    gamma = float(task.gamma)
    with ENCLOSURES.activated():
        view = _Backups(task)
        V = np.zeros(task.states)
        done, followed = 0, 0
        status: Literal["converged", "stopped"] = "stopped"
        previous = np.inf
        while True:
            TV, policy = view.optimal(V)
            done += 1
            change = TV - V
            low, high = float(change.min()), float(change.max())
            rounding = 2 * float(np.abs(V).max()) * (view.terms + 2) * U
            spread = high - low
            # Radius of MacQueen's bounds; once it is all rounding, further iterations cannot shrink it.
            if spread / 2 + rounding <= tolerance * (1 - gamma):
                status = "converged"
                break
            if done >= maximum_iterations or not spread < np.inf or (spread <= rounding and spread >= previous):
                break
            previous = spread
            goal = max(INNER_REDUCTION * spread, tolerance * (1 - gamma) / 2)
            # Simultaneous sweeps carry a constant along, so move V to the middle of its bounds at once.
            V = TV if view.slow else TV + gamma / (1 - gamma) * (low + high) / 2
            V, made = view.follow(policy, V, sweeps, goal)
            followed += made
        bounds = _certified(task, view, V, change)
        middle = V + (low + high) / 2 / (1 - gamma)
        worst = float((Enclosure.exact(bounds.high) - bounds.low).high.max())
    return LargeSolution(
        policy, middle, bounds, worst, status, done, followed, max(-low, high), "numba" if view.compiled else "numpy"
    )


def _certified(task: MDP | SparseMDP, view: _Backups, V: Array, change: Array) -> Bounds:
    largest = np.abs(V).max(), max(abs(float(task.r.min())), abs(float(task.r.max())))
    error = backup_error(view.terms, float(task.gamma), *largest)
    if not kernels.SANE_SUMS[0] <= view.sums[0] <= view.sums[1] <= kernels.SANE_SUMS[1]:
        error = np.inf
    extremes = np.array([change.min(), change.max()])
    residual = Enclosure(extremes, rounded_up(error + U * np.abs(extremes)) + TINY)
    return Bounds.of(V + discounted_error(residual, ENCLOSURES.constant(task.gamma)))


class _Backups:
    """Backups of one task, by BLAS for dense and by SciPy or compiled loops for sparse weights."""

    def __init__(self, task: MDP | SparseMDP):
        self.task = task
        sparse = isinstance(task, SparseMDP)
        self.compiled = sparse and kernels.backend() == "numba"
        self.W: Any = task.P if sparse else task.P.reshape(-1, task.states)
        if self.compiled:
            self.rows = kernels.Rows(self.W.indptr, self.W.indices, self.W.data)
        total = kernels.row_sums(self.rows) if self.compiled else self.W.sum(axis=1)
        self.sums = float(total.min()), float(total.max())
        self.terms = int(np.diff(self.W.indptr).max()) if sparse else task.states
        self.scale = float(task.gamma) / total
        self.slow = False

    def optimal(self, V: Float64[Array, " S"]) -> tuple[Float64[Array, " S"], Int[Array, " S"]]:
        """``T V`` and a greedy policy."""
        if not V.any():
            Q = self.task.r
        elif self.compiled:
            return kernels.sparse_backup(self.rows, self.task.r, self.scale, V)
        else:
            Q = self.W @ V
            Q *= self.scale
            Q = Q.reshape(self.task.r.shape)
            Q += self.task.r
        policy = Q.argmax(axis=1)
        return np.take_along_axis(Q, policy[:, None], 1)[:, 0], policy

    def follow(self, policy: Int[Array, " S"], V: Float64[Array, " S"], sweeps: int, goal: float) -> tuple[Array, int]:
        """Nearer the policy's value, up to a constant: the new V and the sweeps made, at most ``sweeps``."""
        if not self.compiled:
            return self._follow(policy, V, sweeps, goal)
        chosen = kernels.policy_rows(self.rows, self.task.r, self.scale, policy)
        other = np.empty_like(V)
        for done in range(1, sweeps + 1):
            if self.slow:
                kernels.sweep(*chosen, V, V, 1 if done % 2 else -1)
                continue
            spread = kernels.sweep(*chosen, V, other)
            V, other = other, V
            if spread <= goal:
                return V, done
            # Simultaneous sweeps shrink the spread best where the task mixes fast. Otherwise sweep in place.
            self.slow = done == MIXING_SWEEPS
        return V, sweeps

    def _follow(self, policy: Int[Array, " S"], V: Float64[Array, " S"], sweeps: int, goal: float) -> tuple[Array, int]:
        rows = np.arange(self.task.states) * self.task.actions + policy
        W, r, scale = self.W[rows], self.task.r.ravel()[rows], self.scale[rows]
        for done in range(1, sweeps + 1):
            before = V
            V = r + scale * (W @ V)
            if np.ptp(V - before) <= goal:
                return V, done
        return V, sweeps
