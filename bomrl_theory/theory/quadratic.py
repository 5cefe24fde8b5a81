"""Constants of linear-quadratic control with Gaussian policies: expectations over the start distribution."""

from __future__ import annotations

from typing import Any

from bomrl_theory.linear_quadratic import closed_form as cf
from bomrl_theory.theory.constants import per_task
from bomrl_theory.theory.linear_quadratic import LinearQuadraticView


def lookahead(m: LinearQuadraticView) -> Any:
    """``E_rho P_{pi*}(V* - V^phi)`` [T]."""
    return m.started(m.ahead(m.phi.cost.plus(m.star.cost, -1)))


def spread(m: LinearQuadraticView) -> Any:
    """``tr(H_uu Sigma+)`` [T]."""
    return cf.trace(m.phi.H_uu, cf.adapt(m.phi, m.lam)[1])


def divergence_from_phi(m: LinearQuadraticView) -> Any:
    """``E_rho KL(N(-K*x, Sigma+) || N(-Kx, Sigma))`` [T]."""
    return m.started(cf.divergence(m.star.K, cf.adapt(m.phi, m.lam)[1], m.phi.K, m.phi.Sigma))


def smallest_error(m: LinearQuadraticView) -> Any:
    """``E_rho`` of what pi*'s action is worth less the exact maximum of the inner objective [T].

    The maximum lacks of the comparator's objective its distance from it, ``lambda KL(N(-K*x, Sigma+) || pi+)``.
    """
    lost = cf.shortfall(m.phi, m.star.K, cf.adapt(m.phi, m.lam)[1], m.lam)
    return m.started(cf.comparator_error(m.phi, m.star, m.lam).plus(lost, -1))


def shortfall_along(m: LinearQuadraticView) -> Any:
    """``E sum_t gamma^t b(x_t)`` along pi+ from the start [T]."""
    b = cf.shortfall(m.phi, m.plus.K, m.plus.Sigma, m.lam)
    return m.started(cf.discounted(m.model, m.plus.K, m.plus.Sigma, b))


def steps_bound(m: LinearQuadraticView) -> Any:
    """``E_rho [(gamma P*)^K (V* - V^phi) + sum_j (gamma P*)^j e^(K-1-j)]`` [T]."""
    total = m.phi.cost.plus(m.star.cost, -1)
    for evaluation in m.path[:-1]:
        total = cf.comparator_error(evaluation, m.star, m.lam).plus(m.ahead(total), m.model.gamma)
    return m.started(total)


D_rho = per_task(
    "D_rho",
    "E_rho P_{pi*}(V* - V^phi): the meta-policy's gap one optimal step ahead",
    "return",
    lookahead,
    nonnegative=True,
)
h = per_task("h", "tr(H_uu Sigma+): what the comparator's noise costs", "return", spread, nonnegative=True)
KL_q = per_task(
    "KL_q",
    "E_rho KL(N(-K*x, Sigma+) || N(-Kx, Sigma)): the comparator's divergence from phi",
    "nats",
    divergence_from_phi,
    nonnegative=True,
)
e_rho = per_task(
    "e_rho",
    "E_rho [Q^phi(x, -K*x) - max_pi (<pi, Q^phi> - lambda KL(pi || phi))]: the smallest comparator error",
    "return",
    smallest_error,
)
b_plus = per_task(
    "b_plus",
    "E sum_t gamma^t b(x_t) along pi+: what pi+ lacks of the maximum of the inner objective, where it goes",
    "return",
    shortfall_along,
    nonnegative=True,
)
C_K = per_task(
    "C_K",
    "E_rho [(gamma P*)^K (V* - V^phi) + sum_j (gamma P*)^j e^(K-1-j)]: contraction over K steps",
    "return",
    steps_bound,
    nonnegative=True,
)
