"""Optimal advantages are bounded by the meta-policy's (THEORY section 4)."""

from bomrl_theory.theory.case import Case
from bomrl_theory.theory.constants import A_max, Delta_star, gamma
from bomrl_theory.theory.small import hold_or_fall
from bomrl_theory.theory.theorem import Source, Theorem

THEOREM = Theorem(
    id="advantage_range-v1",
    title="Range of optimal advantages",
    topic="surrogate bounds",
    statement=r"\Delta^* = \max_{s,a} (V^*(s) - Q^*(s,a)) \le \frac{2-\gamma}{1-\gamma} \max_{s,a} |A^{\phi}(s,a)|",
    source=Source("bomrl_theory", "theory section 4", "derived here"),
    status="proved",
    algorithms=("none",),
    left=Delta_star.symbol,
    bound=A_max.symbol * (2 - gamma.symbol) / (1 - gamma.symbol),
    constants=(Delta_star, A_max, gamma),
    witness=lambda: Case.new(hold_or_fall(), [[1, 1], [1, 1]], "none"),
    tightness=1.0,
    proof="proofs/advantage_range.md",
    notes="What phi's own advantages say about any optimal policy's. Attained, for every discount.",
    steps=None,
)
