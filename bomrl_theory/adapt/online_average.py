"""Online meta-learning: tasks come one after another, and each starts from the average of the optima before it.

The first step replaces the meta-policy on task t by ``(phi + sum_(i<t) nu*_i pi*_i) / (1 + sum_(i<t) nu*_i)``, state by
state: the family's tasks are the sequence, and phi counts as one observation. Every further step is Alg^(2).
"""

from __future__ import annotations

import numpy as np

from bomrl_theory.adapt import kl_posterior
from bomrl_theory.adapt.step import Algorithm, Step
from bomrl_theory.exact.evaluate import DeterministicEvaluation, Evaluation
from bomrl_theory.exact.solve import policy_iteration


def solve_kth(policies: Evaluation, lam: float, k: int) -> Step:
    """The average of the past, and then mirror descent."""
    if k > 0:
        return kl_posterior.solve(policies, lam)
    model = policies.model
    actions = policy_iteration(model.family, model=model).actions
    star = DeterministicEvaluation.of_actions(model, actions)
    seen = np.cumsum(star.nu[..., None] * star.pi, axis=0)
    before = policies.pi + np.concatenate([np.zeros_like(seen[:1]), seen[:-1]])
    return Step(before / before.sum(axis=-1, keepdims=True), "solved", 0.0, 1)


ALGORITHM = Algorithm(
    name="online-average",
    label="online average",
    summary="tasks in sequence, each from the average of the optima before it, then KL(pi || phi)",
    solve=kl_posterior.solve,
    solve_kth=solve_kth,
    mixes_tasks=True,
)
