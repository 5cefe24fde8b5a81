"""Euclidean size of the policy gradient (THEORY section 8)."""

import sympy as sp

from bomrl_theory.theory.case import Case
from bomrl_theory.theory.constants import R, gamma
from bomrl_theory.theory.small import two_arms
from bomrl_theory.theory.smoothness import gradient_square, n
from bomrl_theory.theory.theorem import Source, Theorem

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
    left=gradient_square.symbol,
    bound=R.symbol**2 / (8 * (1 - gamma.symbol) ** 2) * sp.Min(n.symbol, 1 / (1 - gamma.symbol)),
    constants=(gradient_square, R, gamma, n),
    witness=lambda: Case.new(two_arms(), [[1, 1]], "none"),
    tightness=1.0,
    proof="proofs/softmax_gradient_bound.md",
    notes=(
        "The textbook form, with (1-gamma)^4, is G_V^2 for G_V = sqrt(2) R/(4 (1-gamma)^2). Attained by a one-state "
        "task with two arms. Both sides are rational: decided in exact arithmetic."
    ),
    steps=None,
)
