"""Universal contraction bound for Alg^(2) in continuous control with a known optimum (THEORY section 10)."""

import sympy as sp

from bomrl_theory.theory.constants import gamma, gap, lam
from bomrl_theory.theory.expression import Expr
from bomrl_theory.theory.linear_quadratic import LinearQuadraticCase
from bomrl_theory.theory.quadratic import D_rho, KL_q, h
from bomrl_theory.theory.small_quadratic import scalar_policy, scalar_task
from bomrl_theory.theory.theorem import Derivation, Source, Theorem

H, G, LAMBDA, SIGMA, VARIANCE = sp.symbols("H_uu g lambda Sigma S", positive=True)
"""Curvature, slope at the meta-policy's mean, lambda, the meta-policy's variance and another's; one action."""
MEAN = sp.Symbol("d", real=True)
"""A policy's mean, from the meta-policy's."""


def divergence(mean: Expr, variance: Expr, other_mean: Expr, other: Expr) -> Expr:
    """``KL(N(mean, variance) || N(other_mean, other))``."""
    return (variance / other - 1 - sp.log(variance / other) + (mean - other_mean) ** 2 / other) / 2


def objective(mean: Expr, variance: Expr) -> Expr:
    """``<pi, Q^phi> - lambda KL(pi || phi)`` up to a constant, for ``pi = N(mean, variance)``."""
    return -H * (variance + mean**2) - 2 * G * mean - LAMBDA * divergence(mean, variance, sp.Integer(0), SIGMA)


BEST_VARIANCE = 1 / (1 / SIGMA + 2 * H / LAMBDA)
BEST_MEAN = -2 * G / LAMBDA * BEST_VARIANCE


def _three_points() -> Expr:
    lost = LAMBDA * divergence(MEAN, VARIANCE, BEST_MEAN, BEST_VARIANCE)
    return sp.expand_log(objective(BEST_MEAN, BEST_VARIANCE) - objective(MEAN, VARIANCE) - lost, force=True)


def _best_comparator() -> Expr:
    error = H * VARIANCE + LAMBDA * divergence(MEAN, VARIANCE, sp.Integer(0), SIGMA)
    return sp.diff(error, VARIANCE).subs(VARIANCE, BEST_VARIANCE)


def _witness_in_the_limit() -> Expr:
    """Left over bound at the witness with any lambda, as lambda grows: r is R_u Sigma/lambda."""
    r = sp.Symbol("r", positive=True)
    plus = 1 / (1 + 2 * r)
    bound = r + plus * r + (plus - 1 - sp.log(plus)) / 2
    return sp.limit(2 * plus * r / bound, r, 0, "+") - 1


THEOREM = Theorem(
    id="contraction_linear_quadratic-v1",
    title="Universal contraction bound, Alg^(2), linear-quadratic control",
    topic="adaptation",
    setting="linear-quadratic",
    statement=(
        r"J^* - J(\pi^+) \le \gamma\, \mathbb{E}_{\rho} (P_{\pi^*}(V^* - V^{\phi}))(x)"
        r" + \mathrm{tr}(H_{uu} \Sigma^+)"
        r" + \lambda\, \mathbb{E}_{\rho} \mathrm{KL}(\mathcal{N}(-K^* x, \Sigma^+) \| \mathcal{N}(-K x, \Sigma))"
    ),
    source=Source("bomrl_theory", "theory section 10, i = 2", "derived here"),
    status="proved",
    algorithms=("kl-posterior",),
    left=gap.symbol,
    bound=gamma.symbol * D_rho.symbol + h.symbol + lam.symbol * KL_q.symbol,
    constants=(gap, gamma, D_rho, h, lam, KL_q),
    witness=lambda: LinearQuadraticCase.new(scalar_task(gamma="1/2"), scalar_policy(0, 1), 2**30),
    tightness=0.999999998,
    proof="proofs/contraction_linear_quadratic.md",
    notes=(
        "Linear dynamics, quadratic costs, Gaussian policies: continuous states and actions, and everything in closed "
        "form. The comparator N(-K*x, Sigma+) has the covariance that makes the bound smallest."
    ),
    derivations=(
        Derivation(
            r"\langle \pi^+ - \pi, Q \rangle - \lambda (\mathrm{KL}(\pi^+ \| \phi) - \mathrm{KL}(\pi \| \phi))"
            r" = \lambda \mathrm{KL}(\pi \| \pi^+) \text{ for Gaussians, one action}",
            _three_points,
        ),
        Derivation(
            r"\text{the comparator's best covariance is } \Sigma^+ \text{, whatever its mean}",
            _best_comparator,
        ),
        Derivation(
            r"\text{left/bound} \to 1 \text{ at the witness as } \lambda \to \infty",
            _witness_in_the_limit,
        ),
    ),
    probes=(lambda: LinearQuadraticCase.new(scalar_task(gamma=0, x=2**20), scalar_policy(1, 1), 2),),
)
