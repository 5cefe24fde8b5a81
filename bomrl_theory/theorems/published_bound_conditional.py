"""The published form under the condition on lambda that makes it true (THEORY section 4)."""

from fractions import Fraction

import sympy as sp

from bomrl_theory.theorems.published_bound import PUBLISHED, STATEMENT, factor
from bomrl_theory.theorems.published_bound import THEOREM as UNCONDITIONAL
from bomrl_theory.theory.case import Case
from bomrl_theory.theory.comparator import eta
from bomrl_theory.theory.constants import A_max, gamma, gap, lam, nu_phi, p, w
from bomrl_theory.theory.expression import Largest, largest_over_states, largest_over_tasks, over_tasks, positive
from bomrl_theory.theory.small import hold_or_fall
from bomrl_theory.theory.theorem import Assumption, Derivation, Source, Theorem

THRESHOLD = largest_over_tasks(A_max.symbol) * (2 - gamma.symbol) / ((1 - gamma.symbol) * (1 + gamma.symbol))

LARGEST = positive("A_max")
THRESHOLD_OF_ONE_TASK = THRESHOLD.replace(lambda tree: isinstance(tree, Largest), lambda _: LARGEST)
DELTA_STAR = LARGEST / (1 - gamma.symbol) + LARGEST
"""``V* - Q* = (V* - V^phi) - (Q* - Q^phi) - A^phi <= A_max/(1-gamma) + 0 + A_max``."""

DERIVATIONS = (
    Derivation(
        r"$A_{\max}/(1-\gamma) + A_{\max} = A_{\max}(2-\gamma)/(1-\gamma)$, which bounds $\Delta^*$",
        lambda: DELTA_STAR - LARGEST * (2 - gamma.symbol) / (1 - gamma.symbol),
    ),
    Derivation(
        r"at the threshold the published factor is that bound on $\Delta^*$ over $1-\gamma$: the factor of the bound"
        r" without adaptation",
        lambda: factor().subs(lam.symbol, THRESHOLD_OF_ONE_TASK) - DELTA_STAR / (1 - gamma.symbol),
    ),
    Derivation(
        r"as $\gamma \to 1$ the threshold is $\frac12 A_{\max}/(1-\gamma)$ to first order",
        lambda: sp.limit(THRESHOLD_OF_ONE_TASK * (1 - gamma.symbol), gamma.symbol, 1) - LARGEST / 2,
    ),
)


def at_lambda(value: int | Fraction) -> Case:
    """Just above the threshold at lambda = 100.6, the witness; below it for smaller ones."""
    return Case.new(hold_or_fall(), [[1, 1], [2**40, 1]], "kl-posterior", value)


ABOVE_THRESHOLD = Assumption(
    "lambda above threshold",
    r"$\lambda \ge A_{\max}(2-\gamma)/((1-\gamma)(1+\gamma))$ with the largest $A_{\max}$ of all tasks",
    lam.symbol - THRESHOLD,
    broken=lambda: at_lambda(1),
)
WITH_INNER_ERROR = PUBLISHED + over_tasks(w.symbol * largest_over_states(eta.symbol)) / (1 - gamma.symbol)
"""The term in eta pays for floating-point adaptation."""

THEOREM = Theorem(
    id="published_bound_conditional-v1",
    title="Published form of the bound, lambda above its threshold",
    topic="surrogate bounds",
    statement=STATEMENT + r"\quad \text{if}\quad \lambda \ge \frac{A_{\max}(2-\gamma)}{(1-\gamma)(1+\gamma)}",
    source=Source(UNCONDITIONAL.source.work, "with the condition of theory section 4", "reconstructed"),
    status="proved",
    algorithms=("kl-posterior",),
    left=over_tasks(w.symbol * gap.symbol),
    bound=WITH_INNER_ERROR,
    constants=(w, gap, lam, gamma, nu_phi, p, A_max, eta),
    assumptions=(ABOVE_THRESHOLD,),
    witness=lambda: at_lambda(Fraction(1006, 10)),
    tightness=0.72,
    proof="proofs/published_bound_conditional.md",
    derivations=DERIVATIONS,
    notes=(
        "Under this condition the bound already holds for the unadapted meta-policy, so it cannot show that "
        "adaptation helps. The witness's ratio tends to 1/(2 log 2) = 0.7213 as gamma tends to 1. "
        "The term in eta pays for floating-point adaptation."
    ),
)
