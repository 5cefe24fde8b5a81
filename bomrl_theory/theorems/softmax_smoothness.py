"""Smoothness of the return in softmax parameters."""

from bomrl_theory.numbers import Numeric
from bomrl_theory.theory.case import Case
from bomrl_theory.theory.constants import R, gamma, per_task
from bomrl_theory.theory.measured import Measured
from bomrl_theory.theory.small import two_arms
from bomrl_theory.theory.softmax import displacement, gradient, product
from bomrl_theory.theory.theorem import Source, Theorem
from bomrl_theory.theory.two_policies import ANY_POLICY, WRONG_TASK, absolute


def remainder(m: Measured) -> Numeric:
    """``|J(theta + u) - J(theta) - <grad J(theta), u>|`` [T]."""
    return absolute(m, m.plus.J - m.phi.J - product(gradient(m), displacement(m)))


taylor = per_task(
    "taylor",
    "|J(pi+) - J(phi) - <grad J(phi), u>|, u from phi to pi+ in softmax parameters",
    "return",
    remainder,
    nonnegative=True,
)
u_square = per_task(
    "u_square",
    "squared distance of phi and pi+ in softmax parameters, centred in every state",
    "1",
    lambda m: product(displacement(m), displacement(m)),
    nonnegative=True,
)

THEOREM = Theorem(
    id="softmax_smoothness-v1",
    title="Smoothness of the return in softmax parameters",
    topic="policy optimisation",
    statement=(
        r"| J(\pi_{\theta+u}) - J(\pi_\theta) - \langle \nabla J(\pi_\theta), u \rangle |"
        r" \le \frac{\beta}{2} \| u \|_2^2, \quad \beta = \frac{8 R}{(1-\gamma)^3}"
    ),
    source=Source(
        "Mei, Xiao, Szepesvari and Schuurmans 2020, On the global convergence rates of softmax policy gradient methods;"
        " Agarwal, Kakade, Lee and Mahajan 2021",
        "Lemma 7; appendix on smoothness",
        "from memory",
    ),
    status="proved",
    algorithms=ANY_POLICY,
    left=taylor.symbol,
    bound=4 * R.symbol / (1 - gamma.symbol) ** 3 * u_square.symbol,
    constants=(taylor, R, gamma, u_square),
    witness=lambda: Case.new(two_arms(0), [[2113, 7887]], "kl-posterior", 2**12),
    tightness=0.02405,
    notes=(
        "Published for rewards in [0, 1]; adding a constant to all rewards changes neither side, so their range R "
        "takes the place of 1. For any policy pi+: every policy of full support is a softmax, and the shortest "
        "displacement is used. The largest ratio found by search is 1/(24 sqrt(3)) = 0.0241, in one state with "
        "gamma = 0: there 8 could be 1/(3 sqrt(3)), 41.6 times less."
    ),
    steps=None,
    draws=(WRONG_TASK,),
)
