"""What a hypergradient method asks of an inner problem.

The unknowns of every inner problem are the logits y of the adapted policy, task by task. It maximises ``l(y, theta)``,
under at most one constraint ``h(y, theta) <= limit``. With the multiplier kappa its first-order (KKT) conditions are

    dl/dy - kappa dh/dy = 0,    h = limit where the constraint is active.

For a cotangent g of y, the gradient of the return at the adapted policy, the adjoint system is

    H z = g + price c,    <c, z> = 0,

``H`` the Hessian of minus the Lagrangian and ``c = dh/dy``. Then ``(dy/dtheta)^T g`` is z, and the price, times the
conditions' derivatives in theta. Conditions are divided by lambda and, for Alg^(1) and Alg^(2), by the visitation
of the state, so that H is of order one and never sees a tiny visitation.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float64

from bomrl_theory.exact.derivatives import policy_gradient
from bomrl_theory.meta.objective import Adapted
from bomrl_theory.numbers import Array


@dataclass(frozen=True, eq=False)
class Solution:
    """A solution of the adjoint system.

    Attributes:
        z: [T, S, A].
        price: of the constraint [T]; zero where none is active.
    """

    z: Float64[Array, "T S A"]
    price: Float64[Array, " T"]


class LowerLevel:
    """The inner problem of every task at the adapted policy; use it inside ``FLOATS.activated()``."""

    def __init__(self, adapted: Adapted):
        self.adapted = adapted

    gauge = False
    """Whether shifting all logits of a state changes nothing, so that H is singular."""

    smooth = True
    """Whether the adapted policy is differentiable in theta here."""

    constraint: Float64[Array, "T S A"] | None = None
    """c, zero on tasks whose constraint is not active; None if there is no constraint."""

    @cached_property
    def violation(self) -> Float64[Array, "T S A"]:
        """How far the first condition is from zero, on a scale where its terms are at most of order one."""
        raise NotImplementedError

    @cached_property
    def metric(self) -> Float64[Array, "T S A"]:
        """A diagonal like H's; zero where the policy underflowed and nothing is left to find."""
        raise NotImplementedError

    @cached_property
    def definite(self) -> bool:
        """Whether H is positive (but for the gauge), as at a maximum."""
        raise NotImplementedError

    @cached_property
    def ascent(self) -> Float64[Array, "T S 1"]:
        """The step length with which gradient ascent in the metric contracts fastest."""
        raise NotImplementedError

    def product(self, v: Float64[Array, "T S A"]) -> Float64[Array, "T S A"]:
        """``H v``, matrix-free, also where the first-order condition does not hold."""
        raise NotImplementedError

    def inverse(self, right: Float64[Array, "T S A"]) -> Float64[Array, "T S A"]:
        """z with ``H z = right`` in closed form, or by one small system a state."""
        raise NotImplementedError

    def to_logits(
        self, solution: Solution, *, indirect: bool = True, terms: int | None = None
    ) -> Float64[Array, "T S A"]:
        """The gradient in the meta-policy's logits, task by task, that a solution stands for.

        Args:
            indirect: also through Q^phi, nu^phi and what else phi's evaluation gives.
            terms: of the series for the linear systems of policy evaluation; None solves them.
        """
        raise NotImplementedError

    @cached_property
    def return_gradient(self) -> Float64[Array, "T S A"]:
        """g, the gradient of every task's return in the adapted policy's logits."""
        return policy_gradient(self.adapted.plus)

    @property
    def stationarity(self) -> float:
        """The largest violation."""
        return float(np.abs(self.violation).max())

    @property
    def weighted_constraint(self) -> Float64[Array, "T S A"]:
        """The right side's c: with the visitation that the first conditions were divided by."""
        assert self.constraint is not None
        return self.adapted.phi.nu[..., None] * self.constraint

    def gauged(self, z: Float64[Array, "T S A"]) -> Float64[Array, "T S A"]:
        """z without the shifts of a state's logits that H does not see: of mean zero in the metric."""
        if not self.gauge:
            return z
        total = self.metric.sum(axis=-1, keepdims=True)
        return z - (self.metric * z).sum(axis=-1, keepdims=True) / total

    def norm(self, x: Float64[Array, "T S A"]) -> Float64[Array, " T"]:
        """The length of a right side, in the metric's inverse, task by task; safe where squares would underflow."""
        scaled = np.abs(inverted(np.sqrt(self.metric)) * x)
        largest = scaled.max(axis=(-2, -1))
        relative = scaled / np.where(largest > 0, largest, 1)[:, None, None]
        return largest * np.sqrt((relative**2).sum(axis=(-2, -1)))

    def residual(self, solution: Solution, g: Float64[Array, "T S A"]) -> float:
        """The adjoint system's largest residual over the tasks, relative to its right side, whoever solved it."""
        left, size = g - self.product(solution.z), self.norm(g)
        off = np.zeros(len(g))
        if self.constraint is not None:
            left = left + solution.price[:, None, None] * self.weighted_constraint
            off = np.abs((self.constraint * solution.z).sum(axis=(-2, -1))) * inverted(self.norm(self.constraint))
        return float((np.maximum(off, self.norm(left)) / np.where(size > 0, size, 1)).max())


def inverted(x: Float64[Array, "..."]) -> Float64[Array, "..."]:
    """``1/x``, and zero at zero."""
    return np.where(x > 0, 1 / np.where(x > 0, x, 1), 0)


def centred(pi: Float64[Array, "... A"], v: Float64[Array, "... A"]) -> Float64[Array, "... A"]:
    """``v - <pi, v>`` as ``sum_b pi(b) (v(a) - v(b))``: exact to the last digits where pi is all but deterministic."""
    return (pi[..., None, :] * (v[..., :, None] - v[..., None, :])).sum(axis=-1)


def without_total(pi: Float64[Array, "... A"], w: Float64[Array, "... A"]) -> Float64[Array, "... A"]:
    """``w - pi sum w``, the transpose of :func:`centred`, as ``sum_b pi(b) w(a) - pi(a) w(b)``."""
    return (pi[..., None, :] * w[..., :, None] - pi[..., :, None] * w[..., None, :]).sum(axis=-1)
