"""How fast the return changes with softmax logits: the constants of the meta-training bounds (THEORY section 8).

Directions u are measured by ``D(u) = max_s (max_a u(s,a) - min_a u(s,a))``, which does not see constant shifts of a
state's logits, or by their Euclidean length ``|u| >= D(u)/sqrt 2``. Gradients are measured by the dual of D, half the
sum of their absolute values, or by their Euclidean length. R is the span of the rewards, n the number of states.
Proofs: proofs/policy_gradient_bound.md, proofs/return_smoothness.md and proofs/meta_smoothness.md.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import sympy as sp
from jaxtyping import Bool, Shaped

from bomrl_theory.exact.evaluate import Evaluation
from bomrl_theory.meta.derivatives import policy_gradient, soft_step
from bomrl_theory.numbers import Array, Numeric
from bomrl_theory.theory.constants import Constant, R, gamma, lam, per_task, scalar, values
from bomrl_theory.theory.expression import Expr, evaluate
from bomrl_theory.theory.measured import Measured

n = scalar("n", "number of states", "1", lambda m: m.numbers.constant(m.case.family.states), shared=True, positive=True)

_g, _H = gamma.symbol, 1 / (1 - gamma.symbol)
_UNIT = R.symbol * _H / 4

GRADIENT = _UNIT * sp.Min(n.symbol, sp.sqrt((1 + _g) * _H))
"""``|dJ| <= GRADIENT D(u)``, from every start."""
SPREAD = _UNIT * sp.Min(n.symbol, 2 * sp.sqrt((1 + _g) * _H))
"""``span dV <= SPREAD D(u)``."""
_PAIRS = 1 + 2 * sp.sqrt(1 + _g) * sp.Min(_g * sp.sqrt(_H), sp.sqrt(2))
CURVATURE = _UNIT / 2 * sp.Min(n.symbol + _g * _H * (n.symbol - 1), _H * _PAIRS)
"""``|d^2 J| <= CURVATURE D(u)^2``, from every start."""
THIRD = _H * (7 * R.symbol * _H / 16 + 3 * _g * SPREAD / 8 + 3 * _g * CURVATURE / 2)
"""``|d^3 J| <= THIRD D(u)^3``."""
SMOOTHNESS = _UNIT * sp.Min(1 + _g * _H * sp.sqrt(n.symbol - 1) / 2, _H * _PAIRS)
"""L_V: the Euclidean Lipschitz constant of the policy gradient."""
CHAIN = _g * SPREAD / lam.symbol
"""kappa: ``D(dQ^phi/lambda) <= kappa D(u)``, how much a step of Alg^(2) may add to a direction."""
META_SMOOTHNESS = 2 * CURVATURE * ((1 + CHAIN) ** 2 + 2 * _g * GRADIENT / lam.symbol)
"""L_F: the Euclidean Lipschitz constant of the hypergradient of Alg^(2)."""


def each_task(m: Measured, x: Shaped[Numeric, "T S A"]) -> Shaped[Numeric, " T"]:
    """The sum over states and actions."""
    return x.reshape(len(x), -1).sum(axis=-1)


def square(m: Measured, x: Shaped[Numeric, "T S A"]) -> Shaped[Numeric, " T"]:
    """Squared Euclidean length for each task."""
    return each_task(m, x * x)


gradient_square = per_task(
    "g2", "|grad J(phi)|^2", "return^2", lambda m: square(m, policy_gradient(m.phi)), nonnegative=True
)


def dual_norm(m: Measured, x: Shaped[Numeric, "T S A"]) -> Shaped[Numeric, " T"]:
    """``max <x, u>`` over ``D(u) <= 1``, for x that sums to zero at every state: half the sum of absolute values."""
    return each_task(m, m.numbers.maximum(x, -x)) / m.numbers.constant(2)


def same_policy(m: Measured) -> Bool[Array, " T"]:
    """Where pi+ certainly is phi, so that whatever they are compared in is equal, also in balls."""
    difference = m.plus.pi - m.phi.pi
    zero = np.asarray(difference >= 0, dtype=bool) & np.asarray(difference <= 0, dtype=bool)
    return np.all((m.phi.weights == m.plus.weights) | zero, axis=(-2, -1))


def difference(
    m: Measured, at_plus: Shaped[Numeric, "T S A"], at_phi: Shaped[Numeric, "T S A"]
) -> Shaped[Numeric, "T S A"]:
    """Of something at pi+ and at phi; exactly zero where they are one policy."""
    return np.where(same_policy(m)[:, None, None], m.model.zero, at_plus - at_phi)


def displacement(m: Measured) -> Shaped[Numeric, "T S A"]:
    """Logits of pi+ less those of phi, centred at every state: the gauge in which the distance is smallest."""
    change = m.numbers.log(m.plus.pi / m.phi.pi)
    return change - change.sum(axis=-1, keepdims=True) / m.numbers.constant(change.shape[-1])


def soft(m: Measured) -> Evaluation:
    """The evaluation of Alg^(2)'s exact solution from phi."""
    return soft_step(m.phi, m.lam)


distance = per_task(
    "d2",
    "|theta' - theta|^2: squared distance of the centred logits of pi+ and phi",
    "1",
    lambda m: square(m, displacement(m)),
    nonnegative=True,
)


def measure(m: Measured, expression: Expr, constants: Iterable[Constant]) -> Shaped[Numeric, "tasks one"]:
    """An expression in these constants at every task, for measurements that take steps of a certified length."""
    value = evaluate(expression, values(constants, m), m.numbers, m.phi.V.shape)
    return np.broadcast_to(value, (len(m.phi.V), 1))
