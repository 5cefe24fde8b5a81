"""Surrogate (trust-region) bound on the gap, lambda >= kappa (THEORY section 4)."""

from fractions import Fraction

import sympy as sp

from bomrl_theory.theory.case import Case
from bomrl_theory.theory.comparator import eta
from bomrl_theory.theory.constants import Delta, gamma, gap, lam, nu_phi, p
from bomrl_theory.theory.draws import LARGE_LAMBDA
from bomrl_theory.theory.expression import over_states
from bomrl_theory.theory.small import go_or_wait, two_arms
from bomrl_theory.theory.surrogate import KAPPA, nu_min
from bomrl_theory.theory.theorem import Assumption, Derivation, Source, Theorem


def _bandit() -> sp.Expr:
    """kappa where nothing follows an action."""
    return sp.limit(KAPPA, gamma.symbol, 0)


THEOREM = Theorem(
    id="surrogate_bound-v1",
    title="Surrogate bound, lambda above kappa",
    topic="surrogate bounds",
    statement=(
        r"J^* - J(\pi^+) \le \frac{\lambda + \kappa}{1-\gamma} \sum_s \nu^{\phi}(s)\, \mathrm{KL}(\pi^* \| \phi)(s)"
        r"\quad \text{if}\quad \lambda \ge \kappa = \frac{\gamma \Delta}{(1-\gamma) \sqrt{\nu_{\min}}}"
    ),
    source=Source("bomrl_theory", "theory section 4", "derived here"),
    status="proved",
    algorithms=("kl-posterior",),
    left=gap.symbol,
    bound=(
        (lam.symbol + KAPPA) * over_states(nu_phi.symbol * -sp.log(p.symbol)) + over_states(nu_phi.symbol * eta.symbol)
    )
    / (1 - gamma.symbol),
    constants=(gap, lam, gamma, Delta, nu_min, nu_phi, p, eta),
    assumptions=(
        Assumption(
            "lambda above kappa",
            r"$\lambda \ge \gamma \Delta / ((1-\gamma) \sqrt{\nu_{\min}})$",
            lam.symbol - KAPPA,
            broken=lambda: Case.new(go_or_wait(), [[2**40, 1], [1, 1]], "kl-posterior", Fraction(1, 10**6)),
        ),
    ),
    witness=lambda: Case.new(two_arms(0), [[1, 2**1000]], "kl-posterior", Fraction(1, 686)),
    tightness=0.98,
    proof="proofs/surrogate_bound.md",
    notes="The term in eta pays for floating-point adaptation.",
    draws=(LARGE_LAMBDA,),
    derivations=(Derivation(r"\kappa \to 0 \text{ as } \gamma \to 0", _bandit),),
)
