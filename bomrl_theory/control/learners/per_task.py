"""A reference instead of a meta-policy: each of some tasks is trained by itself with the same trust region step.

Schulman et al. 2015 on every task, from one common start; tasks are drawn once. Where the optimum is not known, the
return that this reaches is what adapted policies are compared with.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from bomrl_theory.control.divergence import Fisher, mean_kl
from bomrl_theory.control.gradient_learner import THINNING
from bomrl_theory.control.learner import NO_STEP, Iteration, Learner, Memory, stacked
from bomrl_theory.control.policy_gradient_step import policy_surrogate
from bomrl_theory.control.problem import Problem
from bomrl_theory.control.trust_region import trust_region_step


@dataclass(frozen=True, kw_only=True)
class PerTask(Learner):
    """Trust region policy optimisation of each task."""

    algorithms: tuple[str, ...] = ("none",)
    meta: bool = False

    def begin(self, problem: Problem, rng: np.random.Generator) -> tuple[Float[Tensor, "B P"], Memory]:
        phi = stacked(problem.start(rng).unsqueeze(0), problem.config.tasks)
        return phi, {"tasks": torch.as_tensor(problem.draw_tasks(rng))}

    def iterate(
        self, problem: Problem, phi: Float[Tensor, "B P"], memory: Memory, rng: np.random.Generator
    ) -> Iteration:
        batch = problem.rollout(phi, memory["tasks"].cpu().numpy(), rng)
        samples, policy = problem.samples(batch), problem.policy
        theta = phi.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(policy_surrogate(policy, theta, samples, "likelihood-ratio").sum(), theta)
        old = samples.mean(samples.advantages)

        def measure(trial: Float[Tensor, "T P"]) -> tuple[Float[Tensor, " T"], Float[Tensor, " T"]]:
            with torch.no_grad():
                gain = policy_surrogate(policy, trial, samples, "likelihood-ratio") - old
                return gain, mean_kl(policy, phi, trial, samples)

        fisher = Fisher(policy, phi, samples, THINNING)
        taken = trust_region_step(phi, gradient, fisher.product, measure, problem.config.radius)
        mean = float(batch.returns.mean())
        return Iteration(
            phi=taken.parameters,
            memory=memory,
            steps=batch.steps,
            before=mean,
            after=mean,
            kl=float(taken.kl.mean()),
            moved=None,
            gradient=None,
            status="stepped" if bool((taken.fraction > 0).any()) else NO_STEP,
        )


LEARNER = PerTask(name="per-task", label="Each task by itself", summary="a reference: trust region steps on each task")
