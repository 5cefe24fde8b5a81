"""What a meta-learning method on sampled tasks is: how one iteration moves the meta-policy's parameters."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Float
from torch import Tensor

from bomrl_theory.control import learners as package
from bomrl_theory.control.problem import Problem
from bomrl_theory.discovery import defined
from bomrl_theory.errors import UnknownName

Memory: TypeAlias = dict[str, Tensor]
"""What a learner must remember between iterations; names, shapes and kinds do not change."""
NO_STEP = "line search failed"


@dataclass(frozen=True, kw_only=True, eq=False)
class Iteration:
    """What came of one iteration.

    Attributes:
        phi: parameters after it [B, P].
        memory: after it.
        steps: environment steps that it took.
        before: mean undiscounted return before adaptation.
        after: after adaptation, on trajectories that nothing was fitted to.
        kl: mean KL that the upper level's step moved the policies by, in nats; None where it has none.
        moved: mean KL from the meta-policy to the adapted policies, in nats; None without adaptation.
        gradient: mean over tasks of the length of the inner objective's gradient: at the adapted parameters for
            BO-MRL, at the meta-parameters for a policy-gradient step; None without adaptation.
        status: "stepped" or "line search failed", with how many tasks' inner problems were not solved and why.
    """

    phi: Float[Tensor, "B P"]
    memory: Memory
    steps: int
    before: float
    after: float
    kl: float | None
    moved: float | None
    gradient: float | None
    status: str


@dataclass(frozen=True, kw_only=True)
class Learner(ABC):
    """A meta-learning method. A dataclass: its other fields are its settings, and belong to a run's settings.

    Attributes:
        name: on the command line.
        label: in figures and tables.
        summary: one sentence.
        algorithms: adaptations it is defined for, the first one by default.
        trained: whether it is trained.
        meta: whether its result is a meta-policy, and no reference with one policy a task.
    """

    name: str
    label: str
    summary: str
    algorithms: tuple[str, ...]
    trained: bool = True
    meta: bool = True

    def begin(self, problem: Problem, rng: np.random.Generator) -> tuple[Float[Tensor, "B P"], Memory]:
        """Parameters [1, P] and memory before the first iteration."""
        return problem.start(rng).unsqueeze(0), {}

    @abstractmethod
    def iterate(
        self, problem: Problem, phi: Float[Tensor, "B P"], memory: Memory, rng: np.random.Generator
    ) -> Iteration:
        """One iteration.

        Args:
            problem: what to learn.
            phi: parameters [B, P]; B = 1 for a meta-policy.
            memory: of the iteration before.
            rng: of tasks and trajectories.
        """

    def settings(self) -> dict[str, Any]:
        """The learner's own settings, as JSON."""
        told = ("label", "summary", "algorithms", "trained", "meta", "name")
        return {name: value for name, value in asdict(self).items() if name not in told}


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


def stacked(phi: Float[Tensor, "1 P"], tasks: int) -> Float[Tensor, "T P"]:
    """The meta-parameters once for each task."""
    return phi.expand(tasks, -1).contiguous()
