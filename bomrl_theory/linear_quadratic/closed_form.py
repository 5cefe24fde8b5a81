"""Closed forms of linear-quadratic control with linear-Gaussian policies, batched over tasks (THEORY section 10).

The same code runs on NumPy arrays and on torch tensors of any dtype and device, and is differentiable there:
``d J(pi+) / d(K, Sigma)`` through :func:`evaluate`, :func:`adapt` and :func:`evaluate` again comes from autograd.
Quadratic functions ``x'Mx + c`` of the state are pairs (M [T, n, n], c [T]). Floats carry no guarantee:
:mod:`bomrl_theory.linear_quadratic.enclose` has the enclosures.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from bomrl_theory.linear_quadratic.model import Model, namespace

DOUBLINGS = 64
NEGLIGIBLE, BEYOND = 1e-9, 1e90
"""A power of the closed loop below the first adds its square at most; above the second it will not come back."""


class Quadratic(NamedTuple):
    """``x'M x + c`` for each task: M [T, n, n], symmetric, and c [T]."""

    M: Any
    c: Any

    def mean(self, moment: Any) -> Any:
        """The expectation [T] over states with ``E x x' = moment`` [T, n, n]."""
        return trace(self.M, moment) + self.c

    def plus(self, other: Quadratic, factor: float = 1.0) -> Quadratic:
        """``self + factor * other``."""
        return Quadratic(self.M + factor * other.M, self.c + factor * other.c)


def trace(x: Any, y: Any) -> Any:
    """``tr(x y)`` over the last two axes."""
    return (x * y.mT).sum((-2, -1))


def symmetric(x: Any) -> Any:
    """The symmetric part."""
    return (x + x.mT) / 2


def closed_loop(model: Model, K: Any) -> Any:
    """``A - B K`` [T, n, n]."""
    return model.A - model.B @ K


def spectral_radius(model: Model, K: Any) -> Any:
    """``sqrt(gamma) rho(A - B K)`` [T]; NaN where K is not finite."""
    xp = namespace(model.A)
    F = closed_loop(model, K)
    usable = xp.isfinite(F).all(-1).all(-1)
    F = xp.where(usable[..., None, None], F, xp.zeros_like(F))
    return xp.where(usable, model.gamma**0.5 * xp.amax(xp.abs(xp.linalg.eigvals(F)), -1), float("nan"))


def lyapunov(F: Any, M: Any, gamma: float) -> Any:
    """P [T, n, n] with ``P = M + gamma F'P F``, by doubling (Smith 1968); NaN where ``sqrt(gamma) rho(F) >= 1``."""
    xp = namespace(F)
    P, F = M, gamma**0.5 * F
    size = xp.amax(xp.abs(F), (-2, -1))
    with np.errstate(all="ignore"):
        for _ in range(DOUBLINGS):
            if not bool(((size > NEGLIGIBLE) & (size < BEYOND)).any()):
                break
            P = P + F.mT @ P @ F
            F = F @ F
            size = xp.amax(xp.abs(F), (-2, -1))
    return symmetric(xp.where((size <= NEGLIGIBLE)[..., None, None], P, float("nan")))


def discounted(model: Model, K: Any, Sigma: Any, cost: Quadratic) -> Quadratic:
    """``E sum_t gamma^t cost(x_t)`` from each state under ``u ~ N(-Kx, Sigma)``."""
    M = lyapunov(closed_loop(model, K), cost.M, model.gamma)
    spread = model.W + model.B @ Sigma @ model.B.mT
    return Quadratic(M, (cost.c + model.gamma * trace(M, spread)) / (1 - model.gamma))


@dataclass(frozen=True, eq=False)
class Evaluation:
    """A policy's value ``V(x) = -(x'P x + c)`` and ``Q(x,u) = -(x'H_xx x + 2 u'H_ux x + u'H_uu u + c_Q)``.

    Attributes:
        K, Sigma: the policy, [m, n] and [m, m], or with the axis T in front.
        P, c: [T, n, n] and [T].
        H_xx, H_ux, H_uu: [T, n, n], [T, m, n], [T, m, m].
        c_Q: ``gamma (tr P W + c)`` [T].
        J: return from the start distribution [T].

    Everything but K and Sigma is NaN where ``sqrt(gamma) rho(A - BK) >= 1``.
    """

    K: Any
    Sigma: Any
    P: Any
    c: Any
    H_xx: Any
    H_ux: Any
    H_uu: Any
    c_Q: Any
    J: Any

    @property
    def cost(self) -> Quadratic:
        """``-V``."""
        return Quadratic(self.P, self.c)


