"""Conservative policy iteration: the improvement with the recommended mixture weight."""

from fractions import Fraction

import numpy as np

from bomrl_theory.numbers import Numeric
from bomrl_theory.theory.case import Case
from bomrl_theory.theory.constants import R, g, gamma, per_task, values
from bomrl_theory.theory.measured import Measured
from bomrl_theory.theory.mixture import advantage_plus, mixture, policy_advantage
from bomrl_theory.theory.small import opposite_arms, two_exits
from bomrl_theory.theory.theorem import Assumption, Source, Theorem
from bomrl_theory.theory.two_policies import ANY_POLICY, WRONG_TASK


def improvement_of_mixture(m: Measured) -> Numeric:
    """``J(mixture) - J(phi)`` [T] with ``alpha = (1-gamma)^2 max(0, advantage)/(4R)``; 0 where R = 0."""
    flat = m.case.family.r.reshape(m.case.family.tasks, -1)
    constant = flat.max(axis=-1) == flat.min(axis=-1)
    R = np.where(constant, m.numbers.constant(1), m.reward_range)
    advantage = m.numbers.maximum(policy_advantage(m), m.numbers.full(R.shape, m.model.zero))
    alpha = (1 - m.model.gamma) * (1 - m.model.gamma) * advantage / (4 * R)
    # By the performance difference lemma, which keeps the digits of a small improvement.
    return alpha / (1 - m.model.gamma) * m.numbers.dot(mixture(m, alpha[:, None, None]).nu, values([g], m)["g"])


mixture_improvement = per_task(
    "mixture_improvement",
    "J((1-alpha) phi + alpha pi+) - J(phi), alpha = (1-gamma)^2 max(0, E_{nu^phi} <pi+, A^phi>)/(4R)",
    "return",
    improvement_of_mixture,
)

THEOREM = Theorem(
    id="conservative_step-v1",
    title="Conservative policy iteration: improvement with the recommended step",
    topic="policy optimisation",
    statement=(
        r"J((1-\alpha) \phi + \alpha \pi) - J(\phi) \ge \frac{(1-\gamma) \mathbb{A}^2}{8R}, \quad"
        r" \mathbb{A} = \mathbb{E}_{\nu^{\phi}} \langle \pi, A^{\phi} \rangle \ge 0, \quad"
        r" \alpha = \frac{(1-\gamma)^2 \mathbb{A}}{4R}"
    ),
    source=Source(
        "Kakade and Langford 2002, Approximately optimal approximate reinforcement learning",
        "Corollary 4.2",
        "from memory",
    ),
    status="proved",
    algorithms=ANY_POLICY,
    left=(1 - gamma.symbol) * advantage_plus.symbol**2,
    bound=8 * R.symbol * mixture_improvement.symbol,
    constants=(gamma, advantage_plus, R, mixture_improvement),
    assumptions=(
        Assumption(
            "policy advantage",
            r"$\mathbb{A} \ge 0$",
            advantage_plus.symbol,
            broken=lambda: Case.new(opposite_arms(), [[1, 1]], "wrong-task", 1),
        ),
    ),
    witness=lambda: Case.new(
        two_exits(), [[2**40, 1, 1], [2**40, 1, 1], [1, 1, 1], [1, 1, 1]], "wrong-task", Fraction(1, 2**20)
    ),
    tightness=0.7796,
    notes=(
        "Both sides times 8R. The source has rewards in [0, R] and values normalised by 1-gamma; only the range of "
        "the rewards matters. The improvement to first order is alpha A/(1-gamma), twice the bound; the witness "
        "needs the second order."
    ),
    steps=None,
    draws=(WRONG_TASK,),
)
