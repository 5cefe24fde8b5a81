"""What MAML and its kin share: data from the meta-policy, one policy-gradient step a task, data from the result."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from bomrl_theory.control.batch import Batch
from bomrl_theory.control.divergence import Fisher, mean_kl
from bomrl_theory.control.learner import NO_STEP, Iteration, Learner, Memory, stacked
from bomrl_theory.control.policy_gradient_step import PolicyGradientStep, Surrogate, policy_surrogate
from bomrl_theory.control.problem import Problem
from bomrl_theory.control.samples import Samples
from bomrl_theory.control.trust_region import trust_region_step

THINNING = 5
"""Every so many samples enter the curvature of the trust region."""


@dataclass(frozen=True, eq=False)
class Experience:
    """Data of one iteration.

    Attributes:
        before: trajectories of the meta-policy.
        after: trajectories of the adapted policies.
        inner: the samples of ``before``.
        outer: the samples of ``after``.
        step: from the meta-parameters on ``inner``.
    """

    before: Batch
    after: Batch
    inner: Samples
    outer: Samples
    step: PolicyGradientStep

    @classmethod
    def collect(
        cls, problem: Problem, phi: Float[Tensor, "1 P"], rng: np.random.Generator, surrogate: Surrogate
    ) -> Experience:
        """Draw tasks, run the meta-policy, adapt, and run what came of it."""
        tasks = problem.draw_tasks(rng)
        theta = stacked(phi, len(tasks))
        before = problem.rollout(theta, tasks, rng)
        inner = problem.samples(before)
        step = PolicyGradientStep(problem.policy, theta, inner, problem.config.alpha, surrogate)
        after = problem.rollout(step.adapted, tasks, rng)
        return cls(before, after, inner, problem.samples(after), step)

    def told(
        self,
        problem: Problem,
        phi: Float[Tensor, "1 P"],
        new: Float[Tensor, "1 P"],
        memory: Memory,
        kl: float | None,
        status: str,
    ) -> Iteration:
        """The iteration that led from ``phi`` to ``new``."""
        with torch.no_grad():
            theta = stacked(phi, len(self.step.adapted))
            moved = mean_kl(problem.policy, theta, self.step.adapted, self.inner)
        return Iteration(
            phi=new,
            memory=memory,
            steps=self.before.steps + self.after.steps,
            before=float(self.before.returns.mean()),
            after=float(self.after.returns.mean()),
            kl=kl,
            moved=float(moved.mean()),
            gradient=float(self.step.gradient.norm(dim=-1).mean()),
            status=status,
        )


def outer_gradient(problem: Problem, experience: Experience) -> Float[Tensor, "T P"]:
    """The policy gradient of each task at its adapted parameters, on the trajectories collected there."""
    theta = experience.step.adapted.clone().requires_grad_()
    total = policy_surrogate(problem.policy, theta, experience.outer, "likelihood-ratio").sum()
    (gradient,) = torch.autograd.grad(total, theta)
    return gradient


@dataclass(frozen=True, kw_only=True)
class TrustRegionLearner(Learner):
    """Maximises ``mean_tau J_tau(theta_tau+)`` through the adaptation with a trust region step (Finn et al. 2017).

    The objective is the surrogate of Schulman et al. 2015 at the adapted parameters, and the divergence the mean KL of
    the adapted policies; both are functions of phi through the adaptation on the data collected before.
    """

    algorithms: tuple[str, ...] = ("policy-gradient",)

    def iterate(
        self, problem: Problem, phi: Float[Tensor, "B P"], memory: Memory, rng: np.random.Generator
    ) -> Iteration:
        experience = Experience.collect(problem, phi, rng, "log-likelihood")
        step, policy, tasks = experience.step, problem.policy, problem.config.tasks
        fisher = Fisher(policy, step.adapted, experience.outer, THINNING)

        def product(v: Float[Tensor, "1 P"]) -> Float[Tensor, "1 P"]:
            return step.product(fisher.product(step.product(stacked(v, tasks)))).mean(0, keepdim=True)

        old, _ = self.objective(problem, experience, phi)

        def measure(trial: Float[Tensor, "1 P"]) -> tuple[Float[Tensor, " 1"], Float[Tensor, " 1"]]:
            value, adapted = self.objective(problem, experience, trial)
            with torch.no_grad():
                kl = mean_kl(policy, step.adapted, adapted, experience.outer)
            return (value - old).unsqueeze(0), kl.mean().unsqueeze(0)

        gradient = self.gradient(problem, experience, phi)
        taken = trust_region_step(phi, gradient, product, measure, problem.config.radius)
        status = "stepped" if float(taken.fraction) > 0 else NO_STEP
        return experience.told(problem, phi, taken.parameters, memory, float(taken.kl), status)

    def bonus(self, problem: Problem, experience: Experience, theta: Float[Tensor, "T P"]) -> Tensor | None:
        """What the objective adds to each task's surrogate [T] as a function of the parameters that collect data."""
        return None

    def objective(
        self, problem: Problem, experience: Experience, phi: Float[Tensor, "1 P"]
    ) -> tuple[Float[Tensor, ""], Float[Tensor, "T P"]]:
        """The objective at other parameters on the same data, and what they adapt to."""
        policy, inner = problem.policy, experience.inner
        theta = stacked(phi, problem.config.tasks)
        adapted = PolicyGradientStep(policy, theta, inner, problem.config.alpha, differentiable=False).adapted
        with torch.no_grad():
            values = policy_surrogate(policy, adapted, experience.outer, "likelihood-ratio")
            bonus = self.bonus(problem, experience, theta)
            return (values if bonus is None else values + bonus).mean(), adapted

    def gradient(self, problem: Problem, experience: Experience, phi: Float[Tensor, "1 P"]) -> Float[Tensor, "1 P"]:
        """Of the objective at the parameters that collected the data, by the chain rule."""
        each = experience.step.product(outer_gradient(problem, experience))
        theta = stacked(phi, problem.config.tasks).requires_grad_()
        bonus = self.bonus(problem, experience, theta)
        if bonus is not None:
            each = each + torch.autograd.grad(bonus.sum(), theta)[0]
        return each.mean(0, keepdim=True)
