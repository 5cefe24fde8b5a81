"""Universal contraction bound for Alg^(2), a posteriori (THEORY section 2)."""

import sympy as sp

from bomrl_theory.theory.case import Case
from bomrl_theory.theory.comparator import KEPT, e_post, eta_phi
from bomrl_theory.theory.constants import D, gamma, gap, rho
from bomrl_theory.theory.expression import over_states
from bomrl_theory.theory.small import corridor
from bomrl_theory.theory.theorem import Derivation, Source, Theorem


def _soft(lam: sp.Expr, p: tuple[sp.Expr, ...], Q: tuple[sp.Expr, ...]) -> sp.Expr:
    """``lambda log Z``."""
    return lam * sp.log(sum(p[i] * sp.exp(Q[i] / lam) for i in range(len(p))))


def _maximum() -> sp.Expr:
    """The objective at the maximiser, with two actions, against lambda log Z."""
    lam, p0, p1, Z = sp.symbols("lambda p0 p1 Z", positive=True)
    Q = sp.symbols("Q0 Q1", real=True)
    phi = (p0, p1)
    policy = [phi[i] * sp.exp(Q[i] / lam) / Z for i in range(2)]
    value = sum(policy[i] * (Q[i] - lam * (Q[i] / lam - sp.log(Z))) for i in range(2))
    normalised = sum(policy) - 1  # zero by the choice of Z
    return sp.simplify(value - lam * sp.log(Z) - lam * sp.log(Z) * normalised)


def _limits() -> sp.Expr:
    """Both limits with two actions, the better of which pays 1 and the other 0; their errors add up."""
    lam = sp.Symbol("lambda", positive=True)
    phi = (sp.Rational(1, 4), sp.Rational(3, 4))
    soft = _soft(lam, phi, (sp.Integer(1), sp.Integer(0)))
    greedy = sp.limit(lam * (1 / lam + sp.log(phi[0] + phi[1] * sp.exp(-1 / lam))), lam, 0, "+")
    return sp.Abs(greedy - 1) + sp.Abs(sp.limit(soft, lam, sp.oo) - phi[0])


THEOREM = Theorem(
    id="contraction_kl_posterior_posteriori-v1",
    title="Universal contraction bound a posteriori, Alg^(2): KL(pi || phi)",
    topic="adaptation",
    statement=(
        r"J^* - J(\pi^+) \le \sum_s \rho(s) \left[ \gamma (P_{\pi^*}(V^* - V^{\phi}))(s)"
        r" + \langle \pi^* - \pi^+, Q^{\phi} \rangle(s) + \lambda\, \mathrm{KL}(\pi^+ \| \phi)(s) \right]"
    ),
    source=Source("bomrl_theory", "theory section 2, i = 2, a posteriori", "derived here"),
    status="proved",
    algorithms=("kl-posterior",),
    left=gap.symbol,
    bound=over_states(rho.symbol * (gamma.symbol * D.symbol + e_post.symbol)) + KEPT,
    constants=(gap, rho, gamma, D, e_post, eta_phi),
    witness=lambda: Case.new(corridor(), [[1, 1], [1, 1]], "kl-posterior", 2**20),
    tightness=0.999999,
    proof="proofs/contraction_kl_posterior_posteriori.md",
    notes=(
        "For the exact argmax the error is <pi*, Q^phi> - lambda log Z, the smallest comparator error that there is. "
        "Any policy that does not lose against phi may stand in for it; eta_phi pays for one that does."
    ),
    derivations=(
        Derivation(
            r"\langle \pi, Q \rangle - \lambda \mathrm{KL}(\pi \| \phi) = \lambda \log Z"
            r" \text{ at } \pi(a) = \phi(a) e^{Q(a)/\lambda} / Z",
            _maximum,
        ),
        Derivation(
            r"\langle \pi^*, Q \rangle - \lambda \log Z \to \langle \pi^*, Q \rangle - \max Q"
            r" \text{ as } \lambda \to 0, \text{ and } \to a \text{ as } \lambda \to \infty",
            _limits,
        ),
    ),
)
