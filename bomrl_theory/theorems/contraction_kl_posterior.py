"""Universal contraction bound for Alg^(2) (THEORY section 2, a priori form)."""

from fractions import Fraction
from typing import Any

import sympy as sp

from bomrl_theory.theory.case import Case
from bomrl_theory.theory.comparator import E2, INNER, eta
from bomrl_theory.theory.constants import D, gamma, gap, lam, p, rho
from bomrl_theory.theory.expression import over_states, plain, positive, replaced
from bomrl_theory.theory.small import corridor, two_arms
from bomrl_theory.theory.theorem import Derivation, Source, Theorem

WEIGHT, SHARE = positive("lambda"), positive("p")
PHI = (SHARE, positive("b"), 1 - SHARE - positive("b"))
Q: Any = sp.symbols("Q0:3", real=True)
Z: Any = sum(x * sp.exp(y / WEIGHT) for x, y in zip(PHI, Q, strict=True))
"""Three actions, the first of them optimal; Z normalises the softmax solution."""


def _divergence_of_a_deterministic_optimum() -> Any:
    star = (1, 0, 0)
    kl: Any = sum(x * sp.log(x / y) for x, y in zip(star, PHI, strict=True) if x)
    return sp.expand_log(plain(E2) - WEIGHT * kl, force=True)


def _optimum_of_the_inner_problem() -> Any:
    """``<pi* - q, Q> + lambda KL(q || phi)`` at the softmax solution q, less ``Q* - lambda log Z``."""
    log_z = sp.Symbol("logZ")
    q = [x * sp.exp(y / WEIGHT) / Z for x, y in zip(PHI, Q, strict=True)]
    kl: Any = sum(x * (y / WEIGHT - log_z) for x, y in zip(q, Q, strict=True))
    gain = Q[0] - sum(x * y for x, y in zip(q, Q, strict=True))
    return sp.simplify(gain + WEIGHT * kl - (Q[0] - WEIGHT * log_z))


def _room() -> Any:
    """Both sides of the comparison as ``exp(side/lambda)``: equal, and the right one is at least 1."""
    others = sum(PHI[i] * sp.exp((Q[i] - Q[0]) / WEIGHT) for i in (1, 2))
    difference = Z / (SHARE * sp.exp(Q[0] / WEIGHT))
    return sp.expand(difference) - sp.expand(1 + others / SHARE)


DERIVATIONS = (
    Derivation(
        r"$\mathrm{KL}(\pi^* \| \phi) = -\log p$ for a deterministic $\pi^*$, so $e_2 = -\lambda \log p$ at"
        r" $q = \pi^*$",
        _divergence_of_a_deterministic_optimum,
    ),
    Derivation(
        r"the smallest $e_2$, at $q \propto \phi \exp(Q^{\phi}/\lambda)$, is"
        r" $\langle \pi^*, Q^{\phi}\rangle - \lambda \log Z$ (three actions)",
        _optimum_of_the_inner_problem,
    ),
    Derivation(
        r"it is at most $-\lambda \log p$: the difference is"
        r" $\lambda \log(1 + \sum_{a \ne a^*} \phi(a) \exp((Q(a) - Q(a^*))/\lambda) / p) \ge 0$",
        _room,
    ),
    Derivation(
        r"as $\lambda \to 0$ the bound tends to $\gamma \sum_s \rho(s) (P_{\pi^*}(V^* - V^{\phi}))(s)$"
        r" (exact adaptation)",
        lambda: (
            replaced(THEOREM.bound, {lam.symbol: 0, eta.symbol: 0}) - over_states(rho.symbol * gamma.symbol * D.symbol)
        ),
    ),
    Derivation(
        r"at $\gamma = 0$ the bound is $\lambda \sum_s \rho(s) \mathrm{KL}(\pi^* \| \phi)(s)$ (exact adaptation)",
        lambda: replaced(THEOREM.bound, {gamma.symbol: 0, eta.symbol: 0}) - over_states(rho.symbol * E2),
    ),
    Derivation(
        r"in the corridor with even $\phi$ the adapted policy gives the better arm"
        r" $\frac12 + \frac12 \tanh(1/(2\lambda))$",
        lambda: (
            sp.exp(1 / WEIGHT) / (sp.exp(1 / WEIGHT) + 1) - sp.Rational(1, 2) - sp.tanh(1 / (2 * WEIGHT)) / 2
        ).rewrite(sp.exp),
    ),
)

THEOREM = Theorem(
    id="contraction_kl_posterior-v1",
    title="Universal contraction bound, Alg^(2): KL(pi || phi)",
    topic="adaptation",
    statement=(
        r"J^* - J(\pi^+) \le \sum_s \rho(s) \left[ \gamma (P_{\pi^*}(V^* - V^{\phi}))(s)"
        r" + \lambda\, \mathrm{KL}(\pi^* \| \phi)(s) \right]"
    ),
    source=Source("bomrl_theory", "theory section 2, i = 2, a priori", "derived here"),
    status="proved",
    algorithms=("kl-posterior",),
    left=gap.symbol,
    bound=over_states(rho.symbol * (gamma.symbol * D.symbol + E2)) + INNER,
    constants=(gap, rho, gamma, D, lam, p, eta),
    witness=lambda: Case.new(corridor(), [[2**52, 1], [1, 1]], "kl-posterior", 2**20),
    tightness=0.999999,
    proof="proofs/contraction_kl_posterior.md",
    derivations=DERIVATIONS,
    # One state, no discount, phi(a*) = 2^-1000: what is left of the bound is lambda KL, and nearly attained.
    probes=(lambda: Case.new(two_arms(0), [[1, 2**1000]], "kl-posterior", Fraction(1, 686)),),
    notes="The terms in eta pay for an inner problem that is solved in floating point; the argmax has eta = 0.",
)
