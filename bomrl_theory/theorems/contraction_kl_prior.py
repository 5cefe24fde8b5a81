"""Universal contraction bound for Alg^(1) (THEORY section 2, a priori form)."""

from bomrl_theory.theory.case import Case
from bomrl_theory.theory.comparator import E1, INNER, eps, eta
from bomrl_theory.theory.constants import D, a, gamma, gap, lam, p, rho
from bomrl_theory.theory.expression import over_states
from bomrl_theory.theory.small import corridor
from bomrl_theory.theory.theorem import Source, Theorem

THEOREM = Theorem(
    id="contraction_kl_prior-v1",
    title="Universal contraction bound, Alg^(1): KL(phi || pi)",
    topic="adaptation",
    statement=(
        r"J^* - J(\pi^+) \le \sum_s \rho(s) \left[ \gamma (P_{\pi^*}(V^* - V^{\phi}))(s) + \epsilon a(s) + \lambda"
        r" \left( p \log \frac{p}{1-\epsilon(1-p)} - (1-p) \log \epsilon \right) \right], \quad p = \phi(a^*|s)"
    ),
    source=Source("bomrl_theory", "theory section 2, i = 1, a priori", "derived here"),
    status="proved",
    algorithms=("kl-prior",),
    left=gap.symbol,
    bound=over_states(rho.symbol * (gamma.symbol * D.symbol + E1)) + INNER,
    constants=(gap, rho, gamma, D, a, lam, p, eps, eta),
    witness=lambda: Case.new(corridor(), [[1, 1], [1, 1]], "kl-prior", 2**20),
    tightness=0.999999,
    proof="proofs/contraction_kl_prior.md",
    notes="Valid for every eps in (0, 1]; the closed-form minimiser is used, as the double nearest to it.",
)
