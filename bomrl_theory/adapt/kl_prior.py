"""Alg^(1): ``d_1 = KL(phi || pi)``, the direction that TRPO and PPO constrain or penalise.

Exact solution ``pi(a) = lambda phi(a) / (mu - Q(a))`` with mu the root of ``sum pi = 1``
(THEORY section 1). With ``y = (mu - max Q)/lambda`` and ``h = (max Q - Q)/lambda >= 0`` it reads
``sum phi/(y + h) = 1``, free of cancellation. The reciprocal of the left side is concave and
increasing in y, so Newton's method on it climbs to the root from the left without overshooting.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64

from bomrl_theory.adapt.step import Algorithm, Status, Step, constant_regularisation, kl
from bomrl_theory.exact.evaluate import Evaluation
from bomrl_theory.numbers import Array
from bomrl_theory.tasks.policy import SMALLEST

MAXIMUM_ITERATIONS = 200


def maximiser(
    phi: Float64[Array, "T S A"], Q: Float64[Array, "T S A"], lam: float | Float64[Array, "T 1 1"]
) -> tuple[Float64[Array, "T S A"], Status, float, int]:
    """Maximise ``<pi, Q> - lambda KL(phi || pi)`` by Newton's method, all tasks and states at once.

    Args:
        phi: normalised, full support.
        Q: action values.
        lam: one lambda, or one a task.

    Returns:
        The policy, the status, how far its probabilities were from summing to 1, the iterations.
    """
    h = (Q.max(axis=-1, keepdims=True) - Q) / lam
    y = (phi - h).max(axis=-1)
    status: Status = "stopped"
    iteration = 0
    while iteration < MAXIMUM_ITERATIONS:
        iteration += 1
        terms = phi / (y[..., None] + h)
        total = terms.sum(axis=-1)
        slope = (terms / (y[..., None] + h)).sum(axis=-1)
        step = (total - 1) * total / slope
        following = np.clip(y + step, y, 1.0)
        if np.all(following - y <= 2 * np.finfo(np.float64).eps * y):
            status = "solved"
            break
        y = following
    terms = phi / (y[..., None] + h)
    total = terms.sum(axis=-1, keepdims=True)
    return terms / total, status, float(np.abs(total - 1).max()), iteration


def solve(phi: Evaluation, lam: float) -> Step:
    """The closed form with its scalar root."""
    policy, status, residual, iterations = maximiser(phi.pi, phi.Q, lam)
    # Where all actions tie, the step stays at phi to the last bit.
    tied = np.all((phi.Q.max(axis=-1, keepdims=True) - phi.Q) / lam == 0, axis=-1, keepdims=True)
    return Step(np.where(tied, phi.weights, np.maximum(policy, SMALLEST)), status, residual, iterations)


ALGORITHM = Algorithm(
    name="kl-prior",
    label="Alg⁽¹⁾",
    summary="KL(phi || pi): the direction of TRPO and PPO",
    solve=solve,
    divergence=kl,
    regularisation=constant_regularisation,
)
