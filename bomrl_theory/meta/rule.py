"""How far to go: the rules of the upper level's ascent.

A rule keeps what it must remember in a dictionary of arrays, so that a run can be saved between any two steps.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from jaxtyping import Float64

from bomrl_theory.errors import UnknownName
from bomrl_theory.meta.learner import Move, Surrogate
from bomrl_theory.numbers import Array

Memory: TypeAlias = dict[str, Array]
BETA, BETA_SQUARED, EPSILON = 0.9, 0.999, 1e-8
"""Adam's constants, as published by Kingma and Ba 2015."""
SLOPE, SHRINK, LONGEST_SEARCH = 1e-4, 0.5, 60
"""Backtracking: the share of the linear gain that is asked for, the factor between trials, the most trials."""
FLAT = 1e-6
"""Backtracking that gains nothing has converged if the gradient is at most this long, in the objective's own size."""
FURTHEST = 10.0
"""Backtracking tries no larger change of a logit: doubling steps would leap to where every policy is deterministic."""


@dataclass(frozen=True, eq=False)
class Taken:
    """One step of a rule.

    Attributes:
        theta: where it ends [S, A]; where it began, if it failed.
        memory: what the next step needs.
        size: the step size; 0 if none was taken.
        status: "stepped"; where no trial gained "converged" if the gradient is all but zero, or else
            "line search failed".
    """

    theta: Float64[Array, "S A"]
    memory: Memory
    size: float
    status: str = "stepped"


@dataclass(frozen=True)
class Rule:
    """A rule of ascent.

    Attributes:
        name: on the command line.
        summary: one sentence.
        size: the default step size; None where it must be given or derived.
        start: what is remembered before the first step, for logits of this shape.
        step: from the surrogate, logits, the move there, the memory and the step size to the step taken.
        searches: whether the objective must be known, with the direction as its gradient.
    """

    name: str
    summary: str
    size: float | None
    start: Callable[[tuple[int, ...]], Memory]
    step: Callable[[Surrogate, Float64[Array, "S A"], Move, Memory, float], Taken]
    searches: bool = False


def _ascend(surrogate: Surrogate, theta: Float64[Array, "S A"], move: Move, memory: Memory, size: float) -> Taken:
    return Taken(theta + size * move.direction, memory, size)


def _adam(surrogate: Surrogate, theta: Float64[Array, "S A"], move: Move, memory: Memory, size: float) -> Taken:
    count = np.array(memory["count"] + 1)
    mean = BETA * memory["mean"] + (1 - BETA) * move.direction
    square = BETA_SQUARED * memory["square"] + (1 - BETA_SQUARED) * move.direction**2
    unbiased, spread = mean / (1 - BETA**count), square / (1 - BETA_SQUARED**count)
    following = theta + size * unbiased / (np.sqrt(spread) + EPSILON)
    return Taken(following, {"count": count, "mean": mean, "square": square}, size)


def _backtrack(surrogate: Surrogate, theta: Float64[Array, "S A"], move: Move, memory: Memory, size: float) -> Taken:
    """Armijo's condition; the first trial is twice the last accepted step."""
    assert move.objective is not None
    slope = float((move.direction**2).sum())
    rounding = 8 * np.finfo(np.float64).eps * (1 + abs(move.objective))
    length = 2 * float(memory["last"]) if float(memory["last"]) > 0 else size
    length = min(length, FURTHEST / max(float(np.abs(move.direction).max()), np.finfo(np.float64).tiny))
    for _ in range(LONGEST_SEARCH):
        if not length * slope > rounding:
            break
        trial = theta + length * move.direction
        reached = surrogate(trial).objective
        if reached is not None and reached >= move.objective + SLOPE * length * slope:
            return Taken(trial, {"last": np.array(length)}, length)
        length *= SHRINK
    flat = slope**0.5 <= FLAT * (1 + abs(move.objective))
    return Taken(theta, memory, 0.0, "converged" if flat else "line search failed")


RULES = {
    rule.name: rule
    for rule in (
        Rule(
            "ascent",
            "steps of fixed size times the gradient; by default the certified 1/L",
            None,
            lambda shape: {},
            _ascend,
        ),
        Rule(
            "adam",
            "Adam (Kingma and Ba 2015)",
            0.1,
            lambda shape: {"count": np.zeros(()), "mean": np.zeros(shape), "square": np.zeros(shape)},
            _adam,
        ),
        Rule(
            "line-search",
            "steepest ascent with Armijo's backtracking",
            1.0,
            lambda shape: {"last": np.zeros(())},
            _backtrack,
            searches=True,
        ),
    )
}


def rule_named(name: str) -> Rule:
    """The rule called ``name``.

    Raises:
        UnknownName: there is none.
    """
    if name not in RULES:
        raise UnknownName("rule", name, RULES)
    return RULES[name]
