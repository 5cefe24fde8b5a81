"""A finite task distribution: weighted tasks that share states, actions and discount."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

import numpy as np
from jaxtyping import Float64

from bomrl_theory.errors import InvalidTask
from bomrl_theory.markup import listing
from bomrl_theory.numbers import Array
from bomrl_theory.tasks.mdp import MDP, as_doubles, check_distributions, check_task_weights, dimensions, exact_discount


@dataclass(frozen=True, eq=False)
class TaskFamily:
    """Tasks tau = 0..T-1 as batched, read-only arrays (THEORY section 0).

    Expectations over tasks are exact sums with the exactly normalised ``weights``.

    Attributes:
        P: transition weights [T, S, A, S].
        r: rewards [T, S, A].
        gamma: shared discount, exact.
        rho: start weights [T, S].
        weights: task weights [T].
        name: how reports call the family.
        labels: one label a state, for people (may be empty).
    """

    P: Float64[Array, "T S A S"]
    r: Float64[Array, "T S A"]
    gamma: Fraction
    rho: Float64[Array, "T S"]
    weights: Float64[Array, " T"]
    name: str = "family"
    labels: tuple[str, ...] = field(default=(), repr=False)

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
        labels: Sequence[str] = (),
        row_weights: bool = False,
    ) -> TaskFamily:
        """Validate and build from batched arrays; ``rho`` may be [S] (shared) or [T, S].

        Args:
            row_weights: rows of P, rho and weights are non-negative weights, not probabilities.

        Raises:
            InvalidTask: names the value, its place and the remedy.
        """
        P = as_doubles("P", P, ("tau", "s", "a", "s'"))
        r = as_doubles("r", r, ("tau", "s", "a"))
        tasks, states, actions, successors = P.shape
        if successors != states:
            raise InvalidTask(f"P has shape {list(P.shape)}; its second and last axis must both be the states")
        if r.shape != (tasks, states, actions):
            raise InvalidTask(f"r has shape {list(r.shape)}; P [T, S, A, S] asks for {[tasks, states, actions]}")
        if dimensions(rho) == 1:
            rho = as_doubles("rho", rho, ("s",))
            check_distributions("rho", rho, ("s",), weights=row_weights)
            rho = np.broadcast_to(rho, (tasks, *rho.shape))
        rho = as_doubles("rho", rho, ("tau", "s"))
        if rho.shape != (tasks, states):
            raise InvalidTask(
                f"rho has shape {list(rho.shape)}; P [T, S, A, S] asks for {[tasks, states]} or {[states]}"
            )
        weights = as_doubles("weights", np.ones(tasks) if weights is None else weights, ("tau",))
        if weights.shape != (tasks,):
            raise InvalidTask(f"weights has shape {list(weights.shape)}; there are {tasks} tasks")
        check_distributions("P", P, ("tau", "s", "a", "s'"), weights=row_weights)
        check_distributions("rho", rho, ("tau", "s"), weights=row_weights)
        check_task_weights(weights)
        if labels and len(labels) != states:
            raise InvalidTask(f"{len(labels)} state labels for {states} states; give one label a state")
        return cls(P, r, exact_discount(gamma), rho, weights, name, tuple(labels))

    @classmethod
    def of(cls, tasks: Sequence[MDP], weights: Any = None, *, name: str = "family") -> TaskFamily:
        """The family of ``tasks``; equal weights unless given.

        Raises:
            InvalidTask: no task, or tasks of different shapes or discounts.
        """
        tasks = list(tasks)
        if not tasks:
            raise InvalidTask("the family is empty; a task distribution needs at least one task")
        first = tasks[0]
        for index, task in enumerate(tasks):
            if task.P.shape != first.P.shape:
                raise InvalidTask(
                    f"task {index} has {task.states} states and {task.actions} actions, task 0 has "
                    f"{first.states} and {first.actions}; all tasks of a family share S and A"
                )
            if task.gamma != first.gamma:
                raise InvalidTask(f"task {index} has gamma {task.gamma}, task 0 has {first.gamma}; share one gamma")
        return cls.new(
            np.stack([task.P for task in tasks]),
            np.stack([task.r for task in tasks]),
            first.gamma,
            np.stack([task.rho for task in tasks]),
            weights,
            name=name,
            row_weights=True,
        )

    @property
    def tasks(self) -> int:
        return self.P.shape[0]

    @property
    def states(self) -> int:
        return self.P.shape[1]

    @property
    def actions(self) -> int:
        return self.P.shape[2]

    def __len__(self) -> int:
        return self.tasks

    def __iter__(self) -> Iterator[MDP]:
        return (self[task] for task in range(self.tasks))

    def __getitem__(self, task: int) -> MDP:
        return MDP(self.P[task], self.r[task], self.gamma, self.rho[task])

    def only(self, tasks: Sequence[int]) -> TaskFamily:
        """Some of the tasks, with their weights."""
        chosen = list(tasks)
        return replace(self, P=self.P[chosen], r=self.r[chosen], rho=self.rho[chosen], weights=self.weights[chosen])

    def uncontrolled(self) -> TaskFamily:
        """The same rewards where every action moves like the first."""
        return replace(self, P=np.broadcast_to(self.P[:, :, :1], self.P.shape))

    @property
    def sha256(self) -> str:
        """SHA-256 of everything that decides the family's tasks."""
        return sha256_of(f"{self.P.shape} {self.gamma}", (self.P, self.r, self.rho, self.weights))

    def __repr__(self) -> str:
        return (
            f"TaskFamily('{self.name}', {self.tasks} tasks, {self.states} states, "
            f"{self.actions} actions, gamma = {self.gamma})"
        )

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        low, high = self.r.min(), self.r.max()
        entries = {
            "tasks": self.tasks,
            "states": self.states,
            "actions": self.actions,
            "gamma": self.gamma,
            "rewards": f"{low:g} .. {high:g}",
            "weights": "equal" if np.ptp(self.weights) == 0 else f"{self.weights.min():g} .. {self.weights.max():g}",
        }
        return listing(self.name, entries)


def sha256_of(header: str, arrays: Iterable[Array]) -> str:
    """SHA-256 of a text and of arrays, whose shapes the text tells: doubles, and whole numbers in 64 bits."""
    digest = hashlib.sha256(header.encode())
    for array in arrays:
        whole: Any = np.ascontiguousarray(array, dtype="<f8" if array.dtype.kind == "f" else "<i8")
        digest.update(whole)
    return digest.hexdigest()
