"""Exact derivatives of a policy's return, action value and visitation in its softmax logits.

Everything is batched over tasks and runs in any number system, like :class:`Evaluation` itself; use it inside
``numbers.activated()``. A direction ``u`` [T, S, A] moves the logits of every task's policy; the policy's
derivative is ``pi (u - <pi, u>)``. Adding a constant to all logits of a state changes nothing, so gradients sum
to zero over the actions of a state.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Shaped

from bomrl_theory.exact.evaluate import Evaluation
from bomrl_theory.numbers import Numeric


def policy_change(at: Evaluation, u: Shaped[Numeric, "T S A"]) -> Shaped[Numeric, "T S A"]:
    """``d pi / d theta`` along u."""
    return at.pi * (u - at.average(u)[..., None])


def policy_gradient(at: Evaluation) -> Shaped[Numeric, "T S A"]:
    """``dJ/dtheta(s,a) = nu(s) pi(a|s) A(s,a) / (1-gamma)``."""
    return at.nu[..., None] * at.pi * at.advantage / (1 - at.model.gamma)


def value_change(at: Evaluation, u: Shaped[Numeric, "T S A"]) -> Shaped[Numeric, "T S"]:
    """dV along u: ``(I - gamma P_pi)^-1 <dpi, Q>``, with ``<dpi, Q> = <dpi, A>`` because dpi sums to zero."""
    gain = at.model.numbers.dot(policy_change(at, u), at.advantage)
    return at.model.numbers.solve_discounted(at.P, at.model.gamma, gain)


def action_value_change(at: Evaluation, u: Shaped[Numeric, "T S A"]) -> Shaped[Numeric, "T S A"]:
    """dQ along u: ``gamma P dV``."""
    return _ahead(at, value_change(at, u))


def action_value_pullback(at: Evaluation, x: Shaped[Numeric, "T S A"]) -> Shaped[Numeric, "T S A"]:
    """``(dQ/dtheta)^T x``: how ``sum x Q`` changes with the logits."""
    numbers, gamma = at.model.numbers, at.model.gamma
    return _from_values(at, numbers.solve_discounted(at.P, gamma, _arriving(at, x), transposed=True))


def visitation_change(at: Evaluation, u: Shaped[Numeric, "T S A"]) -> Shaped[Numeric, "T S"]:
    """dnu along u: ``gamma nu dP_pi (I - gamma P_pi)^-1``."""
    arriving = _arriving(at, at.nu[..., None] * policy_change(at, u))
    return at.model.numbers.solve_discounted(at.P, at.model.gamma, arriving, transposed=True)


def visitation_pullback(at: Evaluation, x: Shaped[Numeric, "T S"]) -> Shaped[Numeric, "T S A"]:
    """``(dnu/dtheta)^T x``: how ``sum x nu`` changes with the logits."""
    ahead = _ahead(at, at.model.numbers.solve_discounted(at.P, at.model.gamma, x))
    return at.nu[..., None] * at.pi * (ahead - at.average(ahead)[..., None])


def hessian_product(at: Evaluation, u: Shaped[Numeric, "T S A"]) -> Shaped[Numeric, "T S A"]:
    """The Hessian of J times u: the policy gradient's derivative along u."""
    dV = value_change(at, u)
    change = (
        visitation_change(at, u)[..., None] * at.pi * at.advantage
        + at.nu[..., None] * policy_change(at, u) * at.advantage
        + at.nu[..., None] * at.pi * (_ahead(at, dV) - dV[..., None])
    )
    return change / (1 - at.model.gamma)


def soft_step(at: Evaluation, lam: Any) -> Evaluation:
    """The evaluation of Alg^(2)'s exact solution ``pi(a) exp(Q(a)/lambda) / Z`` in the same number system."""
    return tilted(at, at.Q / lam)


def tilted(at: Evaluation, change: Shaped[Numeric, "T S A"]) -> Evaluation:
    """The evaluation of the policy whose logits are larger by ``change``: ``pi exp(change) / Z``."""
    numbers = at.model.numbers
    # Exponents relative to the largest stay small; where all actions tie, rationals keep the policy exactly.
    top = numbers.largest(change, -1, keepdims=True)
    grown = at.pi * numbers.exp(change - top)
    return Evaluation(at.model, grown / grown.sum(axis=-1, keepdims=True), at.weights)


def _ahead(at: Evaluation, values: Shaped[Numeric, "T S"]) -> Shaped[Numeric, "T S A"]:
    """``gamma sum_s' P(s'|s,a) values(s')``."""
    return at.model.gamma * at.model.numbers.dot(at.model.P, values[:, None, None, :])


def _arriving(at: Evaluation, x: Shaped[Numeric, "T S A"]) -> Shaped[Numeric, "T S"]:
    """``gamma sum_{s,a} x(s,a) P(s'|s,a)``, the adjoint of :func:`_ahead`."""
    tasks, states, actions = at.model.r.shape
    flat = np.swapaxes(at.model.P.reshape(tasks, states * actions, states), 1, 2)
    return at.model.gamma * at.model.numbers.dot(flat, x.reshape(tasks, 1, states * actions))


def _from_values(at: Evaluation, y: Shaped[Numeric, "T S"]) -> Shaped[Numeric, "T S A"]:
    """``sum_s y(s) d<pi, Q>(s)/dtheta`` with Q held fixed."""
    return y[..., None] * at.pi * at.advantage
