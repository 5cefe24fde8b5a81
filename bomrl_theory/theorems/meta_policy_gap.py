"""The gap of the unadapted meta-policy from its own advantages, with the best factor (THEORY section 5)."""

from fractions import Fraction

import sympy as sp

from bomrl_theory.theory.case import Case
from bomrl_theory.theory.constants import A_max, gamma, gap_phi, nu_phi, p
from bomrl_theory.theory.expression import over_states
from bomrl_theory.theory.small import hold_or_fall
from bomrl_theory.theory.theorem import Source, Theorem

FACTOR = sp.Max(1, (2 - gamma.symbol) * sp.Rational(721_347_521, 10**9))
"""``sup_p ((1-gamma) min(1, (1-p)/p) + gamma (1-p)) / -log p``: at p = 1/2 or in the limit p = 1.

``1/(2 log 2) = 0.72134752044...`` is rounded up to nine digits. The exact number would make sides that are equal by
``log 2 / log 2 = 1``, which no finite precision can decide.
"""

THEOREM = Theorem(
    id="meta_policy_gap-v1",
    title="Optimality gap without adaptation, from the meta-policy's advantages",
    topic="adaptation",
    statement=(
        r"J^* - J(\phi) \le \max\left(1, \frac{2-\gamma}{2 \log 2}\right) \frac{A_{\max}}{(1-\gamma)^2}"
        r" \sum_s \nu^{\phi}(s)\, \mathrm{KL}(\pi^* \| \phi)(s)"
    ),
    source=Source("bomrl_theory", "open question 3", "derived here"),
    status="proved",
    algorithms=("none",),
    left=gap_phi.symbol,
    bound=FACTOR * A_max.symbol / (1 - gamma.symbol) ** 2 * over_states(nu_phi.symbol * -sp.log(p.symbol)),
    constants=(gap_phi, A_max, gamma, nu_phi, p),
    witness=lambda: Case.new(hold_or_fall(Fraction(1, 2)), [[1, 1], [2**40, 1]], "none"),
    tightness=0.99999999,
    proof="proofs/meta_policy_gap.md",
    notes=(
        "The factor cannot be lowered for gamma <= 2 - 2 log 2 = 0.614, where the witness's ratio is 1 up to what the "
        "absorbing state and the ninth digit of 1/(2 log 2) add, nor as gamma tends to 1."
    ),
    steps=None,
)
