"""Task variance bounds the expected optimality gap (THEORY section 7)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import sympy as sp

from bomrl_theory.numbers import Array, Numeric
from bomrl_theory.theory.case import Case
from bomrl_theory.theory.comparator import INNER, eta
from bomrl_theory.theory.constants import Delta, gamma, gap, lam, rho, scalar, w
from bomrl_theory.theory.expression import largest_over_tasks, over_tasks, positive
from bomrl_theory.theory.measured import Measured
from bomrl_theory.theory.small import keep_or_lose, swapped_keep_or_lose
from bomrl_theory.theory.theorem import Derivation, Source, Theorem


@dataclass(frozen=True)
class Occupancy:
    """What all optima together do, state by state.

    Attributes:
        mass: ``E_tau[nu*(s) pi*(a|s)]`` [S, A].
        total: ``E_tau[nu*(s)]`` [S, 1].
        used: where the mass is positive [S, A], decided on the graph.
    """

    mass: Numeric
    total: Numeric
    used: Array

    @classmethod
    def of(cls, m: Measured) -> Occupancy:
        used = (m.star.visited[..., None] & (m.star.weights > 0)).any(axis=0)
        mass = ((m.model.w[:, None, None] * m.star.nu[..., None]) * m.star.pi).sum(axis=0)
        mass = np.where(used, mass, m.model.zero)
        return cls(mass, mass.sum(axis=-1, keepdims=True), used)

    def average_log_ratio(self, m: Measured, above: Numeric, below: Numeric) -> Numeric:
        """``sum mass log(above/below)`` with ``0 log 0 = 0``."""
        one = m.numbers.constant(1)
        shape = self.used.shape
        above, below = (np.where(self.used, np.broadcast_to(x, shape), one) for x in (above, below))
        return (self.mass * m.numbers.log(above / below)).sum()


def task_variance(m: Measured) -> Numeric:
    """``Var = E_tau E_{nu*} KL(pi* || barycentre)``: the task-action mutual information given the state."""
    optima = Occupancy.of(m)
    return optima.average_log_ratio(m, optima.total, optima.mass)


def mismatch(m: Measured) -> Numeric:
    """``E_{nu*} KL(barycentre || phi)``: zero exactly at the barycentre."""
    optima = Occupancy.of(m)
    return optima.average_log_ratio(m, optima.mass, optima.total * m.phi.pi[0])


Var = scalar("Var", "task variance: E_tau E_{nu*} KL(pi* || barycentre)", "nats", task_variance, nonnegative=True)
M = scalar(
    "M",
    "mismatch of the meta-policy: E_tau E_{nu*} KL(barycentre || phi)",
    "nats",
    mismatch,
    nonnegative=True,
)


class TwoTasks:
    """One state, three actions, two tasks with stochastic optima x and y and masses m1 and m2, all symbols."""

    def __init__(self) -> None:
        m1, m2 = positive("m1"), positive("m2")
        x, y, self.phi = (tuple(positive(f"{name}{i}") for i in range(3)) for name in "xyf")
        self.centre = tuple((m1 * u + m2 * v) / (m1 + m2) for u, v in zip(x, y, strict=True))
        self.total = m1 * self.kl(x, self.phi) + m2 * self.kl(y, self.phi)
        self.variance = m1 * self.kl(x, self.centre) + m2 * self.kl(y, self.centre)
        self.mismatch = (m1 + m2) * self.kl(self.centre, self.phi)

    @staticmethod
    def kl(first: Any, second: Any) -> Any:
        return sum(u * (sp.log(u) - sp.log(v)) for u, v in zip(first, second, strict=True))

    def slope(self, action: int) -> Any:
        """Of the total in phi(action), at the barycentre; on the simplex slopes agree at a stationary point."""
        return sp.diff(self.total, self.phi[action]).subs(dict(zip(self.phi, self.centre, strict=True)))


def _split() -> Any:
    tasks = TwoTasks()
    return sp.simplify(sp.expand(tasks.total - tasks.variance - tasks.mismatch))


DISCOUNT, SHARE, ADAPTED = positive("gamma"), positive("p"), positive("x")


def _ratio_of_keep_or_lose() -> Any:
    """The gap of a policy that keeps with probability x over the bound with phi(keep) = p and small lambda."""
    returns = ADAPTED / (1 - DISCOUNT * ADAPTED)
    span = 1 + DISCOUNT * returns.subs(ADAPTED, SHARE)
    bound = span / (1 - DISCOUNT) * -sp.log(SHARE)
    formula = (1 - ADAPTED) * (1 - DISCOUNT * SHARE) / ((1 - DISCOUNT * ADAPTED) * -sp.log(SHARE))
    return (1 / (1 - DISCOUNT) - returns) / bound - formula


DERIVATIONS = (
    Derivation(
        r"$\mathbb{E}_{\tau} \mathbb{E}_{\nu^*} \mathrm{KL}(\pi^* \| \phi) = \mathrm{Var} + M$ (two tasks, three"
        r" actions, stochastic optima)",
        _split,
    ),
    *(
        Derivation(
            rf"the barycentre is stationary on the simplex (actions 0 and {action})",
            lambda action=action: TwoTasks().slope(0) - TwoTasks().slope(action),
        )
        for action in (1, 2)
    ),
    Derivation(
        r"in keep-or-lose, for $\lambda \le \Delta$, gap over bound is"
        r" $(1-x)(1-\gamma p) / ((1-\gamma x)(-\log p))$ with $x = \pi^+(\mathrm{keep})$: no smaller constant will do",
        _ratio_of_keep_or_lose,
    ),
    Derivation(
        r"which tends to 1 if first $\gamma \to 1$ and then $p \to 1$, for any $x < 1$",
        lambda: sp.limit((1 - SHARE) / -sp.log(SHARE), SHARE, 1, "-") - 1,
    ),
)

THEOREM = Theorem(
    id="task_variance-v1",
    title="Task variance bounds the expected optimality gap",
    topic="task distribution",
    statement=(
        r"\mathbb{E}_\tau [J^* - J(\pi^+)] \le \frac{\max(\max_\tau \Delta_\tau, \lambda)}{1-\gamma}"
        r" \left( \mathrm{Var} + \mathbb{E}_\tau \mathbb{E}_{\nu^*} \mathrm{KL}(\bar\phi \| \phi) \right)"
    ),
    source=Source("bomrl_theory", "theory section 7, for every meta-policy", "derived here"),
    status="proved",
    algorithms=("kl-posterior",),
    left=over_tasks(w.symbol * gap.symbol),
    bound=sp.Max(largest_over_tasks(Delta.symbol), lam.symbol) / (1 - gamma.symbol) * (Var.symbol + M.symbol)
    + over_tasks(w.symbol * INNER),
    constants=(w, gap, Delta, lam, gamma, Var, M, rho, eta),
    witness=lambda: Case.new(keep_or_lose(), [[99, 1], [1, 1]], "kl-posterior", 64),
    tightness=0.9946,
    proof="proofs/task_variance.md",
    derivations=DERIVATIONS,
    # Even phi is the barycentre: M = 0, and the bound rests on Var.
    probes=(lambda: Case.new(swapped_keep_or_lose(), [[1, 1], [1, 1]], "kl-posterior", 2),),
    notes="At the barycentre the mismatch M is 0 and the bound is max(Delta, lambda)/(1-gamma) Var.",
)
