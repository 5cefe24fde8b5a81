"""Monotonic improvement of trust region policy optimisation, total variation form."""

from bomrl_theory.theory.case import Case
from bomrl_theory.theory.constants import A_max, gamma
from bomrl_theory.theory.expression import largest_over_states
from bomrl_theory.theory.small import fork
from bomrl_theory.theory.theorem import Source, Theorem
from bomrl_theory.theory.two_policies import ANY_POLICY, TV, WRONG_TASK, missing

THEOREM = Theorem(
    id="trpo_improvement-v1",
    title="Trust region policy optimisation: lower bound on the new return, total variation form",
    topic="policy optimisation",
    statement=(
        r"J(\pi) \ge L_{\phi}(\pi) - \frac{4 \gamma \epsilon}{(1-\gamma)^2} \max_s \mathrm{TV}(\pi, \phi)(s)^2,"
        r" \quad L_{\phi}(\pi) = J(\phi) + \frac{1}{1-\gamma} \mathbb{E}_{\nu^{\phi}} \langle \pi, A^{\phi} \rangle,"
        r" \quad \epsilon = \max_{s,a} |A^{\phi}(s,a)|"
    ),
    source=Source(
        "Schulman, Levine, Abbeel, Jordan and Moritz 2015, Trust region policy optimization",
        "Theorem 1",
        "from memory",
    ),
    status="proved",
    algorithms=ANY_POLICY,
    left=missing.symbol,
    bound=4 * gamma.symbol * A_max.symbol / (1 - gamma.symbol) ** 2 * largest_over_states(TV.symbol) ** 2,
    constants=(missing, gamma, A_max, TV),
    witness=lambda: Case.new(fork(), [[1, 1]] * 3, "wrong-task", 4),
    tightness=0.99999,
    notes=(
        "Entered as L - J <= bound, for any policy pi+. Re-derived from the surrogate bound of theory section 4: "
        "|<pi - phi, A>| <= 2 eps TV, and the visitation moves by at most 2 gamma/(1-gamma) E TV. The witness's "
        "ratio is 1 - gamma: no factor below 4 holds for every gamma."
    ),
    steps=None,
    draws=(WRONG_TASK,),
)
