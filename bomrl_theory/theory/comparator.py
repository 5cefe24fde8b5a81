"""Comparator errors ``e_i(s)`` of the universal contraction bound (THEORY section 2).

``e_i(s) = inf_q <pi* - q, Q^phi> + lambda d_i(phi, q)``. Any feasible q gives a valid upper bound, so
the free parameter of q (eps for i = 1, t for i = 3) is chosen in float64 and then taken as the exact
double it is: nothing rests on how well it was minimised.

The bounds hold for policies that only nearly solve their inner problem: ``eta(s)``, measured
rigorously, is by how much pi+ falls short of the two competitors that the proof uses, phi and q.
"""

from __future__ import annotations

import numpy as np
import sympy as sp
from jaxtyping import Float64, Shaped

from bomrl_theory.numbers import Array, Numeric, to_floats
from bomrl_theory.theory.constants import Constant, a, gamma, lam, p, per_state, rho, scalar, values
from bomrl_theory.theory.expression import Expr, evaluate, largest_over_states, over_states
from bomrl_theory.theory.measured import Measured

STATES_AT_A_TIME = 10_000
"""In the search for the best t, whose grid has some hundred points a state."""


def best_eps(m: Measured) -> Float64[Array, "T S"]:
    """The minimiser of e_1 over (0, 1]: 1 if a <= 0, else the smaller root of
    ``a q eps^2 - (a + lambda q) eps + lambda q`` with ``q = 1 - p`` (proofs/contraction_kl_prior.md)."""
    gain, weight = to_floats(m.at_star(m.phi.advantage)), float(m.case.lam)
    rest = to_floats(1 - m.at_star(m.phi.pi))
    with np.errstate(invalid="ignore", divide="ignore"):
        linear = gain + weight * rest
        root = 2 * weight * rest / (linear + np.sqrt(np.maximum(linear**2 - 4 * gain * weight * rest**2, 0)))
    usable = (gain > 0) & (root > 0) & (root < 1)
    return np.where(usable, root, 1.0)


def best_t(m: Measured) -> Float64[Array, "T S"]:
    """A minimiser of e_3 over t >= 0 by a logarithmic grid with refinement; 0 where a <= 0."""
    gain, probability = to_floats(m.at_star(m.phi.advantage)), to_floats(m.at_star(m.phi.pi))
    ell = np.minimum(to_floats(effective_lambda(m)), 1e300) * (1 - 1 / m.case.family.actions)
    parts = [slice(start, start + STATES_AT_A_TIME) for start in range(0, gain.shape[-1], STATES_AT_A_TIME)]
    found = [_best_t(gain[:, part], probability[:, part], ell[:, part]) for part in parts]
    return np.where((gain > 0) & m.phi.visited, np.concatenate(found, axis=-1), 0.0)


def _best_t(
    gain: Float64[Array, "T S"], probability: Float64[Array, "T S"], ell: Float64[Array, "T S"]
) -> Float64[Array, "T S"]:
    grid = np.concatenate([[0.0], np.geomspace(1e-6, 700.0, 200)])[:, None, None]
    found = np.zeros_like(gain)
    for _ in range(4):
        with np.errstate(over="ignore"):
            cost = gain / (1 - probability + probability * np.exp(grid)) + ell * grid**2
        best = cost.argmin(axis=0)[None]
        grid = np.broadcast_to(grid, cost.shape)
        low = np.take_along_axis(grid, np.maximum(best - 1, 0), 0)
        high = np.take_along_axis(grid, np.minimum(best + 1, len(grid) - 1), 0)
        found = np.take_along_axis(grid, best, 0)[0]
        grid = low + (high - low) * np.linspace(0, 1, 33)[:, None, None]
    return found


def effective_lambda(m: Measured) -> Shaped[Numeric, "T S"]:
    """``lambda / nu^phi(s)``; 0 at unvisited states, where Alg^(3) stays at phi and t = 0."""
    return np.where(m.phi.visited, m.lam / np.where(m.phi.visited, m.phi.nu, m.numbers.constant(1)), m.model.zero)


