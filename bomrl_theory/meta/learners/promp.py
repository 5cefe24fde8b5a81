"""ProMP (Rothfuss et al. 2019): a clipped surrogate after a low-variance inner step, with a KL penalty.

Data are collected at ``theta_o`` and, after the inner step from it, at ``theta_o+``. With expectations over them exact
the objective that one or several outer steps climb is (constants and form from memory)

    J_CLIP(theta') - eta KL,  J_CLIP = E_{nu+} sum_a min(pi' A+, clip(pi'/pi+, 1-eps, 1+eps) pi+ A+) / (1-gamma),
    theta' = theta + alpha grad_theta E_{nu_o} <pi_theta, A_o> / (1-gamma),   KL = E_{nu_o} KL(pi_o || pi_theta),

averaged over tasks, where ``nu_o, A_o, nu+, A+`` stay as collected. At ``theta = theta_o`` the direction is MAML's but
for its Hessian, which misses how ``nu`` and ``A`` move. Several outer steps on the same data: ``outer_steps``.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64

from bomrl_theory.meta.learner import Data, Learner, Move, Surrogate
from bomrl_theory.meta.objective import Adapted
from bomrl_theory.numbers import FLOATS, Array

CLIP = 0.3
"""eps: the largest change of a probability, relative to the collecting policy's, that earns anything."""
PENALTY = 5e-4
"""eta, in the unit of return."""


def collect(data: Data, anchor: Float64[Array, "S A"]) -> Surrogate:
    """Evaluate the policy of the anchor and what it adapts to, once."""
    with FLOATS.activated():
        there = Adapted.of(data.solved, anchor, data.algorithm, data.lam)
        before, after = there.phi, there.plus
        weight_before, weight_after = before.nu[..., None], after.nu[..., None] / (1 - before.model.gamma)
        advantage, advantage_after = before.advantage, after.advantage
        w = before.model.w

    def move(theta: Float64[Array, "S A"]) -> Move:
        with FLOATS.activated():
            rate = data.alpha / (1 - before.model.gamma) * weight_before
            log_pi = theta - _log_sum(theta)
            pi = np.exp(log_pi)[None]
            step = _centred(pi, advantage)
            logits = theta + rate * step
            log_new = logits - _log_sum(logits)
            new = np.exp(log_new)
            ratio, gain = new / after.pi, after.pi * advantage_after
            binds = np.where(gain > 0, ratio > 1 + CLIP, ratio < 1 - CLIP)
            kept = np.where(binds, np.clip(ratio, 1 - CLIP, 1 + CLIP), ratio)
            surrogate = (weight_after * kept * gain).sum(axis=(-2, -1))
            divergence = (weight_before * before.pi * (np.log(before.pi) - log_pi)).sum(axis=(-2, -1))
            g = _centred(new, np.where(binds, 0, weight_after * advantage_after))  # flat where clipping binds
            # Through the inner step pi (A - <pi, A>), whose derivative is symmetric.
            average = (pi * g).sum(axis=-1, keepdims=True)
            through = step * (g - average) - pi * (step * g).sum(axis=-1, keepdims=True)
            gradient = g + rate * through + PENALTY * weight_before * (before.pi - pi)
            value = float(w @ (surrogate - PENALTY * divergence))
            return Move(np.einsum("t,tsa->sa", w, gradient), value, status=there.step.status)

    return move


def _log_sum(x: Float64[Array, "... A"]) -> Float64[Array, "... 1"]:
    top = x.max(axis=-1, keepdims=True)
    return top + np.log(np.exp(x - top).sum(axis=-1, keepdims=True))


def _centred(pi: Float64[Array, "#T S A"], x: Float64[Array, "T S A"]) -> Float64[Array, "T S A"]:
    """``pi (x - <pi, x>)``: the derivative of ``<pi, x>`` in the logits."""
    return pi * (x - (pi * x).sum(axis=-1, keepdims=True))


LEARNER = Learner(
    name="promp",
    label="ProMP",
    summary="low-variance inner step, clipped surrogate with a KL penalty",
    collect=collect,
    algorithms=("policy-gradient",),
)