def action_values(model: Model, P: Any) -> tuple[Any, Any, Any]:
    """H_xx, H_ux and H_uu of the value ``-x'Px``."""
    PA, PB = model.gamma * P @ model.A, model.gamma * P @ model.B
    return (
        symmetric(model.R_x + model.A.mT @ PA),
        model.B.mT @ PA,
        symmetric(model.R_u + model.B.mT @ PB),
    )


def evaluate(model: Model, K: Any, Sigma: Any) -> Evaluation:
    """Value, action values and return of ``u ~ N(-Kx, Sigma)`` on every task."""
    cost = Quadratic(model.R_x + K.mT @ model.R_u @ K, trace(model.R_u, Sigma))
    P, c = discounted(model, K, Sigma, cost)
    c_Q = model.gamma * (trace(P, model.W) + c)
    J = -Quadratic(P, c).mean(model.start_moment)
    return Evaluation(K, Sigma, P, c, *action_values(model, P), c_Q, J)


@dataclass(frozen=True, eq=False)
class Optimum:
    """The optimal policy ``u = -K x`` and its value ``V*(x) = -(x'P x + c)``.

    Attributes:
        P, c, K, J: [T, n, n], [T], [T, m, n], [T].
        residual: of the Riccati equation, relative to P, [T].
        radius: ``sqrt(gamma) rho(A - BK)`` [T].
    """

    P: Any
    c: Any
    K: Any
    J: Any
    residual: Any
    radius: Any

    @property
    def cost(self) -> Quadratic:
        """``-V*``."""
        return Quadratic(self.P, self.c)


def optimum(model: Model) -> Optimum:
    """The Riccati solution by structure-preserving doubling (Chu, Fan, Lin & Wang 2004)."""
    xp = namespace(model.A)
    identity = xp.linalg.matrix_power(model.A, 0)
    with np.errstate(all="ignore"):
        F = model.gamma**0.5 * model.A
        G = model.gamma * model.B @ xp.linalg.solve(model.R_u, model.B.mT)
        P = model.R_x
        for _ in range(DOUBLINGS):
            half = xp.linalg.solve(identity + G @ P, F)
            G, P = (
                symmetric(G + F @ xp.linalg.solve(identity + G @ P, G) @ F.mT),
                symmetric(P + F.mT @ P @ half),
            )
            F = F @ half
            size = xp.amax(xp.abs(F), (-2, -1))
            if not bool(((size > NEGLIGIBLE) & (size < BEYOND)).any()):
                break
        _, H_ux, H_uu = action_values(model, P)
        K = xp.linalg.solve(H_uu, H_ux)
        M = lyapunov_step(model, K, P)
        scale = 1e-300 + xp.amax(xp.abs(P), (-2, -1))
        residual = xp.amax(xp.abs(P - M), (-2, -1)) / scale
        c = model.gamma * trace(P, model.W) / (1 - model.gamma)
        return Optimum(P, c, K, -Quadratic(P, c).mean(model.start_moment), residual, spectral_radius(model, K))


def lyapunov_step(model: Model, K: Any, P: Any) -> Any:
    """``R_x + K'R_u K + gamma (A-BK)'P(A-BK)``: one sweep of evaluating ``u = -Kx``."""
    F = closed_loop(model, K)
    return model.R_x + K.mT @ model.R_u @ K + model.gamma * F.mT @ P @ F


def adapt(phi: Evaluation, lam: float) -> tuple[Any, Any]:
    """Alg^(2): K+ [T, m, n] and Sigma+ [T, m, m], the maximiser of ``<pi, Q^phi> - lambda KL(pi || phi)``."""
    return adapted(phi.K, phi.Sigma, phi.H_ux, phi.H_uu, lam)


def adapted(K: Any, Sigma: Any, H_ux: Any, H_uu: Any, lam: float) -> tuple[Any, Any]:
    """As :func:`adapt`, for any estimate of ``H_ux`` and ``H_uu``; the precision must be positive definite."""
    xp = namespace(H_uu)
    precision = xp.linalg.inv(Sigma)
    new = symmetric(xp.linalg.inv(symmetric(precision + (2 / lam) * H_uu)))
    return new @ (precision @ K + (2 / lam) * H_ux), new


