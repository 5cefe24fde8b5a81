"""Error of the surrogate objective for a step that improves on phi: half of the general one (THEORY section 4)."""

from fractions import Fraction

from bomrl_theory.theorems.surrogate_error import ERROR
from bomrl_theory.theory.case import Case
from bomrl_theory.theory.constants import Delta, g, gamma, improvement, nu_phi
from bomrl_theory.theory.expression import largest_over_states, over_states
from bomrl_theory.theory.small import junction
from bomrl_theory.theory.steps import lost
from bomrl_theory.theory.surrogate import TV, TV_max
from bomrl_theory.theory.theorem import ADAPTING, Source, Theorem

THEOREM = Theorem(
    id="surrogate_error_improving-v1",
    title="Error of the surrogate objective for a policy that improves everywhere",
    topic="surrogate bounds",
    statement=(
        r"\left| J(\pi^+) - J(\phi) - \frac{1}{1-\gamma} \sum_s \nu^{\phi}(s) \langle \pi^+, A^{\phi} \rangle(s)"
        r" \right| \le \frac{\gamma \Delta}{(1-\gamma)^2} \max_s \mathrm{TV}(\pi^+, \phi)(s)"
        r" \sum_s \nu^{\phi}(s) \mathrm{TV}(\pi^+, \phi)(s) \quad\text{if}\quad \langle \pi^+, A^{\phi} \rangle \ge 0"
    ),
    source=Source("bomrl_theory", "theory section 4, one step", "derived here"),
    status="proved",
    algorithms=ADAPTING,
    left=ERROR,
    bound=gamma.symbol
    / (1 - gamma.symbol) ** 2
    * (Delta.symbol * TV_max.symbol + largest_over_states(lost.symbol))
    * over_states(nu_phi.symbol * TV.symbol),
    constants=(improvement, nu_phi, g, gamma, Delta, TV_max, TV, lost),
    witness=lambda: Case.new(junction(), [[1, 2**40], [1, 2**40], [1, 1]], "kl-posterior", Fraction(1, 1024)),
    tightness=0.9999,
    proof="proofs/surrogate_error_improving.md",
    notes=(
        "One step of Alg^(1), Alg^(2) or Alg^(3) improves everywhere; the loss term pays for a policy that does not, "
        "so the bound is true of any policy."
    ),
    steps=None,
)
