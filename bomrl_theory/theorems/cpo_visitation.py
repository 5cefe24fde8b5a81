"""Constrained policy optimisation: how far the discounted visitation moves."""

from fractions import Fraction

from bomrl_theory.theory.case import Case
from bomrl_theory.theory.constants import gamma, nu_phi
from bomrl_theory.theory.expression import over_states
from bomrl_theory.theory.small import stay_or_leave
from bomrl_theory.theory.theorem import Source, Theorem
from bomrl_theory.theory.two_policies import ANY_POLICY, TV, WRONG_TASK, nu_change

THEOREM = Theorem(
    id="cpo_visitation-v1",
    title="Constrained policy optimisation: change of the discounted visitation",
    topic="policy optimisation",
    statement=(
        r"\| \nu^{\pi} - \nu^{\phi} \|_1 \le \frac{2 \gamma}{1-\gamma}"
        r" \mathbb{E}_{s \sim \nu^{\phi}} \mathrm{TV}(\pi, \phi)(s)"
    ),
    source=Source("Achiam, Held, Tamar and Abbeel 2017, Constrained policy optimization", "Lemma 3", "from memory"),
    status="proved",
    algorithms=ANY_POLICY,
    left=nu_change.symbol,
    bound=2 * gamma.symbol / (1 - gamma.symbol) * over_states(nu_phi.symbol * TV.symbol),
    constants=(nu_change, gamma, nu_phi, TV),
    witness=lambda: Case.new(stay_or_leave(), [[1, 1], [1, 1]], "kl-posterior", Fraction(1, 100)),
    tightness=0.999999,
    notes=(
        "Re-derived: nu^pi - nu^phi = gamma nu^phi (P_pi - P_phi)(I - gamma P_pi)^-1. For any policy pi+. Attained "
        "for every gamma by a policy that never leaves a state which phi leaves. The number of the lemma is from "
        "memory."
    ),
    steps=None,
    draws=(WRONG_TASK,),
)
