"""Enclosures of linear-quadratic families in balls: their exact data, and their optimum with a proof.

**The optimum.** Let ``F(P) = H_xx - H_ux' H_uu^-1 H_ux`` with H of P be the Riccati operator and ``F_K(P) = R_x +
K'R_u K + gamma (A-BK)'P(A-BK)``; where ``H_uu > 0``, ``F(P) <= F_K(P)`` for every K.

- *From above*: for every K with ``sqrt(gamma) rho(A-BK) < 1``, the cost matrix P_K of ``u = -Kx`` is at least that of
  the optimum.
- *From below*: if ``H_uu(L) > 0`` and ``F(L) - L > 0``, then ``L < P_K`` for every such K, since ``(P_K - L) -
  gamma (A-BK)'(P_K - L)(A-BK) = F_K(L) - L >= F(L) - L > 0``. Policy iteration from one such K descends to a solution
  P* of ``P = F(P)`` between L and P_K, and the same identity at its gain K*, where ``P* - L >= 0``, shows that
  ``sqrt(gamma) rho(A-BK*) < 1``. So the optimum exists, is attained and stabilises.

Of ``D = P_K - L`` and ``0 <= P* - L <= D`` follows ``|(P* - L)_ij| <= sqrt(D_ii D_jj)``.
"""

from __future__ import annotations

import math

import flint
import numpy as np
from flint import arb
from jaxtyping import Float64

from bomrl_theory.linear_quadratic import balls
from bomrl_theory.linear_quadratic import closed_form as cf
from bomrl_theory.linear_quadratic.model import Model
from bomrl_theory.linear_quadratic.task import LinearQuadraticFamily
from bomrl_theory.numbers import FLOATS, Array, Numbers, SingularSystem

WIDENINGS = (1, 2**8, 2**16, 2**32)
"""How far below the approximate solution a lower bound is tried, in units of its residual."""
RELIABLE_BITS = 20
"""Correct bits of the float gain that policy iteration starts from; every sweep doubles them."""


def enclosed_model(family: LinearQuadraticFamily, numbers: Numbers) -> Model:
    """The family's exact data in a number system, balls or floats; inside ``numbers.activated()``."""
    A, B, W, R_x, R_u, mu0, S0 = (
        numbers.load(x) for x in (family.A, family.B, family.W, family.R_x, family.R_u, family.mu0, family.S0)
    )
    weights = numbers.normalised(family.weights)
    return Model(A, B, W, R_x, R_u, numbers.constant(family.gamma), mu0, S0, weights)


def enclosed_optimum(model: Model, guess: Float64[Array, "T m n"]) -> cf.Optimum:
    """The optimum in balls, from an untrusted gain near it.

    Raises:
        SingularSystem: at this precision no lower bound could be proved, or ``guess`` does not certainly stabilise.
    """
    K = np.vectorize(arb, otypes=[object])(guess)
    for _ in range(math.ceil(math.log2(flint.ctx.prec / RELIABLE_BITS)) + 1):
        K = balls.middle(_greedy(model, balls.middle(_cost(model, K))))
    above = _cost(model, K)
    start = balls.middle(above)
    direction = balls.middle(balls.lyapunov(cf.closed_loop(model, K), _identity(model), model.gamma))
    residual = _largest(_riccati(model, start) - start) + arb(2) ** -flint.ctx.prec * (
        _largest(start) + _largest(model.R_u)
    )
    for widening in WIDENINGS:
        below = start - (8 * widening * residual)[:, None, None] * direction
        below = balls.middle((below + below.mT) / 2)
        _, _, H_uu = cf.action_values(model, below)
        if balls.certainly_definite(H_uu) and balls.certainly_definite(_riccati(model, below) - below):
            return _between(model, below, above, residual)
    raise SingularSystem("no lower bound of the optimum could be proved at this precision")


def _between(model: Model, below: Array, above: Array, residual: Array) -> cf.Optimum:
    difference = above - below
    diagonal = np.diagonal(difference, axis1=-2, axis2=-1)
    width = np.vectorize(lambda x, y: (x * y).upper().sqrt().upper(), otypes=[object])(
        diagonal[:, :, None], diagonal[:, None, :]
    )
    P = below + np.vectorize(lambda x: arb(0, x), otypes=[object])(width)
    K = _greedy(model, P)
    c = model.gamma * cf.trace(P, model.W) / (1 - model.gamma)
    J = -cf.Quadratic(P, c).mean(model.start_moment)
    return cf.Optimum(P, c, K, J, residual, np.full(len(P), arb("nan"), dtype=object))


def _cost(model: Model, K: Array) -> Array:
    """P_K, with a proof that K stabilises."""
    return balls.lyapunov(cf.closed_loop(model, K), model.R_x + K.mT @ model.R_u @ K, model.gamma)


def _greedy(model: Model, P: Array) -> Array:
    _, H_ux, H_uu = cf.action_values(model, P)
    return balls.linalg.solve(H_uu, H_ux)


def _riccati(model: Model, P: Array) -> Array:
    H_xx, H_ux, H_uu = cf.action_values(model, P)
    return cf.symmetric(H_xx - H_ux.mT @ balls.linalg.solve(H_uu, H_ux))


def _largest(x: Array) -> Array:
    """At least every entry's size [T], exact."""
    flat = x.reshape(len(x), -1)
    return np.array([arb(max((abs(entry).upper() for entry in row), key=float)) for row in flat], dtype=object)


def _identity(model: Model) -> Array:
    return np.broadcast_to(np.vectorize(arb, otypes=[object])(np.eye(model.A.shape[-1])), model.A.shape)


def best(family: LinearQuadraticFamily, model: Model, numbers: Numbers) -> cf.Optimum:
    """The optimum in any number system: enclosed in balls, a residual in floats.

    Raises:
        SingularSystem: as :func:`enclosed_optimum`.
    """
    found = cf.optimum(family.model())
    return found if numbers is FLOATS else enclosed_optimum(model, found.K)
