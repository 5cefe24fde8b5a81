"""What no adaptation gives, in the meta-policy's own advantages (THEORY section 4)."""

from bomrl_theory.theory.case import Case
from bomrl_theory.theory.constants import A_max, gamma, gap_phi, nu_phi, p
from bomrl_theory.theory.expression import over_states
from bomrl_theory.theory.small import hold_or_fall
from bomrl_theory.theory.theorem import Source, Theorem

THEOREM = Theorem(
    id="no_adaptation_advantage-v1",
    title="Optimality gap without adaptation, by the meta-policy's advantages",
    topic="adaptation",
    statement=(
        r"J^* - J(\phi) \le \frac{A_{\max} (2-\gamma)}{(1-\gamma)^2} \sum_s \nu^{\phi}(s)\, \mathrm{TV}(\pi^*, \phi)(s)"
    ),
    source=Source("bomrl_theory", "theory section 4", "derived here"),
    status="proved",
    algorithms=("none",),
    left=gap_phi.symbol,
    bound=A_max.symbol * (2 - gamma.symbol) / (1 - gamma.symbol) ** 2 * over_states(nu_phi.symbol * (1 - p.symbol)),
    constants=(gap_phi, A_max, gamma, nu_phi, p),
    witness=lambda: Case.new(hold_or_fall(), [[1, 1], [2**40, 1]], "none"),
    tightness=0.999999,
    proof="proofs/no_adaptation_advantage.md",
    notes="no_adaptation with advantage_range put in: the optimum enters through its actions only.",
    steps=None,
)
