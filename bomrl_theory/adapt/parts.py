"""One adaptation step on very many states, some of them at a time, so that temporary arrays stay small."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Shaped

from bomrl_theory.adapt.step import Algorithm, Step
from bomrl_theory.errors import TooLarge
from bomrl_theory.exact.evaluate import Evaluation
from bomrl_theory.numbers import Enclosure, Numeric

STATES_AT_A_TIME = 50_000


class Part(Evaluation):
    """Some states of an evaluation: all that an algorithm sees which adapts every state by itself."""

    def __init__(self, whole: Evaluation, states: slice):
        super().__init__(whole.model, whole.pi[:, states], whole.weights[:, states])
        # A frozen dataclass: its own attributes are set like this.
        object.__setattr__(self, "_of", lambda name: getattr(whole, name)[:, states])

    P = cached_property(lambda self: self._refused())
    J = cached_property(lambda self: self._refused())
    V = cached_property(lambda self: self._of("V"))
    Q = cached_property(lambda self: self._of("Q"))
    advantage = cached_property(lambda self: self._of("advantage"))
    nu = cached_property(lambda self: self._of("nu"))
    visited = cached_property(lambda self: self._of("visited"))

    def _refused(self) -> Any:
        raise TooLarge("an algorithm that looks at several states at once", self.model.family.states)


def penalty_in_parts(algorithm: Algorithm, phi: Evaluation, lam: Any, pi: Evaluation) -> Shaped[Numeric, "T S"]:
    """``algorithm.penalty`` on some states at a time."""
    parts = [_penalty(algorithm, Part(phi, states), lam, Part(pi, states)) for states in _slices(phi)]
    if not isinstance(parts[0], Enclosure):
        return np.concatenate(parts, axis=1)
    return Enclosure(*(np.concatenate([getattr(x, name) for x in parts], axis=1) for name in ("mid", "rad")))


def _penalty(algorithm: Algorithm, phi: Any, lam: Any, pi: Any) -> Any:
    return algorithm.penalty(phi, lam, pi)


def _slices(at: Evaluation) -> list[slice]:
    states = at.weights.shape[1]
    return [slice(start, start + STATES_AT_A_TIME) for start in range(0, states, STATES_AT_A_TIME)]


def step_in_parts(algorithm: Algorithm, at: Evaluation, lam: float, k: int) -> Step:
    """``algorithm.step`` on some states at a time: the same policy where states adapt one by one.

    Raises:
        TooLarge: they do not.
    """
    steps: list[Step] = []
    for states in _slices(at):
        part: Any = Part(at, states)
        steps.append(algorithm.step(part, lam, k))
    solved = all(step.status == "solved" for step in steps)
    estimates = [step.estimate for step in steps if step.estimate is not None]
    return Step(
        np.concatenate([step.policy for step in steps], axis=1),
        "solved" if solved else "stopped",
        max(step.residual for step in steps),
        max(step.iterations for step in steps),
        np.concatenate(estimates, axis=1) if estimates else None,
    )
