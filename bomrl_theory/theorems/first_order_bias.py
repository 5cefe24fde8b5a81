"""What the first-order variant of the hypergradient leaves out (THEORY section 8)."""

from bomrl_theory.meta.derivatives import action_value_pullback, policy_gradient
from bomrl_theory.numbers import Numeric
from bomrl_theory.theory.case import Case
from bomrl_theory.theory.constants import R, gamma, lam, per_task
from bomrl_theory.theory.measured import Measured
from bomrl_theory.theory.small import swing
from bomrl_theory.theory.smoothness import CHAIN, GRADIENT, dual_norm, n, soft
from bomrl_theory.theory.theorem import Source, Theorem


def left_out(m: Measured) -> Numeric:
    """``(dQ^phi/dtheta)^T grad J(theta+) / lambda``."""
    return dual_norm(m, action_value_pullback(m.phi, policy_gradient(soft(m))) / m.lam)


bias = per_task(
    "bias", "sum |grad F - grad J(theta+)| / 2, Alg^(2) solved exactly", "return", left_out, nonnegative=True
)
THEOREM = Theorem(
    id="first_order_bias-v1",
    title="Bias of the first-order hypergradient, Alg^(2)",
    topic="meta-training",
    statement=(
        r"\frac12 \sum_{s,a} \left| \nabla F - \nabla J(\theta^+) \right| \le \kappa G,\quad"
        r" G = \frac{R}{4(1-\gamma)} \min\left(n, \sqrt{\tfrac{1+\gamma}{1-\gamma}}\right),\quad \kappa ="
        r" \frac{\gamma R}{4\lambda(1-\gamma)} \min\left(n, 2\sqrt{\tfrac{1+\gamma}{1-\gamma}}\right)"
    ),
    source=Source("bomrl_theory", "theory section 8, the released code's variant", "derived here"),
    status="proved",
    algorithms=("kl-posterior",),
    left=bias.symbol,
    bound=CHAIN * GRADIENT,
    constants=(bias, R, gamma, n, lam),
    witness=lambda: Case.new(swing(), [[1, 1], [1, 1]], "kl-posterior", 2**20),
    tightness=0.998,
    proof="proofs/first_order_bias.md",
    notes=(
        "The variant drops dQ^phi/dtheta. Its bias falls like 1/lambda and vanishes with gamma = 0. The witness's "
        "ratio "
        "tends to 1 as gamma tends to 0 and lambda grows. On the way to this the bias is at most kappa |grad "
        "J(theta+)|."
    ),
    steps=None,
)
