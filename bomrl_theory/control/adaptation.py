"""How a task adapts: one policy-gradient step, or one of BO-MRL's lower levels solved on one-time data.

On a network the lower level is posed so that it has a maximum: the critic is linear in the action's noise and fitted to
standardised advantages, all steps count alike, and a weak proximal term keeps directions that no observation feels.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from bomrl_theory.control.batch import Batch
from bomrl_theory.control.lower_level import ALGORITHMS as LOWER_LEVELS
from bomrl_theory.control.lower_level import SOLVED, TRUNCATED, Adapted, LowerLevel, adapt
from bomrl_theory.control.policy_gradient_step import PolicyGradientStep
from bomrl_theory.control.problem import Problem

ALGORITHMS = ("policy-gradient", *LOWER_LEVELS)
PROXIMAL = 0.1
"""mu, in units of standardised advantages; the Euclidean algorithm needs none."""
TOLERANCE, STEPS = 0.1, 50
"""Of the inner optimisation: the gradient's length relative to that at the start, and the most steps."""
FURTHEST = 10.0
"""A task that moves further than this, in nats, or so many times the aimed divergence, counts as not solved."""
FIRST_LAM = {"kl-prior": 2.0, "kl-posterior": 1.0, "euclidean": 10.0}
"""Where the search of lambda begins: small moves on a new network."""


def lower_level(problem: Problem, lam: float) -> LowerLevel:
    """The lower level of a configuration at one lambda."""
    algorithm = problem.config.algorithm
    assert algorithm is not None
    return LowerLevel(
        algorithm=algorithm,
        lam=lam,
        mu=0.0 if algorithm == "euclidean" else PROXIMAL,
        critic="linear-advantage",
        gamma=problem.simulator.gamma,
        gae=problem.config.gae,
        visitation="uniform",
        tolerance=TOLERANCE,
        steps=STEPS,
    )


def first_lam(problem: Problem) -> float:
    """The configuration's lambda, or where its search begins."""
    algorithm = problem.config.algorithm
    if problem.config.lam is not None or algorithm not in FIRST_LAM:
        return problem.config.lam or 1.0
    return FIRST_LAM[algorithm]


def usable(problem: Problem, found: Adapted) -> Bool[Tensor, " T"]:
    """Tasks whose adapted policy can be run: a maximum, or on the way to one, and not far away."""
    fine = torch.tensor([status in (SOLVED, TRUNCATED) for status in found.status], device=found.theta.device)
    return fine & (found.kl <= FURTHEST * max(1.0, problem.config.divergence))


def kept(problem: Problem, found: Adapted, theta: Float[Tensor, "T P"]) -> Float[Tensor, "T P"]:
    """The adapted parameters; those before where they cannot be used."""
    return torch.where(usable(problem, found)[:, None], found.theta, theta)


def adapted(problem: Problem, theta: Float[Tensor, "T P"], batch: Batch, lam: float) -> Float[Tensor, "T P"]:
    """Each task's parameters after one adaptation on the trajectories that ``theta`` collected.

    Args:
        problem: with the algorithm in its configuration.
        theta: parameters of each task.
        batch: what they collected.
        lam: of BO-MRL's lower levels.
    """
    if problem.config.algorithm in LOWER_LEVELS:
        return kept(problem, adapt(problem.policy, theta, batch, lower_level(problem, lam)), theta)
    samples = problem.samples(batch)
    return PolicyGradientStep(problem.policy, theta, samples, problem.config.alpha, differentiable=False).adapted
