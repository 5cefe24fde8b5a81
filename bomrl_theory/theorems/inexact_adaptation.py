"""Adaptation on estimated action values (THEORY section 6)."""

from fractions import Fraction

from bomrl_theory.theory.case import Case
from bomrl_theory.theory.comparator import E2
from bomrl_theory.theory.constants import D, gamma, gap, lam, p, rho
from bomrl_theory.theory.draws import SAMPLED
from bomrl_theory.theory.estimates import b
from bomrl_theory.theory.expression import largest_over_states, over_states
from bomrl_theory.theory.small import late_reward
from bomrl_theory.theory.theorem import Source, Theorem

THEOREM = Theorem(
    id="inexact_adaptation-v1",
    title="Universal contraction bound on estimated action values",
    topic="adaptation",
    statement=(
        r"J^* - J(\pi^+) \le \sum_s \rho(s) \left[ \gamma (P_{\pi^*}(V^* - V^{\phi}))(s)"
        r" + \lambda\, \mathrm{KL}(\pi^* \| \phi)(s) + b(s) \right] + \frac{\gamma}{1-\gamma} \max_s b(s),"
        r" \quad b(s) = \hat\eta(s) + 2 \max_a |\hat Q(s,a) - Q^{\phi}(s,a)|"
    ),
    source=Source("bomrl_theory", "theory section 6, i = 2", "derived here"),
    status="proved",
    algorithms=("kl-posterior-sampled",),
    left=gap.symbol,
    bound=over_states(rho.symbol * (gamma.symbol * D.symbol + E2 + b.symbol))
    + gamma.symbol / (1 - gamma.symbol) * largest_over_states(b.symbol),
    constants=(gap, rho, gamma, D, lam, p, b),
    witness=lambda: Case.new(late_reward(), [[1, 2**20], [1, 1], [1, 1]], "kl-posterior-sampled", Fraction(1, 2**15)),
    tightness=0.999,
    proof="proofs/inexact_adaptation.md",
    notes=(
        "pi+ is adapted to the mean of sampled returns, Qhat; its error is measured, not assumed. Nothing is random in "
        "the claim: given Qhat it is certain."
    ),
    draws=(SAMPLED,),
)
