"""Look-ahead, five steps (THEORY section 2)."""

from fractions import Fraction

from bomrl_theory.theorems.lookahead_1 import lookahead
from bomrl_theory.theory.case import Case
from bomrl_theory.theory.constants import gamma, gap, gap_phi
from bomrl_theory.theory.small import late_choice
from bomrl_theory.theory.steps import gained, lost
from bomrl_theory.theory.theorem import ADAPTING, Source, Theorem

THEOREM = Theorem(
    id="lookahead_5-v1",
    title="Look-ahead bound, five steps",
    topic="adaptation",
    statement=(
        r"J^* - J(\pi^+) \le J^* - J(\phi)"
        r" - \sum_{k=0}^{4} \rho^T (\gamma P_{\pi^+})^k \langle \pi^+, A^{\phi} \rangle"
    ),
    source=Source("bomrl_theory", "theory section 2, look-ahead ladder, n = 5", "derived here"),
    status="proved",
    algorithms=ADAPTING,
    left=gap.symbol,
    bound=lookahead(5),
    constants=(gap, gap_phi, gamma, gained(5), lost),
    witness=lambda: Case.new(late_choice(), [[1, 3]] * 6, "kl-posterior", Fraction(1, 2)),
    tightness=1.0,
    proof="proofs/lookahead_5.md",
    notes=(
        "Needs the model under pi+ but no evaluation of it. Every further step makes the bound sharper if pi+ improves "
        "on phi at every state; with all of them it is the gap itself. Attained where nothing can be gained later."
    ),
    steps=None,
)
