"""One large task, dense or sparse: modified policy iteration that certifies its own result.

The last backup is both the stopping test and the certificate, so the bounds cost nothing beyond the solve.
Between two backups the policy is followed by sweeps or, on a task that mixes slowly, by BiCGSTAB: whichever was
measured to shrink the policy's residual more for its work. Work is counted in products with P and not in seconds, so
that the same task gives the same bits everywhere. Memory stays at the task's own arrays, those of one policy and a few
vectors [S]; where numba is missing, two more of [S, A].
"""

from __future__ import annotations

from collections.abc import Callable
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

Method = Literal["sweeps", "bicgstab"]
MIXING_SWEEPS = 20
"""A policy that needs more simultaneous sweeps than this mixes slowly."""
KRYLOV_WORK = 3
"""Sweeps that cost as much as an iteration of BiCGSTAB: two products, and vectors."""
KRYLOV_ITERATIONS = 2000
KRYLOV_REDUCTION = 0.1
"""What BiCGSTAB may leave of a policy's residual, in units of 1 - gamma: a tenth of it is left of the value's error.
With much more left the policies that follow can diverge."""


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
        krylov: iterations of BiCGSTAB on a fixed policy.
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
    krylov: int
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
        done = 0
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
            V = TV if view.in_place else TV + gamma / (1 - gamma) * (low + high) / 2
            V = view.follow(policy, V, sweeps, goal)
        bounds = _certified(task, view, V, change)
        middle = V + (low + high) / 2 / (1 - gamma)
        worst = float((Enclosure.exact(bounds.high) - bounds.low).high.max())
    return LargeSolution(
        policy,
        middle,
        bounds,
        worst,
        status,
        done,
        view.sweeps,
        view.krylov,
        max(-low, high),
        view.backend,
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
        self.backend: kernels.Backend = "numba" if sparse and kernels.backend() == "numba" else "numpy"
        self.compiled = self.backend == "numba"
        self.W: Any = task.P if sparse else task.P.reshape(-1, task.states)
        if self.compiled:
            self.rows = kernels.Rows(self.W.indptr, self.W.indices, self.W.data)
        total = kernels.row_sums(self.rows) if self.compiled else self.W.sum(axis=1)
        self.sums = float(total.min()), float(total.max())
        self.terms = int(np.diff(self.W.indptr).max()) if sparse else task.states
        self.scale = float(task.gamma) / total
        self.slow = False
        self.sweeps, self.krylov = 0, 0
        self.rates: dict[Method, float] = {"sweeps": 0.0, "bicgstab": np.inf}
        """By how much the last use shrank the logarithm of a policy's residual, for each unit of work."""
        self._failures, self._resting = 0, 0

    @property
    def method(self) -> Method:
        """What follows the next policy; BiCGSTAB is tried as soon as the task is known to mix slowly, and rests for
        some policies where it failed."""
        wanted = self.slow and not self._resting and self.rates["bicgstab"] > self.rates["sweeps"]
        return "bicgstab" if wanted else "sweeps"

    @property
    def in_place(self) -> bool:
        """Whether the next sweeps see their own new values, and so do not carry a constant along."""
        return self.slow and self.compiled and self.method == "sweeps"

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

    def follow(self, policy: Int[Array, " S"], V: Float64[Array, " S"], sweeps: int, goal: float) -> Array:
        """Nearer the policy's value, up to a constant, by at most ``sweeps`` sweeps or by BiCGSTAB."""
        if self.compiled:
            rows, r, scale = kernels.policy_rows(self.rows, self.task.r, self.scale, policy)
            if self.method == "sweeps":
                return self._sweep(rows, r, scale, V, sweeps, goal)
            from scipy.sparse import csr_array  # every command loads this module, few need it

            data = rows.W * np.repeat(scale, np.diff(rows.indptr))
            P = csr_array((data, rows.indices, rows.indptr), shape=(len(V), len(V)))
            return self._bicgstab(lambda x: P @ x, r, V)
        places = np.arange(self.task.states) * self.task.actions + policy
        W, r, scale = self.W[places], self.task.r.ravel()[places], self.scale[places]
        if self.method == "sweeps":
            return self._sweep_plainly(W, r, scale, V, sweeps, goal)
        return self._bicgstab(lambda x: scale * (W @ x), r, V)

    def _sweep(self, rows: kernels.Rows, r: Array, scale: Array, V: Array, sweeps: int, goal: float) -> Array:
        other = np.empty_like(V)
        middle = spread = 0.0
        for done in range(1, sweeps + 1):
            if self.slow:
                spread = kernels.sweep(rows, r, scale, V, V, 1 if done % 2 else -1)
            else:
                spread = kernels.sweep(rows, r, scale, V, other)
                V, other = other, V
                if spread <= goal:
                    self.sweeps += done
                    return V
                # Simultaneous sweeps shrink the spread best where the task mixes fast. Otherwise sweep in place.
                self.slow = done == MIXING_SWEEPS
            if 2 * done == sweeps:
                middle = spread
        self.sweeps += sweeps
        # What shrinks in the first half is rough, and quick to go; the second half tells how it will go on.
        self._measured("sweeps", middle, spread, sweeps // 2)
        return V

    def _sweep_plainly(self, W: Any, r: Array, scale: Array, V: Array, sweeps: int, goal: float) -> Array:
        middle = spread = 0.0
        for done in range(1, sweeps + 1):
            before = V
            V = r + scale * (W @ V)
            spread = float(np.ptp(V - before))
            if 2 * done == sweeps:
                middle = spread
            if spread <= goal:
                self.sweeps += done
                return V
            self.slow = self.slow or done == MIXING_SWEEPS
        self.sweeps += sweeps
        # What shrinks in the first half is rough, and quick to go; the second half tells how it will go on.
        self._measured("sweeps", middle, spread, sweeps // 2)
        return V

    def _bicgstab(self, ahead: Callable[[Array], Array], r: Array, V: Array) -> Array:
        """V moved towards the solution of ``V = r + ahead(V)``; or as it was, where that does not get nearer."""
        from scipy.sparse.linalg import LinearOperator, bicgstab

        made = 0

        def count(_: Array) -> None:
            nonlocal made
            made += 1

        residual = r + ahead(V) - V
        before = float(np.abs(residual).max())
        if not 0 < before < np.inf:
            return V
        shape: Any = (len(V), len(V))
        system = LinearOperator(shape, matvec=lambda x: x - ahead(x), dtype=np.float64)  # pyright: ignore
        reduction = KRYLOV_REDUCTION * (1 - float(self.task.gamma))
        # BiCGSTAB gives up on tiny numbers: scale.
        step, _ = bicgstab(system, residual / before, rtol=reduction, atol=0, maxiter=KRYLOV_ITERATIONS, callback=count)
        moved = V + before * step
        after = float(np.abs(r + ahead(moved) - moved).max())
        self.krylov += made
        if not after < before:
            self._failures += 1
            self._resting = 2**self._failures
            return V
        self._measured("bicgstab", before, after, KRYLOV_WORK * max(made, 1))
        return moved

    def _measured(self, method: Method, before: float, after: float, work: int) -> None:
        if method == "sweeps":
            self._resting = max(0, self._resting - 1)
        if 0 < after < np.inf and before > 0:
            self.rates[method] = float(np.log(before / after)) / work
