"""BO-MRL on sampled tasks: adapt by a solved lower level, and climb its hypergradient in a trust region.

Each iteration collects trajectories with phi on every task, solves the lower level on them, and collects fresh ones
with what came of it. The policy gradient there is pulled back to phi by the implicit function theorem; phi then takes
the natural-gradient step of a given KL on the data that it collected itself. The step is not searched along the
objective, which would take the lower levels' solutions anew and, on frozen data, would not be the objective.

lambda is steered instead of set: the divergence falls about as 1/lambda^2, so after each iteration lambda is multiplied
by ``sqrt(divergence/aimed)``, by at most a factor of two, and raised by that factor if most tasks were not solved.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from bomrl_theory.control.adaptation import first_lam, kept, lower_level, usable
from bomrl_theory.control.divergence import Fisher, mean_kl
from bomrl_theory.control.gradient_learner import THINNING
from bomrl_theory.control.hypergradient import hypergradient
from bomrl_theory.control.learner import NO_STEP, Iteration, Learner, Memory, stacked
from bomrl_theory.control.lower_level import SOLVED, Adapted, adapt
from bomrl_theory.control.policy_gradient_step import policy_surrogate
from bomrl_theory.control.problem import Problem
from bomrl_theory.control.trust_region import trust_region_step

LAM = "lam"
"""Name of lambda in the learner's memory."""


def valid_lam(lam: float, precision: str) -> bool:
    """Whether lambda is a positive number of the precision, not only of float64."""
    return 0 < lam <= torch.finfo(getattr(torch, precision)).max


@dataclass(frozen=True, kw_only=True)
class BilevelLearner(Learner):
    """BO-MRL.

    Attributes:
        method: of the hypergradient: "implicit" or "first-order".
        tolerance, products: of its conjugate gradients: relative residual, and the most products.
        fastest: largest factor by which lambda changes in an iteration.
    """

    algorithms: tuple[str, ...] = ("kl-posterior", "kl-prior", "euclidean")
    method: str = "implicit"
    tolerance: float = 0.1
    products: int = 20
    fastest: float = 2.0

    def begin(self, problem: Problem, rng: np.random.Generator) -> tuple[Float[Tensor, "B P"], Memory]:
        phi, _ = super().begin(problem, rng)
        return phi, {LAM: torch.tensor(first_lam(problem), dtype=torch.float64)}

    def iterate(
        self, problem: Problem, phi: Float[Tensor, "B P"], memory: Memory, rng: np.random.Generator
    ) -> Iteration:
        policy, tasks = problem.policy, problem.draw_tasks(rng)
        theta = stacked(phi, len(tasks))
        before = problem.rollout(theta, tasks, rng)
        lower = lower_level(problem, float(memory[LAM]))
        found = adapt(policy, phi[0], before, lower)
        plus = kept(problem, found, theta)
        after = problem.rollout(plus, tasks, rng)

        inner, outer = problem.samples(before), problem.samples(after)
        start = plus.clone().requires_grad_()
        (ascent,) = torch.autograd.grad(policy_surrogate(policy, start, outer, "likelihood-ratio").sum(), start)
        used = usable(problem, found)
        pulled = hypergradient(
            policy,
            phi[0],
            before,
            found,
            ascent,
            used.to(phi.dtype) / len(tasks),
            method=self.method,
            tolerance=self.tolerance,
            steps=self.products,
        )
        gradient = pulled.gradient.unsqueeze(0)
        fisher = Fisher(policy, theta, inner, THINNING)

        def product(v: Float[Tensor, "1 P"]) -> Float[Tensor, "1 P"]:
            return fisher.product(stacked(v, len(tasks))).mean(0, keepdim=True)

        def measure(trial: Float[Tensor, "1 P"]) -> tuple[Float[Tensor, " 1"], Float[Tensor, " 1"]]:
            with torch.no_grad():
                kl = mean_kl(policy, theta, stacked(trial, len(tasks)), inner).mean()
            return ((trial - phi) * gradient).sum(-1), kl.unsqueeze(0)

        taken = trust_region_step(phi, gradient, product, measure, problem.config.radius)
        with torch.no_grad():
            moved = float(mean_kl(policy, theta, plus, inner).mean())
        return Iteration(
            phi=taken.parameters,
            memory={LAM: torch.tensor(self._steered(problem, found, float(memory[LAM])), dtype=torch.float64)},
            steps=before.steps + after.steps,
            before=float(before.returns.mean()),
            after=float(after.returns.mean()),
            kl=float(taken.kl),
            moved=moved,
            gradient=float(found.gradient_norm[used].mean()) if bool(used.any()) else None,
            status=_told(pulled.status, float(taken.fraction) > 0),
        )

    def _steered(self, problem: Problem, found: Adapted, lam: float) -> float:
        """lambda of the next iteration."""
        if problem.config.lam is not None:
            return lam
        used = usable(problem, found)
        if 2 * int(used.sum()) <= len(used):
            return lam * self.fastest
        ratio = float(found.kl[used].double().mean()) / problem.config.divergence
        return lam * min(max(math.sqrt(ratio), 1 / self.fastest), self.fastest)


def _told(states: tuple[str, ...], stepped: bool) -> str:
    """Whether a step was taken, with how many tasks' gradients were not solved and why."""
    others = Counter(state for state in states if state != SOLVED)
    counts = (f"{count} of {len(states)} {state}" for state, count in sorted(others.items()))
    return "; ".join(["stepped" if stepped else NO_STEP, *counts])
