"""What a hypergradient method is, and what one returns."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from jaxtyping import Float64

from bomrl_theory.meta.lower_level import LowerLevel, Solution
from bomrl_theory.numbers import Array

Outcome = Literal["solved", "kink", "truncated", "stopped", "indefinite", "not stationary"]
"""From the best to the worst:

- solved: the gradient, to the precision of doubles.
- kink: a constraint is weakly active, or a trust region leaves a tie: the gradient of one side. Move theta.
- truncated: so many terms were too few. Give more terms.
- stopped: the inner or the linear solver met its cap. Raise the cap, or lambda.
- indefinite: the adapted policy is no maximum of its inner problem. Use another inner solver, or raise lambda.
- not stationary: the adapted policy misses its first-order condition, on which the formula rests. Solve the inner
  problem more precisely.
"""
OUTCOMES: tuple[Outcome, ...] = ("solved", "kink", "truncated", "stopped", "indefinite", "not stationary")


@dataclass(frozen=True, eq=False)
class Answer:
    """What a method found.

    Attributes:
        gradient: [S, A].
        status: how well it went.
        linear_residual: relative residual of the adjoint system; None if the method has none.
        iterations: of the linear solver.
    """

    gradient: Float64[Array, "S A"]
    status: Outcome = "solved"
    linear_residual: float | None = None
    iterations: int = 0


class Method(ABC):
    """A way to differentiate the meta-objective."""

    name: ClassVar[str]
    summary: ClassVar[str]
    """One sentence."""

    @abstractmethod
    def gradient(self, level: LowerLevel) -> Answer:
        """Differentiate at an adaptation; called inside ``FLOATS.activated()``."""


def average(level: LowerLevel, each: Float64[Array, "T S A"]) -> Float64[Array, "S A"]:
    """The expectation over tasks."""
    return np.einsum("t,tsa->sa", level.adapted.phi.model.w, each)


def with_constraint(
    level: LowerLevel,
    g: Float64[Array, "T S A"],
    solve: Callable[[Float64[Array, "T S A"]], Float64[Array, "T S A"]],
) -> Solution:
    """Solve the adjoint system by a solver of ``H z = right``: the constraint's row costs one more right side."""
    z = solve(g)
    if level.constraint is None:
        return Solution(z, np.zeros(len(g)))
    along = solve(level.weighted_constraint)
    lost, given = (level.constraint * z).sum(axis=(-2, -1)), (level.constraint * along).sum(axis=(-2, -1))
    price = np.where(given > 0, -lost / np.where(given > 0, given, 1), 0)
    return Solution(z + price[:, None, None] * along, price)
