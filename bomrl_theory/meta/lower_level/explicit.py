"""Lower levels that are no optimisation: no adaptation, and MAML's step.

As an inner problem, ``y = theta + alpha grad J(theta)`` maximises ``<alpha grad J(theta), y> - |y - theta|^2 / 2``.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
from jaxtyping import Float64

from bomrl_theory.exact.derivatives import hessian_product
from bomrl_theory.meta.lower_level.base import LowerLevel, Solution
from bomrl_theory.numbers import Array


class Unadapted(LowerLevel):
    """``y = theta``: H is the identity."""

    @cached_property
    def change(self) -> Float64[Array, "T S A"]:
        """What the step adds to the logits."""
        return np.zeros_like(self.adapted.phi.pi)

    @cached_property
    def violation(self) -> Float64[Array, "T S A"]:
        off = np.log(self.adapted.plus.pi / self.adapted.phi.pi) - self.change
        return self.adapted.plus.pi * (off - self.adapted.plus.average(off)[..., None])

    @cached_property
    def metric(self) -> Float64[Array, "T S A"]:
        return np.ones_like(self.adapted.phi.pi)

    @cached_property
    def definite(self) -> bool:
        return True

    @cached_property
    def ascent(self) -> Float64[Array, "T S 1"]:
        return np.ones_like(self.adapted.phi.pi[..., :1])

    def product(self, v: Float64[Array, "T S A"]) -> Float64[Array, "T S A"]:
        return v

    def inverse(self, right: Float64[Array, "T S A"]) -> Float64[Array, "T S A"]:
        return right

    def to_logits(
        self, solution: Solution, *, indirect: bool = True, terms: int | None = None
    ) -> Float64[Array, "T S A"]:
        return solution.z


class PolicyGradientStep(Unadapted):
    """``y = theta + alpha grad J(theta)`` with ``alpha = (1-gamma) / (2 lambda)``."""

    @cached_property
    def change(self) -> Float64[Array, "T S A"]:
        phi = self.adapted.phi
        return phi.nu[..., None] * phi.pi * phi.advantage / (2 * self.adapted.lam)

    def to_logits(
        self, solution: Solution, *, indirect: bool = True, terms: int | None = None
    ) -> Float64[Array, "T S A"]:
        if not indirect:
            return solution.z
        alpha = (1 - self.adapted.phi.model.gamma) / (2 * self.adapted.lam)
        return solution.z + alpha * hessian_product(self.adapted.phi, solution.z, terms=terms)
