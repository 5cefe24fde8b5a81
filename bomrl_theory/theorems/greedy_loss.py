"""Loss of a policy that is greedy for an approximate value function."""

from fractions import Fraction

from bomrl_theory.numbers import Numeric
from bomrl_theory.theory.case import Case
from bomrl_theory.theory.constants import gamma, gap, per_task
from bomrl_theory.theory.greedy import greedy_error
from bomrl_theory.theory.measured import Measured
from bomrl_theory.theory.small import wait_or_invest
from bomrl_theory.theory.theorem import Source, Theorem
from bomrl_theory.theory.two_policies import ANY_POLICY, WRONG_TASK


def value_error(m: Measured) -> Numeric:
    """``min_c max_s |V* - V^phi - c|`` [T]: half the span."""
    missing = m.star.V - m.phi.V
    return (m.numbers.largest(missing, -1) + m.numbers.largest(-missing, -1)) / 2


value_distance = per_task(
    "value_distance", "min_c max_s |V*(s) - V^phi(s) - c|", "return", value_error, nonnegative=True
)

THEOREM = Theorem(
    id="greedy_loss-v1",
    title="Loss of the greedy policy for an approximate value function",
    topic="policy optimisation",
    statement=(
        r"J^* - J(\pi) \le \frac{2 \gamma \epsilon + \delta}{1-\gamma} \quad\text{if}\quad "
        r" \| V^* - \hat V \|_{\infty} \le \epsilon, \quad T_{\pi} \hat V \ge T \hat V - \delta"
    ),
    source=Source(
        "Singh and Yee 1994, An upper bound on the loss from approximate optimal-value functions",
        "Theorem, with a greedy error delta as in Bertsekas and Tsitsiklis 1996",
        "from memory",
    ),
    status="proved",
    algorithms=ANY_POLICY,
    left=gap.symbol,
    bound=(2 * gamma.symbol * value_distance.symbol + greedy_error.symbol) / (1 - gamma.symbol),
    constants=(gap, gamma, value_distance, greedy_error),
    witness=lambda: Case.new(wait_or_invest(), [[2**40, 1], [1, 2**40]], "kl-posterior", Fraction(1, 2**40)),
    tightness=0.99999,
    notes=(
        "For any policy pi+, with delta the measured distance from greedy. The approximate value function is V^phi "
        "+ c with the best constant c, which changes no greedy action. Published for delta = 0. Tight for delta = "
        "0."
    ),
    steps=None,
    draws=(WRONG_TASK,),
)
