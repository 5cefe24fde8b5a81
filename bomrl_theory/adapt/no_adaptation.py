"""No adaptation: every task is played with the meta-policy itself."""

from __future__ import annotations

from bomrl_theory.adapt.step import Algorithm, Step
from bomrl_theory.exact.evaluate import Evaluation


def solve(phi: Evaluation, lam: float) -> Step:
    """phi, unchanged."""
    return Step(phi.weights, "solved", 0.0, 0)


ALGORITHM = Algorithm(name="none", label="no adaptation", summary="the meta-policy as it is", solve=solve)
