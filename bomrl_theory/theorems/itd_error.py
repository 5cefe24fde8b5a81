"""Iterative differentiation: the gradient through t inner steps (Grazzi et al. 2020)."""

from bomrl_theory.meta.derivatives import policy_gradient
from bomrl_theory.theory.bilevel import L_Phi, V_max, unrolled
from bomrl_theory.theory.case import Case
from bomrl_theory.theory.constants import gamma, per_task
from bomrl_theory.theory.small import gain_or_loss
from bomrl_theory.theory.smoothness import dual_norm
from bomrl_theory.theory.theorem import Source, Theorem

STEPS = 4
"""t, inner steps from w = 0."""

error = per_task(
    "itd",
    "sum |grad f_4 - grad f| / 2, unrolled",
    "return",
    lambda m: dual_norm(m, unrolled(m.phi, STEPS, STEPS) - policy_gradient(m.phi)),
    nonnegative=True,
)

THEOREM = Theorem(
    id="itd_error-v1",
    title="Iterative differentiation through t inner steps",
    topic="bilevel optimisation",
    statement=(
        r"\| \nabla f_t - \nabla f \| \le \left( c_1 + c_2 \frac{t}{q} \right) q^t \| w(\theta) - w_0 \| + c_3"
        r" q^t,\quad"
        r" q = \gamma,\ c_1 = 0,\ c_2 = \frac{\gamma}{2},\ c_3 = \frac{\| \partial_2 \Phi \|}{1-\gamma},\ t = 4"
    ),
    source=Source(
        "Grazzi, Franceschi, Pontil and Salzo 2020, On the iteration complexity of hypergradient computation",
        "Theorem 2.1",
        "from memory",
    ),
    status="proved",
    algorithms=("none",),
    left=error.symbol,
    bound=STEPS * gamma.symbol**STEPS / 2 * V_max.symbol + gamma.symbol**STEPS / (1 - gamma.symbol) * L_Phi.symbol,
    constants=(error, V_max, L_Phi, gamma),
    witness=lambda: Case.new(gain_or_loss(), [[1, 1]], "none"),
    tightness=1.0,
    proof="proofs/itd_error.md",
    notes=(
        "Inner problem: policy evaluation, w = r_pi + gamma P_pi w from w = 0; outer objective: J. Published in "
        "Euclidean "
        "norms; here in the dual pairs maximum and sum (w), range and half the sum (logits), which the proof carries."
    ),
    steps=None,
)
