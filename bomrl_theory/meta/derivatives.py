"""Exact derivatives of a policy's return, action value and visitation in its softmax logits.

Everything is batched over tasks and runs in any number system, like :class:`Evaluation` itself; use it inside
``numbers.activated()``. A direction ``u`` [T, S, A] moves the logits of every task's policy; the policy's
derivative is ``pi (u - <pi, u>)``. Adding a constant to all logits of a state changes nothing, so gradients sum
to zero over the actions of a state.
"""

from __future__ import annotations

from functools import reduce
from operator import add
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
    return at.nu[..., None] * at.pi * _sharp_advantage(at) / (1 - at.model.gamma)


def value_change(at: Evaluation, u: Shaped[Numeric, "T S A"]) -> Shaped[Numeric, "T S"]:
    """dV along u: ``(I - gamma P_pi)^-1 <dpi, Q>``, with ``<dpi, Q> = <dpi, A>`` because dpi sums to zero."""
    gain = at.model.numbers.dot(policy_change(at, u), at.advantage)
    return at.model.numbers.solve_discounted(at.P, at.model.gamma, gain)


def action_value_change(at: Evaluation, u: Shaped[Numeric, "T S A"]) -> Shaped[Numeric, "T S A"]:
    """dQ along u: ``gamma P dV``."""
    return _ahead(at, value_change(at, u))


def action_value_pullback(
    at: Evaluation, x: Shaped[Numeric, "T S A"], *, terms: int | None = None
) -> Shaped[Numeric, "T S A"]:
    """``(dQ/dtheta)^T x``: how ``sum x Q`` changes with the logits.

    Args:
        terms: solve the adjoint's linear system by so many steps of its fixed-point iteration, from zero, instead
            of exactly.
    """
    arriving = _arriving(at, x)
    if terms is None:
        y = at.model.numbers.solve_discounted(at.P, at.model.gamma, arriving, transposed=True)
    else:
        y = reduce(add, adjoint_terms(at, arriving, terms))
    return y[..., None] * at.pi * at.advantage


def adjoint_terms(at: Evaluation, start: Shaped[Numeric, "T S"], count: int) -> list[Shaped[Numeric, "T S"]]:
    """``(gamma P_pi^T)^j start`` for ``j < count``; all of them sum to ``(I - gamma P_pi^T)^-1 start``."""
    terms = [start]
    for _ in range(count - 1):
        terms.append(at.model.gamma * at.model.numbers.dot(np.swapaxes(at.P, 1, 2), terms[-1][:, None, :]))
    return terms


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
    """The evaluation of Alg^(2)'s exact solution ``pi(a) exp(Q(a)/lambda) / Z`` where pi goes."""
    return tilted(at, at.Q / lam)


def tilted(at: Evaluation, change: Shaped[Numeric, "T S A"]) -> Evaluation:
    """The evaluation of the policy whose logits are larger by ``change``: ``pi exp(change) / Z``.

    States that are never visited stay, and so do states whose logits all change alike: no return depends on
    the change, and what is rational stays rational.
    """
    numbers = at.model.numbers
    relative = change - change[..., :1]
    still = np.all(np.asarray(relative >= 0, dtype=bool) & np.asarray(relative <= 0, dtype=bool), axis=-1)
    grown = at.pi * numbers.exp(change - numbers.largest(change, -1, keepdims=True))  # exponents stay small
    policy = np.where((at.visited & ~still)[..., None], grown / grown.sum(axis=-1, keepdims=True), at.pi)
    return Evaluation(at.model, policy, at.weights)


def soft_hypergradient(at: Evaluation, lam: Any) -> tuple[Evaluation, Shaped[Numeric, "T S A"]]:
    """Alg^(2) solved exactly, and for each task the gradient of ``J(Alg^(2)(softmax(theta)))``."""
    plus = soft_step(at, lam)
    g = policy_gradient(plus)
    return plus, g + action_value_pullback(at, g) / lam


def maml_step(at: Evaluation, alpha: Any) -> Evaluation:
    """The evaluation after ``theta + alpha grad J(theta)``."""
    return tilted(at, alpha * policy_gradient(at))


def maml_hypergradient(at: Evaluation, alpha: Any) -> tuple[Evaluation, Shaped[Numeric, "T S A"]]:
    """MAML's step, and for each task the gradient of ``J(theta + alpha grad J(theta))``."""
    plus = maml_step(at, alpha)
    g = policy_gradient(plus)
    return plus, g + alpha * hessian_product(at, g)


def _ahead(at: Evaluation, values: Shaped[Numeric, "T S"]) -> Shaped[Numeric, "T S A"]:
    """``gamma sum_s' P(s'|s,a) values(s')``."""
    return at.model.gamma * at.model.numbers.dot(at.model.P, values[:, None, None, :])


def _arriving(at: Evaluation, x: Shaped[Numeric, "T S A"]) -> Shaped[Numeric, "T S"]:
    """``gamma sum_{s,a} x(s,a) P(s'|s,a)``, the adjoint of :func:`_ahead`."""
    tasks, states, actions = at.model.r.shape
    flat = np.swapaxes(at.model.P.reshape(tasks, states * actions, states), 1, 2)
    return at.model.gamma * at.model.numbers.dot(flat, x.reshape(tasks, 1, states * actions))


def _sharp_advantage(at: Evaluation) -> Shaped[Numeric, "T S A"]:
    """``sum_b pi(b) (Q(a) - Q(b))``, with each difference from the differences of rewards and transitions.

    Where pi is all but deterministic or actions tie, ``Q - V`` would lose the digits that pi's tail needs.
    """
    model = at.model
    total = model.numbers.full(model.r.shape, model.zero)
    for b in range(model.r.shape[-1]):
        steps = model.numbers.dot(model.P - model.P[:, :, b : b + 1], at.V[:, None, None, :])
        total = total + at.pi[..., b : b + 1] * (model.r - model.r[..., b : b + 1] + model.gamma * steps)
    return total
