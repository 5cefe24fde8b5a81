"""The published form above the smallest threshold known, sharp as gamma tends to 1 (open question 3)."""

from fractions import Fraction

from bomrl_theory.theorems.meta_policy_gap import FACTOR
from bomrl_theory.theorems.published_bound import STATEMENT
from bomrl_theory.theorems.published_bound import THEOREM as UNCONDITIONAL
from bomrl_theory.theorems.published_bound_conditional import WITH_INNER_ERROR
from bomrl_theory.theory.case import Case
from bomrl_theory.theory.comparator import eta
from bomrl_theory.theory.constants import A_max, gamma, gap, lam, nu_phi, p, w
from bomrl_theory.theory.expression import largest_over_tasks, over_tasks
from bomrl_theory.theory.small import hold_or_fall, wait_then_hold
from bomrl_theory.theory.theorem import Assumption, Source, Theorem

THRESHOLD = FACTOR * largest_over_tasks(A_max.symbol) / ((1 - gamma.symbol) * (1 + gamma.symbol))


def witness() -> Case:
    """Just above the threshold ``A_max/(1-gamma^2)``, where ``A_max = 1/(2-gamma)``."""
    gamma = 1 - Fraction(1, 2**40)
    phi = [[2**10, 1], [1, 1], [2**60, 1]]
    lam = Fraction(1, 1) / ((2 - gamma) * (1 - gamma**2)) * Fraction(1_000_001, 1_000_000)
    return Case.new(wait_then_hold(gamma), phi, "kl-posterior", lam)


THEOREM = Theorem(
    id="published_bound_sharp-v1",
    title="Published form of the bound, lambda above the sharp threshold",
    topic="surrogate bounds",
    statement=STATEMENT
    + r"\quad \text{if}\quad \lambda \ge \max\left(1, \frac{2-\gamma}{2 \log 2}\right)"
    + r" \frac{A_{\max}}{(1-\gamma)(1+\gamma)}",
    source=Source(UNCONDITIONAL.source.work, "with the condition of open question 3", "reconstructed"),
    status="proved",
    algorithms=("kl-posterior",),
    left=over_tasks(w.symbol * gap.symbol),
    bound=WITH_INNER_ERROR,
    constants=(w, gap, lam, gamma, nu_phi, p, A_max, eta),
    assumptions=(
        Assumption(
            "lambda above the sharp threshold",
            r"$\lambda \ge \max(1, (2-\gamma)/(2 \log 2)) A_{\max}/((1-\gamma)(1+\gamma))$"
            r" with the largest $A_{\max}$ of all tasks",
            lam.symbol - THRESHOLD,
            broken=lambda: Case.new(hold_or_fall(Fraction(999, 1000)), [[1, 1], [2**40, 1]], "kl-posterior", 719),
        ),
    ),
    witness=witness,
    tightness=0.999,
    proof="proofs/published_bound_sharp.md",
    notes=(
        "Sharp as gamma tends to 1: for every c < 1/2 the form is false for some lambda = c A_max/(1-gamma). Under "
        "this condition, too, the bound already holds for the unadapted meta-policy."
    ),
)
