"""Error of the surrogate objective, Kullback-Leibler form (THEORY section 4)."""

from bomrl_theory.theorems.surrogate_error import ERROR
from bomrl_theory.theory.case import Case
from bomrl_theory.theory.constants import Delta, g, gamma, improvement, nu_phi
from bomrl_theory.theory.expression import over_states
from bomrl_theory.theory.small import gather
from bomrl_theory.theory.surrogate import KAPPA, KL, nu_min
from bomrl_theory.theory.theorem import ADAPTING, Source, Theorem

THEOREM = Theorem(
    id="surrogate_error_kl-v1",
    title="Error of the surrogate objective, Kullback-Leibler form",
    topic="surrogate bounds",
    statement=(
        r"\left| J(\pi) - J(\phi) - \frac{1}{1-\gamma} \sum_s \nu^{\phi}(s) \langle \pi, A^{\phi} \rangle(s) \right|"
        r" \le \frac{\kappa}{1-\gamma} \sum_s \nu^{\phi}(s) \mathrm{KL}(\pi \| \phi)(s), \quad"
        r" \kappa = \frac{\gamma \Delta}{(1-\gamma) \sqrt{\nu_{\min}}}"
    ),
    source=Source("bomrl_theory", "theory section 4", "derived here"),
    status="proved",
    algorithms=ADAPTING,
    left=ERROR,
    bound=KAPPA / (1 - gamma.symbol) * over_states(nu_phi.symbol * KL.symbol),
    constants=(improvement, nu_phi, g, gamma, Delta, nu_min, KL),
    witness=lambda: Case.new(gather(), [[1, 1], [1, 1]], "kl-posterior", 1024),
    tightness=0.39,
    proof="proofs/surrogate_error_kl.md",
    notes="pi is the adapted policy after any number of steps. nu_min is the smallest visitation of a visited state.",
    steps=None,
)
