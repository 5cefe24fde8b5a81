r"""E-MAML (Stadie et al. 2018): MAML on sampled inner data, whose distribution is differentiated as well.

Published: ``E_{D ~ pi_theta} J(U(theta, D))`` with the update U made from the sampled data D; its gradient holds the
term ``J(U) grad log p_theta(D)`` for the sampling distribution, which MAML's implementation drops (from memory;
Rothfuss et al. 2019 call it formulation II). With all expectations exact *and* unlimited data, U would be the exact
policy-gradient step, and nothing would set E-MAML apart from MAML. What is computed here keeps the data finite
(reconstructed): one decision ``D = (s, a)`` drawn from the discounted visitation ``nu(s) pi(a|s)``, with its exact
advantage, and the expectation over D is exact:

    F(theta) = E_tau sum_{s,a} nu(s) pi(a|s) J_tau(theta_sa),
    theta_sa = theta + alpha/(1-gamma) A(s,a) grad log pi(a|s).

The mean of these steps is MAML's step. Each changes the policy at one state, so that its value and visitation follow
from those of pi by a rank-one update; with ``M = (I - gamma P_pi)^-1`` and ``delta = P(s,.) (pi_sa - pi)(s,.)``,
``V_sa = V + M(.,s) <pi_sa, A>(s) / (1 - gamma delta M(.,s))``.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64

from bomrl_theory.exact.evaluate import Evaluation
from bomrl_theory.meta.derivatives import action_value_pullback, visitation_pullback
from bomrl_theory.meta.learner import Data, Learner, Move, everywhere
from bomrl_theory.numbers import FLOATS, Array
from bomrl_theory.tasks.policy import from_log_weights


def move(data: Data, theta: Float64[Array, "S A"]) -> Move:
    """The objective's exact gradient."""
    with FLOATS.activated():
        phi = data.solved.evaluate(from_log_weights(theta), FLOATS)
        values, gradients = each_task(phi, data.alpha)
        w = phi.model.w
        return Move(np.einsum("t,tsa->sa", w, gradients), float(w @ values))


def each_task(phi: Evaluation, alpha: float) -> tuple[Float64[Array, " T"], Float64[Array, "T S A"]]:
    """Objective and gradient for each task."""
    gamma, states, actions = phi.model.gamma, phi.pi.shape[1], phi.pi.shape[2]
    rate = alpha / (1 - gamma)
    drawn = phi.nu[..., None] * phi.pi
    resolvent = np.linalg.inv(np.eye(states) - gamma * phi.P)
    ahead = gamma * np.einsum("txby,tys->txbs", phi.model.P, resolvent)
    returns = np.empty(phi.pi.shape)
    total = np.zeros(phi.pi.shape)
    through_advantage = np.zeros(phi.pi.shape)
    through_policy = np.zeros(phi.pi.shape)
    for s in range(states):
        steps = rate * phi.advantage[:, s, :, None] * (np.eye(actions) - phi.pi[:, s, None, :])
        row = phi.pi[:, s, None, :] * np.exp(steps - steps.max(axis=-1, keepdims=True))
        row = row / row.sum(axis=-1, keepdims=True)  # [T, a, b]: the new policy at s after drawing a there
        change = row - phi.pi[:, s, None, :]
        slowed = 1 - np.einsum("tab,tb->ta", change, ahead[:, s, :, s])
        gain = np.einsum("tab,tb->ta", row, phi.advantage[:, s]) / slowed
        returns[:, s] = phi.J[:, None] + phi.nu[:, None, s] * gain / (1 - gamma)
        V = phi.V[:, None] + resolvent[:, None, :, s] * gain[..., None]
        Q = phi.Q[:, None] + ahead[:, None, :, :, s] * gain[..., None, None]
        moved = np.einsum("tab,tby->tay", change, ahead[:, s])
        nu = phi.nu[:, None] + phi.nu[:, None, None, s] * moved / slowed[..., None]
        pi = np.broadcast_to(phi.pi[:, None], Q.shape).copy()
        pi[:, :, s] = row
        gradients = nu[..., None] * pi * (Q - V[..., None]) / (1 - gamma)
        weighted = drawn[:, s, :, None] * gradients[:, :, s]
        total += np.einsum("ta,taxb->txb", drawn[:, s], gradients)
        chosen = np.einsum("taa->ta", weighted)
        through_advantage[:, s] = rate * (chosen - np.einsum("tab,tb->ta", weighted, phi.pi[:, s]))
        through_policy[:, s] = -rate * np.einsum("ta,tab->tb", phi.advantage[:, s], weighted)
    # A = Q - <pi, Q>, and what moves pi moves the data's distribution nu pi too.
    total += _advantage_pullback(phi, through_advantage)
    total += phi.pi * (through_policy - phi.average(through_policy)[..., None])
    mean = phi.average(returns)
    total += visitation_pullback(phi, mean) + drawn * (returns - mean[..., None])
    return (phi.nu * mean).sum(axis=-1), total


def _advantage_pullback(phi: Evaluation, x: Float64[Array, "T S A"]) -> Float64[Array, "T S A"]:
    """``(dA/dtheta)^T x``."""
    total = x.sum(axis=-1, keepdims=True)
    return action_value_pullback(phi, x - total * phi.pi) - total * phi.pi * phi.advantage


LEARNER = Learner(
    name="e-maml",
    label="E-MAML",
    summary="MAML on one sampled decision, with the sampling distribution differentiated",
    collect=everywhere(move),
    algorithms=("policy-gradient",),
)
