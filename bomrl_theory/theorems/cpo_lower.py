"""Constrained policy optimisation: lower bound on the difference of returns."""

from bomrl_theory.theory.case import Case
from bomrl_theory.theory.constants import gamma, nu_phi
from bomrl_theory.theory.expression import over_states
from bomrl_theory.theory.small import fork
from bomrl_theory.theory.theorem import Source, Theorem
from bomrl_theory.theory.two_policies import ANY_POLICY, TV, WRONG_TASK, g_max, missing

THEOREM = Theorem(
    id="cpo_lower-v1",
    title="Constrained policy optimisation: lower bound on the difference of returns",
    topic="policy optimisation",
    statement=(
        r"J(\pi) - J(\phi) \ge \frac{1}{1-\gamma} \mathbb{E}_{s \sim \nu^{\phi}, a \sim \pi} \left["
        r" A^{\phi}(s,a) - \frac{2 \gamma \epsilon^{\pi}}{1-\gamma} \mathrm{TV}(\pi, \phi)(s) \right],"
        r" \quad \epsilon^{\pi} = \max_s |\mathbb{E}_{a \sim \pi} A^{\phi}(s,a)|"
    ),
    source=Source("Achiam, Held, Tamar and Abbeel 2017, Constrained policy optimization", "Corollary 1", "from memory"),
    status="proved",
    algorithms=ANY_POLICY,
    left=missing.symbol,
    bound=2 * gamma.symbol * g_max.symbol / (1 - gamma.symbol) ** 2 * over_states(nu_phi.symbol * TV.symbol),
    constants=(missing, gamma, g_max, nu_phi, TV),
    witness=lambda: Case.new(fork(), [[1, 1]] * 3, "wrong-task", 4),
    tightness=0.99999,
    notes=(
        "Entered as surrogate - J <= bound, for any policy pi+. Re-derived: the difference is <nu^pi - nu^phi, <pi, "
        "A>>/(1-gamma), and the visitation moves by at most 2 gamma/(1-gamma) E TV. J is the unnormalised return "
        "and nu the normalised visitation, as in the source. The witness's ratio is 1 - gamma."
    ),
    steps=None,
    draws=(WRONG_TASK,),
)
