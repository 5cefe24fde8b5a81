"""MAML's inner step: one plain policy-gradient step on the softmax parameters.

``theta+ = theta_phi + alpha grad J(theta_phi)`` with the exact gradient
``nu^phi(s) phi(a|s) A^phi(s,a) / (1-gamma)``. The step size is tied to lambda so that the step is
Alg^(3) linearised at phi: ``alpha = (1-gamma) / (2 lambda)``.
"""

from __future__ import annotations

import numpy as np

from bomrl_theory.adapt.step import Algorithm, Step
from bomrl_theory.exact.evaluate import Evaluation
from bomrl_theory.tasks.policy import from_log_weights


def solve(phi: Evaluation, lam: float) -> Step:
    """One gradient step on every task."""
    change = phi.nu[..., None] * phi.pi * phi.advantage / (2 * lam)
    # Where all actions tie, or the state is never visited, the step stays at phi to the last bit.
    tied = np.all(phi.Q[..., :1] == phi.Q, axis=-1, keepdims=True)
    still = tied | np.all(change == 0, axis=-1, keepdims=True)
    policy = np.where(still, phi.weights, from_log_weights(np.log(phi.pi) + change))
    return Step(policy, "solved", 0.0, 1)


ALGORITHM = Algorithm(
    name="policy-gradient",
    label="policy gradient",
    summary="one plain policy-gradient step, as in MAML",
    solve=solve,
)