def divergence(K: Any, Sigma: Any, K_phi: Any, Sigma_phi: Any) -> Quadratic:
    """``KL(N(-Kx, Sigma) || N(-K_phi x, Sigma_phi))`` as a function of x, in nats."""
    xp = namespace(Sigma)
    precision = xp.linalg.inv(Sigma_phi)
    difference = K - K_phi
    logs = xp.linalg.slogdet(Sigma_phi)[1] - xp.linalg.slogdet(Sigma)[1]
    constant = (trace(precision, Sigma) - Sigma.shape[-1] + logs) / 2
    return Quadratic(difference.mT @ precision @ difference / 2, constant)


def comparator_error(phi: Evaluation, best: Optimum, lam: float) -> Quadratic:
    """``e_2(x) = tr(H_uu Sigma+) + lambda KL(N(-K*x, Sigma+) || N(-Kx, Sigma))`` (THEORY section 10)."""
    _, Sigma = adapt(phi, lam)
    M, c = divergence(best.K, Sigma, phi.K, phi.Sigma)
    return Quadratic(lam * M, trace(phi.H_uu, Sigma) + lam * c)


def ahead(model: Model, K: Any, function: Quadratic) -> Quadratic:
    """``E function(x')`` from each state under ``u = -Kx``."""
    F = closed_loop(model, K)
    return Quadratic(F.mT @ function.M @ F, function.c + trace(function.M, model.W))


def contraction_bound(model: Model, phi: Evaluation, best: Optimum, lam: float) -> Any:
    """THEORY section 2: ``E_rho [gamma E_{x'|x,pi*}(V* - V^phi)(x') + e_2(x)]`` [T], never below ``J* - J(pi+)``."""
    difference = phi.cost.plus(best.cost, -1.0)
    total = comparator_error(phi, best, lam).plus(ahead(model, best.K, difference), model.gamma)
    return total.mean(model.start_moment)


def shortfall(phi: Evaluation, K: Any, Sigma: Any, lam: float) -> Quadratic:
    """``b(x)``: what ``u ~ N(-Kx, Sigma)`` lacks at x of the maximum of Alg^(2)'s exact objective.

    By the three-point identity it is ``lambda KL(N(-Kx, Sigma) || pi+(x))`` with the exact maximiser pi+.
    """
    M, c = divergence(K, Sigma, *adapt(phi, lam))
    return Quadratic(lam * M, lam * c)


def inexact_bound(model: Model, phi: Evaluation, best: Optimum, K: Any, Sigma: Any, lam: float) -> Any:
    """Section 2's bound for any ``u ~ N(-Kx, Sigma)`` in place of pi+: add b where it goes (THEORY section 6), [T].

    ``E_rho [gamma P*(V* - V^phi) + e_2 + sum_{t>=0} gamma^t P_pi^t b]``; NaN where
    ``sqrt(gamma) rho(A - BK) >= 1``.
    """
    lost = discounted(model, K, Sigma, shortfall(phi, K, Sigma, lam))
    return contraction_bound(model, phi, best, lam) + lost.mean(model.start_moment)


@dataclass(frozen=True, eq=False)
class Adaptation:
    """Everything on both sides of section 2's bound, [T] each where nothing else is said.

    Attributes:
        phi, plus: evaluations before and after the step.
        best: the optimum.
        gap, gap_phi: ``J* - J(pi+)`` and ``J* - J(phi)``.
        bound: section 2's.
    """

    phi: Evaluation
    plus: Evaluation
    best: Optimum
    gap: Any
    gap_phi: Any
    bound: Any


def adaptation(model: Model, K: Any, Sigma: Any, lam: float, best: Optimum | None = None) -> Adaptation:
    """One exact Alg^(2) step from ``u ~ N(-Kx, Sigma)`` on every task."""
    best = best or optimum(model)
    phi = evaluate(model, K, Sigma)
    plus = evaluate(model, *adapt(phi, lam))
    bound = contraction_bound(model, phi, best, lam)
    return Adaptation(phi, plus, best, best.J - plus.J, best.J - phi.J, bound)


def adaptation_steps(model: Model, K: Any, Sigma: Any, lam: float, steps: int) -> tuple[list[Evaluation], Any]:
    """K steps of collecting and solving (THEORY section 2): evaluations [K+1], phi first, and their bound [T].

    The bound is ``E_rho [(gamma P*)^K (V* - V^phi) + sum_j (gamma P*)^j e^(K-1-j)]``.
    """
    best = optimum(model)
    path = [evaluate(model, K, Sigma)]
    total = path[0].cost.plus(best.cost, -1.0)
    for _ in range(steps):
        error = comparator_error(path[-1], best, lam)
        total = error.plus(ahead(model, best.K, total), model.gamma)
        path.append(evaluate(model, *adapt(path[-1], lam)))
    return path, total.mean(model.start_moment)
