"""Ascent along an inexact hypergradient: the outer loop of bilevel methods (Ghadimi and Wang 2018), run exactly."""

import numpy as np
import sympy as sp

from bomrl_theory.meta.derivatives import policy_gradient, tilted
from bomrl_theory.numbers import Numeric
from bomrl_theory.theorems.aid_error import STEPS, TERMS
from bomrl_theory.theory.bilevel import implicit
from bomrl_theory.theory.case import Case
from bomrl_theory.theory.constants import R, gamma, per_task
from bomrl_theory.theory.measured import Measured
from bomrl_theory.theory.small import distant_choice
from bomrl_theory.theory.smoothness import SMOOTHNESS, gradient_square, measure, n, square
from bomrl_theory.theory.theorem import Derivation, Source, Theorem


def gain(m: Measured) -> Numeric:
    """``J(theta + h/L_V) - J(theta)``; without a reward to choose J is constant, and there is no step to take."""
    smoothness = measure(m, SMOOTHNESS, (R, gamma, n))
    length = np.where(smoothness > 0, smoothness, m.numbers.constant(1))
    return tilted(m.phi, implicit(m.phi, STEPS, TERMS) / length[..., None]).J - m.phi.J


gained = per_task("gain", "J(theta + h/L_V) - J(theta), h as in aid_error", "return", gain)
error = per_task(
    "aid2",
    "|h - grad J(phi)|^2, implicit differentiation after 4 inner and 4 adjoint steps",
    "return^2",
    lambda m: square(m, implicit(m.phi, STEPS, TERMS) - policy_gradient(m.phi)),
    nonnegative=True,
)

_g, _h = sp.symbols("g h")

THEOREM = Theorem(
    id="inexact_ascent-v1",
    title="Ascent along an inexact hypergradient",
    topic="bilevel optimisation",
    statement=(
        r"\| \nabla f(\theta) \|^2 \le 2 L_V \left[ f(\theta + h/L_V) - f(\theta) \right] + \| h - \nabla f(\theta)"
        r" \|^2"
    ),
    source=Source(
        "Ghadimi and Wang 2018, Approximation methods for bilevel programming",
        "the outer step behind the convergence theorem of the nonconvex case",
        "reconstructed",
    ),
    status="proved",
    algorithms=("none",),
    left=gradient_square.symbol,
    bound=2 * SMOOTHNESS * gained.symbol + error.symbol,
    constants=(gradient_square, gained, error, R, gamma, n),
    witness=lambda: Case.new(distant_choice(), [[1, 1]] * 5, "none"),
    tightness=1.0,
    proof="proofs/inexact_ascent.md",
    notes=(
        "Summed over T steps it gives min |grad f|^2 <= 2 L_V (sup f - f_0)/T + mean |h - grad f|^2, the form in which "
        "such results are published. f = J(phi), h as in aid_error, L_V as in return_smoothness."
    ),
    steps=None,
    derivations=(Derivation(r"2 g h - h^2 = g^2 - (h - g)^2", lambda: 2 * _g * _h - _h**2 - _g**2 + (_h - _g) ** 2),),
)
