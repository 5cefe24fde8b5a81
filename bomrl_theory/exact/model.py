"""A task family seen in one number system."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Bool, Shaped

from bomrl_theory.exact.reachability import visited_states
from bomrl_theory.numbers import Array, Numbers, Numeric
from bomrl_theory.tasks.family import TaskFamily


@dataclass(frozen=True, eq=False)
class Model:
    """The family's data, exactly normalised in ``numbers``; use inside ``numbers.activated()``."""

    family: TaskFamily
    numbers: Numbers

    @cached_property
    def P(self) -> Shaped[Numeric, "T S A S"]:
        """Transition probabilities."""
        return self.numbers.normalised(self.family.P)

    @cached_property
    def r(self) -> Shaped[Numeric, "T S A"]:
        """Rewards."""
        return self.numbers.load(self.family.r)

    @cached_property
    def rho(self) -> Shaped[Numeric, "T S"]:
        """Start distributions."""
        return self.numbers.normalised(self.family.rho)

    @cached_property
    def w(self) -> Shaped[Numeric, " T"]:
        """Task weights, summing to 1."""
        return self.numbers.normalised(self.family.weights)

    @cached_property
    def gamma(self) -> Any:
        """Discount, a scalar."""
        return self.numbers.constant(self.family.gamma)

    @cached_property
    def zero(self) -> Any:
        """Zero as an exact scalar."""
        return self.numbers.constant(0)

    @cached_property
    def reachable(self) -> Bool[Array, "T S"]:
        """The states that a policy of full support visits: decided on the graph."""
        return visited_states(self.family, np.ones(self.family.r.shape, dtype=bool))

    def action_value(self, V: Shaped[Numeric, "T S"]) -> Shaped[Numeric, "T S A"]:
        """``r + gamma P V``."""
        return self.r + self.gamma * self.expected(V)

    def expected(self, values: Shaped[Numeric, "T S"]) -> Shaped[Numeric, "T S A"]:
        """``P values``: what follows every action on average."""
        return self.numbers.dot(self.P, values[:, None, None, :])
