"""How far a policy and a multiplier are from solving the constrained lower level: measured, whatever a solver says."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from bomrl_theory.adapt.convex_program import ConvexProgram
from bomrl_theory.numbers import Array


@dataclass(frozen=True, eq=False)
class KKT:
    """Residuals of the Karush-Kuhn-Tucker conditions, task by task, each relative to its own scale.

    The multiplier is nonnegative by construction. All residuals are nonnegative up to rounding.

    Attributes:
        stationarity: largest ``pi |g - <pi, g>|`` over states and actions, ``g = R - lambda dd/dpi``, over ``lambda +
            span R`` (states that are never visited included: they are solved like the others).
        violation: of the constraint, over the range of its left side.
        complementarity: multiplier times slack, over the objective's scale ``lambda + E_nu span Q``.
        gap: dual minus primal value, over the same scale. Up to :attr:`violation` it bounds how much the policy loses
            against the best feasible one, whoever computed it.
    """

    stationarity: Float64[Array, " T"]
    violation: Float64[Array, " T"]
    complementarity: Float64[Array, " T"]
    gap: Float64[Array, " T"]

    @property
    def largest(self) -> float:
        """The largest of all."""
        return float(np.max([self.stationarity, self.violation, self.complementarity, np.abs(self.gap)]))


def residuals(program: ConvexProgram, kappa: Float64[Array, " T"], x: Float64[Array, "T S A"]) -> KKT:
    """Measure the policy ``phi e^x`` with the multiplier ``kappa``; use it inside ``FLOATS.activated()``."""
    phi, divergence, lam = program.phi, program.divergence, program.lam(kappa)
    pi = program.policy(x)
    R = program.reward(kappa)
    R = R - R.max(axis=-1, keepdims=True)
    # Where lambda is 0 (a trust region that does not bind) x may be infinite, and the divergence plays no part.
    regularised = lam > 0
    slope = np.where(regularised & (pi > 0), lam * divergence.weighted_slope(phi.pi, x), 0)
    pull = pi * R - slope
    off = np.abs(pull - pi * pull.sum(axis=-1, keepdims=True)).max(axis=-1)
    scale = lam[..., 0] + np.ptp(R, axis=-1)
    stationarity = (off / np.where(scale > 0, scale, 1)).max(axis=-1)

    slack = program.room - program.excess(x)
    reach = np.where(program.range > program.rounding, program.range, np.abs(program.limit) + program.rounding)
    violation = np.maximum(-slack, 0) / np.where(reach > 0, reach, 1)

    objective_scale = lam[:, 0, 0] + program.average(np.ptp(phi.Q, axis=-1))
    objective_scale = np.where(objective_scale > 0, objective_scale, 1)
    complementarity = kappa * np.abs(slack) / objective_scale
    penalty = np.where(regularised[..., 0], lam[..., 0] * divergence.value(phi.pi, x), 0)
    reached = (pi * R).sum(axis=-1) - penalty
    best = np.where(regularised[..., 0], divergence.maximum(phi.pi, R, np.where(regularised, lam, 1), x), 0)
    gap = (kappa * slack + program.average(best - reached)) / objective_scale
    return KKT(stationarity, violation, complementarity, gap)
