"""A finite distribution of sparse tasks, for families whose dense arrays would not fit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float64

from bomrl_theory.errors import InvalidTask, TooLarge
from bomrl_theory.markup import listing
from bomrl_theory.numbers import Array
from bomrl_theory.tasks.csr import Parts, checked_parts, matrix_of, parts_of, rows_of
from bomrl_theory.tasks.family import TaskFamily, sha256_of
from bomrl_theory.tasks.mdp import (
    as_doubles,
    check_distributions,
    check_sizes,
    check_task_weights,
    dimensions,
    exact_discount,
)
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
    def new(
        cls,
        P: Any,
        r: Any,
        gamma: Any,
        rho: Any,
        weights: Any = None,
        *,
        name: str = "family",
        row_weights: bool = False,
    ) -> SparseFamily:
        """Validate and build from the arrays of all tasks, as :meth:`SparseMDP.new` from those of one.

        Args:
            P: probabilities [T*S*A, S], row ``(tau S + s) A + a``, or [S*A, S], row ``s A + a``, shared by all tasks: a
                SciPy sparse array, or CSR ``(data, indices, indptr)``.
            r: rewards [T, S, A].
            gamma: in [0, 1); a Fraction or a string is exact, a float is the double it is.
            rho: start distribution [T, S] or [S].
            weights: of the tasks, equal unless given.
            name: how reports call the family.
            row_weights: rows of P and rho are non-negative weights, not probabilities.

        Raises:
            InvalidTask: names the value, its place and the remedy.
        """
        r = as_doubles("r", r, ("tau", "s", "a"))
        tasks, states, actions = r.shape
        shared = tasks > 1 and rows_of(P) == states * actions
        shape = r.shape[1:] if shared else r.shape
        parts = checked_parts(*parts_of(P, int(np.prod(shape)), states), shape, weights=row_weights)
        rho = as_doubles("rho", rho, ("s",) if dimensions(rho) == 1 else ("tau", "s"))
        if rho.shape not in ((states,), (tasks, states)):
            raise InvalidTask(f"rho has shape {list(rho.shape)}; r asks for {[tasks, states]} or {[states]}")
        check_distributions("rho", rho, ("tau", "s")[2 - rho.ndim :], weights=row_weights)
        rhos = rho if rho.ndim == 2 else [rho] * tasks
        rows = [matrix_of(parts, states)] * tasks if shared else _split(parts, tasks, states)
        exact = exact_discount(gamma)
        members = [SparseMDP(*task) for task in zip(rows, r, [exact] * tasks, rhos, strict=True)]
        return cls.of(members, weights, name=name)

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

    def dense(self) -> TaskFamily:
        """The same tasks with dense arrays, for what needs them.

        Raises:
            InvalidTask: more than 400 million transition probabilities.
        """
        check_sizes(self.tasks * self.states**2 * self.actions, tasks=self.tasks, states=self.states)
        return TaskFamily.of([task.dense() for task in self.members], self.weights, name=self.name)

    @property
    def sha256(self) -> str:
        """SHA-256 of everything that decides the family's tasks."""
        arrays = ((task.P.data, task.P.indices, task.P.indptr, task.r, task.rho) for task in self.members)
        header = f"sparse {self.tasks} {self.states} {self.actions} {self.gamma}"
        return sha256_of(header, (*(array for each in arrays for array in each), self.weights))

    def parts(self) -> Parts:
        """CSR ``data``, ``indices`` and ``indptr`` of all tasks, as :meth:`new` takes them: [S*A, S] where all share
        one array, else [T*S*A, S]."""
        first, *others = (task.P for task in self.members)
        if all(other is first for other in others):
            return first.data, first.indices, first.indptr
        matrices = [task.P for task in self.members]
        ends = np.cumsum([0, *(P.nnz for P in matrices)])
        data, indices = (np.concatenate([getattr(P, name) for P in matrices]) for name in ("data", "indices"))
        starts = [P.indptr[:-1].astype(np.int64) + end for P, end in zip(matrices, ends[:-1], strict=True)]
        return data, indices, np.concatenate([*starts, ends[-1:]])

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
        same = tuple(replace(task, P=task.P[first]) for task in self.members)
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
    drawn = [slippery_grid(side=side, slip=slip, gamma=gamma, rng=rng) for _ in range(tasks)]
    shared = [replace(task, P=drawn[0].P) for task in drawn]
    return SparseFamily.of(shared, name="slippery-grid")


def _stacked(arrays: list[Array]) -> Array:
    return arrays[0][None] if len(arrays) == 1 else np.stack(arrays)


def _split(parts: Parts, tasks: int, states: int) -> list[Any]:
    """The tasks' own arrays [S*A, S]."""
    data, indices, indptr = parts
    rows = (len(indptr) - 1) // tasks
    own = []
    for first in range(0, tasks * rows, rows):
        mine = indptr[first : first + rows + 1]
        place = slice(mine[0], mine[-1])
        own.append(matrix_of((data[place], indices[place], mine - mine[0]), states))
    return own
