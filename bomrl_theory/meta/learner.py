"""What a meta-learning method is: how it moves the meta-policy's logits, with every expectation exact."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import TypeAlias

import numpy as np
from jaxtyping import Float64

from bomrl_theory.adapt.step import Algorithm
from bomrl_theory.discovery import defined
from bomrl_theory.errors import UnknownName
from bomrl_theory.exact.solved import Solved
from bomrl_theory.meta import learners as package
from bomrl_theory.meta.hypergradient import Outcome
from bomrl_theory.numbers import Array


@dataclass(frozen=True, eq=False)
class Data:
    """What one meta-iteration learns from.

    Attributes:
        solved: the tasks: all of them, a minibatch, or models estimated from trajectories.
        algorithm: how each task adapts.
        lam: regularisation lambda, in the unit of return.
        method: of the hypergradient.
    """

    solved: Solved
    algorithm: Algorithm
    lam: float
    method: str = "exact"

    @property
    def alpha(self) -> float:
        """The step size of the policy-gradient step, ``(1-gamma)/(2 lambda)``."""
        return (1 - float(self.solved.family.gamma)) / (2 * self.lam)


@dataclass(frozen=True, eq=False)
class Move:
    """Where a learner wants to go from some logits.

    Attributes:
        direction: of ascent [S, A].
        objective: what the learner maximises, in the unit of return; None if it maximises nothing.
        adapted: ``E_tau J_tau(Alg(phi))`` on the data, where it is a by-product.
        status: of the gradient: "solved", or what is wrong with the inner solution.
    """

    direction: Float64[Array, "S A"]
    objective: float | None
    adapted: float | None = None
    status: Outcome = "solved"


Surrogate: TypeAlias = Callable[[Float64[Array, "S A"]], Move]
"""From logits to a move, on data that stay the same."""


@dataclass(frozen=True, kw_only=True)
class Learner:
    """A meta-learning method.

    Attributes:
        name: on the command line.
        label: in figures and tables.
        summary: one sentence.
        collect: from data and the logits that they are collected at to the surrogate that is climbed; None for a
            method without training.
        algorithms: the adaptations it is defined for, the first one by default; empty for any.
        methods: whether the hypergradient's method can be chosen.
        gradient: whether the direction is the gradient of the objective, as a line search needs.
        start: logits of a method without training, from the tasks and a generator.
        reference: policies [T, S, A], one a task, of what is no meta-policy but a reference to compare with.
    """

    name: str
    label: str
    summary: str
    collect: Callable[[Data, Float64[Array, "S A"]], Surrogate] | None = None
    algorithms: tuple[str, ...] = ()
    methods: bool = False
    gradient: bool = True
    start: Callable[[Solved, np.random.Generator], Float64[Array, "S A"]] | None = None
    reference: Callable[[Solved], Float64[Array, "T S A"]] | None = None


def everywhere(
    move: Callable[[Data, Float64[Array, "S A"]], Move],
) -> Callable[[Data, Float64[Array, "S A"]], Surrogate]:
    """``collect`` of a learner whose objective does not depend on where its data were collected."""
    return lambda data, anchor: partial(move, data)


@cache
def learners() -> dict[str, Learner]:
    """Every learner of this package, by name: each is one file that defines ``LEARNER``."""
    return defined(package, "LEARNER")


def learner_named(name: str) -> Learner:
    """The learner called ``name``.

    Raises:
        UnknownName: not registered.
    """
    if name not in learners():
        raise UnknownName("learner", name, learners())
    return learners()[name]
