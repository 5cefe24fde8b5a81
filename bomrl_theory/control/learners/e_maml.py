"""E-MAML (Stadie et al. 2018) for control: MAML that also credits the data which led to good adapted policies.

The gradient of ``E_{tau ~ pi_phi} R(tau+)`` holds ``R(tau+) grad log pi_phi(tau)``, which MAML's implementation leaves
out. As in the code of Rothfuss et al. 2019 (reconstructed from memory) R is a task's mean return after adaptation,
standardised over tasks, and the logarithm is the mean over its steps.
"""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from bomrl_theory.control.gradient_learner import Experience, TrustRegionLearner
from bomrl_theory.control.problem import Problem

SMALLEST = 1e-8
"""Added to the standard deviation of returns."""


@dataclass(frozen=True, kw_only=True)
class EMaml(TrustRegionLearner):
    """MAML with the exploration term."""

    def bonus(self, problem: Problem, experience: Experience, theta: Float[Tensor, "T P"]) -> Tensor | None:
        returns = experience.after.returns.mean(1)
        credit = (returns - returns.mean()) / (returns.std(correction=0) + SMALLEST)
        inner = experience.inner
        return credit * inner.mean(problem.policy.distribution(theta, inner.observations).log_prob(inner.actions))


LEARNER = EMaml(
    name="e-maml",
    label="E-MAML",
    summary="MAML that also credits the data which led to good adapted policies",
)
