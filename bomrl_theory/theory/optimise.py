"""Smallest admissible constants by linear programming: cvxpy proposes, exact arithmetic re-certifies elsewhere.

For a bound ``sum_k X_k`` and cases n with left sides ``g_n``: minimise the mean of ``sum_k c_k x_nk`` over
``c >= 0`` subject to ``sum_k c_k x_nk >= g_n``, where ``x_nk = X_nk / B_n`` and ``g_n`` are relative to the derived
bound ``B_n``. So the derived constants, all 1, have the value 1, and no case counts more because its
returns are larger. The dual values name the cases that bind.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from bomrl_theory.errors import MissingExtra
from bomrl_theory.numbers import Array


@dataclass(frozen=True, eq=False)
class Proposal:
    """What the linear program found, in float64: nothing certified.

    Attributes:
        constants: one for each term [K].
        duals: price of each case [N], zero where it does not bind.
        mean: the mean of proposed over derived bound.
        status: the solver's word.
    """

    constants: Float64[Array, " K"]
    duals: Float64[Array, " N"]
    mean: float
    status: str


def propose(terms: Float64[Array, "N K"], left: Float64[Array, " N"]) -> Proposal:
    """Solve the linear program.

    Args:
        terms: relative to the derived bound.
        left: likewise.

    Raises:
        MissingExtra: cvxpy is not installed.
    """
    try:
        import cvxpy
    except ImportError:
        raise MissingExtra("cvxpy", "lp") from None
    constants = cvxpy.Variable(terms.shape[1], nonneg=True)
    binding = terms @ constants >= left
    program = cvxpy.Problem(cvxpy.Minimize(terms.mean(axis=0) @ constants), [binding])
    program.solve(solver=cvxpy.SCIPY, scipy_options={"method": "highs"})  # a vertex, where the optimum is not unique
    if constants.value is None or binding.dual_value is None:
        nothing = np.full(terms.shape[1], np.nan)
        return Proposal(nothing, np.zeros(len(terms)), float("nan"), str(program.status))
    found = np.maximum(np.asarray(constants.value, dtype=np.float64), 0.0)
    duals = np.abs(np.asarray(binding.dual_value, dtype=np.float64))
    return Proposal(found, duals, float((terms @ found).mean()), str(program.status))
