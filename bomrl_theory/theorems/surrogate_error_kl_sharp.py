"""Error of the surrogate objective, Kullback-Leibler form with a sharper constant (THEORY section 4)."""

import sympy as sp

from bomrl_theory.theorems.surrogate_error import ERROR
from bomrl_theory.theory.case import Case
from bomrl_theory.theory.constants import Delta, g, gamma, improvement, nu_phi
from bomrl_theory.theory.expression import over_states
from bomrl_theory.theory.small import gather
from bomrl_theory.theory.surrogate import KAPPA, KL, nu_min
from bomrl_theory.theory.theorem import ADAPTING, Derivation, Source, Theorem

SHARPER = gamma.symbol * Delta.symbol * (1 + 1 / sp.sqrt(nu_min.symbol)) / (2 * (1 - gamma.symbol))
"""kappa_2: at most kappa."""


def _discriminant() -> sp.Expr:
    """``(1-n)^2 - 4 c (c-1) n (1-n)`` at ``c = (1 + 1/sqrt n)/2``."""
    n = sp.Symbol("n", positive=True)
    c = (1 + 1 / sp.sqrt(n)) / 2
    return sp.expand((1 - n) ** 2 - 4 * c * (c - 1) * n * (1 - n))


def _dominance() -> sp.Expr:
    """``kappa - kappa_2`` as a product of nonnegative factors."""
    difference = gamma.symbol * Delta.symbol / (2 * (1 - gamma.symbol)) * (1 / sp.sqrt(nu_min.symbol) - 1)
    return KAPPA - SHARPER - difference


THEOREM = Theorem(
    id="surrogate_error_kl_sharp-v1",
    title="Error of the surrogate objective, Kullback-Leibler form, sharper constant",
    topic="surrogate bounds",
    statement=(
        r"\left| J(\pi) - J(\phi) - \frac{1}{1-\gamma} \sum_s \nu^{\phi}(s) \langle \pi, A^{\phi} \rangle(s) \right|"
        r" \le \frac{\kappa_2}{1-\gamma} \sum_s \nu^{\phi}(s) \mathrm{KL}(\pi \| \phi)(s), \quad"
        r" \kappa_2 = \frac{\gamma \Delta}{1-\gamma} \frac{1 + 1/\sqrt{\nu_{\min}}}{2}"
    ),
    source=Source("bomrl_theory", "theory section 4, sharper", "derived here"),
    status="proved",
    algorithms=ADAPTING,
    left=ERROR,
    bound=SHARPER / (1 - gamma.symbol) * over_states(nu_phi.symbol * KL.symbol),
    constants=(improvement, nu_phi, g, gamma, Delta, nu_min, KL),
    witness=lambda: Case.new(gather(), [[1, 1], [1, 1]], "kl-posterior", 1024),
    tightness=0.45,
    proof="proofs/surrogate_error_kl_sharp.md",
    notes="kappa_2 <= kappa, and about half of it where some state is seldom visited.",
    steps=None,
    derivations=(
        Derivation(r"(1-n)^2 = 4 c (c-1) n (1-n) \text{ at } c = \frac{1 + 1/\sqrt{n}}{2}", _discriminant),
        Derivation(
            r"\kappa - \kappa_2 = \frac{\gamma \Delta}{2 (1-\gamma)} \left( \frac{1}{\sqrt{\nu_{\min}}} - 1 \right)"
            r" \ge 0",
            _dominance,
        ),
    ),
)
