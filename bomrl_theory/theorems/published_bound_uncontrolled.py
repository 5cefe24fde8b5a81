"""The published form without its factor 1+gamma, where actions do not move the state (THEORY section 4)."""

from fractions import Fraction

import sympy as sp
from jaxtyping import Shaped

from bomrl_theory.numbers import Numeric
from bomrl_theory.theorems.published_bound import THEOREM as PUBLISHED_FORM
from bomrl_theory.theory.case import Case
from bomrl_theory.theory.comparator import eta
from bomrl_theory.theory.constants import gamma, gap, lam, nu_phi, p, per_task
from bomrl_theory.theory.draws import UNCONTROLLED
from bomrl_theory.theory.expression import over_states
from bomrl_theory.theory.measured import Measured
from bomrl_theory.theory.small import two_arms
from bomrl_theory.theory.theorem import Assumption, Source, Theorem


def influence(m: Measured) -> Shaped[Numeric, " T"]:
    """``max |P(s'|s,a) - P(s'|s,b)|`` with b the first action; zero exactly if no action matters."""
    change = m.model.P - m.model.P[:, :, :1]
    size = m.numbers.maximum(change, -change)
    return m.numbers.largest(size.reshape(len(size), -1), -1)


influence_of_actions = per_task(
    "I", "max |P(s'|s,a) - P(s'|s,0)|: what actions do to the next state", "1", influence, nonnegative=True
)

THEOREM = Theorem(
    id="published_bound_uncontrolled-v1",
    title="Published form of the bound, transitions that do not depend on the action",
    topic="surrogate bounds",
    statement=(
        r"J^* - J(\pi^+) \le \frac{\lambda}{1-\gamma} \sum_s \nu^{\phi}(s)\, \mathrm{KL}(\pi^* \| \phi)(s)"
        r"\quad \text{if } P(s'|s,a) \text{ does not depend on } a"
    ),
    source=Source("bomrl_theory, on " + PUBLISHED_FORM.source.work, "theory section 4", "derived here"),
    status="proved",
    algorithms=("kl-posterior",),
    left=gap.symbol,
    bound=over_states(nu_phi.symbol * (-lam.symbol * sp.log(p.symbol) + eta.symbol)) / (1 - gamma.symbol),
    constants=(gap, lam, gamma, nu_phi, p, eta, influence_of_actions),
    assumptions=(
        Assumption(
            "actions do not move the state",
            r"$P(s'|s,a) = P(s'|s,b)$ for all actions",
            -influence_of_actions.symbol,
            broken=lambda: PUBLISHED_FORM.witness(),
        ),
    ),
    witness=lambda: Case.new(two_arms(), [[1, 2**1000]], "kl-posterior", Fraction(1, 686)),
    tightness=0.98,
    proof="proofs/published_bound_uncontrolled.md",
    notes=(
        "Every lambda. So a counterexample to the published form needs actions that move the state. "
        "The witness's ratio tends to 1 with KL(pi*||phi)."
    ),
    draws=(UNCONTROLLED,),
)
