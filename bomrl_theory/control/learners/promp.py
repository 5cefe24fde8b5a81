"""ProMP (Rothfuss et al. 2019) for control: low-variance curvature, a clipped objective, and a KL penalty.

With data of pi_old before and of the adapted policy after, several steps of Adam on the same data climb
(algorithm 1 and eq. 14 of the paper, constants of its code; reconstructed from memory)

    mean_tau [ mean min(r A, clip(r, 1 - eps, 1 + eps) A)  -  eta mean KL(pi_old || pi_phi) ],
    r = pi_theta+(a|x) / pi_old+(a|x),   theta+ = phi + alpha grad mean A pi_phi(a|x) / pi_old(a|x).

The inner surrogate's ratio makes its second derivative that of the low-variance curvature estimator. After each
iteration eta is halved where the KL of the step is below target/1.5, and doubled where it is above 1.5 target.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from bomrl_theory.control.divergence import mean_kl
from bomrl_theory.control.gradient_learner import Experience
from bomrl_theory.control.learner import Iteration, Learner, Memory, stacked
from bomrl_theory.control.policy_gradient_step import PolicyGradientStep
from bomrl_theory.control.problem import Problem
from bomrl_theory.meta.rule import BETA, BETA_SQUARED, EPSILON


@dataclass(frozen=True, kw_only=True)
class ProMP(Learner):
    """The method's constants.

    Attributes:
        clip: eps.
        epochs: steps of Adam on the same data.
        rate: of Adam.
        target: KL that the penalty aims at, between meta-policies of successive iterations.
        penalty: eta at the start.
        tolerance: factor around the target within which eta stays.
    """

    algorithms: tuple[str, ...] = ("policy-gradient",)
    clip: float = 0.3
    epochs: int = 5
    rate: float = 1e-3
    target: float = 0.01
    penalty: float = 5e-4
    tolerance: float = 1.5

    def begin(self, problem: Problem, rng: np.random.Generator) -> tuple[Float[Tensor, "B P"], Memory]:
        phi = problem.start(rng).unsqueeze(0)
        memory = {
            "mean": torch.zeros_like(phi),
            "square": torch.zeros_like(phi),
            "steps": torch.zeros((), dtype=torch.int64),
            "penalty": torch.tensor(self.penalty, dtype=torch.float64),
        }
        return phi, memory

    def iterate(
        self, problem: Problem, phi: Float[Tensor, "B P"], memory: Memory, rng: np.random.Generator
    ) -> Iteration:
        experience = Experience.collect(problem, phi, rng, "likelihood-ratio")
        penalty = float(memory["penalty"])
        new, step = phi, experience.step
        for epoch in range(self.epochs):
            if epoch:
                theta = stacked(new, problem.config.tasks)
                step = PolicyGradientStep(
                    problem.policy, theta, experience.inner, problem.config.alpha, "likelihood-ratio"
                )
            gradient = self.gradient(problem, experience, phi, new, step, penalty)
            new, memory = self._adam(new, gradient, memory)
        with torch.no_grad():
            theta, old = (stacked(x, problem.config.tasks) for x in (new, phi))
            kl = float(mean_kl(problem.policy, old, theta, experience.inner).mean())
        if kl < self.target / self.tolerance:
            penalty /= 2
        elif kl > self.target * self.tolerance:
            penalty *= 2
        memory = memory | {"penalty": torch.tensor(penalty, dtype=torch.float64)}
        return experience.told(problem, phi, new, memory, kl, "stepped")

    def clipped(self, problem: Problem, experience: Experience, adapted: Float[Tensor, "T P"]) -> Float[Tensor, " T"]:
        """The clipped objective of each task at adapted parameters."""
        outer = experience.outer
        log_density = problem.policy.distribution(adapted, outer.observations).log_prob(outer.actions)
        ratio = (log_density - outer.log_density).exp()
        bounded = ratio.clamp(1 - self.clip, 1 + self.clip)
        return outer.mean(torch.minimum(ratio * outer.advantages, bounded * outer.advantages))

    def gradient(
        self,
        problem: Problem,
        experience: Experience,
        old: Float[Tensor, "1 P"],
        phi: Float[Tensor, "1 P"],
        step: PolicyGradientStep,
        penalty: float,
    ) -> Float[Tensor, "1 P"]:
        """Of the objective at ``phi``, by the chain rule through ``step``, which begins there."""
        tasks = problem.config.tasks
        adapted = step.adapted.clone().requires_grad_()
        theta = stacked(phi, tasks).requires_grad_()
        (through,) = torch.autograd.grad(self.clipped(problem, experience, adapted).sum(), adapted)
        divergence = mean_kl(problem.policy, stacked(old, tasks), theta, experience.inner)
        (direct,) = torch.autograd.grad(divergence.sum(), theta)
        return (step.product(through) - penalty * direct).mean(0, keepdim=True)

    def _adam(
        self, phi: Float[Tensor, "1 P"], gradient: Float[Tensor, "1 P"], memory: Memory
    ) -> tuple[Float[Tensor, "1 P"], Memory]:
        """One step of ascent (Kingma and Ba 2015)."""
        steps = int(memory["steps"]) + 1
        mean = BETA * memory["mean"] + (1 - BETA) * gradient
        square = BETA_SQUARED * memory["square"] + (1 - BETA_SQUARED) * gradient**2
        scale = (square / (1 - BETA_SQUARED**steps)).sqrt() + EPSILON
        new = phi + self.rate * mean / (1 - BETA**steps) / scale
        return new, memory | {"mean": mean, "square": square, "steps": torch.tensor(steps, dtype=torch.int64)}


LEARNER = ProMP(
    name="promp",
    label="ProMP",
    summary="low-variance curvature, clipped objective with a KL penalty, several epochs of Adam",
)
