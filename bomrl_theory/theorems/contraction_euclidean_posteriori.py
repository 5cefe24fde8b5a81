"""Universal contraction bound for Alg^(3), a posteriori (THEORY section 2)."""

import sympy as sp

from bomrl_theory.theory.case import Case
from bomrl_theory.theory.comparator import KEPT, e_post, eta_phi
from bomrl_theory.theory.constants import D, gamma, gap, rho
from bomrl_theory.theory.expression import over_states
from bomrl_theory.theory.small import corridor
from bomrl_theory.theory.theorem import Derivation, Source, Theorem


def _stationarity() -> sp.Expr:
    """The gradient of the inner objective, with three actions, against what the solver iterates on."""
    ell = sp.Symbol("ell", positive=True)
    u, Q, theta = sp.symbols("u0:3"), sp.symbols("Q0:3"), sp.symbols("t0:3")
    weights = [sp.exp(theta[i] + u[i]) for i in range(3)]
    policy = [weight / sum(weights) for weight in weights]
    average = sum(policy[i] * Q[i] for i in range(3))
    objective = average - ell * sum(x**2 for x in u)
    wrong = [sp.diff(objective, u[i]) - 2 * ell * (policy[i] * (Q[i] - average) / (2 * ell) - u[i]) for i in range(3)]
    return sum((sp.simplify(x) ** 2 for x in wrong), sp.Integer(0))


THEOREM = Theorem(
    id="contraction_euclidean_posteriori-v1",
    title="Universal contraction bound a posteriori, Alg^(3): squared distance of softmax parameters",
    topic="adaptation",
    statement=(
        r"J^* - J(\pi^+) \le \sum_s \rho(s) \left[ \gamma (P_{\pi^*}(V^* - V^{\phi}))(s)"
        r" + \langle \pi^* - \pi^+, Q^{\phi} \rangle(s) + \frac{\lambda}{\nu^{\phi}(s)} d_3(\phi, \pi^+)(s) \right]"
    ),
    source=Source("bomrl_theory", "theory section 2, i = 3, a posteriori", "derived here"),
    status="proved",
    algorithms=("euclidean",),
    left=gap.symbol,
    bound=over_states(rho.symbol * (gamma.symbol * D.symbol + e_post.symbol)) + KEPT,
    constants=(gap, rho, gamma, D, e_post, eta_phi),
    witness=lambda: Case.new(corridor(), [[1, 1], [1, 1]], "euclidean", 2**20),
    tightness=0.999999,
    proof="proofs/contraction_euclidean_posteriori.md",
    notes=(
        "For the exact argmax the error is the smallest comparator error that there is, in every direction "
        "and not only a*'s. "
        "Any policy that does not lose against phi may stand in for it; eta_phi pays for one that does."
    ),
    derivations=(
        Derivation(
            r"\nabla \left( \langle \mathrm{softmax}(\theta_\phi + u), Q \rangle - \ell \|u\|^2 \right) = 0"
            r" \iff u(a) = \pi(a) \frac{Q(a) - \langle \pi, Q \rangle}{2 \ell}",
            _stationarity,
        ),
    ),
)
