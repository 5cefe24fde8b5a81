"""Alg^(2) fed with the action values of another task: a policy that was adapted to the wrong task.

Statements about any two policies are tested with it: what suits the next task of the family may do harm
on this one, so that improvement on the own task is not built in.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bomrl_theory.adapt import kl_posterior
from bomrl_theory.adapt.step import Algorithm, Step
from bomrl_theory.exact.evaluate import Evaluation


def solve(phi: Evaluation, lam: float) -> Step:
    """Every task takes the step of the task after it, the last one that of the first."""
    step = kl_posterior.solve(phi, lam)
    return replace(step, policy=np.roll(step.policy, -1, axis=0))


ALGORITHM = Algorithm(
    name="wrong-task",
    label="wrong task",
    summary="every task gets the policy that Alg^(2) adapted to the next task",
    solve=solve,
    mixes_tasks=True,
)
