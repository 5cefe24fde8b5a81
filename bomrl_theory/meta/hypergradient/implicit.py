"""Implicit differentiation with one dense linear system a task: the whole first-order (KKT) system."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from jaxtyping import Float64

from bomrl_theory.meta.hypergradient.method import Answer, Method, average
from bomrl_theory.meta.lower_level import LowerLevel, Solution
from bomrl_theory.meta.lower_level.base import inverted
from bomrl_theory.numbers import Array


@dataclass(frozen=True)
class Implicit(Method):
    """Assembles H column by column, borders it with gauge and constraint, and solves by elimination with pivots."""

    name: ClassVar[str] = "implicit"
    summary: ClassVar[str] = "one dense linear system a task: the whole first-order (KKT) system"

    def gradient(self, level: LowerLevel) -> Answer:
        g = level.return_gradient
        solution, definite = _solved(level, g)
        gradient = average(level, level.to_logits(solution))
        return Answer(gradient, "solved" if definite else "indefinite", level.residual(solution, g))


def _solved(level: LowerLevel, g: Float64[Array, "T S A"]) -> tuple[Solution, bool]:
    """The system scaled by the metric, so that Alg^(2)'s H is a projection; and whether H is positive."""
    tasks, states, actions = g.shape
    size, constraint = states * actions, level.constraint
    root = np.sqrt(level.metric)
    scale = inverted(root)

    def flat(x: Float64[Array, "T S A"]) -> Float64[Array, "T n"]:
        return x.reshape(tasks, size)

    units = np.eye(size).reshape(size, 1, states, actions)
    H = np.stack([flat(scale * level.product(scale * unit)) for unit in units], axis=-1)
    H[:, np.arange(size), np.arange(size)] += flat(root) == 0  # nothing to find there: z = 0
    rows = np.zeros((tasks, size, 0))
    if level.gauge:
        lengths = np.linalg.norm(root, axis=-1, keepdims=True)
        rows = ((root / lengths)[..., None] * np.eye(states)[:, None, :]).reshape(tasks, size, states)
    lowest = np.linalg.eigvalsh((H + np.swapaxes(H, 1, 2)) / 2 + rows @ np.swapaxes(rows, 1, 2))[:, 0]
    columns, length = rows, np.zeros(tasks)
    if constraint is not None:
        row, column = flat(scale * constraint), flat(scale * level.weighted_constraint)
        length = np.linalg.norm(column, axis=-1)
        rows = np.concatenate([rows, _unit(row)[..., None]], axis=-1)
        columns = np.concatenate([columns, -_unit(column)[..., None]], axis=-1)

    border = rows.shape[-1]
    system = np.zeros((tasks, size + border, size + border))
    system[:, :size, :size] = H
    system[:, :size, size:] = columns
    system[:, size:, :size] = np.swapaxes(rows, 1, 2)
    if constraint is not None:
        system[:, -1, -1] = length == 0  # no active constraint: no price
    # Where all is scaled to order one, a tiny g still has all its digits.
    largest = np.abs(flat(scale * g)).max(axis=-1, keepdims=True)
    largest = np.where(largest > 0, largest, 1)
    right = np.zeros((tasks, size + border))
    right[:, :size] = flat(scale * g) / largest
    found = np.linalg.solve(system, right[..., None])[..., 0] * largest
    price = found[:, -1] * inverted(length) if constraint is not None else np.zeros(tasks)
    return Solution(scale * found[:, :size].reshape(g.shape), price), bool(np.all(lowest > 0))


def _unit(x: Float64[Array, "T n"]) -> Float64[Array, "T n"]:
    """Rows of length 1; zero rows stay."""
    length = np.linalg.norm(x, axis=-1, keepdims=True)
    return x / np.where(length > 0, length, 1)
