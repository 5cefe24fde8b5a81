"""Size of the policy gradient in the norm dual to ranges of logits (THEORY section 8)."""

import sympy as sp

from bomrl_theory.meta.derivatives import policy_gradient
from bomrl_theory.theory.case import Case
from bomrl_theory.theory.constants import R, gamma, per_task
from bomrl_theory.theory.small import two_arms
from bomrl_theory.theory.smoothness import GRADIENT, dual_norm, n
from bomrl_theory.theory.theorem import Derivation, Source, Theorem

size = per_task(
    "g1", "sum |grad J(phi)| / 2", "return", lambda m: dual_norm(m, policy_gradient(m.phi)), nonnegative=True
)

_r, _g = sp.symbols("R gamma")

THEOREM = Theorem(
    id="policy_gradient_bound-v1",
    title="Size of the policy gradient, dual to ranges of logits",
    topic="meta-training",
    statement=(
        r"\frac12 \sum_{s,a} \left| \frac{\partial J}{\partial \theta(s,a)} \right|"
        r" \le \frac{R}{4(1-\gamma)} \min\left(n, \sqrt{\frac{1+\gamma}{1-\gamma}}\right), \quad R = \max r - \min r"
    ),
    source=Source("bomrl_theory", "theory section 8, G_V without its second power of the horizon", "derived here"),
    status="proved",
    algorithms=("none",),
    left=size.symbol,
    bound=GRADIENT,
    constants=(size, R, gamma, n),
    witness=lambda: Case.new(two_arms(), [[1, 1]], "none"),
    tightness=1.0,
    proof="proofs/policy_gradient_bound.md",
    notes=(
        "The textbook form has 1/(1-gamma)^2. A law of total variance for discounted sums leaves 1/(1-gamma)^(3/2); "
        "with few states each of them costs one power only. Attained by a one-state task with two arms."
    ),
    steps=None,
    derivations=(
        Derivation(
            r"H (R b - R^2/4) = R^2 H^2 (1+\gamma)/4 \quad\text{with}\quad b = R H/2,\ H = 1/(1-\gamma)",
            lambda: (_r**2 / (2 * (1 - _g)) - _r**2 / 4) / (1 - _g) - _r**2 * (1 + _g) / (4 * (1 - _g) ** 2),
        ),
    ),
)
