"""The optimum once more, as a linear program over occupancy measures: an independent check.

Primal: maximise ``sum x r / (1-gamma)`` over ``x >= 0`` with the flow equations; the dual variables
of the flow equations are V*. Nothing here shares code with policy iteration.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from bomrl_theory.errors import MissingExtra
from bomrl_theory.numbers import Array
from bomrl_theory.tasks.mdp import MDP


@dataclass(frozen=True, eq=False)
class LinearProgramSolution:
    """Both sides of the linear program, in float64; the duality gap bounds what they can be off.

    Attributes:
        J: optimal return by the primal.
        J_dual: optimal return by the dual, ``rho . V``.
        V: dual variables [S], V* where every state is weighted.
        occupancy: normalised state-action occupancy [S, A].
        status: the solver's word ("optimal" or why not); trust ``residual`` instead.
        residual: largest violation of primal flow, dual feasibility and the duality gap.
    """

    J: float
    J_dual: float
    V: Float64[Array, " S"]
    occupancy: Float64[Array, "S A"]
    status: str
    residual: float


def solve_linear_program(task: MDP) -> LinearProgramSolution:
    """Solve the occupancy linear program with cvxpy (HiGHS).

    Raises:
        MissingExtra: cvxpy is not installed.
    """
    try:
        import cvxpy as cp
    except ImportError:
        raise MissingExtra("cvxpy", "lp") from None
    gamma = float(task.gamma)
    P = task.P / task.P.sum(axis=-1, keepdims=True)
    rho = task.rho / task.rho.sum()
    states, actions = task.states, task.actions
    inflow = P.reshape(states * actions, states)
    outflow = np.repeat(np.eye(states), actions, axis=0)
    balance = (outflow - gamma * inflow).T
    x = cp.Variable(states * actions, nonneg=True)
    flow = balance @ x == rho
    problem = cp.Problem(cp.Maximize(task.r.ravel() @ x), [flow])
    problem.solve(
        solver=cp.HIGHS,
        highs_options={"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10},
    )
    if x.value is None or flow.dual_value is None:
        return LinearProgramSolution(
            np.nan,
            np.nan,
            np.full(states, np.nan),
            np.full((states, actions), np.nan),
            str(problem.status),
            np.inf,
        )
    V = np.asarray(flow.dual_value, dtype=np.float64)
    J, J_dual = float(task.r.ravel() @ x.value), float(rho @ V)
    residual = max(
        float(np.abs(balance @ x.value - rho).max()),
        float(max(0.0, -x.value.min())),
        float(max(0.0, (task.r + gamma * P @ V - V[:, None]).max())),
        abs(J - J_dual),
    )
    occupancy = (1 - gamma) * x.value.reshape(states, actions)
    return LinearProgramSolution(J, J_dual, V, occupancy, str(problem.status), residual)
