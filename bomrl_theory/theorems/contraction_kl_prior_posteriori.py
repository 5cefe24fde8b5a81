"""Universal contraction bound for Alg^(1), a posteriori (THEORY section 2)."""

import sympy as sp

from bomrl_theory.theory.case import Case
from bomrl_theory.theory.comparator import KEPT, e_post, eta_phi
from bomrl_theory.theory.constants import D, gamma, gap, rho
from bomrl_theory.theory.expression import over_states
from bomrl_theory.theory.small import corridor
from bomrl_theory.theory.theorem import Derivation, Source, Theorem


def _maximum() -> sp.Expr:
    """The objective at the maximiser, with three actions, against its closed form."""
    lam, mu, p0, p1 = sp.symbols("lambda mu p0 p1", positive=True)
    x = sp.symbols("x0:3", positive=True)  # mu - Q
    p = (p0, p1, 1 - p0 - p1)
    policy = [lam * p[i] / x[i] for i in range(3)]
    value = sum(policy[i] * (mu - x[i]) - lam * p[i] * sp.log(x[i] / lam) for i in range(3))
    normalised = sum(policy) - 1  # zero by the choice of mu
    closed = mu - lam - lam * sum(p[i] * sp.log(x[i] / lam) for i in range(3))
    return sp.expand(value - closed - mu * normalised)


THEOREM = Theorem(
    id="contraction_kl_prior_posteriori-v1",
    title="Universal contraction bound a posteriori, Alg^(1): KL(phi || pi)",
    topic="adaptation",
    statement=(
        r"J^* - J(\pi^+) \le \sum_s \rho(s) \left[ \gamma (P_{\pi^*}(V^* - V^{\phi}))(s)"
        r" + \langle \pi^* - \pi^+, Q^{\phi} \rangle(s) + \lambda\, \mathrm{KL}(\phi \| \pi^+)(s) \right]"
    ),
    source=Source("bomrl_theory", "theory section 2, i = 1, a posteriori", "derived here"),
    status="proved",
    algorithms=("kl-prior",),
    left=gap.symbol,
    bound=over_states(rho.symbol * (gamma.symbol * D.symbol + e_post.symbol)) + KEPT,
    constants=(gap, rho, gamma, D, e_post, eta_phi),
    witness=lambda: Case.new(corridor(), [[1, 1], [1, 1]], "kl-prior", 2**20),
    tightness=0.999999,
    proof="proofs/contraction_kl_prior_posteriori.md",
    notes=(
        "For the exact argmax the error is the smallest comparator error that there is, over all q and not "
        "only mixtures. "
        "Any policy that does not lose against phi may stand in for it; eta_phi pays for one that does."
    ),
    derivations=(
        Derivation(
            r"\langle \pi, Q \rangle - \lambda \mathrm{KL}(\phi \| \pi) = \mu - \lambda - \lambda \sum_a \phi(a)"
            r" \log \frac{\mu - Q(a)}{\lambda} \text{ at } \pi(a) = \frac{\lambda \phi(a)}{\mu - Q(a)}",
            _maximum,
        ),
    ),
)
