"""Exact policy evaluation, batched over tasks, in any number system (THEORY section 0).

``V = (I - gamma P_pi)^-1 r_pi``, ``nu = (1-gamma) rho^T (I - gamma P_pi)^-1``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Bool, Int, Shaped

from bomrl_theory.exact.model import Model
from bomrl_theory.exact.reachability import visited_states
from bomrl_theory.numbers import Array, Numeric
from bomrl_theory.tasks.policy import deterministic


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
    pi: Shaped[Numeric, "T S A"]
    weights: Shaped[Numeric, "T S A"]

    @classmethod
    def of(cls, model: Model, weights: Shaped[Numeric, "T S A"]) -> Evaluation:
        """Evaluate the policy whose rows are ``weights`` divided by their exact sums."""
        return cls(model, model.numbers.normalised(weights), weights)

    @cached_property
    def P(self) -> Shaped[Numeric, "T S S"]:
        """Transition probabilities under the policy."""
        return self.model.numbers.dot(np.swapaxes(self.model.P, 2, 3), self.pi[:, :, None, :])

    @cached_property
    def V(self) -> Shaped[Numeric, "T S"]:
        """State value.

        Raises:
            SingularSystem: the number system could not guarantee a solution.
        """
        return self.model.numbers.solve_discounted(self.P, self.model.gamma, self.average(self.model.r))

    @cached_property
    def Q(self) -> Shaped[Numeric, "T S A"]:
        """Action value ``r + gamma P V``."""
        return self.model.action_value(self.V)

    @cached_property
    def advantage(self) -> Shaped[Numeric, "T S A"]:
        """``Q - V``."""
        return self.Q - self.V[..., None]

    @cached_property
    def sharp_advantage(self) -> Shaped[Numeric, "T S A"]:
        """``sum_b pi(b) (Q(a) - Q(b))``, with each difference from the differences of rewards and transitions.

        Where pi is all but deterministic or actions tie, ``Q - V`` would lose the digits that pi's tail needs.
        """
        model = self.model
        total: Any = model.numbers.full(model.r.shape, model.zero)
        for b in range(model.r.shape[-1]):
            steps = model.numbers.dot(model.P - model.P[:, :, b : b + 1], self.V[:, None, None, :])
            total = total + self.pi[..., b : b + 1] * (model.r - model.r[..., b : b + 1] + model.gamma * steps)
        return total

    @cached_property
    def nu(self) -> Shaped[Numeric, "T S"]:
        """Normalised discounted state visitation; exactly zero where a state is never visited.

        Raises:
            SingularSystem: the number system could not guarantee a solution.
        """
        start = (1 - self.model.gamma) * self.model.rho
        nu = self.model.numbers.solve_discounted(self.P, self.model.gamma, start, transposed=True)
        return np.where(self.visited, nu, self.model.zero)

    @cached_property
    def visited(self) -> Bool[Array, "T S"]:
        """Whether nu is positive: decided on the graph, not in arithmetic."""
        support = self.weights > 0
        return self.model.reachable if np.all(support) else visited_states(self.model.family, support)

    @cached_property
    def J(self) -> Shaped[Numeric, " T"]:
        """Return ``rho . V``, unnormalised."""
        return self.model.numbers.dot(self.model.rho, self.V)

    def ahead(self, values: Shaped[Numeric, "T S"]) -> Shaped[Numeric, "T S"]:
        """``P_pi values``."""
        return self.model.numbers.dot(self.P, values[:, None, :])

    def average(self, values: Shaped[Numeric, "T S A"]) -> Shaped[Numeric, "T S"]:
        """``<pi(s), values(s, .)>``."""
        return self.model.numbers.dot(self.pi, values)


@dataclass(frozen=True, eq=False)
class DeterministicEvaluation(Evaluation):
    """The same of a policy that always takes one action: what it averages is looked up, without arithmetic.

    Attributes:
        actions: the action taken [T, S].
    """

    actions: Int[Array, "T S"] = field(kw_only=True)

    @classmethod
    def of_actions(cls, model: Model, actions: Int[Array, "T S"]) -> DeterministicEvaluation:
        """Evaluate the policy that takes these actions."""
        weights = deterministic(actions, model.family.actions)
        pi: Numeric = np.where(weights > 0, model.numbers.constant(1), model.zero)
        return cls(model, pi, weights, actions=actions)

    @cached_property
    def P(self) -> Shaped[Numeric, "T S S"]:  # pyright: ignore[reportIncompatibleVariableOverride]
        return np.take_along_axis(self.model.P, self.actions[..., None, None], axis=2)[:, :, 0]

    def average(self, values: Shaped[Numeric, "T S A"]) -> Shaped[Numeric, "T S"]:
        return np.take_along_axis(values, self.actions[..., None], axis=-1)[..., 0]

    def ahead(self, values: Shaped[Numeric, "T S"]) -> Shaped[Numeric, "T S"]:
        """``P_pi values``; in balls a value that is not met leaves no trace, however little is known of it."""
        return self.model.numbers.multiply(self.P, values[:, None, :]).sum(axis=-1)
