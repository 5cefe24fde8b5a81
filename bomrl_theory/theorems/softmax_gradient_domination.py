"""Gradient domination (non-uniform Lojasiewicz inequality) for softmax policies."""

import sympy as sp

from bomrl_theory.theory.case import Case
from bomrl_theory.theory.constants import C_phi, gap_phi, p, scalar
from bomrl_theory.theory.expression import largest_over_states
from bomrl_theory.theory.small import one_good_arm
from bomrl_theory.theory.softmax import grad_square
from bomrl_theory.theory.theorem import Source, Theorem

states = scalar(
    "states", "number of states", "1", lambda m: m.numbers.constant(m.case.family.states), shared=True, positive=True
)


THEOREM = Theorem(
    id="softmax_gradient_domination-v1",
    title="Gradient domination, softmax parametrisation",
    topic="policy optimisation",
    statement=(
        r"\| \nabla_\theta J(\phi) \|_2 \ge \frac{1}{\sqrt{S}}"
        r" \left( \max_s \frac{\nu^*(s)}{\nu^{\phi}(s)} \right)^{-1} \min_s \phi(a^*|s) \; (J^* - J(\phi))"
    ),
    source=Source(
        "Mei, Xiao, Szepesvari and Schuurmans 2020, On the global convergence rates of softmax policy gradient methods",
        "Lemma 8",
        "from memory",
    ),
    status="proved",
    algorithms=("none",),
    left=gap_phi.symbol,
    bound=sp.sqrt(states.symbol) * C_phi.symbol * largest_over_states(1 / p.symbol) * sp.sqrt(grad_square.symbol),
    constants=(gap_phi, states, C_phi, p, grad_square),
    witness=lambda: Case.new(one_good_arm(1024), [[1] * 1024], "none"),
    tightness=0.9995,
    notes=(
        "Entered as a bound on the gap. Re-derived: |grad|_2 >= |(grad(s, a*(s)))_s|_1/sqrt(S), and Cauchy's "
        "inequality is the only loss in one state, with ratio sqrt(1 - 1/A). The start distribution of the task "
        "stands for the source's mu and rho."
    ),
    steps=None,
)
