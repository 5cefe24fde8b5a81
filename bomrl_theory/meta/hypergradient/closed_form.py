"""Implicit differentiation with the linear system eliminated by hand, state by state."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from bomrl_theory.meta.hypergradient.method import Answer, Method, average, with_constraint
from bomrl_theory.meta.lower_level import LowerLevel


@dataclass(frozen=True)
class ClosedForm(Method):
    """In closed form where there is one; Alg^(3) leaves one system of A unknowns a state."""

    name: ClassVar[str] = "exact"
    summary: ClassVar[str] = "closed form: the first-order conditions eliminated by hand"

    def gradient(self, level: LowerLevel) -> Answer:
        g = level.return_gradient
        solution = with_constraint(level, g, level.inverse)
        gradient = average(level, level.to_logits(solution))
        return Answer(gradient, "solved" if level.definite else "indefinite", level.residual(solution, g))
