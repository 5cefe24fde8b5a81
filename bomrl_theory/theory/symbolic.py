"""Two tasks with two states and two actions, every number a symbol: what holds here holds by algebra alone.

Values and visitations are fractions with the determinant of ``I - gamma P_pi`` below; identities are multiplied by the
determinants and then compared as polynomials, which is exact and fast.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import sympy as sp
from sympy.polys.domains import QQ
from sympy.polys.rings import ring

from bomrl_theory.theory.expression import Expr

TASKS = ("x", "y")
PAIRS = ("00", "01", "10", "11")
_RING, *_GENERATORS = ring(
    ["gamma", "w", "pi0", "pi1", "phi0", "phi1"]
    + [f"{name}_{task}{pair}" for task in TASKS for name in ("P", "r") for pair in PAIRS]
    + [f"rho_{task}" for task in TASKS],
    QQ,
)
_NAMED: dict[str, Any] = {str(generator): generator for generator in _GENERATORS}
gamma, w = _NAMED["gamma"], _NAMED["w"]
"""Discount, and the weight of the first task."""
Row = list[Any]


def policy(name: str) -> list[Row]:
    """Probabilities [S][A]; one is free in each state."""
    return [[_NAMED[f"{name}{s}"], 1 - _NAMED[f"{name}{s}"]] for s in (0, 1)]


def _dot(x: Row, y: Row) -> Any:
    return x[0] * y[0] + x[1] * y[1]


def _times(row: Row, matrix: list[Row]) -> Row:
    return [row[0] * matrix[0][k] + row[1] * matrix[1][k] for k in (0, 1)]


@dataclass(frozen=True)
class Task:
    """One task; its name distinguishes its symbols."""

    name: str

    @property
    def rho(self) -> Row:
        return [_NAMED[f"rho_{self.name}"], 1 - _NAMED[f"rho_{self.name}"]]

    def r(self, s: int, a: int) -> Any:
        return _NAMED[f"r_{self.name}{s}{a}"]

    def P(self, s: int, a: int) -> Row:
        """Where the action leads [S]."""
        first = _NAMED[f"P_{self.name}{s}{a}"]
        return [first, 1 - first]


@dataclass(frozen=True)
class Evaluated:
    """A policy on a task, everything times the determinant of ``I - gamma P_pi``."""

    task: Task
    pi: list[Row]

    @cached_property
    def P(self) -> list[Row]:
        """P_pi [S][S], not multiplied."""
        return [[_dot(self.pi[s], [self.task.P(s, a)[k] for a in (0, 1)]) for k in (0, 1)] for s in (0, 1)]

    @cached_property
    def determinant(self) -> Any:
        P = self.P
        return (1 - gamma * P[0][0]) * (1 - gamma * P[1][1]) - gamma * P[0][1] * gamma * P[1][0]

    @cached_property
    def resolvent(self) -> list[Row]:
        """``(I - gamma P_pi)^-1`` [S][S]."""
        P = self.P
        return [[1 - gamma * P[1][1], gamma * P[0][1]], [gamma * P[1][0], 1 - gamma * P[0][0]]]

    @cached_property
    def V(self) -> Row:
        rewards = [_dot(self.pi[s], [self.task.r(s, a) for a in (0, 1)]) for s in (0, 1)]
        return [_dot(row, rewards) for row in self.resolvent]

    @cached_property
    def J(self) -> Any:
        return _dot(self.task.rho, self.V)

    @cached_property
    def nu(self) -> Row:
        """nu^pi / (1 - gamma) [S]."""
        return _times(self.task.rho, self.resolvent)

    def Q(self, s: int, a: int) -> Any:
        return self.determinant * self.task.r(s, a) + gamma * _dot(self.task.P(s, a), self.V)


def _average(x: Any, y: Any) -> Expr:
    """Over both tasks."""
    return (w * x + (1 - w) * y).as_expr()


def performance_difference() -> Expr:
    """``J(pi) - J(phi) - sum_s nu^pi(s) <pi, A^phi>(s) / (1-gamma)``, averaged over the tasks, times determinants."""

    def residual(task: Task) -> Any:
        new, old = Evaluated(task, policy("pi")), Evaluated(task, policy("phi"))
        gain = [_dot(new.pi[s], [old.Q(s, a) for a in (0, 1)]) - old.V[s] for s in (0, 1)]
        return old.determinant * new.J - new.determinant * old.J - _dot(new.nu, gain)

    return _average(*(residual(Task(name)) for name in TASKS))


def visitation_shift() -> Expr:
    """``nu^pi - nu^phi - gamma nu^phi (P_pi - P_phi) (I - gamma P_pi)^-1``: squares of both entries, as above."""

    def residual(task: Task) -> Any:
        new, old = Evaluated(task, policy("pi")), Evaluated(task, policy("phi"))
        change = [[new.P[s][k] - old.P[s][k] for k in (0, 1)] for s in (0, 1)]
        moved = _times(_times(old.nu, change), new.resolvent)
        entries = [old.determinant * new.nu[k] - new.determinant * old.nu[k] - gamma * moved[k] for k in (0, 1)]
        return entries[0] ** 2 + entries[1] ** 2

    return _average(*(residual(Task(name)) for name in TASKS))


def three_point() -> Expr:
    """``<q - pi+, Q> - lambda [KL(q||phi) - KL(q||pi+) - KL(pi+||phi)]`` at one state, for any action values.

    Logarithms are symbols, with ``log pi+ = log phi + Q/lambda - log Z``; exponentials are positive symbols.
    """
    lam, log_Z = sp.Symbol("lambda", positive=True), sp.Symbol("log_Z", real=True)
    phi0, q0 = sp.symbols("phi0 q0", positive=True)
    phi, q = (phi0, 1 - phi0), (q0, 1 - q0)
    Q, log_phi, log_q = (sp.symbols(f"{name}:2", real=True) for name in ("Q", "log_phi", "log_q"))
    power = sp.symbols("exp_Q:2", positive=True)
    Z = phi[0] * power[0] + phi[1] * power[1]
    plus = [phi[a] * power[a] / Z for a in (0, 1)]
    log_plus = [log_phi[a] + Q[a] / lam - log_Z for a in (0, 1)]

    def kl(x: Any, log_x: Any, log_y: Any) -> Expr:
        return x[0] * (log_x[0] - log_y[0]) + x[1] * (log_x[1] - log_y[1])

    left = (q[0] - plus[0]) * Q[0] + (q[1] - plus[1]) * Q[1]
    bracket = kl(q, log_q, log_phi) - kl(q, log_q, log_plus) - kl(plus, log_plus, log_phi)
    return sp.cancel(sp.together(left - lam * bracket))
