"""What no adaptation gives, Kullback-Leibler form (THEORY section 5)."""

import sympy as sp

from bomrl_theory.theory.case import Case
from bomrl_theory.theory.constants import Delta_star, gamma, gap_phi, nu_phi, p
from bomrl_theory.theory.expression import over_states
from bomrl_theory.theory.small import two_arms
from bomrl_theory.theory.theorem import Source, Theorem

THEOREM = Theorem(
    id="no_adaptation_kl-v1",
    title="Optimality gap without adaptation, Kullback-Leibler form",
    topic="adaptation",
    statement=r"J^* - J(\phi) \le \frac{\Delta^*}{1-\gamma} \sum_s \nu^{\phi}(s)\, \mathrm{KL}(\pi^* \| \phi)(s)",
    source=Source("bomrl_theory", "theory section 5, with 1 - p <= -log p", "derived here"),
    status="proved",
    algorithms=("none",),
    left=gap_phi.symbol,
    bound=Delta_star.symbol / (1 - gamma.symbol) * over_states(nu_phi.symbol * -sp.log(p.symbol)),
    constants=(gap_phi, Delta_star, gamma, nu_phi, p),
    witness=lambda: Case.new(two_arms(), [[2**20, 1]], "none"),
    tightness=0.9999995,
    proof="proofs/no_adaptation_kl.md",
    notes="Weaker than no_adaptation, in the divergence of the adaptation bounds. The ratio tends to 1 with phi(a*|s).",
    steps=None,
)
