"""Where its condition makes the published form true, it is true without adapting (THEORY section 4)."""

from fractions import Fraction

from bomrl_theory.theorems.published_bound import PUBLISHED
from bomrl_theory.theorems.published_bound import THEOREM as UNCONDITIONAL
from bomrl_theory.theorems.published_bound_conditional import ABOVE_THRESHOLD, at_lambda
from bomrl_theory.theory.constants import A_max, gamma, gap_phi, lam, nu_phi, p, w
from bomrl_theory.theory.draws import LARGE_LAMBDA
from bomrl_theory.theory.expression import over_tasks
from bomrl_theory.theory.theorem import ADAPTING, Source, Theorem

THEOREM = Theorem(
    id="published_bound_unadapted-v1",
    title="Published form, lambda above its threshold, for the unadapted meta-policy",
    topic="surrogate bounds",
    statement=(
        r"\mathbb{E}_\tau [J^* - J(\phi)] \le \frac{\lambda(1+\gamma)}{1-\gamma}"
        r" \mathbb{E}_\tau \mathbb{E}_{\nu^{\phi}} \mathrm{KL}(\pi^* \| \phi)"
        r"\quad \text{if}\quad \lambda \ge \frac{A_{\max}(2-\gamma)}{(1-\gamma)(1+\gamma)}"
    ),
    source=Source("bomrl_theory, on " + UNCONDITIONAL.source.work, "theory section 4", "derived here"),
    status="proved",
    algorithms=ADAPTING,
    left=over_tasks(w.symbol * gap_phi.symbol),
    bound=PUBLISHED,
    constants=(w, gap_phi, lam, gamma, nu_phi, p, A_max),
    assumptions=(ABOVE_THRESHOLD,),
    witness=lambda: at_lambda(Fraction(1006, 10)),
    tightness=0.72,
    proof="proofs/published_bound_unadapted.md",
    notes="lambda is only a number here: whatever adaptation does with it, the meta-policy already meets the bound.",
    steps=None,
    draws=(LARGE_LAMBDA,),
)
