"""Conservative policy iteration: the mixture ``(1-alpha) phi + alpha pi+``."""

from __future__ import annotations

from typing import Any

from jaxtyping import Shaped

from bomrl_theory.exact.evaluate import Evaluation
from bomrl_theory.numbers import Numeric
from bomrl_theory.theory.constants import g, per_task, values
from bomrl_theory.theory.measured import Measured


def policy_advantage(m: Measured) -> Shaped[Numeric, " T"]:
    """``E_{nu^phi} <pi+, A^phi>``."""
    return m.numbers.dot(m.phi.nu, values([g], m)["g"])


def mixture(m: Measured, alpha: Any) -> Evaluation:
    """``(1-alpha) phi + alpha pi+`` for alpha in [0, 1], a scalar or [T, 1, 1]; exact, and of full support like phi."""
    return Evaluation(m.model, (1 - alpha) * m.phi.pi + alpha * m.plus.pi, m.phi.weights)


advantage_plus = per_task(
    "advantage_plus", "E_{nu^phi} <pi+, A^phi>: policy advantage of pi+ over phi", "return", policy_advantage
)
