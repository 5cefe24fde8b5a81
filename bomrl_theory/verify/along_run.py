"""The stationarity theorem's verdict along a training run: its own claim, for the run's own logits and length."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
from jaxtyping import Float64

from bomrl_theory.exact.solved import Solved
from bomrl_theory.meta.derivatives import soft_hypergradient
from bomrl_theory.numbers import Array, Numeric
from bomrl_theory.tasks.policy import from_log_weights
from bomrl_theory.theorems import meta_stationarity
from bomrl_theory.theory.case import Case
from bomrl_theory.theory.constants import scalar
from bomrl_theory.theory.measured import Measured
from bomrl_theory.theory.theorem import Theorem
from bomrl_theory.verify.verdict import Verdict, judge


def along(iterates: Float64[Array, "n S A"]) -> Theorem:
    """``meta_stationarity`` with the gradients at these logits in place of those of three exact steps."""

    def squares(m: Measured) -> Numeric:
        total = m.numbers.full((), m.model.zero)
        for theta in iterates:
            at = m.case.solved.evaluate(from_log_weights(theta), m.numbers)
            gradient = (m.model.w[:, None, None] * soft_hypergradient(at, m.lam)[1]).sum(axis=0)
            total = total + (gradient * gradient).reshape(-1).sum(axis=-1)
        return total

    meaning = f"sum of |grad F(theta_t)|^2 over the {len(iterates)} steps of a run with step 1/L_F"
    usual = meta_stationarity.squared
    measured = scalar(usual.name, meaning, usual.unit, squares, nonnegative=True)
    theorem = meta_stationarity.THEOREM
    return replace(theorem, constants=tuple(measured if c is usual else c for c in theorem.constants))


def stationarity(solved: Solved, iterates: Float64[Array, "n S A"], lam: Fraction) -> Verdict:
    """Whether ``sum |grad F(theta_t)|^2 <= 2 L_F E[J* - J(Alg(phi_0))]`` on a run's T logits, and so
    ``min |grad F(theta_t)|^2 <= 2 L_F (sup F - F_0)/T``.

    The logits are taken as the run's doubles, so its rounding is part of what is judged.

    Args:
        iterates: logits of every step taken, at least one.
        lam: lambda of Alg^(2), exact.
    """
    case = Case.new(solved, from_log_weights(np.asarray(iterates[0])), "kl-posterior", lam)
    (verdict,) = judge(along(iterates), case)
    return verdict
