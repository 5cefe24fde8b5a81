"""Large single tasks with sparse transitions, and two generators of them.

The meaning is an :class:`MDP`'s: non-negative weights, divided by the exact sum of their row.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from jaxtyping import Float64

from bomrl_theory.errors import InvalidTask
from bomrl_theory.numbers import Array
from bomrl_theory.tasks.csr import checked_parts, matrix_of, parts_of
from bomrl_theory.tasks.mdp import MAXIMUM_ENTRIES, MDP, as_doubles, check_distributions, exact_discount

CHUNK = 100_000
"""Rows drawn at a time, to bound temporary memory."""
MAXIMUM_STORED = 100_000_000
"""Most transitions that a family may store (1.1 GiB)."""
DRAWN_ENTRIES = 10_000_000
"""Most random numbers drawn at a time."""


@dataclass(frozen=True, eq=False)
class SparseMDP:
    """One task with sparse transitions. Build it with :meth:`new`; the arrays are read-only.

    Attributes:
        P: transition weights, a SciPy ``csr_array`` [S*A, S]; row ``s A + a`` belongs to state s and action a.
        r: rewards [S, A], reward per step, exact doubles.
        gamma: discount, an exact rational in [0, 1).
        rho: start weights [S].
    """

    P: Any
    r: Float64[Array, "S A"]
    gamma: Fraction
    rho: Float64[Array, " S"]

    @classmethod
    def new(cls, P: Any, r: Any, gamma: Any, rho: Any, *, weights: bool = False) -> SparseMDP:
        """Validate and build. Arrays are copied, but for read-only ones that own their memory: large ones are shared.

        Args:
            P: probabilities [S*A, S], row ``s A + a``: any SciPy sparse array, or CSR ``(data, indices, indptr)``; with
                ``weights=True`` any non-negative weights. Rows must be sorted, without duplicates.
            r: rewards [S, A].
            gamma: in [0, 1); a Fraction or a string is exact, a float is the double it is.
            rho: start distribution [S] (weights likewise).

        Raises:
            InvalidTask: names the value, its place and the remedy.
        """
        r = as_doubles("r", r, ("s", "a"))
        rho = as_doubles("rho", rho, ("s",))
        if rho.shape != r.shape[:1]:
            raise InvalidTask(f"rho has shape {list(rho.shape)}; r asks for {[r.shape[0]]}")
        states = r.shape[0]
        parts = checked_parts(*parts_of(P, r.size, states), r.shape, weights=weights)
        check_distributions("rho", rho, ("s",), weights=weights)
        return cls(matrix_of(parts, states), r, exact_discount(gamma), rho)

    @classmethod
    def of_actions(cls, P: Sequence[Any], r: Any, gamma: Any, rho: Any, *, weights: bool = False) -> SparseMDP:
        """As :meth:`new`, from one SciPy sparse array [S, S] for each action.

        Raises:
            InvalidTask: as :meth:`new`.
        """
        from scipy.sparse import csr_array, issparse, vstack

        states, actions = as_doubles("r", r, ("s", "a")).shape
        if len(P) != actions or not all(issparse(one) and one.shape == (states, states) for one in P):
            raise InvalidTask(
                f"P must hold {actions} SciPy sparse arrays [{states}, {states}], one for each action, as r has shape "
                f"{[states, actions]}"
            )
        rows = np.arange(actions * states).reshape(actions, states).T.ravel()  # s A + a, not a S + s
        return cls.new(csr_array(vstack(P, format="csr"))[rows], r, gamma, rho, weights=weights)

    @classmethod
    def of(cls, task: MDP) -> SparseMDP:
        """The same task, sparse."""
        from scipy.sparse import csr_array

        return cls.new(csr_array(task.P.reshape(-1, task.states)), task.r, task.gamma, task.rho, weights=True)

    def dense(self) -> MDP:
        """The same task with a dense array.

        Raises:
            InvalidTask: more than 400 million transition probabilities.
        """
        if self.states**2 * self.actions > MAXIMUM_ENTRIES:
            raise InvalidTask(f"{self.states} states are too many for a dense array; keep the task sparse")
        P = self.P.toarray().reshape(self.states, self.actions, self.states)
        return MDP.new(P, self.r, self.gamma, self.rho, weights=True)

    @property
    def states(self) -> int:
        return self.r.shape[0]

    @property
    def actions(self) -> int:
        return self.r.shape[1]

    def __repr__(self) -> str:
        return (
            f"SparseMDP({self.states} states, {self.actions} actions, {self.P.nnz} transitions, gamma = {self.gamma})"
        )


def sparse_garnet(
    *, states: int, actions: int = 4, branching: int = 5, gamma: Any = Fraction(9, 10), rng: np.random.Generator
) -> SparseMDP:
    """A Garnet (see :func:`garnet`) of any size: distinct random successors, uniform rewards and start.

    Raises:
        InvalidTask: a size below 1, or more branches than states.
    """
    check_stored(states=states, actions=actions, branching=branching)
    if branching > states:
        raise InvalidTask(f"branching = {branching} exceeds states = {states}; lower it")
    rows = states * actions
    chunk = max(1, min(CHUNK, DRAWN_ENTRIES // (states if branching > states // 4 else branching)))
    data, indices = np.empty(rows * branching), np.empty(rows * branching, dtype=np.int32)
    for start in range(0, rows, chunk):
        count = min(chunk, rows - start)
        part = slice(start * branching, (start + count) * branching)
        indices[part] = _distinct(count, branching, states, rng).ravel()
        weights = rng.standard_exponential((count, branching))
        data[part] = (weights / weights.sum(axis=1, keepdims=True)).ravel()
    indptr = np.arange(rows + 1, dtype=np.int32) * branching
    r, rho = rng.random((states, actions)), np.ones(states)
    for array in (data, indices, indptr, r, rho):
        array.setflags(write=False)
    return SparseMDP.new((data, indices, indptr), r, gamma, rho, weights=True)


def slippery_grid(
    *, side: int, slip: float = 0.2, gamma: Any = Fraction(99, 100), rng: np.random.Generator
) -> SparseMDP:
    """A square grid that mixes slowly: a move goes to one of its two sides with probability ``slip``.

    S = side^2, four moves; a move into the border stays. Rewards are uniform in [0, 1], per state.

    Raises:
        InvalidTask: ``side`` below 1, or ``slip`` no probability.
    """
    from scipy.sparse import coo_array, csr_array

    check_stored(side=side, columns=side, moves=12)
    if not 0 <= slip <= 1:
        raise InvalidTask(f"slip = {slip} is not a probability")
    states = side**2
    row, column = np.divmod(np.arange(states), side)
    moves = ((0, -1), (1, 0), (0, 1), (-1, 0))
    targets = np.stack(
        [np.clip(row + down, 0, side - 1) * side + np.clip(column + right, 0, side - 1) for down, right in moves],
        axis=1,
    )
    turns = ((0, 1 - slip), (1, slip / 2), (-1, slip / 2))
    source = np.tile(np.arange(states * 4), len(turns))
    data = np.repeat([probability for _, probability in turns], states * 4)
    target = np.concatenate([np.roll(targets, -turn, axis=1).ravel() for turn, _ in turns])
    P = csr_array(coo_array((data, (source, target)), shape=(states * 4, states)))
    r = np.repeat(rng.random((states, 1)), 4, axis=1)
    return SparseMDP.new(P, r, gamma, np.ones(states), weights=True)


def _distinct(rows: int, branching: int, states: int, rng: np.random.Generator) -> Array:
    """Sorted distinct successors; rows that repeat one are drawn again."""
    drawn = np.sort(rng.integers(0, states, (rows, branching)), axis=1)
    if branching > states // 4:
        return np.sort(rng.random((rows, states)).argsort(axis=1)[:, :branching], axis=1)
    while True:
        again = np.flatnonzero((np.diff(drawn, axis=1) == 0).any(axis=1))
        if len(again) == 0:
            return drawn
        drawn[again] = np.sort(rng.integers(0, states, (len(again), branching)), axis=1)


def check_stored(**sizes: int) -> None:
    """Require sizes that make sense and whose product, the stored transitions, fits in memory.

    Raises:
        InvalidTask: a size below 1, or more than 100 million transitions.
    """
    for name, value in sizes.items():
        if value < 1:
            raise InvalidTask(f"{name} = {value}; it must be at least 1")
    stored = math.prod(sizes.values())
    if stored > MAXIMUM_STORED:
        chosen = ", ".join(f"{name} = {value}" for name, value in sizes.items())
        raise InvalidTask(f"{chosen} store {stored:.3g} transitions; the limit is {MAXIMUM_STORED:.3g}, lower a size")
