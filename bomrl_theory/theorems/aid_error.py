"""Approximate implicit differentiation: inner solution and linear system by iteration (Grazzi et al. 2020)."""

from bomrl_theory.meta.derivatives import policy_gradient
from bomrl_theory.theory.bilevel import L_Phi, V_max, implicit
from bomrl_theory.theory.case import Case
from bomrl_theory.theory.constants import gamma, per_task
from bomrl_theory.theory.small import gain_or_loss
from bomrl_theory.theory.smoothness import dual_norm
from bomrl_theory.theory.theorem import Source, Theorem

STEPS, TERMS = 4, 4
"""t inner steps and k steps for the linear system, both from zero."""

error = per_task(
    "aid",
    "sum |h - grad f| / 2, implicit differentiation after 4 inner and 4 adjoint steps",
    "return",
    lambda m: dual_norm(m, implicit(m.phi, STEPS, TERMS) - policy_gradient(m.phi)),
    nonnegative=True,
)

THEOREM = Theorem(
    id="aid_error-v1",
    title="Approximate implicit differentiation, fixed-point iterations",
    topic="bilevel optimisation",
    statement=(
        r"\| h_{t,k} - \nabla f \| \le \left( c_1 + \frac{c_2}{1-q} \right) q^t \| w(\theta) - w_0 \| + c_3 q^k,\quad"
        r" q = \gamma,\ c_1 = 0,\ c_2 = \frac{\gamma}{2},\ c_3 = \frac{\| \partial_2 \Phi \|}{1-\gamma},\ t = k = 4"
    ),
    source=Source(
        "Grazzi, Franceschi, Pontil and Salzo 2020, On the iteration complexity of hypergradient computation",
        "Theorem 2.2",
        "from memory",
    ),
    status="proved",
    algorithms=("none",),
    left=error.symbol,
    bound=gamma.symbol ** (STEPS + 1) / (2 * (1 - gamma.symbol)) * V_max.symbol
    + gamma.symbol**TERMS / (1 - gamma.symbol) * L_Phi.symbol,
    constants=(error, V_max, L_Phi, gamma),
    witness=lambda: Case.new(gain_or_loss(), [[1, 1]], "none"),
    tightness=1.0,
    proof="proofs/aid_error.md",
    notes="Setting and norms as in itd_error. With the linear system solved exactly only the first term remains.",
    steps=None,
)
