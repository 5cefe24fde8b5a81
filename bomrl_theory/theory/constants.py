"""The constants of the bounds: a symbol, what it means, its unit, and how a case measures it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import sympy as sp
from jaxtyping import Shaped

from bomrl_theory.numbers import Numeric
from bomrl_theory.theory.expression import Expr, name_of, s, tau
from bomrl_theory.theory.measured import Measured, View


@dataclass(frozen=True)
class Constant:
    """One quantity of a bound.

    Attributes:
        symbol: a symbol, or a symbol indexed by tau, or by tau and s.
        meaning: for people.
        unit: "return", "reward", "nats", "1" (dimensionless)...
        measure: from a :class:`View` of a case to a scalar, [T] or [T, S], as the symbol is indexed.
        shared: an unindexed constant that is the same for every task, whichever tasks the family holds.
    """

    symbol: Expr
    meaning: str
    unit: str
    measure: Callable[[Any], Any]
    shared: bool = False

    @property
    def name(self) -> str:
        return name_of(self.symbol)


def _indexed(name: str, assumptions: dict[str, bool]) -> Any:
    options: dict[str, Any] = {**assumptions} or {"real": True}
    return sp.IndexedBase(name, **options)


def per_task(name: str, meaning: str, unit: str, measure: Callable[[Any], Any], **assumptions: bool) -> Constant:
    """A constant indexed by tau: the same whichever other tasks the family holds."""
    return Constant(_indexed(name, assumptions)[tau], meaning, unit, measure)


def per_state(name: str, meaning: str, unit: str, measure: Callable[[Any], Any], **assumptions: bool) -> Constant:
    """A constant indexed by tau and s: the same whichever other tasks the family holds."""
    return Constant(_indexed(name, assumptions)[tau, s], meaning, unit, measure)


def scalar(
    name: str, meaning: str, unit: str, measure: Callable[[Any], Any], *, shared: bool = False, **assumptions: bool
) -> Constant:
    """A constant of the whole case."""
    return Constant(sp.Symbol(name, **(assumptions or {"real": True})), meaning, unit, measure, shared)


def values(constants: Iterable[Constant], measured: View) -> dict[str, Numeric]:
    """Measure all constants once, shaped for the expression walker: [T or 1, S or 1]."""
    for constant in constants:
        if constant not in measured.memo:
            value = constant.measure(measured)
            if not hasattr(value, "ndim"):
                value = measured.numbers.full((), value)
            measured.memo[constant] = value.reshape(value.shape + (1,) * (2 - value.ndim))
    return {constant.name: measured.memo[constant] for constant in constants}


def along_families(value: Shaped[Numeric, "N S"], families: int) -> Shaped[Numeric, "T S F"]:
    """A constant of many families' tasks side by side, with the families along an axis of their own, of length 1 where
    the constant is the same for all."""
    if len(value) == 1:
        return value[..., None]
    return np.moveaxis(value.reshape(families, len(value) // families, value.shape[1]), 0, -1)


def concentrability(m: Measured, reference: Shaped[Numeric, "T S"]) -> Shaped[Numeric, " T"]:
    """``max_s nu*(s)/reference(s)`` over the states that pi* visits, where the reference must be positive."""
    ratio = np.where(
        m.star.visited, m.star.nu / np.where(m.star.visited, reference, m.numbers.constant(1)), m.model.zero
    )
    return m.numbers.largest(ratio, -1)


gamma = scalar("gamma", "discount", "1", lambda m: m.model.gamma, shared=True, nonnegative=True)
lam = scalar("lambda", "regularisation of the adaptation step", "return", lambda m: m.lam, shared=True, positive=True)
K = scalar(
    "K",
    "number of adaptation steps",
    "1",
    lambda m: m.numbers.constant(m.case.steps),
    shared=True,
    nonnegative=True,
    integer=True,
)
w = per_task("w", "task weight", "1", lambda m: m.model.w, positive=True)
rho = per_state("rho", "start distribution", "1", lambda m: m.model.rho, nonnegative=True)
nu_phi = per_state("nu_phi", "discounted visitation of phi", "1", lambda m: m.phi.nu, nonnegative=True)
nu_star = per_state("nu_star", "discounted visitation of pi*", "1", lambda m: m.star.nu, nonnegative=True)
nu_plus = per_state("nu_plus", "discounted visitation of pi+", "1", lambda m: m.plus.nu, nonnegative=True)
p = per_state(
    "p",
    "phi(a*|s): what the meta-policy gives the optimal action",
    "1",
    lambda m: m.at_star(m.phi.pi),
    positive=True,
)
a = per_state("a", "advantage of the optimal action under phi", "return", lambda m: m.at_star(m.phi.advantage))
g = per_state("g", "<pi+, A^phi> at s", "return", lambda m: m.plus.average(m.phi.advantage))
improvement = per_task("improvement", "J(pi+) - J(phi)", "return", lambda m: m.plus.J - m.phi.J)
D = per_state(
    "D",
    "P_{pi*}(V* - V^phi): the meta-policy's gap one optimal step ahead",
    "return",
    lambda m: m.lookahead_gap,
    nonnegative=True,
)
gap = per_task(
    "gap",
    "J* - J(pi+): optimality gap after adaptation",
    "return",
    lambda m: m.star.J - m.plus.J,
    nonnegative=True,
)
gap_phi = per_task(
    "gap_phi",
    "J* - J(phi): optimality gap without adaptation",
    "return",
    lambda m: m.star.J - m.phi.J,
    nonnegative=True,
)
Delta = per_task(
    "Delta",
    "max_s span Q^phi(s,.)",
    "return",
    lambda m: m.numbers.largest(m.span(m.phi.Q), -1),
    nonnegative=True,
)
Delta_star = per_task(
    "Delta_star",
    "max_{s,a} (V*(s) - Q*(s,a))",
    "return",
    lambda m: m.numbers.largest(m.numbers.largest(-m.star.advantage, -1), -1),
    nonnegative=True,
)
A_max = per_task(
    "A_max",
    "max |A^phi|",
    "return",
    lambda m: m.numbers.largest(m.numbers.largest(m.numbers.maximum(m.phi.advantage, -m.phi.advantage), -1), -1),
    nonnegative=True,
)
R = per_task(
    "R",
    "max r - min r: span of the rewards",
    "reward",
    lambda m: m.reward_range,
    nonnegative=True,
)
C_phi = per_task(
    "C_phi",
    "max_s nu*(s)/nu_phi(s): concentrability of the meta-policy",
    "1",
    lambda m: concentrability(m, m.phi.nu),
    positive=True,
)
