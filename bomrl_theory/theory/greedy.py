"""Dynamic programming: how far policies are from greedy, and the optimality operator."""

from __future__ import annotations

from jaxtyping import Shaped

from bomrl_theory.exact.evaluate import Evaluation
from bomrl_theory.numbers import Numeric
from bomrl_theory.theory.constants import per_task, scalar
from bomrl_theory.theory.measured import Measured


def distance_from_greedy(m: Measured, start: Evaluation, end: Evaluation) -> Shaped[Numeric, " T"]:
    """``max_s [ max_a Q^start(s,a) - <end, Q^start>(s) ]``."""
    return m.numbers.largest(m.numbers.largest(start.Q, -1) - end.average(start.Q), -1)


greedy_error = per_task(
    "delta",
    "max_s [max_a Q^phi(s,a) - <pi+, Q^phi>(s)]: how far pi+ is from greedy for V^phi",
    "return",
    lambda m: distance_from_greedy(m, m.phi, m.plus),
    nonnegative=True,
)
gamma_K = scalar(
    "gamma_K",
    "gamma^K, K the number of steps",
    "1",
    lambda m: m.numbers.constant(m.case.family.gamma**m.case.steps),
    shared=True,
    nonnegative=True,
)
V_gap_phi = per_task(
    "V_gap_phi",
    "max_s (V*(s) - V^phi(s))",
    "return",
    lambda m: m.numbers.largest(m.star.V - m.phi.V, -1),
    nonnegative=True,
)
