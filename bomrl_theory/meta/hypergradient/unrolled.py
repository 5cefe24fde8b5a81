"""Truncated back-propagation: through the last K iterations of the inner solver and of policy evaluation.

Around the adapted policy, gradient ascent ``y + s D^-1 (dl/dy)``, in the metric D, repeats itself. Going
back through its last K iterations adds up

    z = sum_{k<K} (I - s D^-1 H)^k s D^-1 g,

which tends to ``H^-1 g`` like the K-th power of the iteration's contraction. Phi's evaluation counts as K sweeps of
``V <- r + gamma P V`` (and of their like for visitation and cost), so that no linear system is solved at all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float64

from bomrl_theory.errors import InvalidTask
from bomrl_theory.meta.hypergradient.method import Answer, Method, average, with_constraint
from bomrl_theory.meta.lower_level import LowerLevel
from bomrl_theory.meta.lower_level.base import inverted
from bomrl_theory.numbers import Array


@dataclass(frozen=True)
class Unrolled(Method):
    """Converges to the exact gradient as K grows; the status is "truncated" while more than the tolerance is missing.

    Attributes:
        terms: K. Fewer are used once another one would change nothing.
        sweeps: of policy evaluation, if not K.
        tolerance: what may be missing, relative.

    Raises:
        InvalidTask: terms or sweeps below 1.
    """

    terms: int = 1000
    sweeps: int | None = None
    tolerance: float = 1e-12

    name: ClassVar[str] = "unrolled"
    summary: ClassVar[str] = "truncated back-propagation through the last iterations of the inner solver"

    def __post_init__(self) -> None:
        for name, value in (("terms", self.terms), ("sweeps", self.terms if self.sweeps is None else self.sweeps)):
            if value < 1:
                raise InvalidTask(f"{name} = {value} of the unrolled iterations must be at least 1")

    def gradient(self, level: LowerLevel) -> Answer:
        g = level.return_gradient
        sweeps = self.terms if self.sweeps is None else self.sweeps
        used: list[int] = []

        def solve(right: Float64[Array, "T S A"]) -> Float64[Array, "T S A"]:
            z, count = self._back(level, right)
            used.append(count)
            return z

        solution = with_constraint(level, g, solve)
        gradient = average(level, level.to_logits(solution, terms=sweeps))
        residual = max(level.residual(solution, g), float(level.adapted.phi.model.gamma) ** sweeps)
        if not level.definite:
            return Answer(gradient, "indefinite", residual, max(used))
        return Answer(gradient, "solved" if residual <= self.tolerance else "truncated", residual, max(used))

    def _back(self, level: LowerLevel, right: Float64[Array, "T S A"]) -> tuple[Float64[Array, "T S A"], int]:
        """The sum of at most K terms, and how many were used."""
        step = level.ascent * inverted(level.metric)
        term = level.gauged(step * right)
        z = term
        for count in range(1, self.terms):
            # Rounding along the gauge would never die out.
            term = level.gauged(term - step * level.product(term))
            following = z + term
            if np.all(np.abs(term) <= 1e-17 * np.abs(z).max(axis=(-2, -1), keepdims=True)):
                return following, count
            z = following
        return z, self.terms
