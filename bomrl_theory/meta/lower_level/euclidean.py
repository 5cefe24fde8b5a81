"""Alg^(3): ``nu <softmax(y), Q> - lambda |y - theta|^2``, divided by 2 lambda; the penalty fixes the gauge."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from jaxtyping import Float64

from bomrl_theory.exact.derivatives import action_value_pullback, visitation_pullback
from bomrl_theory.meta.lower_level.base import LowerLevel, Solution, centred
from bomrl_theory.numbers import Array


class Euclidean(LowerLevel):
    """``H v = v - nu (c gain - pi <c, gain>) / (2 lambda)`` with ``c = v - <pi, v>, gain = pi (Q - <pi, Q>)``."""

    @cached_property
    def gain(self) -> Float64[Array, "T S A"]:
        """The derivative of ``<softmax(y), Q>``."""
        pi = self.adapted.plus.pi
        return pi * centred(pi, self.adapted.phi.Q)

    @cached_property
    def share(self) -> Float64[Array, "T S 1"]:
        """``nu / (2 lambda)``."""
        return self.adapted.phi.nu[..., None] / (2 * self.adapted.lam)

    @cached_property
    def violation(self) -> Float64[Array, "T S A"]:
        change = np.log(self.adapted.plus.pi / self.adapted.phi.pi)
        change = change - change.mean(axis=-1, keepdims=True)
        return (self.share * self.gain - change) / (1 + np.abs(change).max(axis=-1, keepdims=True))

    @cached_property
    def metric(self) -> Float64[Array, "T S A"]:
        return np.ones_like(self.gain)

    @cached_property
    def blocks(self) -> Float64[Array, "T S A A"]:
        """H, which couples only the actions of a state."""
        gain, pi = self.gain, self.adapted.plus.pi
        curvature = gain[..., None] * np.eye(gain.shape[-1])
        curvature = curvature - gain[..., :, None] * pi[..., None, :] - pi[..., :, None] * gain[..., None, :]
        return np.eye(gain.shape[-1]) - self.share[..., None] * curvature

    @cached_property
    def eigenvalues(self) -> Float64[Array, "T S A"]:
        """Of the blocks, ascending."""
        return np.linalg.eigvalsh(self.blocks)

    @cached_property
    def definite(self) -> bool:
        return bool(np.all(self.eigenvalues[..., 0] > 0))

    @cached_property
    def ascent(self) -> Float64[Array, "T S 1"]:
        return 2 / (np.maximum(self.eigenvalues[..., :1], 0) + self.eigenvalues[..., -1:])

    def product(self, v: Float64[Array, "T S A"]) -> Float64[Array, "T S A"]:
        pi = self.adapted.plus.pi
        crossed = self.gain * centred(pi, v)
        return v - self.share * (crossed - pi * crossed.sum(axis=-1, keepdims=True))

    def inverse(self, right: Float64[Array, "T S A"]) -> Float64[Array, "T S A"]:
        return np.linalg.solve(self.blocks, right[..., None])[..., 0]

    def to_logits(
        self, solution: Solution, *, indirect: bool = True, terms: int | None = None
    ) -> Float64[Array, "T S A"]:
        if not indirect:
            return solution.z
        phi, z = self.adapted.phi, solution.z
        by_Q = self.share * self.adapted.plus.pi * centred(self.adapted.plus.pi, z)
        by_nu = (self.gain * z).sum(axis=-1) / (2 * self.adapted.lam)
        return z + action_value_pullback(phi, by_Q, terms=terms) + visitation_pullback(phi, by_nu, terms=terms)
