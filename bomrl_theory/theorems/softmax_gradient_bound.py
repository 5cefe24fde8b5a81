"""Euclidean size of the policy gradient (THEORY section 8)."""

import sympy as sp

from bomrl_theory.meta.derivatives import policy_gradient
from bomrl_theory.theory.case import Case
from bomrl_theory.theory.constants import gamma, per_task
from bomrl_theory.theory.small import two_arms
from bomrl_theory.theory.smoothness import R, n, square
from bomrl_theory.theory.theorem import Source, Theorem

size = per_task("g2", "|grad J(phi)|^2", "return^2", lambda m: square(m, policy_gradient(m.phi)), nonnegative=True)

THEOREM = Theorem(
    id="softmax_gradient_bound-v1",
    title="Euclidean size of the policy gradient",
    topic="meta-training",
    statement=(
        r"\| \nabla_\theta J \|^2 \le \frac{R^2}{8(1-\gamma)^2} \min\left(n, \frac{1}{1-\gamma}\right),"
        r" \quad R = \max r - \min r"
    ),
    source=Source("bomrl_theory", "theory section 8, G_V with the third power of the horizon", "derived here"),
    status="proved",
    algorithms=("none",),
    left=size.symbol,
    bound=R.symbol**2 / (8 * (1 - gamma.symbol) ** 2) * sp.Min(n.symbol, 1 / (1 - gamma.symbol)),
    constants=(size, R, gamma, n),
    witness=lambda: Case.new(two_arms(), [[1, 1]], "none"),
    tightness=1.0,
    proof="proofs/softmax_gradient_bound.md",
    notes=(
        "The textbook form, with (1-gamma)^4, is G_V^2 for G_V = sqrt(2) R/(4 (1-gamma)^2). Attained by a one-state "
        "task with two arms. Both sides are rational: decided in exact arithmetic."
    ),
    steps=None,
)
