"""Policy evaluation as the inner problem of a bilevel problem, so that its error bounds can be decided exactly.

The inner problem is the fixed point ``w = Phi(w, theta) = r_pi + gamma P_pi w`` with ``pi = softmax(theta)``, a
contraction with factor ``q = gamma`` in the maximum norm; its solution is V. The outer objective is
``E(w) = rho . w``, so ``f(theta) = E(w(theta)) = J(pi)`` and the hypergradient is the policy gradient. Here E is
linear, ``d1 Phi = gamma P_pi`` does not depend on w, and ``d2 Phi(w)^T v`` is linear in w. Norms: maximum for w, its
dual (sum of absolute values) for the adjoint v, D for directions in logits and its dual for gradients
(:mod:`smoothness`). In these ``|grad E| = 1``, and ``d2 Phi`` is Lipschitz in w with constant ``gamma/2``
(proofs/truncated_backpropagation.md).
"""

from __future__ import annotations

from functools import reduce
from operator import add

from jaxtyping import Shaped

from bomrl_theory.exact.evaluate import Evaluation
from bomrl_theory.meta.derivatives import adjoint_terms
from bomrl_theory.numbers import Numeric
from bomrl_theory.theory.constants import per_task
from bomrl_theory.theory.measured import Measured


def inner_iterates(at: Evaluation, count: int) -> list[Shaped[Numeric, "T S"]]:
    """``w_0 = 0`` and count steps of ``w <- Phi(w)``: [count + 1]."""
    rewards = at.average(at.model.r)
    iterates = [at.model.numbers.full(rewards.shape, at.model.zero)]
    for _ in range(count):
        iterates.append(rewards + at.model.gamma * at.ahead(iterates[-1]))
    return iterates


def slopes(at: Evaluation, w: Shaped[Numeric, "T S"]) -> Shaped[Numeric, "T S A"]:
    """``d Phi(w)(s) / d theta(s,a)``: ``pi(a|s) (Q_w(s,a) - <pi, Q_w>(s))`` with ``Q_w = r + gamma P w``."""
    Q = at.model.action_value(w)
    return at.pi * (Q - at.average(Q)[..., None])


def slope_norm(at: Evaluation, w: Shaped[Numeric, "T S"]) -> Shaped[Numeric, " T"]:
    """``|d2 Phi(w)|``: the largest over states of half the sum of its absolute values."""
    numbers, x = at.model.numbers, slopes(at, w)
    return numbers.largest(numbers.maximum(x, -x).sum(axis=-1) / numbers.constant(2), -1)


def unrolled(at: Evaluation, count: int, kept: int) -> Shaped[Numeric, "T S A"]:
    """The gradient of ``E(w_count)`` by reverse mode through the last ``kept`` inner steps."""
    iterates, terms = inner_iterates(at, count), adjoint_terms(at, at.model.rho, kept)
    parts = [terms[j][..., None] * slopes(at, iterates[count - 1 - j]) for j in range(kept)]
    return reduce(add, parts)


def implicit(at: Evaluation, count: int, terms: int) -> Shaped[Numeric, "T S A"]:
    """Implicit differentiation at ``w_count``, with so many steps for the adjoint's linear system."""
    adjoint = reduce(add, adjoint_terms(at, at.model.rho, terms))
    return adjoint[..., None] * slopes(at, inner_iterates(at, count)[-1])


def largest_size(m: Measured, x: Shaped[Numeric, "T S"]) -> Shaped[Numeric, " T"]:
    """``max_s |x(s)|``."""
    return m.numbers.largest(m.numbers.maximum(x, -x), -1)


V_max = per_task(
    "V_max", "max_s |V^phi(s)|: |w(theta) - w_0|", "return", lambda m: largest_size(m, m.phi.V), nonnegative=True
)
L_Phi = per_task(
    "L_Phi",
    "max_s sum_a phi(a|s) |A^phi(s,a)| / 2: |d2 Phi| at the inner solution",
    "return",
    lambda m: slope_norm(m.phi, m.phi.V),
    nonnegative=True,
)
