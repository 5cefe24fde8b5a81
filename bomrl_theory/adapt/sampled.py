"""Alg^(2) on sampled data: the action values are means of returns that were collected once (THEORY section 6).

From every state and action ``SAMPLES`` independent returns of phi are drawn and cut after :func:`horizon`
steps. The draw is seeded, so the same tasks and meta-policy lead to the same estimate, which is kept with the step.
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
from jaxtyping import Float64, Int

from bomrl_theory.adapt.kl_posterior import mirror_step
from bomrl_theory.adapt.step import Algorithm, Step, constant_regularisation, kl
from bomrl_theory.exact.evaluate import Evaluation
from bomrl_theory.numbers import Array

SAMPLES = 64
"""Returns for each state and action."""
LONGEST = 64
"""No return is followed for longer."""
SEED = 20_260_101


def horizon(gamma: Fraction) -> int:
    """After how many rewards a return is cut: the discount is below 1/1000 by then, or LONGEST are through."""
    if gamma == 0:
        return 1
    return min(LONGEST, max(1, math.ceil(math.log(1000) / -math.log(gamma))))


def estimated_values(phi: Evaluation) -> Float64[Array, "T S A"]:
    """Mean returns of phi from every state and action."""
    rng = np.random.default_rng(SEED)
    tasks, states, actions = phi.pi.shape
    where = np.indices((tasks, states, actions, SAMPLES))
    task, state, action = where[0], where[1], where[2]
    towards, choice = np.cumsum(phi.model.P, axis=-1), np.cumsum(phi.pi, axis=-1)
    gamma = float(phi.model.family.gamma)
    total = phi.model.r[task, state, action]
    for t in range(1, horizon(phi.model.family.gamma)):
        state = _drawn(rng, towards[task, state, action])
        action = _drawn(rng, choice[task, state])
        total = total + gamma**t * phi.model.r[task, state, action]
    return total.mean(axis=-1)


def _drawn(rng: np.random.Generator, cumulative: Float64[Array, "*N n"]) -> Int[Array, "*N"]:
    """One index for each row of cumulative probabilities."""
    uniform = rng.random(cumulative.shape[:-1])
    return np.minimum((cumulative <= uniform[..., None]).sum(axis=-1), cumulative.shape[-1] - 1)


def solve(phi: Evaluation, lam: float) -> Step:
    """Collect once, then the closed form."""
    return mirror_step(phi, estimated_values(phi), lam, estimate=True)


ALGORITHM = Algorithm(
    name="kl-posterior-sampled",
    label="Alg⁽²⁾ sampled",
    summary="KL(pi || phi) on action values estimated from 64 sampled returns each",
    solve=solve,
    divergence=lambda phi, pi: kl(pi, phi),
    regularisation=constant_regularisation,
    mixes_tasks=True,
)
