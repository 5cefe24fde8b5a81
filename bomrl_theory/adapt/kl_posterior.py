"""Alg^(2): ``d_2 = KL(pi || phi)``, one step of natural policy gradient / mirror descent.

Exact solution ``pi(a) proportional to phi(a) exp(Q(a)/lambda)`` (THEORY section 1).
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64

from bomrl_theory.adapt.step import Algorithm, Step, constant_regularisation, kl
from bomrl_theory.exact.evaluate import Evaluation
from bomrl_theory.numbers import Array
from bomrl_theory.tasks.policy import from_log_weights


def mirror_step(phi: Evaluation, Q: Float64[Array, "T S A"], lam: float, *, estimate: bool = False) -> Step:
    """The closed form for these action values, in log space; an estimate of them is kept with the step."""
    shifted = (Q - Q.max(axis=-1, keepdims=True)) / lam
    # Where all actions tie, the step stays at phi to the last bit.
    tied = np.all(shifted == 0, axis=-1, keepdims=True)
    policy = np.where(tied, phi.weights, from_log_weights(np.log(phi.pi) + shifted))
    return Step(policy, "solved", 0.0, 1, Q if estimate else None)


def solve(phi: Evaluation, lam: float) -> Step:
    """On the exact action values."""
    return mirror_step(phi, phi.Q, lam)


ALGORITHM = Algorithm(
    name="kl-posterior",
    label="Alg⁽²⁾",
    summary="KL(pi || phi): natural policy gradient, mirror descent",
    solve=solve,
    divergence=lambda phi, pi: kl(pi, phi),
    regularisation=constant_regularisation,
)
