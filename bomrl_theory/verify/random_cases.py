"""Random cases that leave no corner out: the draw behind ``bomrl verify --cases``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
from jaxtyping import Float64

from bomrl_theory.exact.solved import Solved
from bomrl_theory.numbers import Array
from bomrl_theory.tasks.family import TaskFamily
from bomrl_theory.tasks.mdp import check_sizes
from bomrl_theory.theory.case import Case
from bomrl_theory.theory.draws import ADAPTATIONS, Draw

DISCOUNTS = (0, Fraction(1, 2), Fraction(4, 5), Fraction(9, 10), Fraction(99, 100), Fraction(999, 1000))
LARGEST_STATES, LARGEST_ACTIONS, LARGEST_TASKS = 8, 4, 5


def random_family(
    rng: np.random.Generator,
    *,
    tasks: int | None = None,
    states: int | None = None,
    actions: int | None = None,
    gamma: Any = None,
    name: str = "random",
) -> TaskFamily:
    """A small family: sparse, deterministic or dense rows, tied actions, degenerate starts.

    What is not given is drawn: 1 to 8 states, 1 to 4 actions, 1 to 5 tasks; gamma from 0 to 0.999.

    Raises:
        InvalidTask: a size below 1, or an invalid discount.
    """
    T = int(rng.integers(1, LARGEST_TASKS + 1)) if tasks is None else tasks
    S = int(rng.integers(1, LARGEST_STATES + 1)) if states is None else states
    A = int(rng.integers(1, LARGEST_ACTIONS + 1)) if actions is None else actions
    check_sizes(T * S**2 * A, tasks=T, states=S, actions=A)
    P = _weights(rng, (T, S, A), S)
    if rng.random() < 0.3:  # tasks that differ in rewards only
        P = np.broadcast_to(P[:1], P.shape).copy()
    small_numbers = rng.random() < 0.5
    r = rng.integers(-2, 3, (T, S, A)).astype(float) if small_numbers else rng.normal(size=(T, S, A))
    if A > 1 and rng.random() < 0.3:  # ties: one action copies another
        state = rng.integers(S)
        P[:, state, 1], r[:, state, 1] = P[:, state, 0], r[:, state, 0]
    rho = _weights(rng, (T,), S)
    weights = rng.integers(1, 5, T).astype(float)
    discount = DISCOUNTS[rng.integers(len(DISCOUNTS))] if gamma is None else gamma
    return TaskFamily.new(P, r, discount, rho, weights, name=name, row_weights=True)


def _weights(rng: np.random.Generator, shape: tuple[int, ...], states: int) -> Float64[Array, "..."]:
    """Rows of weights: deterministic, sparse with small whole numbers, or dense."""
    kind = rng.integers(3)
    if kind == 0:
        return np.eye(states)[rng.integers(states, size=shape)]
    if kind == 1:
        rows = rng.integers(0, 4, (*shape, states)) * (rng.random((*shape, states)) < 0.5)
        empty = rows.sum(axis=-1) == 0
        rows[empty, rng.integers(states)] = 1
        return rows.astype(float)
    return rng.dirichlet(np.ones(states), shape)


def random_cases(seeds: np.random.SeedSequence, families: int, draws: Sequence[Draw] = ()) -> Iterator[Case]:
    """Random families, each from its own stream, under the common draws and then further ones."""
    for index, stream in enumerate(seeds.spawn(families)):
        rng = np.random.default_rng(stream)
        solved = Solved(random_family(rng, name=f"random family {index}"))
        yield from ADAPTATIONS.make(solved, rng, solved.family.name)
        for draw in draws:
            yield from draw.make(solved, draw.generator(stream), solved.family.name)
        solved.forget()
