"""Mirror descent (Alg^(2), natural policy gradient) run for K steps.

Rates are proved for exact steps. For the floating-point policies of a run two inequalities are measured at every
step, and what they miss is paid for: ``<pi* - pi_(k+1), Q^(k)> <= lambda_k log(pi_(k+1)/pi_k)(a*)``, which an exact
step fulfils with ``lambda_k KL(pi_(k+1) || pi_k)`` to spare, and ``<pi_(k+1), A^(k)> >= 0``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction

import numpy as np
import sympy as sp
from jaxtyping import Shaped

from bomrl_theory.exact.solved import Solved
from bomrl_theory.numbers import Numeric
from bomrl_theory.tasks.policy import uniform_policy
from bomrl_theory.theory.case import Case
from bomrl_theory.theory.constants import nu_star, p, per_task, scalar
from bomrl_theory.theory.draws import Draw, random_lambda, random_policy
from bomrl_theory.theory.expression import over_states
from bomrl_theory.theory.measured import Measured
from bomrl_theory.theory.small import wait_or_invest
from bomrl_theory.theory.theorem import Assumption


def weight_of_step(m: Measured, k: int) -> Fraction:
    """lambda_k, exact."""
    return m.case.lam / 2**k if m.case.algorithm.name == "kl-posterior-halving" else m.case.lam


def short_of_optimum(m: Measured, k: int) -> Shaped[Numeric, " T"]:
    """``max_s max(0, <pi* - pi_(k+1), Q^(k)> - lambda_k log(pi_(k+1)/pi_k)(a*))``."""
    start, end = m.path[k], m.path[k + 1]
    gained = m.numbers.constant(weight_of_step(m, k)) * m.numbers.log(m.at_star(end.pi) / m.at_star(start.pi))
    missed = m.at_star(start.Q) - end.average(start.Q) - gained
    return m.numbers.largest(m.numbers.maximum(missed, m.numbers.full(missed.shape, m.model.zero)), -1)


def lost(m: Measured, k: int) -> Shaped[Numeric, " T"]:
    """``max_s max(0, -<pi_(k+1), A^(k)>)``."""
    loss = -m.path[k + 1].average(m.path[k].advantage)
    return m.numbers.largest(m.numbers.maximum(loss, m.numbers.full(loss.shape, m.model.zero)), -1)


def summed(m: Measured, term: Callable[[int], Numeric]) -> Shaped[Numeric, " T"]:
    """``sum_k term(k)`` over the steps of the case."""
    total = m.numbers.full((m.case.family.tasks,), m.model.zero)
    for k in range(m.case.steps):
        total = total + term(k)
    return total


def start_concentrability(m: Measured) -> Shaped[Numeric, " T"]:
    """``max_s nu*(s)/((1-gamma) rho(s))`` over states that can be the first."""
    first = m.case.family.rho > 0
    divisor = np.where(first, (1 - m.model.gamma) * m.model.rho, m.numbers.constant(1))
    return m.numbers.largest(np.where(first, m.star.nu / divisor, m.model.zero), -1)


def uncovered_states(m: Measured) -> Shaped[Numeric, " T"]:
    """How many states pi* visits without their ever being the first."""
    count = (m.star.visited & (m.case.family.rho == 0)).sum(axis=-1)
    return m.numbers.load(count.astype(np.float64))


K = scalar(
    "K",
    "number of adaptation steps",
    "1",
    lambda m: m.numbers.constant(m.case.steps),
    shared=True,
    positive=True,
)
theta = per_task(
    "vartheta",
    "max_s nu*(s)/((1-gamma) rho(s)): concentrability of the start distribution",
    "1",
    start_concentrability,
    positive=True,
)
uncovered = per_task(
    "uncovered",
    "number of states that pi* visits and that are never the first",
    "1",
    uncovered_states,
    nonnegative=True,
)
drift = per_task(
    "drift",
    "sum_k [max_s (<pi* - pi_(k+1), Q^(k)> - lambda_k log(pi_(k+1)/pi_k)(a*))^+"
    " + (k+1+gamma/(1-gamma)) max_s (-<pi_(k+1), A^(k)>)^+]: what floating-point steps cost a rate",
    "return",
    lambda m: summed(
        m,
        lambda k: short_of_optimum(m, k) + (k + 1 + m.model.gamma / (1 - m.model.gamma)) * lost(m, k),
    ),
    nonnegative=True,
)
drift_sum = per_task(
    "drift_sum",
    "sum_k [max_s (<pi* - pi_(k+1), Q^(k)> - lambda_k log(pi_(k+1)/pi_k)(a*))^+ + max_s (-<pi_(k+1), A^(k)>)^+]",
    "return",
    lambda m: summed(m, lambda k: short_of_optimum(m, k) + lost(m, k)),
    nonnegative=True,
)
KL_STAR = over_states(nu_star.symbol * -sp.log(p.symbol))
"""``E_{nu*} KL(pi* || phi)``."""


def covered(algorithm: str) -> Assumption:
    """The assumption that every state which pi* visits may be the first; it fails where nothing teaches to invest."""
    return Assumption(
        "start covers the optimum",
        r"$\rho(s) > 0$ wherever $\nu^*(s) > 0$",
        -uncovered.symbol,
        broken=lambda: Case.new(wait_or_invest(aside=True), [[1, 2**40]] * 3, algorithm, Fraction(1, 2**20)),
    )


def _from_uniform(solved: Solved, rng: np.random.Generator, origin: str) -> Iterator[Case]:
    phi = uniform_policy(solved.family.states, solved.family.actions)
    yield Case.new(solved, phi, "kl-posterior", random_lambda(rng), steps=int(rng.integers(1, 9)), origin=origin)


def _halving(solved: Solved, rng: np.random.Generator, origin: str) -> Iterator[Case]:
    phi = random_policy(rng, solved.family.states, solved.family.actions)
    steps = int(rng.integers(1, 7))
    yield Case.new(solved, phi, "kl-posterior-halving", random_lambda(rng), steps=steps, origin=origin)


FROM_UNIFORM = Draw("from the uniform policy", 1, _from_uniform)
"""One to eight steps of Alg^(2) from the uniform policy."""
HALVING = Draw("halving", 1, _halving)
"""One random meta-policy, one to six steps of Alg^(2), lambda halved after each."""
