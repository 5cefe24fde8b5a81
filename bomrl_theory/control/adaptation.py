"""How a task adapts: one policy-gradient step, or one of BO-MRL's lower levels."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from bomrl_theory.control.batch import Batch
from bomrl_theory.control.policy_gradient_step import PolicyGradientStep
from bomrl_theory.control.problem import Problem

LOWER_LEVELS = ("kl-prior", "kl-posterior", "euclidean")
ALGORITHMS = ("policy-gradient", *LOWER_LEVELS)


def adapted(problem: Problem, theta: Float[Tensor, "T P"], batch: Batch) -> Float[Tensor, "T P"]:
    """Each task's parameters after one adaptation on the trajectories that ``theta`` collected."""
    step = PolicyGradientStep(
        problem.policy, theta, problem.samples(batch), problem.config.alpha, differentiable=False
    )
    return step.adapted
