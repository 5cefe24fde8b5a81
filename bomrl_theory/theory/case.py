"""A case: everything a theorem speaks about, in exactly representable numbers."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cached_property
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float64

from bomrl_theory.adapt.adapt import Adaptation, adapt, algorithm_named
from bomrl_theory.adapt.step import Algorithm
from bomrl_theory.errors import InvalidTask
from bomrl_theory.exact.solved import Solved
from bomrl_theory.exact.sparse_solved import solved_family
from bomrl_theory.markup import listing
from bomrl_theory.numbers import Array, Numbers
from bomrl_theory.tasks.family import TaskFamily
from bomrl_theory.tasks.mdp import as_doubles, check_distributions, exact_number
from bomrl_theory.tasks.sparse_family import SparseFamily

SMALLEST_LAMBDA, LARGEST_LAMBDA = Fraction(1, 10**300), Fraction(10**300)
LARGEST_SHOWN = 1000
"""Entries of a policy in a message."""
Setting = Literal["tabular", "linear-quadratic"]
"""What kind of tasks a case holds and a theorem speaks about: finite MDPs, or linear dynamics with quadratic costs."""


@runtime_checkable
class AnyCase(Protocol):
    """What cases of every setting have in common."""

    setting: ClassVar[Setting]

    @property
    def family(self) -> Any:
        """The tasks, with their number, sizes, discount, weights and name."""
        ...

    @property
    def shared(self) -> object:
        """What cases on one family share: cases with the same one are best judged one after the other."""
        ...

    @property
    def algorithm(self) -> Algorithm: ...

    @property
    def lam(self) -> Fraction: ...

    @property
    def steps(self) -> int: ...

    @property
    def origin(self) -> str: ...

    @property
    def certifiable(self) -> bool:
        """Whether its exact data fit into a certificate or a case file of finite MDPs."""
        ...

    def number_systems(self, relation: Literal["<=", "=="]) -> tuple[Numbers, ...]:
        """The number systems that it can afford for a claim of this kind, in the order they are tried."""
        ...

    def restricted(self, tasks: tuple[int, ...]) -> Any:
        """The same case on some of its tasks."""
        ...

    def describe(self) -> str:
        """One line for tables and messages."""
        ...


def _shown(phi: Array) -> str:
    """A policy for an error message, which need not show a million rows."""
    return str(phi.tolist()) if phi.size <= LARGEST_SHOWN else f"an array {list(phi.shape)}, least entry {phi.min():g}"


def exact_lambda(lam: Any) -> Fraction:
    """lambda as the exact number it is.

    Raises:
        InvalidTask: not a positive number that doubles can work with.
    """
    exact = exact_number("lambda", lam)
    if exact <= 0:
        raise InvalidTask(f"lambda = {lam} must be positive")
    if not SMALLEST_LAMBDA <= exact <= LARGEST_LAMBDA:
        raise InvalidTask(f"lambda = {lam} is outside 1e-300 .. 1e300, where doubles can hold the adaptation")
    return exact


def described(case: AnyCase) -> str:
    """Where a case comes from and how its tasks adapt."""
    how = case.algorithm.name if case.algorithm.name == "none" else f"{case.algorithm.name}, lambda = {case.lam}"
    return f"{case.origin}; {how}" + (f", {case.steps} steps" if case.steps != 1 else "")


@dataclass(frozen=True, eq=False)
class Case:
    """A solved family, a meta-policy, and how it adapts.

    Attributes:
        solved: the family and its exact solution, shared between cases.
        phi: meta-policy weights [S, A], positive; exactly normalised.
        algorithm: how each task adapts.
        lam: lambda, exact; the solver uses the nearest double, the theorems the exact value.
        steps: K.
        origin: where the case comes from, for people.
    """

    setting: ClassVar[Setting] = "tabular"

    solved: Solved = field(repr=False)
    phi: Float64[Array, "S A"] = field(repr=False)
    algorithm: Algorithm
    lam: Fraction
    steps: int = 1
    origin: str = ""

    @classmethod
    def new(
        cls,
        family: TaskFamily | SparseFamily | Solved,
        phi: Any,
        algorithm: str = "kl-posterior",
        lam: Any = 1,
        *,
        steps: int = 1,
        origin: str = "",
    ) -> Case:
        """Validate and build; ``phi`` may be weights, so ``[[1, 9]]`` is exactly (1/10, 9/10).

        Raises:
            InvalidTask: phi lacks full support or has the wrong shape; lambda is not positive.
            UnknownName: no such algorithm.
        """
        solved = family if isinstance(family, Solved) else solved_family(family)
        shape = (solved.family.states, solved.family.actions)
        phi = as_doubles("the meta-policy", phi, ("s", "a"))
        if phi.shape != shape or not np.all(phi > 0):
            raise InvalidTask(f"the meta-policy must be positive with shape {list(shape)}; got {_shown(phi)}")
        check_distributions("the meta-policy", phi, ("s", "a"), weights=True)
        exact = exact_lambda(lam)
        if steps < 0:
            raise InvalidTask(f"steps = {steps} must not be negative")
        return cls(solved, phi, algorithm_named(algorithm), exact, steps, origin or solved.family.name)

    @property
    def family(self) -> Any:
        """A :class:`TaskFamily` or a :class:`SparseFamily`."""
        return self.solved.family

    @property
    def shared(self) -> Solved:
        return self.solved

    @property
    def certifiable(self) -> bool:
        return not isinstance(self.family, SparseFamily)

    def number_systems(self, relation: Literal["<=", "=="]) -> tuple[Numbers, ...]:
        return self.solved.number_systems(relation)

    @cached_property
    def adaptation(self) -> Adaptation:
        """The float adaptation; theorems speak about its exactly normalised policies."""
        evaluate = self.solved.evaluate if isinstance(self.family, SparseFamily) else None
        return adapt(self.family, self.phi, self.algorithm, float(self.lam), steps=self.steps, evaluate=evaluate)

    def restricted(self, tasks: tuple[int, ...]) -> Case:
        """The same case on some of its tasks; nothing is solved or adapted again."""
        if tasks == tuple(range(self.family.tasks)):
            return self
        case = replace(self, solved=self.solved.restricted(tasks))
        case.__dict__["adaptation"] = self.adaptation.of_tasks(list(tasks))
        return case

    def forget(self) -> None:
        """Drop the adapted policies, which come back when asked for: runs keep their cases."""
        self.__dict__.pop("adaptation", None)

    def __repr__(self) -> str:
        return f"Case('{self.describe()}', {self.family.tasks} tasks)"

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        family = self.family
        entries = {
            "family": f"{family.tasks} tasks, {family.states} states, {family.actions} actions, gamma = {family.gamma}",
            "algorithm": self.algorithm.name,
            "lambda": self.lam,
            "steps": self.steps,
            "solver": self.adaptation.status,
        }
        return listing(self.origin, entries)

    def describe(self) -> str:
        """One line for tables and messages."""
        return described(self)
