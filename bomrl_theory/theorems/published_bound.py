"""The published form of the bound, reconstructed, without a condition on lambda: refuted (THEORY section 4)."""

from fractions import Fraction

import sympy as sp

from bomrl_theory.theory.case import Case
from bomrl_theory.theory.constants import gamma, gap, lam, nu_phi, p, w
from bomrl_theory.theory.expression import over_states, over_tasks
from bomrl_theory.theory.small import stay_or_leave
from bomrl_theory.theory.theorem import Source, Theorem

PUBLISHED = (
    lam.symbol
    * (1 + gamma.symbol)
    / (1 - gamma.symbol)
    * over_tasks(w.symbol * over_states(nu_phi.symbol * -sp.log(p.symbol)))
)
STATEMENT = (
    r"\mathbb{E}_\tau [J^* - J(\pi^+)] \le \frac{\lambda(1+\gamma)}{1-\gamma}"
    r" \mathbb{E}_\tau \mathbb{E}_{\nu^{\phi}} \mathrm{KL}(\pi^* \| \phi)"
)

THEOREM = Theorem(
    id="published_bound-v1",
    title="Published form of the bound, any lambda",
    topic="surrogate bounds",
    statement=STATEMENT,
    source=Source(
        "Xu and Zhu 2024, Meta-Reinforcement Learning with Universal Policy Adaptation (NeurIPS)",
        "the line drawn by the authors' plotting script",
        "reconstructed",
    ),
    status="refuted",
    algorithms=("kl-posterior",),
    left=over_tasks(w.symbol * gap.symbol),
    bound=PUBLISHED,
    constants=(w, gap, lam, gamma, nu_phi, p),
    witness=lambda: Case.new(stay_or_leave(), [[1, 9], [2**20, 1]], "kl-posterior", Fraction(1, 10)),
    tightness=1.85,
    proof="proofs/published_bound.md",
    notes=(
        "The paper's text was not at hand: the form is reconstructed from the public figures' script, which draws this "
        "line at lambda = 0.1 or 0.05. Its own statement may carry a condition on lambda; with one it is true "
        "(published_bound_conditional)."
    ),
)
