"""A task family together with its exact solution, seen in every number system and never solved twice."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, Literal

import numpy as np
from jaxtyping import Float64, Int

from bomrl_theory.exact.enclosed import EnclosedDeterministicEvaluation, EnclosedEvaluation, EnclosedModel
from bomrl_theory.exact.evaluate import DeterministicEvaluation, Evaluation
from bomrl_theory.exact.model import Model
from bomrl_theory.exact.optimum import RATIONAL_STATES, Optimum, optimal_policy
from bomrl_theory.markup import grid
from bomrl_theory.numbers import (
    ENCLOSURES,
    FLOATS,
    Array,
    Balls,
    Numbers,
    Rationals,
    certified_systems,
    of_kind,
)
from bomrl_theory.tasks.family import TaskFamily

KEPT_EVALUATIONS = 16
RATIONAL_STATES_OF_BOUNDS = 300
"""Up to this many states inequalities are tried in exact rationals."""
BALL_WEIGHTS = 4_000_000
"""Up to this many transition weights in a task verdicts are tried in balls, which need a gigabyte for them."""
SHOWN_TASKS = 20
"""In a notebook."""


def _data_of(numbers: Numbers) -> Numbers:
    """Rationals of every precision share a family's data and evaluations, which are exact."""
    return Rationals(0) if isinstance(numbers, Rationals) else numbers


class Solved:
    """Memoises models, the optimum and policy evaluations of one family.

    Args:
        family: the tasks.
    """

    def __init__(self, family: Any):
        self.family: TaskFamily = family
        self._models: dict[Numbers, Model] = {}
        self._stars: dict[Numbers, Evaluation] = {}
        self._evaluations: dict[tuple[Numbers, bytes], Evaluation] = {}

    @cached_property
    def optimum(self) -> Optimum:
        """pi* of every task."""
        return optimal_policy(self.family, models=self.model)

    def number_systems(self, relation: Literal["<=", "=="]) -> tuple[Numbers, ...]:
        """What this family can afford, in the order it is tried; floats where its optimum is not certified.

        Args:
            relation: only rationals prove an equality; floats judge it where they take too long.
        """
        family = self.family
        if not self.optimum.certified:
            return (FLOATS,)
        if relation == "==":
            return of_kind(Rationals) if family.states <= RATIONAL_STATES else (FLOATS,)
        systems = certified_systems()
        if family.states > RATIONAL_STATES_OF_BOUNDS:
            systems = tuple(numbers for numbers in systems if not isinstance(numbers, Rationals))
        if family.states**2 * family.actions > BALL_WEIGHTS:
            systems = tuple(numbers for numbers in systems if not isinstance(numbers, Balls))
        return systems

    def model(self, numbers: Numbers) -> Model:
        """The family's data in a number system."""
        numbers = _data_of(numbers)
        kind = EnclosedModel if numbers is ENCLOSURES else Model
        return self._models.setdefault(numbers, kind(self.family, numbers))

    def star(self, numbers: Numbers) -> Evaluation:
        """The evaluation of pi*."""
        numbers = _data_of(numbers)
        if numbers not in self._stars:
            star = DeterministicEvaluation.of_actions(self.model(numbers), self.optimum.actions)
            if numbers is ENCLOSURES:
                model: Any = star.model
                guess = self.star(FLOATS).V
                star = EnclosedDeterministicEvaluation(model, star.pi, star.weights, actions=star.actions, guess=guess)
            self._stars[numbers] = star
        return self._stars[numbers]

    def evaluate(self, policy: Float64[Array, "*T S A"], numbers: Numbers) -> Evaluation:
        """The evaluation of a policy [S, A] (shared) or [T, S, A]; the last few are kept."""
        numbers = _data_of(numbers)
        whole = policy if policy.shape == self.family.r.shape else np.broadcast_to(policy, self.family.r.shape)
        weights = np.ascontiguousarray(whole)
        key = (numbers, weights.tobytes())
        if key not in self._evaluations:
            while len(self._evaluations) >= KEPT_EVALUATIONS:
                del self._evaluations[next(iter(self._evaluations))]
            evaluation = Evaluation.of(self.model(numbers), weights)
            if numbers is ENCLOSURES:
                model: Any = evaluation.model
                guess = self.evaluate(policy, FLOATS).V
                evaluation = EnclosedEvaluation(model, evaluation.pi, weights, guess=guess)
            self._evaluations[key] = evaluation
        return self._evaluations[key]

    @property
    def optimal_actions(self) -> Int[Array, "T S"]:
        """pi* of every task."""
        return self.optimum.actions

    def __repr__(self) -> str:
        return f"Solved({self.family!r})"

    def _repr_html_(self) -> str:
        """What a notebook shows: the first tasks' optimal returns."""
        with FLOATS.activated():
            returns = self.star(FLOATS).J
        rows = [(task, f"{returns[task]:.6g}", self.optimum.decided[task]) for task in range(self.family.tasks)]
        more = [("…", f"{self.family.tasks - SHOWN_TASKS} more", "")] if self.family.tasks > SHOWN_TASKS else []
        return grid(f"{self.family.name}, solved", ("task", "J*", "optimum"), rows[:SHOWN_TASKS] + more)

    def restricted(self, tasks: Sequence[int]) -> Solved:
        """Some of the tasks, with their optima."""
        chosen = list(tasks)
        part = Solved(self.family.only(chosen))
        optimum = self.optimum
        part.optimum = Optimum(optimum.actions[chosen], tuple(optimum.decided[task] for task in chosen))
        return part

    def forget(self) -> None:
        """Drop every memoised value but the optimum; they come back when asked for."""
        self._models.clear()
        self._stars.clear()
        self._evaluations.clear()
