"""The released code's variant: what phi's evaluation says is taken for constant."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from bomrl_theory.meta.hypergradient.method import Answer, Method, average, with_constraint
from bomrl_theory.meta.lower_level import LowerLevel


@dataclass(frozen=True)
class FirstOrder(Method):
    """Biased: it leaves out how Q^phi, nu^phi and Qc^phi (for MAML: the gradient of J) move with the meta-policy."""

    name: ClassVar[str] = "first-order"
    summary: ClassVar[str] = "biased: as if action values and visitation did not depend on the meta-policy"

    def gradient(self, level: LowerLevel) -> Answer:
        g = level.return_gradient
        solution = with_constraint(level, g, level.inverse)
        return Answer(average(level, level.to_logits(solution, indirect=False)))
