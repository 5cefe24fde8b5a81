"""Frozen Lake, the published experiment's gridworld, in its two task-variance settings.

The agent starts in the upper-left corner; the goal is the lower-right one. A payment belongs to the
tile that a move ends on, so ``r(s,a)`` is the expected payment of the next tile. The goal pays +1 at
each step spent there and absorbs: on a 4x4 map the optimum is gamma^5/(1-gamma) = 1.638.

- *high task variance*: each task has its own holes; a hole absorbs and pays -1 per step.
- *low task variance*: all tasks move alike; each task has its own marked tiles, which cost 1 to
  enter and do not absorb.
"""

from __future__ import annotations

from collections import deque
from fractions import Fraction
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool

from bomrl_theory.errors import InvalidTask
from bomrl_theory.numbers import Array
from bomrl_theory.tasks.family import TaskFamily
from bomrl_theory.tasks.mdp import MDP, check_sizes

MOVES = ((0, -1), (1, 0), (0, 1), (-1, 0))  # left, down, right, up, as in Gymnasium
MAXIMUM_DRAWS = 10_000


def frozen_lake(
    variance: Literal["high", "low"],
    *,
    size: int = 4,
    tasks: int = 20,
    frozen: float = 0.8,
    slip: float = 0.0,
    gamma: Any = Fraction(4, 5),
    rng: np.random.Generator,
) -> TaskFamily:
    """Draw a Frozen Lake task family.

    Args:
        variance: "high" (holes absorb) or "low" (marked tiles cost 1).
        size: side of the square map, so S = size^2 states; A = 4 actions.
        tasks: number of maps drawn.
        frozen: probability that a tile is frozen (neither hole nor marked).
        slip: probability that a move goes to one of the two perpendicular sides instead.
        gamma: discount.
        rng: the only source of randomness.

    Raises:
        InvalidTask: a parameter out of range, or no map with a path found.
    """
    check_sizes(tasks * size**4 * len(MOVES), size=size, tasks=tasks)
    for name, value in (("frozen", frozen), ("slip", slip)):
        if not 0 <= value <= 1:
            raise InvalidTask(f"{name} = {value} is not a probability")
    if size == 1:
        raise InvalidTask("size = 1; start and goal need different tiles, use at least 2")
    rows = [f"r{tile // size}c{tile % size}" for tile in range(size * size)]
    drawn = [_draw_map(size, frozen, rng) for _ in range(tasks)]
    family = TaskFamily.of(
        [_task(frozen_tiles, variance, slip, gamma) for frozen_tiles in drawn], name=f"frozen-lake-{variance}"
    )
    return TaskFamily(family.P, family.r, family.gamma, family.rho, family.weights, family.name, tuple(rows))


def _draw_map(size: int, frozen: float, rng: np.random.Generator) -> Bool[Array, "size size"]:
    """True where frozen; start and goal are frozen and joined by a path over frozen tiles."""
    for _ in range(MAXIMUM_DRAWS):
        tiles = rng.random((size, size)) < frozen
        tiles[0, 0] = tiles[-1, -1] = True
        if _has_path(tiles):
            return tiles
    raise InvalidTask(
        f"no {size}x{size} map with a path from start to goal in {MAXIMUM_DRAWS} draws; "
        f"raise frozen = {frozen} or lower size"
    )


def _has_path(tiles: Bool[Array, "size size"]) -> bool:
    size = len(tiles)
    seen = np.zeros_like(tiles)
    seen[0, 0] = True
    queue = deque([(0, 0)])
    while queue:
        row, column = queue.popleft()
        for down, right in MOVES:
            i, j = row + down, column + right
            if 0 <= i < size and 0 <= j < size and tiles[i, j] and not seen[i, j]:
                seen[i, j] = True
                queue.append((i, j))
    return bool(seen[-1, -1])


def _task(tiles: Bool[Array, "size size"], variance: str, slip: float, gamma: Any) -> MDP:
    size = len(tiles)
    states = size * size
    goal = states - 1
    marked = ~tiles.ravel()
    payment = np.where(marked, -1.0, 0.0)
    payment[goal] = 1.0
    absorbing = np.zeros(states, dtype=bool)
    absorbing[goal] = True
    if variance == "high":
        absorbing |= marked
    P = np.zeros((states, 4, states))
    for tile in range(states):
        for action in range(4):
            if absorbing[tile]:
                P[tile, action, tile] = 1.0
                continue
            for turn, probability in ((0, 1 - slip), (1, slip / 2), (-1, slip / 2)):
                down, right = MOVES[(action + turn) % 4]
                row = min(max(tile // size + down, 0), size - 1)
                column = min(max(tile % size + right, 0), size - 1)
                P[tile, action, row * size + column] += probability
    rho = np.zeros(states)
    rho[0] = 1.0
    return MDP.new(P, P @ payment, gamma, rho)
