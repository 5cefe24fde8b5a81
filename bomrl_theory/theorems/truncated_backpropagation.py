"""Back-propagation through the last K inner steps only (Shaban et al. 2018)."""

from fractions import Fraction

from bomrl_theory.numbers import Numeric
from bomrl_theory.theory.bilevel import inner_iterates, slope_norm, unrolled
from bomrl_theory.theory.case import Case
from bomrl_theory.theory.constants import gamma, per_task
from bomrl_theory.theory.measured import Measured
from bomrl_theory.theory.small import two_arms
from bomrl_theory.theory.smoothness import dual_norm
from bomrl_theory.theory.theorem import Source, Theorem

STEPS, KEPT = 6, 2
"""T inner steps, of which the last K are differentiated."""


def steepest(m: Measured) -> Numeric:
    """The largest ``|d2 Phi(w_t)|`` over the inner iterates that are stepped from."""
    first, *rest = (slope_norm(m.phi, x) for x in inner_iterates(m.phi, STEPS)[:-1])
    for other in rest:
        first = m.numbers.maximum(first, other)
    return first


error = per_task(
    "dropped",
    "sum |grad f_6 - h_2| / 2, back-propagation cut after 2 of 6 steps",
    "return",
    lambda m: dual_norm(m, unrolled(m.phi, STEPS, STEPS) - unrolled(m.phi, STEPS, KEPT)),
    nonnegative=True,
)
M_B = per_task("M_B", "max_t |d2 Phi(w_t)| over 6 inner steps from w = 0", "return", steepest, nonnegative=True)

THEOREM = Theorem(
    id="truncated_backpropagation-v1",
    title="Truncated back-propagation through inner steps",
    topic="bilevel optimisation",
    statement=(
        r"\| h_K - \nabla f_T \| \le \frac{q^K}{1-q} \| \nabla_w E \| M_B,\quad q = \gamma,\ "
        r"M_B = \max_t \| \partial_2 \Phi(w_t) \|,\ T = 6,\ K = 2"
    ),
    source=Source(
        "Shaban, Cheng, Hatch and Boots 2018, Truncated back-propagation for bilevel optimization",
        "Proposition 3.1, globally strongly convex case",
        "from memory",
    ),
    status="proved",
    algorithms=("none",),
    left=error.symbol,
    bound=gamma.symbol**KEPT / (1 - gamma.symbol) * M_B.symbol,
    constants=(error, M_B, gamma),
    witness=lambda: Case.new(two_arms(Fraction(1, 1000)), [[1, 1]], "none"),
    tightness=0.999999,
    proof="proofs/truncated_backpropagation.md",
    notes=(
        "Published for gradient descent with step gamma on an alpha-strongly convex inner problem, q = 1 - gamma "
        "alpha. "
        "Here the inner steps are policy evaluation, a contraction by the discount; |grad E| = 1. Norms as in "
        "itd_error."
    ),
    steps=None,
)
