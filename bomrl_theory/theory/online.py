"""Online meta-learning: the family's tasks as a sequence, every task once, whatever their weights.

The loss of an initialisation q on task t is ``E_{nu*_t} KL(pi*_t || q)``. With ``n(s,a) = sum_t nu*_t(s) pi*_t(a|s)``
and ``N(s) = sum_a n(s,a)`` the best fixed initialisation is n/N, the barycentre. The online one is the running average
``(phi + n_before)/(1 + N_before)``; its losses are computed exactly.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Shaped

from bomrl_theory.exact.solved import Solved
from bomrl_theory.numbers import Array, Numeric
from bomrl_theory.theory.case import Case
from bomrl_theory.theory.constants import per_task, scalar
from bomrl_theory.theory.draws import Draw, random_lambda, random_policy
from bomrl_theory.theory.measured import Measured
from bomrl_theory.theory.mirror_descent import lost, short_of_optimum


@dataclass(frozen=True)
class Counts:
    """What all optima together do.

    Attributes:
        n: ``sum_t nu*_t(s) pi*_t(a|s)`` [S, A].
        used: where n is positive, decided on the graph [S, A].
    """

    n: Shaped[Numeric, "S A"]
    used: Bool[Array, "S A"]

    @classmethod
    def of(cls, m: Measured) -> Counts:
        mass = m.star.nu[..., None] * m.star.pi
        return cls(mass.sum(axis=0), (m.star.visited[..., None] & (m.star.weights > 0)).any(axis=0))

    @property
    def N(self) -> Shaped[Numeric, "S 1"]:
        return self.n.sum(axis=-1, keepdims=True)


def best_loss(m: Measured) -> Any:
    """``sum_(s,a) n log(N/n)``, the loss of the barycentre on all tasks."""
    counts, one = Counts.of(m), m.numbers.constant(1)
    n = np.where(counts.used, counts.n, one)
    ratio = np.where(counts.used, np.broadcast_to(counts.N, counts.n.shape) / n, one)
    return (np.where(counts.used, counts.n, m.model.zero) * m.numbers.log(ratio)).sum()


def averages_at_optima(m: Measured) -> Iterator[Shaped[Numeric, " S"]]:
    """``phi_t(a*_t)`` for every task of the sequence, [S] each."""
    seen = m.numbers.normalised(m.case.phi)
    for t in range(m.case.family.tasks):
        average = seen / seen.sum(axis=-1, keepdims=True)
        yield np.take_along_axis(average, m.a_star[t][:, None], axis=-1)[:, 0]
        seen = seen + m.star.nu[t][:, None] * m.star.pi[t]


def online_loss(m: Measured) -> Any:
    """``sum_t E_{nu*_t} KL(pi*_t || phi_t)``."""
    terms = ((m.star.nu[t] * -m.numbers.log(q)).sum() for t, q in enumerate(averages_at_optima(m)))
    total = m.model.zero
    for term in terms:
        total = total + term
    return total


def log_states(m: Measured) -> Any:
    """``sum_s (1 + log(1 + N(s)))`` over states that some optimum visits."""
    counts = Counts.of(m)
    visited = counts.used.any(axis=-1)
    terms = m.numbers.log(1 + counts.N[:, 0]) + 1
    return np.where(visited, terms, m.model.zero).sum()


def log_actions(m: Measured) -> Any:
    """``sum_(s,a) log(1 + n(s,a)/phi(a|s))``."""
    counts, one = Counts.of(m), m.numbers.constant(1)
    inside = 1 + counts.n / m.numbers.normalised(m.case.phi)
    return m.numbers.log(np.where(counts.used, inside, one)).sum()


def rounding_of_averages(m: Measured) -> Any:
    """``sum_t E_{nu*_t} max(0, log phi_t(a*) - log of what the run starts from)``."""
    total = m.model.zero
    for t, exact in enumerate(averages_at_optima(m)):
        short = m.numbers.log(exact / m.at_star(m.path[1].pi)[t])
        short = m.numbers.maximum(short, m.numbers.full(short.shape, m.model.zero))
        total = total + (m.star.nu[t] * short).sum()
    return total


def drift_within(m: Measured) -> Shaped[Numeric, " T"]:
    """As the rate's drift, for the steps after the first."""
    total = m.numbers.full((m.case.family.tasks,), m.model.zero)
    for k in range(1, m.case.steps):
        total = total + short_of_optimum(m, k) + (k + m.model.gamma / (1 - m.model.gamma)) * lost(m, k)
    return total


tasks = scalar("tasks", "number of tasks", "1", lambda m: m.numbers.constant(m.case.family.tasks), positive=True)
regret = scalar(
    "regret",
    "sum_t E_{nu*_t} KL(pi*_t || phi_t) less that of the best fixed initialisation, phi_t the running average",
    "nats",
    lambda m: online_loss(m) - best_loss(m),
)
fixed_loss = scalar(
    "fixed_loss",
    "min_q sum_t E_{nu*_t} KL(pi*_t || q): loss of the best fixed initialisation on all tasks",
    "nats",
    best_loss,
    nonnegative=True,
)
state_logs = scalar(
    "state_logs",
    "sum_s (1 + log(1 + N(s))), N = sum_t nu*_t, over states that some optimum visits",
    "nats",
    log_states,
    positive=True,
)
action_logs = scalar(
    "action_logs",
    "sum_(s,a) log(1 + n(s,a)/phi(a|s)), n = sum_t nu*_t pi*_t",
    "nats",
    log_actions,
    nonnegative=True,
)
average_rounding = scalar(
    "average_rounding",
    "sum_t E_{nu*_t} (log phi_t(a*) - log of the floating-point average)^+",
    "nats",
    rounding_of_averages,
    nonnegative=True,
)
within_drift = per_task(
    "within_drift",
    "what floating-point steps after the first cost a rate: drift with k-1 for k",
    "return",
    drift_within,
    nonnegative=True,
)


def _sequence(solved: Solved, rng: np.random.Generator, origin: str) -> Iterator[Case]:
    phi = random_policy(rng, solved.family.states, solved.family.actions)
    steps = int(rng.integers(1, 7))
    yield Case.new(solved, phi, "online-average", random_lambda(rng), steps=steps, origin=origin)


SEQUENCE = Draw("tasks in sequence", 1, _sequence)
"""One random meta-policy, the tasks in sequence, up to five steps within each."""
