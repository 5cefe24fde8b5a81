"""Approximate policy iteration: error after K steps that are only nearly greedy."""

from fractions import Fraction

from bomrl_theory.numbers import Numeric
from bomrl_theory.theory.case import Case
from bomrl_theory.theory.constants import gamma, per_task
from bomrl_theory.theory.draws import SEVERAL_STEPS
from bomrl_theory.theory.greedy import V_gap_phi, distance_from_greedy, gamma_K
from bomrl_theory.theory.measured import Measured
from bomrl_theory.theory.small import wait_or_invest
from bomrl_theory.theory.theorem import Source, Theorem
from bomrl_theory.theory.two_policies import ANY_POLICY, WRONG_TASK


def accumulated(m: Measured) -> Numeric:
    """``sum_k gamma^(K-1-k) delta_k`` [T]."""
    total = m.numbers.full((m.case.family.tasks,), m.model.zero)
    for start, end in zip(m.path, m.path[1:], strict=False):
        total = m.model.gamma * total + distance_from_greedy(m, start, end)
    return total


V_gap_plus = per_task(
    "V_gap_plus",
    "max_s (V*(s) - V^{pi+}(s))",
    "return",
    lambda m: m.numbers.largest(m.star.V - m.plus.V, -1),
    nonnegative=True,
)
greedy_errors = per_task(
    "delta_K",
    "sum_k gamma^(K-1-k) max_s [max_a Q^(k) - <pi_(k+1), Q^(k)>]: how far the K steps are from greedy",
    "return",
    accumulated,
    nonnegative=True,
)

THEOREM = Theorem(
    id="approximate_policy_iteration-v1",
    title="Approximate policy iteration: K steps that are only nearly greedy",
    topic="policy optimisation",
    statement=(
        r"\| V^* - V^{\pi_K} \|_{\infty} \le \gamma^K \| V^* - V^{\phi} \|_{\infty} + \sum_{k<K} \gamma^{K-1-k}"
        r" \frac{\delta_k}{1-\gamma}, \quad \delta_k = \max_s [ T V^{\pi_k} - T_{\pi_{k+1}} V^{\pi_k} ](s)"
    ),
    source=Source(
        "Bertsekas and Tsitsiklis 1996, Neuro-dynamic programming",
        "Proposition 6.2, before the limit and without evaluation error",
        "reconstructed",
    ),
    status="proved",
    algorithms=ANY_POLICY,
    left=V_gap_plus.symbol,
    bound=gamma_K.symbol * V_gap_phi.symbol + greedy_errors.symbol / (1 - gamma.symbol),
    constants=(V_gap_plus, gamma_K, V_gap_phi, greedy_errors, gamma),
    witness=lambda: Case.new(wait_or_invest(), [[2**40, 1], [1, 2**40]], "kl-posterior", Fraction(1, 2**40)),
    tightness=0.99999,
    notes=(
        "For any policies along the way. The published statement is the limit, with delta + 2 gamma eps for an "
        "evaluation error eps and (1-gamma)^2 below; with exact greedy steps this is the geometric convergence of "
        "policy iteration. One step: V^phi <= T_+ V^phi + delta gives V^phi <= V^+ + delta/(1-gamma), and V* - T_+ "
        "V^phi <= gamma P*(V* - V^phi) + delta."
    ),
    steps=None,
    draws=(SEVERAL_STEPS, WRONG_TASK),
)
