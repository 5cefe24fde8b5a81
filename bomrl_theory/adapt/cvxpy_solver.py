"""The constrained lower level once more, by a general conic solver: an independent check of the scalar root."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from jaxtyping import Float64

from bomrl_theory.adapt.convex_program import BudgetProgram, ConvexProgram
from bomrl_theory.errors import MissingExtra
from bomrl_theory.numbers import Array

TOLERANCES = {"tol_gap_abs": 1e-11, "tol_gap_rel": 1e-11, "tol_feas": 1e-11}


def solve_by_cvxpy(program: ConvexProgram) -> tuple[Float64[Array, " T"], Float64[Array, "T S A"], int]:
    """Multipliers, ``log(pi/phi)`` and the largest number of iterations; Clarabel, one program a task.

    States that are never visited are not in the program; they are solved in closed form with the multiplier found. A
    task that the solver gives up on keeps phi and multiplier 0, and its KKT residuals say so.

    Raises:
        MissingExtra: cvxpy is not installed.
    """
    try:
        import cvxpy as cp
    except ImportError:
        raise MissingExtra("cvxpy", "lp") from None
    phi = program.phi
    kappa = np.zeros(len(program.limit))
    x = np.zeros_like(phi.pi)
    iterations = 0
    for task in range(len(kappa)):
        states = np.flatnonzero(phi.visited[task])
        p, Q = phi.pi[task, states], phi.Q[task, states]
        Q = Q - Q.max(axis=-1, keepdims=True)  # a constant for each state changes nothing but rounding
        weight = np.repeat(phi.nu[task, states][:, None], p.shape[1], axis=1)
        pi = cp.Variable(p.shape)
        prior = program.divergence.algorithm.name == "kl-prior"
        divergence: Any = cp.rel_entr(p, pi) if prior else cp.rel_entr(pi, p)
        divergence = cp.sum(cp.multiply(weight, divergence))
        gain: Any = cp.sum(cp.multiply(weight * Q, pi))
        if isinstance(program, BudgetProgram):
            Qc = program.Qc[task, states]
            floor = Qc.min(axis=-1, keepdims=True)
            gain = gain - program.regularisation * divergence
            bound = cp.sum(cp.multiply(weight * (Qc - floor), pi)) <= program.room[task]
        else:
            bound = divergence <= program.limit[task]
        rules: list[Any] = [bound, cp.sum(pi, axis=1) == 1, pi >= 0]
        problem = cp.Problem(cp.Maximize(gain), rules)
        with warnings.catch_warnings():
            # "may be inaccurate": the KKT residuals are measured afterwards, whatever the solver thinks.
            warnings.simplefilter("ignore")
            try:
                problem.solve(solver=cp.CLARABEL, **TOLERANCES)
            except cp.SolverError:
                continue
        if pi.value is None or bound.dual_value is None:
            continue
        found = np.maximum(np.asarray(pi.value, dtype=np.float64), np.finfo(np.float64).tiny)
        kappa[task] = max(0.0, float(np.ravel(bound.dual_value)[0]))
        x[task, states] = np.log(found / found.sum(axis=-1, keepdims=True) / p)
        iterations = max(iterations, int(problem.solver_stats.num_iters or 0))
    zero = program.at_zero()[0]
    elsewhere = np.where((kappa > 0)[:, None, None], program.log_ratio(np.where(kappa > 0, kappa, 1.0)), zero)
    return kappa, np.where(phi.visited[..., None], x, elsewhere), iterations
