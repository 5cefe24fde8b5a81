"""Alg^(1) and Alg^(2), free or constrained: ``<pi, R> - lambda d(phi, pi)`` state by state.

R is Q^phi, and ``Q^phi - kappa Qc^phi`` under a cost budget; in a trust region the multiplier is lambda. With the
policy's slope ``G = R/lambda - dd/dpi``, the metric ``m = pi^2 d2d/dpi2`` and ``c = v - <pi, v>``,

    dl/dy = pi (G - <pi, G>),    H v = m c - pi <m, c> - (dl/dy) c + pi <dl/dy, c>,

and the last two terms vanish at the maximiser, where ``m c - pi <m, c> = u`` has the solution
``c = u/m - L <L, u> / <L, pi>``, ``L = pi/m``.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
from jaxtyping import Float64

from bomrl_theory.adapt.constrained import ConstrainedStep
from bomrl_theory.adapt.constrained_derivative import Adjoint, smoothness_of, to_logits
from bomrl_theory.adapt.divergence import divergence_of
from bomrl_theory.exact.derivatives import action_value_pullback, log_policy_pullback, policy_gradient
from bomrl_theory.meta.lower_level.base import LowerLevel, Solution, centred, inverted, without_total
from bomrl_theory.meta.objective import Adapted
from bomrl_theory.numbers import Array
from bomrl_theory.tasks.policy import SMALLEST


class Regularised(LowerLevel):
    """The free problem."""

    gauge = True

    def __init__(self, adapted: Adapted):
        super().__init__(adapted)
        phi = adapted.phi
        self.divergence = divergence_of(adapted.algorithm)
        self.pi: Float64[Array, "T S A"] = adapted.plus.pi
        self.x: Float64[Array, "T S A"] = np.log(self.pi / phi.pi)
        self.R: Float64[Array, "T S A"] = phi.Q
        self.lam: Float64[Array, "T 1 1"] = np.full((len(phi.Q), 1, 1), adapted.lam)

    @cached_property
    def metric(self) -> Float64[Array, "T S A"]:
        # At SMALLEST and below a policy holds no solution any more, but a limit of doubles.
        return np.where(self.pi > 2 * SMALLEST, self.divergence.metric(self.adapted.phi.pi, self.x), 0)

    @cached_property
    def return_gradient(self) -> Float64[Array, "T S A"]:
        # Actions without a metric are played with the smallest doubles, but are not part of the problem.
        kept = np.where(self.metric > 0, policy_gradient(self.adapted.plus), 0)
        return kept - self.pi * kept.sum(axis=-1, keepdims=True)

    @cached_property
    def looseness(self) -> Float64[Array, "T S A"]:
        return self.divergence.looseness(self.x)

    @cached_property
    def slope(self) -> Float64[Array, "T S A"]:
        """dl/dy, over lambda; where lambda is 0 the policy is a limit, and stationary."""
        R = self.R - self.R.max(axis=-1, keepdims=True)
        slope = self.pi * R / np.where(self.lam > 0, self.lam, 1) - np.where(
            self.pi > 0, self.divergence.weighted_slope(self.adapted.phi.pi, self.x), 0
        )
        return np.where(self.lam > 0, without_total(self.pi, slope), 0)

    @cached_property
    def violation(self) -> Float64[Array, "T S A"]:
        span = np.ptp(self.R, axis=-1, keepdims=True)
        return self.slope * self.lam / np.where(self.lam > 0, self.lam + span, 1)

    @cached_property
    def definite(self) -> bool:
        return True  # the divergences are strictly convex

    @cached_property
    def ascent(self) -> Float64[Array, "T S 1"]:
        """In the metric H has the eigenvalues 1 and ``<pi, L>``, at least 1."""
        return 2 / (1 + np.maximum(1, (self.pi * self.looseness).sum(axis=-1, keepdims=True)))

    def product(self, v: Float64[Array, "T S A"]) -> Float64[Array, "T S A"]:
        c = centred(self.pi, v)
        crossed = self.slope * c
        return without_total(self.pi, self.metric * c) - crossed + self.pi * crossed.sum(axis=-1, keepdims=True)

    def inverse(self, right: Float64[Array, "T S A"]) -> Float64[Array, "T S A"]:
        L = self.looseness
        total = (L * self.pi).sum(axis=-1, keepdims=True)
        return inverted(self.metric) * right - L * (L * right).sum(axis=-1, keepdims=True) / total

    def cotangents(self, solution: Solution) -> tuple[Float64[Array, "T S A"], Float64[Array, "T S A"]]:
        """Of R, and of ``log phi`` in the first condition."""
        c = centred(self.pi, solution.z)
        return np.where(self.lam > 0, self.pi * c / np.where(self.lam > 0, self.lam, 1), 0), self.metric * c

    def to_logits(
        self, solution: Solution, *, indirect: bool = True, terms: int | None = None
    ) -> Float64[Array, "T S A"]:
        by_reward, by_log_phi = self.cotangents(solution)
        logits = log_policy_pullback(self.adapted.phi, by_log_phi)
        if not indirect:
            return logits
        return logits + action_value_pullback(self.adapted.phi, by_reward, terms=terms)


class Constrained(Regularised):
    """The same under a cost budget or in a trust region: one more unknown a task, the multiplier."""

    def __init__(self, adapted: Adapted, step: ConstrainedStep):
        self.adapted = adapted
        self.step = step
        program, kappa = step.program, step.multiplier
        self.divergence = program.divergence
        self.x = step.log_policy - np.log(adapted.phi.pi)
        pi = program.policy(self.x)  # not kept above the smallest doubles, as the policy that is played is
        self.pi = pi / pi.sum(axis=-1, keepdims=True)  # exactly 1 where one action is left
        self.R, self.lam = program.reward(kappa), program.lam(kappa)
        active = np.array([activity == "active" for activity in step.activity])
        active &= program.curvature(kappa, self.x) > 0
        C = program.direction(kappa)
        self.constraint = np.where(active[:, None, None], self.pi * centred(self.pi, C), 0)
        self.smooth = all(smoothness == "differentiable" for smoothness in smoothness_of(step))

    def to_logits(
        self, solution: Solution, *, indirect: bool = True, terms: int | None = None
    ) -> Float64[Array, "T S A"]:
        adjoint = Adjoint(*self.cotangents(solution), solution.price)
        return to_logits(self.step, adjoint, indirect=indirect, terms=terms)
