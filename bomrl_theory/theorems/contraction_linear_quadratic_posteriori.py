"""Universal contraction bound for Alg^(2) in linear-quadratic control, a posteriori (THEORY sections 2 and 10)."""

import sympy as sp

from bomrl_theory.theory.constants import gamma, gap
from bomrl_theory.theory.expression import Expr
from bomrl_theory.theory.linear_quadratic import LinearQuadraticCase
from bomrl_theory.theory.quadratic import D_rho, e_rho
from bomrl_theory.theory.small_quadratic import scalar_policy, scalar_task
from bomrl_theory.theory.theorem import Derivation, Source, Theorem


def _soft_maximum() -> Expr:
    """``lambda log E_{u~phi} exp(Q/lambda)`` by integration, with Q = -H u^2 and phi = N(0, Sigma), in the limit."""
    H, lam, Sigma = sp.symbols("H lambda Sigma", positive=True)
    u = sp.Symbol("u", real=True)
    density = sp.exp(-(u**2) / (2 * Sigma)) / sp.sqrt(2 * sp.pi * Sigma)
    integral = sp.integrate(sp.expand(density) * sp.exp(-H * u**2 / lam), (u, -sp.oo, sp.oo))
    return sp.simplify(integral**2 * (1 + 2 * H * Sigma / lam) - 1)


THEOREM = Theorem(
    id="contraction_linear_quadratic_posteriori-v1",
    title="Universal contraction bound a posteriori, Alg^(2), linear-quadratic control",
    topic="adaptation",
    setting="linear-quadratic",
    statement=(
        r"J^* - J(\pi^+) \le \gamma\, \mathbb{E}_{\rho} (P_{\pi^*}(V^* - V^{\phi}))(x)"
        r" + \mathbb{E}_{\rho} \left[ Q^{\phi}(x, -K^* x)"
        r" - \langle \pi^+, Q^{\phi} \rangle(x) + \lambda\, \mathrm{KL}(\pi^+ \| \phi)(x) \right]"
    ),
    source=Source("bomrl_theory", "theory sections 2 and 10, i = 2, a posteriori", "derived here"),
    status="proved",
    algorithms=("kl-posterior",),
    left=gap.symbol,
    bound=gamma.symbol * D_rho.symbol + e_rho.symbol,
    constants=(gap, gamma, D_rho, e_rho),
    witness=lambda: LinearQuadraticCase.new(scalar_task(gamma="1/2"), scalar_policy(0, 1), 2**30),
    tightness=0.999999998,
    proof="proofs/contraction_linear_quadratic_posteriori.md",
    notes="The exact maximum of the inner objective in place of a comparator's value: the smallest error there is.",
    derivations=(
        Derivation(
            r"\lambda \log \mathbb{E}_{\phi} \exp(-H u^2/\lambda) = -\frac{\lambda}{2} \log(1 + 2 H \Sigma/\lambda)",
            _soft_maximum,
        ),
    ),
)
