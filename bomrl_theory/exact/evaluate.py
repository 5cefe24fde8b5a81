"""Exact policy evaluation, batched over tasks, in any number system (THEORY section 0).

``V = (I - gamma P_pi)^-1 r_pi``, ``nu = (1-gamma) rho^T (I - gamma P_pi)^-1``.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Shaped

from bomrl_theory.exact.model import Model
from bomrl_theory.exact.reachability import visited_states
from bomrl_theory.numbers import Array


@dataclass(frozen=True, eq=False)
class Evaluation:
    """A policy's value, action value, advantage, visitation and return on every task.

    Everything is computed when first asked for; use it inside ``numbers.activated()``.

    Attributes:
        model: the tasks in a number system.
        pi: the policy [T, S, A] in the same number system, exactly normalised.
        weights: the doubles [T, S, A] that define it (zero exactly where pi is zero).
    """

    model: Model
    pi: Shaped[Array, "T S A"]
    weights: Shaped[Array, "T S A"]

    @classmethod
    def of(cls, model: Model, weights: Shaped[Array, "T S A"]) -> Evaluation:
        """Evaluate the policy whose rows are ``weights`` divided by their exact sums."""
        loaded = model.numbers.load(weights)
        return cls(model, loaded / loaded.sum(axis=-1, keepdims=True), weights)

    @cached_property
    def _system(self) -> Shaped[Array, "T S S"]:
        """I - gamma P_pi."""
        P_pi = (self.pi[..., None] * self.model.P).sum(axis=2)
        identity = self.model.numbers.load(np.eye(P_pi.shape[-1]))
        return identity - self.model.gamma * P_pi

    @cached_property
    def V(self) -> Shaped[Array, "T S"]:
        """State value.

        Raises:
            SingularSystem: the number system could not guarantee a solution.
        """
        return self.model.numbers.solve(self._system, self.average(self.model.r))

    @cached_property
    def Q(self) -> Shaped[Array, "T S A"]:
        """Action value ``r + gamma P V``."""
        return self.model.action_value(self.V)

    @cached_property
    def advantage(self) -> Shaped[Array, "T S A"]:
        """``Q - V``."""
        return self.Q - self.V[..., None]

    @cached_property
    def nu(self) -> Shaped[Array, "T S"]:
        """Normalised discounted state visitation; exactly zero where a state is never visited.

        Raises:
            SingularSystem: the number system could not guarantee a solution.
        """
        transposed = np.swapaxes(self._system, -1, -2)
        nu = self.model.numbers.solve(transposed, (1 - self.model.gamma) * self.model.rho)
        return np.where(self.visited, nu, self.model.zero)

    @cached_property
    def visited(self) -> Bool[Array, "T S"]:
        """Whether nu is positive: decided on the graph, not in arithmetic."""
        return visited_states(self.model.family, self.weights > 0)

    @cached_property
    def J(self) -> Shaped[Array, " T"]:
        """Return ``rho . V``, unnormalised."""
        return (self.model.rho * self.V).sum(axis=-1)

    def average(self, values: Shaped[Array, "T S A"]) -> Shaped[Array, "T S"]:
        """``<pi(s), values(s, .)>``."""
        return (self.pi * values).sum(axis=-1)
