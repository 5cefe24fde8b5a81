"""The published form where the surrogate bound proves it: lambda >= kappa/gamma (THEORY section 4)."""

import sympy as sp

from bomrl_theory.theorems.published_bound import PUBLISHED, STATEMENT
from bomrl_theory.theorems.published_bound import THEOREM as UNCONDITIONAL
from bomrl_theory.theory.case import Case
from bomrl_theory.theory.comparator import eta
from bomrl_theory.theory.constants import Delta, gamma, gap, lam, nu_phi, p, w
from bomrl_theory.theory.draws import LARGE_LAMBDA
from bomrl_theory.theory.expression import largest_over_tasks, over_states, over_tasks
from bomrl_theory.theory.small import two_arms
from bomrl_theory.theory.surrogate import nu_min
from bomrl_theory.theory.theorem import Assumption, Derivation, Source, Theorem


def _factor() -> sp.Expr:
    """``(lambda + kappa)/(1-gamma)`` at kappa = gamma lambda against the published factor."""
    kappa = gamma.symbol * lam.symbol
    published = sp.Mul(*(factor for factor in sp.Mul.make_args(PUBLISHED) if not factor.has(sp.Sum)))
    return published - (lam.symbol + kappa) / (1 - gamma.symbol)


THEOREM = Theorem(
    id="published_bound_surrogate-v1",
    title="Published form of the bound, lambda above kappa/gamma",
    topic="surrogate bounds",
    statement=STATEMENT + r"\quad \text{if}\quad \lambda \ge \max_\tau \frac{\Delta}{(1-\gamma) \sqrt{\nu_{\min}}}",
    source=Source(
        UNCONDITIONAL.source.work, "with the condition of the surrogate bound, theory section 4", "reconstructed"
    ),
    status="proved",
    algorithms=("kl-posterior",),
    left=over_tasks(w.symbol * gap.symbol),
    bound=PUBLISHED + over_tasks(w.symbol * over_states(nu_phi.symbol * eta.symbol)) / (1 - gamma.symbol),
    constants=(w, gap, lam, gamma, nu_phi, p, Delta, nu_min, eta),
    assumptions=(
        Assumption(
            "lambda above kappa/gamma",
            r"$\lambda \ge \Delta / ((1-\gamma) \sqrt{\nu_{\min}})$ for every task",
            lam.symbol - largest_over_tasks(Delta.symbol / sp.sqrt(nu_min.symbol)) / (1 - gamma.symbol),
            broken=lambda: UNCONDITIONAL.witness(),
        ),
    ),
    witness=lambda: Case.new(two_arms(0), [[9, 11]], "kl-posterior", 1),
    tightness=0.388,
    proof="proofs/published_bound_surrogate.md",
    notes=(
        "Unlike published_bound_conditional it looks at the visitation, and its condition does not make the bound "
        "hold for the unadapted meta-policy by itself. The term in eta pays for floating-point adaptation."
    ),
    derivations=(
        Derivation(
            r"\frac{\lambda + \kappa}{1-\gamma} = \frac{\lambda (1+\gamma)}{1-\gamma}"
            r" \text{ at } \kappa = \gamma \lambda",
            _factor,
        ),
    ),
    draws=(LARGE_LAMBDA,),
)
