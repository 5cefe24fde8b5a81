"""One adaptation step on very many states, some of them at a time, so that temporary arrays stay small."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Shaped

from bomrl_theory.adapt.step import Algorithm, Step
from bomrl_theory.errors import TooLarge
from bomrl_theory.exact.evaluate import Evaluation
from bomrl_theory.numbers import Enclosure, Numeric

STATES_AT_A_TIME = 50_000
BY_STATE = ("pi", "weights", "V", "Q", "advantage", "nu", "visited")
"""What is known of an evaluation state by state."""


class Part:
    """Some states of an evaluation: all that an algorithm sees which adapts every state by itself."""

    def __init__(self, whole: Evaluation, states: slice):
        self._whole, self._states = whole, states
        self.model = whole.model

    def average(self, values: Numeric) -> Numeric:
        """``<pi(s), values(s, .)>``."""
        return self.model.numbers.dot(self.pi, values)

    def __getattr__(self, name: str) -> Any:
        if name not in BY_STATE:
            raise TooLarge("an algorithm that looks at several states at once", self._whole.V.shape[-1])
        return getattr(self._whole, name)[:, self._states]


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
