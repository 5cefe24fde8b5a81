"""Two-sided error of the surrogate objective, total variation form (THEORY section 4)."""

from fractions import Fraction

import sympy as sp

from bomrl_theory.theory.case import Case
from bomrl_theory.theory.constants import Delta, g, gamma, improvement, nu_phi
from bomrl_theory.theory.draws import SEVERAL_STEPS
from bomrl_theory.theory.expression import over_states
from bomrl_theory.theory.small import junction
from bomrl_theory.theory.surrogate import TV, TV_max
from bomrl_theory.theory.theorem import ADAPTING, Source, Theorem

ERROR = sp.Abs(improvement.symbol - over_states(nu_phi.symbol * g.symbol) / (1 - gamma.symbol))
"""By how much the surrogate objective misses the change of the return."""

THEOREM = Theorem(
    id="surrogate_error-v1",
    title="Error of the surrogate objective, total variation form",
    topic="surrogate bounds",
    statement=(
        r"\left| J(\pi) - J(\phi) - \frac{1}{1-\gamma} \sum_s \nu^{\phi}(s) \langle \pi, A^{\phi} \rangle(s) \right|"
        r" \le \frac{2 \gamma \Delta}{(1-\gamma)^2} \max_s \mathrm{TV}(\pi, \phi)(s)"
        r" \sum_s \nu^{\phi}(s) \mathrm{TV}(\pi, \phi)(s)"
    ),
    source=Source(
        "bomrl_theory, after Schulman et al. 2015 (TRPO) and Achiam et al. 2017 (CPO)",
        "theory section 4",
        "derived here",
    ),
    status="proved",
    algorithms=ADAPTING,
    left=ERROR,
    bound=2
    * gamma.symbol
    * Delta.symbol
    / (1 - gamma.symbol) ** 2
    * TV_max.symbol
    * over_states(nu_phi.symbol * TV.symbol),
    constants=(improvement, nu_phi, g, gamma, Delta, TV_max, TV),
    witness=lambda: Case.new(junction(), [[1, 2**40], [1, 2**40], [1, 1]], "kl-posterior", Fraction(1, 1024)),
    tightness=0.4999,
    proof="proofs/surrogate_error.md",
    notes="pi is the adapted policy after any number of steps. The maximum runs over states that phi visits.",
    steps=None,
    draws=(SEVERAL_STEPS,),
)
