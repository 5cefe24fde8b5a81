"""Smoothness of the return in softmax logits, for any reward span (THEORY section 8)."""

import sympy as sp

from bomrl_theory.meta.derivatives import policy_gradient
from bomrl_theory.theory.case import Case
from bomrl_theory.theory.constants import R, gamma, per_task
from bomrl_theory.theory.small import two_arms
from bomrl_theory.theory.smoothness import SMOOTHNESS, difference, distance, n, square
from bomrl_theory.theory.theorem import ADAPTING, Derivation, Source, Theorem

change = per_task(
    "dg2",
    "|grad J(pi+) - grad J(phi)|^2",
    "return^2",
    lambda m: square(m, difference(m, policy_gradient(m.plus), policy_gradient(m.phi))),
    nonnegative=True,
)

_y = sp.Symbol("y", real=True)
_sigmoid = 1 / (1 + sp.exp(-_y))

THEOREM = Theorem(
    id="return_smoothness-v1",
    title="Smoothness of the return in softmax logits, any reward span",
    topic="meta-training",
    statement=(
        r"\| \nabla J(\theta') - \nabla J(\theta) \|^2 \le L_V^2 \| \theta' - \theta \|^2,\quad L_V ="
        r" \frac{R}{4(1-\gamma)}"
        r" \min\left( 1 + \frac{\gamma \sqrt{n-1}}{2(1-\gamma)},\ \frac{1 + 2\sqrt{1+\gamma}"
        r" \min(\gamma/\sqrt{1-\gamma}, \sqrt{2})}{1-\gamma} \right)"
    ),
    source=Source(
        "bomrl_theory", "theory section 8, L_V with two powers of the horizon less its factor 8", "derived here"
    ),
    status="proved",
    algorithms=ADAPTING,
    left=change.symbol,
    bound=SMOOTHNESS**2 * distance.symbol,
    constants=(change, R, gamma, n, distance),
    witness=lambda: Case.new(two_arms(), [[15, 4]], "kl-posterior", 2**20),
    tightness=0.592,
    proof="proofs/return_smoothness.md",
    notes=(
        "Holds between any two policies; verdicts take phi and pi+, with logits centred at every state. The published "
        "constant for rewards in [0, 1] is 8/(1-gamma)^3 (Mei et al. 2020; Agarwal et al. 2021)."
    ),
    steps=None,
    derivations=(
        Derivation(
            r"x (1 - 2x) = \tfrac18 - 2 (x - \tfrac14)^2",
            lambda: _y * (1 - 2 * _y) - sp.Rational(1, 8) + 2 * (_y - sp.Rational(1, 4)) ** 2,
        ),
        Derivation(
            r"\sigma^{(2)} = \sigma (X^2 - \mathrm{Var}) \text{ for a sigmoid}",
            lambda: sp.diff(_sigmoid, _y, 2) - _sigmoid * ((1 - _sigmoid) ** 2 - _sigmoid * (1 - _sigmoid)),
        ),
    ),
)
