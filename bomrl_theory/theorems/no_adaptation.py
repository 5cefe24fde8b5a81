"""What no adaptation gives (THEORY section 5)."""

import sympy as sp

from bomrl_theory.theory.case import Case
from bomrl_theory.theory.constants import Delta_star, gamma, gap_phi, nu_phi, p
from bomrl_theory.theory.expression import over_states, positive
from bomrl_theory.theory.small import two_arms
from bomrl_theory.theory.theorem import Derivation, Source, Theorem

SHARE, DISCOUNT = positive("p"), positive("gamma")
DIVERGENCE_LESS_VARIATION = -sp.log(SHARE) - (1 - SHARE)

DERIVATIONS = (
    Derivation(
        r"$\mathrm{KL}(\pi^* \| \phi) = -\log p$ and $\mathrm{TV}(\pi^*, \phi) = 1-p$ agree at $p = 1$",
        lambda: DIVERGENCE_LESS_VARIATION.subs(SHARE, 1),
    ),
    Derivation(
        r"$\mathrm{KL} - \mathrm{TV}$ falls in $p$ with slope $-(1-p)/p$, so $\mathrm{KL} \ge \mathrm{TV}$ for"
        r" $0 < p \le 1$",
        lambda: sp.diff(DIVERGENCE_LESS_VARIATION, SHARE) + (1 - SHARE) / SHARE,
    ),
    Derivation(
        r"one state and two arms that pay 1 and 0 attain the bound: both sides are $(1-p)/(1-\gamma)$",
        lambda: 1 / (1 - DISCOUNT) - SHARE / (1 - DISCOUNT) - 1 / (1 - DISCOUNT) * (1 - SHARE),
    ),
)

THEOREM = Theorem(
    id="no_adaptation-v1",
    title="Optimality gap without adaptation, total variation form",
    topic="adaptation",
    statement=r"J^* - J(\phi) \le \frac{\Delta^*}{1-\gamma} \sum_s \nu^{\phi}(s)\, \mathrm{TV}(\pi^*, \phi)(s)",
    source=Source(
        "bomrl_theory, from the performance difference lemma on pi*'s side",
        "theory section 5",
        "derived here",
    ),
    status="proved",
    algorithms=("none",),
    left=gap_phi.symbol,
    bound=Delta_star.symbol / (1 - gamma.symbol) * over_states(nu_phi.symbol * (1 - p.symbol)),
    constants=(gap_phi, Delta_star, gamma, nu_phi, p),
    witness=lambda: Case.new(two_arms(), [[1, 3]], "none"),
    tightness=1.0,
    proof="proofs/no_adaptation.md",
    derivations=DERIVATIONS,
    notes="pi* is deterministic, so TV(pi*, phi)(s) = 1 - phi(a*|s). Attained by one-state tasks with two actions.",
    steps=None,
)