eps = per_state(
    "eps",
    "mixture weight of phi in the comparator (1-eps) pi* + eps phi",
    "1",
    lambda m: m.numbers.load(best_eps(m)),
    positive=True,
)
t = per_state("t", "logit added to a* in the comparator", "1", lambda m: m.numbers.load(best_t(m)), nonnegative=True)
FREE_PARAMETERS = (eps, t)
"""Constants that the verifier is free to choose: any admissible double gives a valid bound."""
ell = per_state("ell", "lambda / nu_phi(s)", "return", effective_lambda, nonnegative=True)
actions = scalar(
    "A", "number of actions", "1", lambda m: m.numbers.constant(m.case.family.actions), shared=True, positive=True
)

E1 = eps.symbol * a.symbol + lam.symbol * (
    p.symbol * sp.log(p.symbol / (1 - eps.symbol * (1 - p.symbol))) - (1 - p.symbol) * sp.log(eps.symbol)
)
"""e_1 with q = (1-eps) pi* + eps phi."""
E2 = -lam.symbol * sp.log(p.symbol)
"""e_2 with q = pi*."""
E3 = a.symbol / (1 - p.symbol + p.symbol * sp.exp(t.symbol)) + ell.symbol * t.symbol**2 * (1 - 1 / actions.symbol)
"""e_3 with q = softmax(theta_phi + t e_{a*}); the penalty of that direction is centred."""

COMPARATOR_ERRORS: dict[str, tuple[Expr, tuple[Constant, ...]]] = {
    "kl-prior": (E1, (a, lam, p, eps)),
    "kl-posterior": (E2, (lam, p)),
    "euclidean": (E3, (a, p, t, ell, actions)),
}


def comparator_error(m: Measured) -> Shaped[Numeric, "T S"]:
    """``e_i(s)`` of the case's algorithm."""
    expression, constants = COMPARATOR_ERRORS[m.case.algorithm.name]
    return np.broadcast_to(evaluate(expression, values(constants, m), m.numbers, m.phi.V.shape), m.phi.V.shape)


def inner_error(m: Measured) -> Shaped[Numeric, "T S"]:
    """``max(0, g(phi) - g(pi+), g(q) - g(pi+))`` with g the algorithm's objective at the state.

    States that pi+ never visits cannot cost any return, so they count 0.
    """
    wanted = m.numbers.maximum(m.phi.V, m.at_star(m.phi.Q) - values([e], m)["e"])
    return shortfall(m, wanted - m.reached)


def shortfall(m: Measured, missing: Shaped[Numeric, "T S"]) -> Shaped[Numeric, "T S"]:
    """``max(0, missing)`` where pi+ goes; elsewhere it cannot cost any return, and counts 0."""
    short = m.numbers.maximum(missing, m.numbers.full(m.phi.V.shape, m.model.zero))
    return np.where(m.plus.visited, short, m.model.zero)


e = per_state("e", "comparator error e_i of the case's algorithm; may be negative", "return", comparator_error)
eta = per_state(
    "eta",
    "inner error: by how much pi+ falls short of phi and of the comparator in its own objective, where pi+ goes",
    "return",
    inner_error,
    nonnegative=True,
)

e_post = per_state(
    "e_post",
    "<pi* - pi+, Q^phi> + lambda d_i(phi, pi+): comparator error of pi+ itself; may be negative",
    "return",
    lambda m: m.at_star(m.phi.Q) - m.reached,
)
eta_phi = per_state(
    "eta_phi",
    "by how much pi+ falls short of phi in the algorithm's objective, where pi+ goes",
    "return",
    lambda m: shortfall(m, m.phi.V - m.reached),
    nonnegative=True,
)

KEPT = gamma.symbol / (1 - gamma.symbol) * largest_over_states(eta_phi.symbol)
"""What a policy that loses against phi costs in the long run: zero for one that does not."""
INNER = over_states(rho.symbol * eta.symbol) + gamma.symbol / (1 - gamma.symbol) * largest_over_states(eta.symbol)
"""What an inexact inner solution costs (THEORY section 6 with eps = 0); zero for the exact argmax."""
