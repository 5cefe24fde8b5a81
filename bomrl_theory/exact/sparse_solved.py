"""A sparse family with its certified optimum: what :class:`Solved` offers, for tasks without dense arrays.

pi* is not named at states where two actions are closer than float64 can tell: there every quantity of pi* is enclosed
over all actions that could be its own. So a tie costs width, never rigour, and needs no exact arithmetic.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float64, Int, Shaped

from bomrl_theory.errors import TooLarge
from bomrl_theory.exact.enclose import Bounds
from bomrl_theory.exact.evaluate import Evaluation
from bomrl_theory.exact.large import solve_large
from bomrl_theory.exact.optimum import Decided, Optimum
from bomrl_theory.exact.solved import Solved
from bomrl_theory.exact.sparse_model import Guesses, SparseEvaluation, SparseModel, Transitions, digest, entries_of
from bomrl_theory.numbers import ENCLOSURES, FLOATS, Array, Enclosure, Numbers, Numeric, SingularSystem
from bomrl_theory.numbers.enclosure import U
from bomrl_theory.tasks.family import TaskFamily
from bomrl_theory.tasks.policy import deterministic
from bomrl_theory.tasks.sparse import SparseMDP
from bomrl_theory.tasks.sparse_family import SparseFamily

SLACK = 64
"""V* is wanted within so many times the rounding error of one backup, carried on for ever."""
KEPT_EVALUATIONS = 2
"""An evaluation holds some arrays [T, S, A]."""


@dataclass(frozen=True, eq=False)
class SparseOptimum(Optimum):
    """V* and what is certain about pi*.

    Attributes:
        actions: pi* where it is certain, else the best guess [T, S].
        decided: "enclosure" where pi* is certain at every state of the task, else "enclosed".
        V: near the middle of the bounds [T, S].
        bounds: of V* [T, S].
        possible: actions that pi* could take: all others are certainly worse, or copies of an earlier one [T, S, A].
    """

    V: Float64[Array, "T S"]
    bounds: Bounds
    possible: Bool[Array, "T S A"]

    @cached_property
    def open(self) -> Bool[Array, "T S"]:
        """States where pi* is not certain."""
        return self.possible.sum(axis=-1) > 1

    @property
    def unique(self) -> bool:
        """Whether pi* is certain everywhere."""
        return not self.open.any()

    def at(self, values: Shaped[Numeric, "T S A"]) -> Shaped[Numeric, "T S"]:
        """``values(s, a*(s))``; enclosed over all actions that pi* could take."""
        mine = super().at(values)
        if not isinstance(values, Enclosure) or self.unique:
            return mine
        low = np.where(self.possible, values.low, np.inf).min(axis=-1)
        high = np.where(self.possible, values.high, -np.inf).max(axis=-1)
        hull: Numeric = Enclosure.between(low, high)
        return np.where(self.open, hull, mine)


def sparse_optimum(family: SparseFamily, transitions: Sequence[Transitions]) -> SparseOptimum:
    """Solve and enclose every task; see :class:`SparseOptimum`."""
    parts = [_one(task, one) for task, one in zip(family, transitions, strict=True)]
    actions, V, low, high, possible = (np.stack(column) for column in zip(*parts, strict=True))
    certain = possible.sum(axis=-1) == 1
    actions = np.where(certain, possible.argmax(axis=-1), actions)
    decided: tuple[Decided, ...] = tuple("enclosure" if each.all() else "enclosed" for each in certain)
    return SparseOptimum(actions, decided, V, Bounds(low, high), possible)


def _one(task: SparseMDP, one: Transitions) -> tuple[Array, Array, Array, Array, Array]:
    gamma = float(task.gamma)
    largest = float(np.abs(task.r).max()) / (1 - gamma)
    found = solve_large(task, tolerance=SLACK * (2 * one.terms + 5) * U * largest / (1 - gamma) + 1e-300)
    with ENCLOSURES.activated():
        family = SparseFamily.of([task])
        model = SparseModel(family, ENCLOSURES, Guesses(family, (one,)))
        beyond = Bounds.of(Enclosure.between(found.bounds.low, found.bounds.high) - found.V)
        # r + gamma P V* - V* is at most the backup of V, plus gamma times what V* may have more, less what it may lack.
        most = Enclosure.exact((model.gamma * Enclosure.exact(beyond.high.max())).high)
        ahead = most - Enclosure.exact(beyond.low)
        possible = ~((model.backup(found.V[None])[0] + ahead[:, None]) < 0)
    possible &= ~_copies(task, possible)
    return found.actions, found.V, found.bounds.low, found.bounds.high, possible


def _copies(task: SparseMDP, possible: Bool[Array, "S A"]) -> Bool[Array, "S A"]:
    """Actions with the reward and the very weights of an earlier possible one: pi* takes the earlier one."""
    copies = np.zeros_like(possible)
    states = np.flatnonzero(possible.sum(axis=-1) > 1)
    W, A = task.P, task.actions
    for later in range(1, A):
        for earlier in range(later):
            both = possible[states, earlier] & possible[states, later] & ~copies[states, earlier]
            mine = states[both & (task.r[states, earlier] == task.r[states, later])]
            one, other = mine * A + earlier, mine * A + later
            counts = W.indptr[one + 1] - W.indptr[one]
            as_long = (counts == W.indptr[other + 1] - W.indptr[other]) & (counts > 0)
            mine, one, other, counts = mine[as_long], one[as_long], other[as_long], counts[as_long]
            if len(mine):
                x, y = entries_of(W, one), entries_of(W, other)
                same = (W.indices[x] == W.indices[y]) & (W.data[x] == W.data[y])
                copies[mine[np.logical_and.reduceat(same, np.cumsum(counts) - counts)], later] = True
    return copies


@dataclass(frozen=True, eq=False)
class SparseStar(SparseEvaluation):
    """The evaluation of pi*, enclosed over every action that it could take."""

    optimum: SparseOptimum

    @cached_property
    def V(self) -> Shaped[Numeric, "T S"]:
        if self.model.numbers is not ENCLOSURES:
            return self.optimum.V
        return Enclosure.between(self.optimum.bounds.low, self.optimum.bounds.high)

    @cached_property
    def nu(self) -> Shaped[Numeric, "T S"]:
        """Raises:
        SingularSystem: pi* is not certain.
        """
        self._require_certain()
        return super().nu

    @cached_property
    def visited(self) -> Bool[Array, "T S"]:
        """Raises:
        SingularSystem: pi* is not certain.
        """
        self._require_certain()
        return super().visited

    def average(self, values: Shaped[Numeric, "T S A"]) -> Shaped[Numeric, "T S"]:
        return self.optimum.at(values)

    def _require_certain(self) -> None:
        if self.model.numbers.certified and not self.optimum.unique:
            raise SingularSystem("actions tie, and a sparse family is not solved in exact arithmetic")


class SparseSolved(Solved):
    """As :class:`Solved`, in floats and enclosures.

    Args:
        family: the tasks.
    """

    family: SparseFamily  # pyright: ignore[reportIncompatibleVariableOverride]

    def __init__(self, family: SparseFamily):
        super().__init__(family)
        self._guesses = Guesses(family)
        self._latest: list[tuple[Array, Numbers, Evaluation]] = []
        """Read-only policies that were asked for last: they need no digest to be known again."""

    @cached_property
    def optimum(self) -> SparseOptimum:  # pyright: ignore[reportIncompatibleVariableOverride]
        return sparse_optimum(self.family, self._guesses.transitions)

    def number_systems(self, relation: Literal["<=", "=="]) -> tuple[Numbers, ...]:
        return (FLOATS,) if relation == "==" else (ENCLOSURES,)

    def model(self, numbers: Numbers) -> SparseModel:
        """The family's data in floats or enclosures.

        Raises:
            TooLarge: another number system.
        """
        if numbers not in (FLOATS, ENCLOSURES):
            raise TooLarge(f"arithmetic in the number system {numbers.name}", self.family.states)
        if numbers not in self._models:
            self._models[numbers] = SparseModel(self.family, numbers, self._guesses)
        return self._models[numbers]  # pyright: ignore[reportReturnType]

    def star(self, numbers: Numbers) -> Evaluation:
        if numbers not in self._stars:
            model, optimum = self.model(numbers), self.optimum
            weights = deterministic(optimum.actions, self.family.actions)
            pi = numbers.load(weights)
            if numbers.certified:  # between 0 and 1 where it is open
                unknown = optimum.open[..., None] & optimum.possible
                pi = Enclosure(np.where(unknown, 0.5, weights), np.where(unknown, 0.5, 0.0))
                if optimum.unique:
                    pi = Enclosure(weights, np.broadcast_to(0.0, weights.shape))
            self._stars[numbers] = SparseStar(model, pi, weights, optimum)
        return self._stars[numbers]

    def evaluate(self, policy: Float64[Array, "*T S A"], numbers: Numbers) -> Evaluation:
        if not numbers.certified:  # made again at little cost: the guesses are kept
            return SparseEvaluation.of(self.model(numbers), np.broadcast_to(policy, self.family.r.shape))
        for mine, kept_numbers, evaluation in self._latest:
            if mine is policy and kept_numbers == numbers:
                return evaluation
        weights = np.broadcast_to(policy, self.family.r.shape)
        key = numbers, digest(weights)
        if key not in self._evaluations:
            mine = [kept for kept in self._evaluations if kept[0] == numbers]
            for kept in mine[: len(mine) + 1 - KEPT_EVALUATIONS]:
                del self._evaluations[kept]
            self._evaluations[key] = SparseEvaluation.of(self.model(numbers), weights)
        if not policy.flags.writeable:
            latest = [(policy, numbers, self._evaluations[key]), *self._latest]
            kept = self._evaluations.values()
            self._latest = [entry for entry in latest if any(entry[2] is one for one in kept)]
        return self._evaluations[key]

    @property
    def optimal_actions(self) -> Int[Array, "T S"]:
        """Raises:
        SingularSystem: pi* is not certain.
        """
        if not self.optimum.unique:
            raise SingularSystem("actions tie, and a sparse family is not solved in exact arithmetic")
        return self.optimum.actions

    def restricted(self, tasks: Sequence[int]) -> SparseSolved:
        chosen = list(tasks)
        part = SparseSolved(self.family.only(chosen))
        whole = self.optimum
        decided: tuple[Decided, ...] = tuple(whole.decided[task] for task in chosen)
        bounds = Bounds(whole.bounds.low[chosen], whole.bounds.high[chosen])
        part.optimum = SparseOptimum(whole.actions[chosen], decided, whole.V[chosen], bounds, whole.possible[chosen])
        return part

    def forget_actions(self) -> None:
        """Drop what evaluations hold for every state and action and is quickly made again."""
        for evaluation in (*self._stars.values(), *self._evaluations.values()):
            for name in ("Q", "advantage"):
                evaluation.__dict__.pop(name, None)

    def forget(self) -> None:
        super().forget()
        self._latest.clear()
        self._guesses.forget()


def solved_family(family: TaskFamily | SparseFamily) -> Solved:
    """The family, dense or sparse, to be solved once for many cases."""
    return SparseSolved(family) if isinstance(family, SparseFamily) else Solved(family)
