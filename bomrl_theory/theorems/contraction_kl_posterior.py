"""Universal contraction bound for Alg^(2) (THEORY section 2, a priori form)."""

from bomrl_theory.theory.case import Case
from bomrl_theory.theory.comparator import E2, INNER, eta
from bomrl_theory.theory.constants import D, gamma, gap, lam, p, rho
from bomrl_theory.theory.expression import over_states
from bomrl_theory.theory.small import corridor
from bomrl_theory.theory.theorem import Source, Theorem

THEOREM = Theorem(
    id="contraction_kl_posterior-v1",
    title="Universal contraction bound, Alg^(2): KL(pi || phi)",
    topic="adaptation",
    statement=(
        r"J^* - J(\pi^+) \le \sum_s \rho(s) \left[ \gamma (P_{\pi^*}(V^* - V^{\phi}))(s)"
        r" + \lambda\, \mathrm{KL}(\pi^* \| \phi)(s) \right]"
    ),
    source=Source("bomrl_theory", "theory section 2, i = 2, a priori", "derived here"),
    status="proved",
    algorithms=("kl-posterior",),
    left=gap.symbol,
    bound=over_states(rho.symbol * (gamma.symbol * D.symbol + E2)) + INNER,
    constants=(gap, rho, gamma, D, lam, p, eta),
    witness=lambda: Case.new(corridor(), [[2**52, 1], [1, 1]], "kl-posterior", 2**20),
    tightness=0.999999,
    proof="proofs/contraction_kl_posterior.md",
    notes="The terms in eta pay for an inner problem that is solved in floating point; the argmax has eta = 0.",
)
