"""No training: what adaptation makes of a new network."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from torch import Tensor

from bomrl_theory.control.adaptation import ALGORITHMS, adapted, first_lam
from bomrl_theory.control.learner import Iteration, Learner, Memory, stacked
from bomrl_theory.control.problem import Problem


@dataclass(frozen=True, kw_only=True)
class Random(Learner):
    """The start of all other learners; its one iteration only measures."""

    algorithms: tuple[str, ...] = ALGORITHMS
    trained: bool = False

    def iterate(
        self, problem: Problem, phi: Float[Tensor, "B P"], memory: Memory, rng: np.random.Generator
    ) -> Iteration:
        tasks = problem.draw_tasks(rng)
        theta = stacked(phi, len(tasks))
        before = problem.rollout(theta, tasks, rng)
        after = problem.rollout(adapted(problem, theta, before, first_lam(problem)), tasks, rng)
        return Iteration(
            phi=phi,
            memory=memory,
            steps=before.steps + after.steps,
            before=float(before.returns.mean()),
            after=float(after.returns.mean()),
            kl=None,
            moved=None,
            gradient=None,
            status="measured",
        )


LEARNER = Random(name="random", label="Random initialisation", summary="no training")
