"""A finite distribution of sparse tasks, for families whose dense arrays would not fit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float64
from scipy.sparse import csr_array

from bomrl_theory.errors import InvalidTask, TooLarge
from bomrl_theory.markup import listing
from bomrl_theory.numbers import Array
from bomrl_theory.tasks.family import TaskFamily
from bomrl_theory.tasks.mdp import as_doubles, check_task_weights
from bomrl_theory.tasks.sparse import SparseMDP, check_stored, slippery_grid, sparse_garnet


@dataclass(frozen=True, eq=False)
class SparseFamily:
    """Sparse tasks that share states, actions and discount, with what a :class:`TaskFamily` offers but its ``P``.

    Attributes:
        members: the tasks.
        weights: task weights [T].
        name: how reports call the family.
        labels: none; a label for each of so many states would help nobody.
    """

    members: tuple[SparseMDP, ...]
    weights: Float64[Array, " T"]
    name: str = "family"
    labels: tuple[str, ...] = ()

    @classmethod
    def of(cls, tasks: Sequence[SparseMDP], weights: Any = None, *, name: str = "family") -> SparseFamily:
        """The family of ``tasks``; equal weights unless given.

        Raises:
            InvalidTask: no task, tasks of different sizes or discounts, or bad weights.
        """
        tasks = tuple(tasks)
        if not tasks:
            raise InvalidTask("the family is empty; a task distribution needs at least one task")
        for index, task in enumerate(tasks):
            if task.r.shape != tasks[0].r.shape or task.gamma != tasks[0].gamma:
                raise InvalidTask(f"task {index} is {task}, task 0 is {tasks[0]}; share states, actions and gamma")
        weights = as_doubles("weights", np.ones(len(tasks)) if weights is None else weights, ("tau",))
        if weights.shape != (len(tasks),):
            raise InvalidTask(f"weights has shape {list(weights.shape)}; there are {len(tasks)} tasks")
        check_task_weights(weights)
        return cls(tasks, weights, name)

    @classmethod
    def from_dense(cls, family: TaskFamily) -> SparseFamily:
        """The same tasks, sparse."""
        return cls.of([SparseMDP.of(task) for task in family], family.weights, name=family.name)

    @property
    def P(self) -> Any:
        """Never made.

        Raises:
            TooLarge: always.
        """
        raise TooLarge("the transition array", self.states)

    @cached_property
    def r(self) -> Float64[Array, "T S A"]:
        """Rewards; not copied where there is one task."""
        return _stacked([task.r for task in self.members])

    @cached_property
    def rho(self) -> Float64[Array, "T S"]:
        """Start weights; not copied where there is one task."""
        return _stacked([task.rho for task in self.members])

    @property
    def gamma(self) -> Fraction:
        return self.members[0].gamma

    @property
    def tasks(self) -> int:
        return len(self.members)

    @property
    def states(self) -> int:
        return self.members[0].states

    @property
    def actions(self) -> int:
        return self.members[0].actions

    @property
    def transitions(self) -> int:
        """Stored entries of all tasks."""
        return sum(task.P.nnz for task in self.members)

    def __len__(self) -> int:
        return self.tasks

    def __iter__(self) -> Iterator[SparseMDP]:
        return iter(self.members)

    def __getitem__(self, task: int) -> SparseMDP:
        return self.members[task]

    def only(self, tasks: Sequence[int]) -> SparseFamily:
        """Some of the tasks, with their weights."""
        chosen = list(tasks)
        return replace(self, members=tuple(self.members[task] for task in chosen), weights=self.weights[chosen])

    def uncontrolled(self) -> SparseFamily:
        """The same rewards where every action moves like the first."""
        first = np.repeat(np.arange(self.states) * self.actions, self.actions)
        same = tuple(replace(task, P=csr_array(task.P[first])) for task in self.members)
        return replace(self, members=same)

    def __repr__(self) -> str:
        return (
            f"SparseFamily('{self.name}', {self.tasks} tasks, {self.states} states, {self.actions} actions, "
            f"{self.transitions} transitions, gamma = {self.gamma})"
        )

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        entries = {
            "tasks": self.tasks,
            "states": self.states,
            "actions": self.actions,
            "transitions": self.transitions,
            "gamma": self.gamma,
        }
        return listing(self.name, entries)


def sparse_garnets(
    *,
    states: int,
    actions: int = 4,
    branching: int = 5,
    tasks: int = 1,
    gamma: Any = Fraction(9, 10),
    rng: np.random.Generator,
) -> SparseFamily:
    """A family of :func:`sparse_garnet`.

    Raises:
        InvalidTask: a size below 1, more branches than states, or more transitions than are accepted.
    """
    check_stored(states=states, actions=actions, branching=branching, tasks=tasks)
    drawn = [
        sparse_garnet(states=states, actions=actions, branching=branching, gamma=gamma, rng=rng) for _ in range(tasks)
    ]
    return SparseFamily.of(drawn, name="sparse-garnet")


def slippery_grids(
    *, side: int, slip: float = 0.2, tasks: int = 1, gamma: Any = Fraction(99, 100), rng: np.random.Generator
) -> SparseFamily:
    """A family of :func:`slippery_grid`: the same moves, rewards of each task's own.

    Raises:
        InvalidTask: a size below 1, ``slip`` no probability, or more transitions than are accepted.
    """
    check_stored(side=side, columns=side, moves=12, tasks=tasks)
    return SparseFamily.of(
        [slippery_grid(side=side, slip=slip, gamma=gamma, rng=rng) for _ in range(tasks)], name="slippery-grid"
    )


def _stacked(arrays: list[Array]) -> Array:
    return arrays[0][None] if len(arrays) == 1 else np.stack(arrays)
