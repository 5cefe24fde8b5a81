"""Exact derivatives of a policy's return, action value and visitation in its softmax logits.

Everything is batched over tasks and runs in any number system, like :class:`Evaluation` itself; use it inside
``numbers.activated()``. A direction ``u`` [T, S, A] moves the logits of every task's policy; the policy's
derivative is ``pi (u - <pi, u>)``. Adding a constant to all logits of a state changes nothing, so gradients sum
to zero over the actions of a state.

Each derivative of V or nu is one linear system of policy evaluation. Where a function takes ``terms``, that
many steps of its fixed-point iteration, from zero, can replace the exact solution.
"""

from __future__ import annotations

from functools import reduce
from operator import add

import numpy as np
from jaxtyping import Shaped

from bomrl_theory.exact.evaluate import Evaluation
from bomrl_theory.numbers import Numeric


def policy_change(at: Evaluation, u: Shaped[Numeric, "T S A"]) -> Shaped[Numeric, "T S A"]:
    """``d pi / d theta`` along u."""
    return at.pi * (u - at.average(u)[..., None])


def log_policy_pullback(at: Evaluation, x: Shaped[Numeric, "T S A"]) -> Shaped[Numeric, "T S A"]:
    """``(d log pi / d theta)^T x``."""
    return x - at.pi * x.sum(axis=-1, keepdims=True)


def policy_gradient(at: Evaluation) -> Shaped[Numeric, "T S A"]:
    """``dJ/dtheta(s,a) = nu(s) pi(a|s) A(s,a) / (1-gamma)``."""
    return at.nu[..., None] * at.pi * at.sharp_advantage / (1 - at.model.gamma)


def value_change(at: Evaluation, u: Shaped[Numeric, "T S A"], *, terms: int | None = None) -> Shaped[Numeric, "T S"]:
    """dV along u: ``(I - gamma P_pi)^-1 <dpi, Q>``, with ``<dpi, Q> = <dpi, A>`` because dpi sums to zero."""
    return _solved(at, at.model.numbers.dot(policy_change(at, u), at.advantage), terms)


def action_value_change(at: Evaluation, u: Shaped[Numeric, "T S A"]) -> Shaped[Numeric, "T S A"]:
    """dQ along u: ``gamma P dV``."""
    return _ahead(at, value_change(at, u))


def action_value_pullback(
    at: Evaluation,
    x: Shaped[Numeric, "T S A"],
    *,
    Q: Shaped[Numeric, "T S A"] | None = None,
    terms: int | None = None,
) -> Shaped[Numeric, "T S A"]:
    """``(dQ/dtheta)^T x``: how ``sum x Q`` changes with the logits.

    Args:
        Q: the action value of another signal than the reward, such as a cost, under the same policy.
    """
    y = _solved(at, _arriving(at, x), terms, transposed=True)
    advantage = at.advantage if Q is None else Q - at.average(Q)[..., None]
    return y[..., None] * at.pi * advantage


def adjoint_terms(at: Evaluation, start: Shaped[Numeric, "T S"], count: int) -> list[Shaped[Numeric, "T S"]]:
    """``(gamma P_pi^T)^j start`` for ``j < count``; all of them sum to ``(I - gamma P_pi^T)^-1 start``."""
    return _series(at, np.swapaxes(at.P, 1, 2), start, count)


def visitation_change(
    at: Evaluation, u: Shaped[Numeric, "T S A"], *, terms: int | None = None
) -> Shaped[Numeric, "T S"]:
    """dnu along u: ``gamma nu dP_pi (I - gamma P_pi)^-1``."""
    return _solved(at, _arriving(at, at.nu[..., None] * policy_change(at, u)), terms, transposed=True)


def visitation_pullback(
    at: Evaluation, x: Shaped[Numeric, "T S"], *, terms: int | None = None
) -> Shaped[Numeric, "T S A"]:
    """``(dnu/dtheta)^T x``: how ``sum x nu`` changes with the logits."""
    ahead = _ahead(at, _solved(at, x, terms))
    return at.nu[..., None] * at.pi * (ahead - at.average(ahead)[..., None])


def hessian_product(
    at: Evaluation, u: Shaped[Numeric, "T S A"], *, terms: int | None = None
) -> Shaped[Numeric, "T S A"]:
    """The Hessian of J times u: the policy gradient's derivative along u."""
    dV = value_change(at, u, terms=terms)
    change = (
        visitation_change(at, u, terms=terms)[..., None] * at.pi * at.advantage
        + at.nu[..., None] * policy_change(at, u) * at.advantage
        + at.nu[..., None] * at.pi * (_ahead(at, dV) - dV[..., None])
    )
    return change / (1 - at.model.gamma)


def _solved(
    at: Evaluation, right: Shaped[Numeric, "T S"], terms: int | None, *, transposed: bool = False
) -> Shaped[Numeric, "T S"]:
    """``(I - gamma P_pi)^-1 right``, or with the transposed matrix; or so many terms of its series."""
    if terms is None:
        return at.model.numbers.solve_discounted(at.P, at.model.gamma, right, transposed=transposed)
    return reduce(add, _series(at, np.swapaxes(at.P, 1, 2) if transposed else at.P, right, terms))


def _series(
    at: Evaluation, P: Shaped[Numeric, "T S S"], start: Shaped[Numeric, "T S"], count: int
) -> list[Shaped[Numeric, "T S"]]:
    """``(gamma P)^j start`` for ``j < count``."""
    terms = [start]
    for _ in range(count - 1):
        terms.append(at.model.gamma * at.model.numbers.dot(P, terms[-1][:, None, :]))
    return terms


def _ahead(at: Evaluation, values: Shaped[Numeric, "T S"]) -> Shaped[Numeric, "T S A"]:
    """``gamma sum_s' P(s'|s,a) values(s')``."""
    return at.model.gamma * at.model.numbers.dot(at.model.P, values[:, None, None, :])


def _arriving(at: Evaluation, x: Shaped[Numeric, "T S A"]) -> Shaped[Numeric, "T S"]:
    """``gamma sum_{s,a} x(s,a) P(s'|s,a)``, the adjoint of :func:`_ahead`."""
    tasks, states, actions = at.model.r.shape
    flat = np.swapaxes(at.model.P.reshape(tasks, states * actions, states), 1, 2)
    return at.model.gamma * at.model.numbers.dot(flat, x.reshape(tasks, 1, states * actions))
