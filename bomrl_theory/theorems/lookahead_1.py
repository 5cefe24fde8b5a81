"""Look-ahead, one step (THEORY section 2)."""

from fractions import Fraction

from bomrl_theory.theory.case import Case
from bomrl_theory.theory.constants import gamma, gap, gap_phi
from bomrl_theory.theory.expression import Expr, largest_over_states
from bomrl_theory.theory.small import choose_once
from bomrl_theory.theory.steps import gained, lost
from bomrl_theory.theory.theorem import ADAPTING, Source, Theorem


def lookahead(n: int) -> Expr:
    """The bound with n steps under pi+; what comes later is at least what the worst loss costs."""
    tail = gamma.symbol**n / (1 - gamma.symbol) * largest_over_states(lost.symbol)
    return gap_phi.symbol - gained(n).symbol + tail


THEOREM = Theorem(
    id="lookahead_1-v1",
    title="Look-ahead bound, one step",
    topic="adaptation",
    statement=r"J^* - J(\pi^+) \le J^* - J(\phi) - \sum_s \rho(s) \langle \pi^+, A^{\phi} \rangle(s)",
    source=Source("bomrl_theory", "theory section 2, look-ahead ladder, n = 1", "derived here"),
    status="proved",
    algorithms=ADAPTING,
    left=gap.symbol,
    bound=lookahead(1),
    constants=(gap, gap_phi, gamma, gained(1), lost),
    witness=lambda: Case.new(choose_once(), [[1, 3], [1, 1]], "kl-posterior", Fraction(1, 2)),
    tightness=1.0,
    proof="proofs/lookahead_1.md",
    notes=(
        "The first step of the universal contraction bound, for any adapted policy; attained where only the first "
        "action matters. The loss term is zero for a policy that improves on phi at every state."
    ),
    steps=None,
)
