"""K-step adaptation: collect once, solve, and repeat K times (THEORY section 1)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from jaxtyping import Float64

from bomrl_theory import adapt as package
from bomrl_theory.adapt.parts import step_in_parts
from bomrl_theory.adapt.step import Algorithm, Step
from bomrl_theory.discovery import defined
from bomrl_theory.errors import InvalidTask, UnknownName
from bomrl_theory.exact.evaluate import Evaluation
from bomrl_theory.exact.model import Model
from bomrl_theory.numbers import FLOATS, Array, Numbers
from bomrl_theory.tasks.family import TaskFamily
from bomrl_theory.tasks.sparse_family import SparseFamily

ADAPTING = ("kl-prior", "kl-posterior", "euclidean", "policy-gradient")
"""The algorithms that adapt, in the order of tables."""


@cache
def algorithms() -> dict[str, Algorithm]:
    """Every algorithm of this package, by name: each is one file that defines ``ALGORITHM``."""
    return defined(package, "ALGORITHM", by_all=False)


def algorithm_named(name: str) -> Algorithm:
    """The algorithm called ``name``.

    Raises:
        UnknownName: not registered.
    """
    if name not in algorithms():
        raise UnknownName("algorithm", name, algorithms())
    return algorithms()[name]


@dataclass(frozen=True, eq=False)
class Adaptation:
    """The policies along an adaptation.

    Attributes:
        policies: [K+1, T, S, A]; ``policies[0]`` is the meta-policy, ``policies[-1]`` the adapted one.
        steps: what each of the K steps returned.
    """

    policies: Float64[Array, "K T S A"]
    steps: tuple[Step, ...]

    def of_tasks(self, chosen: list[int]) -> Adaptation:
        """The same adaptation on some of its tasks."""
        return Adaptation(self.policies[:, chosen], tuple(step.of_tasks(chosen) for step in self.steps))

    @property
    def status(self) -> str:
        """ "solved" when every step was."""
        return "solved" if all(step.status == "solved" for step in self.steps) else "stopped"


def adapt(
    family: TaskFamily | SparseFamily,
    phi: Float64[Array, "S A"],
    algorithm: str | Algorithm,
    lam: float,
    *,
    steps: int = 1,
    evaluate: Callable[[Float64[Array, "T S A"], Numbers], Evaluation] | None = None,
) -> Adaptation:
    """Adapt the meta-policy to every task of the family.

    Args:
        phi: meta-policy [S, A], full support; rows are weights.
        algorithm: a name or an :class:`Algorithm`.
        lam: regularisation lambda > 0, in the unit of return.
        steps: K >= 0.
        evaluate: of a solved family, :meth:`Solved.evaluate`; a sparse family needs it.

    Raises:
        UnknownName: no such algorithm.
        InvalidTask: lambda not positive and finite, or negative steps.
        TooLarge: a sparse family, and the algorithm looks at more than a state at a time.
    """
    if not (lam > 0 and np.isfinite(lam)):
        raise InvalidTask(f"lambda = {lam} must be positive and finite")
    if steps < 0:
        raise InvalidTask(f"steps = {steps} must not be negative")
    chosen = algorithm_named(algorithm) if isinstance(algorithm, str) else algorithm
    evaluate = evaluate or _from_scratch(family)
    policies = [np.broadcast_to(phi, (family.tasks, *phi.shape))]
    taken: list[Step] = []
    with FLOATS.activated():
        for k in range(steps):
            at = evaluate(policies[-1], FLOATS)
            sparse = isinstance(family, SparseFamily)
            taken.append(step_in_parts(chosen, at, lam, k) if sparse else chosen.step(at, lam, k))
            policies.append(taken[-1].policy)
            if not np.all(taken[-1].policy > 0):
                raise InvalidTask(
                    f"{chosen.name} with lambda = {lam:g} left the range of doubles; scale the rewards or raise lambda"
                )
    return Adaptation(np.stack(policies), tuple(taken))


def _from_scratch(family: Any) -> Callable[[Float64[Array, "T S A"], Numbers], Evaluation]:
    model = Model(family, FLOATS)
    return lambda policies, numbers: Evaluation.of(model, policies)
