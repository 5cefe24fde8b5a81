"""Every task's own optimal policy: the reference whose gap is zero. It is no meta-policy and cannot be trained."""

from __future__ import annotations

from bomrl_theory.meta.learner import Learner
from bomrl_theory.tasks.policy import deterministic

LEARNER = Learner(
    name="optimum",
    label="optimum",
    summary="reference, no meta-policy: every task's own optimal policy",
    reference=lambda solved: deterministic(solved.optimum.actions, solved.family.actions),
)
