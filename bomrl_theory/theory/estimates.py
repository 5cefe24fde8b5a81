"""Constants of adaptation on estimated action values (THEORY section 6)."""

from __future__ import annotations

import numpy as np
from jaxtyping import Shaped

from bomrl_theory.errors import InvalidTask
from bomrl_theory.numbers import Numeric
from bomrl_theory.theory.constants import per_state
from bomrl_theory.theory.measured import Measured


def estimate(m: Measured) -> Shaped[Numeric, "T S A"]:
    """The action values that the last step used, as the exact doubles that they are.

    Raises:
        InvalidTask: the algorithm estimates nothing.
    """
    steps = m.case.adaptation.steps
    if not steps or steps[-1].estimate is None:
        raise InvalidTask(f"{m.case.algorithm.name} adapts on exact action values")
    return m.numbers.load(steps[-1].estimate)


def error_of_estimate(m: Measured) -> Shaped[Numeric, "T S"]:
    """``max_a |Qhat - Q^phi|``."""
    wrong = estimate(m) - m.phi.Q
    return m.numbers.largest(m.numbers.maximum(wrong, -wrong), -1)


def cost_of_estimate(m: Measured) -> Shaped[Numeric, "T S"]:
    """The step's shortfall in the objective that it saw, and twice the error, where pi+ goes."""
    Q = estimate(m)
    reached = m.plus.average(Q) - m.penalty
    at_star = m.at_star(Q) + m.lam * m.numbers.log(m.at_star(m.phi.pi))
    wanted = m.numbers.maximum(m.phi.average(Q), at_star)
    short = m.numbers.maximum(wanted - reached, m.numbers.full(reached.shape, m.model.zero))
    return np.where(m.plus.visited, short + 2 * error_of_estimate(m), m.model.zero)


b = per_state(
    "b",
    "eta_hat + 2 max_a |Qhat - Q^phi| at s, where pi+ goes: inner error on the estimate, and what the estimate hides",
    "return",
    cost_of_estimate,
    nonnegative=True,
)
