"""Sparse tasks in a number system: the same quantities as :class:`Model` and :class:`Evaluation`, never an S x S array.

Values are guessed in float64 and enclosed by one Bellman residual; visitations by the one-norm of theirs
(docs/rounding.md). Memory is the tasks' own arrays and some of [T, S, A].
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float64, Int, Shaped

from bomrl_theory.errors import TooLarge
from bomrl_theory.exact import kernels
from bomrl_theory.exact.discounted import DiscountedSystem
from bomrl_theory.exact.enclose import UNDERFLOW, backup_error
from bomrl_theory.exact.evaluate import Evaluation
from bomrl_theory.exact.model import Model
from bomrl_theory.numbers import ENCLOSURES, FLOATS, Array, Enclosure, Numbers, Numeric, discounted_error
from bomrl_theory.numbers.enclosure import TINY, U, rounded_up
from bomrl_theory.tasks.sparse import SparseMDP
from bomrl_theory.tasks.sparse_family import SparseFamily

if TYPE_CHECKING:  # imported where it is used: every command loads this module
    from scipy.sparse import csr_array

KEPT_GUESSES = 8
CHUNK = 100_000
"""States whose successors are looked up at a time."""


class Transitions:
    """One task's weights with what every product with them needs.

    Attributes:
        total: computed row sums [S, A].
        terms: most stored entries in a row.
        sane: whether rounding-error bounds hold for these row sums.
    """

    def __init__(self, task: SparseMDP):
        self.task = task
        self.W: Any = task.P
        self.total: Float64[Array, "S A"] = self.W.sum(axis=1).reshape(task.r.shape)
        self.terms = int(np.diff(self.W.indptr).max())
        low, high = kernels.SANE_SUMS
        self.sane = bool(low <= self.total.min() and self.total.max() <= high)

    @cached_property
    def incoming(self) -> Int[Array, " S"]:
        """Stored entries in every column."""
        return np.bincount(self.W.indices, minlength=self.task.states)

    def expected(self, values: Float64[Array, " S"]) -> Float64[Array, "S A"]:
        """``P values``, each entry within :func:`backup_error` for gamma = 1 and r = 0."""
        return (self.W @ values).reshape(self.total.shape) / self.total

    def under(self, pi: Float64[Array, "S A"]) -> csr_array:
        """P_pi [S, S] in float64; a row holds the entries of its actions one after the other."""
        from scipy.sparse import csr_array

        states = self.task.states
        data = np.repeat((pi / self.total).ravel(), np.diff(self.W.indptr))
        data *= self.W.data
        return csr_array((data, self.W.indices, self.W.indptr[:: self.task.actions]), shape=(states, states))

    def visited(self, support: Bool[Array, "S A"]) -> Bool[Array, " S"]:
        """States with positive discounted visitation when actions outside ``support`` are never taken."""
        task = self.task
        visited = task.rho > 0
        if task.gamma == 0:
            return visited
        visited = visited.copy()
        new = np.flatnonzero(visited)
        while len(new) and not visited.all():
            reached = np.zeros_like(visited)
            for start in range(0, len(new), CHUNK):
                part = new[start : start + CHUNK]
                rows = (part[:, None] * task.actions + np.arange(task.actions))[support[part]]
                places = entries_of(self.W, rows)
                reached[self.W.indices[places[self.W.data[places] > 0]]] = True
            new = np.flatnonzero(reached & ~visited)
            visited[new] = True
        return visited


def entries_of(W: Any, rows: Int[Array, " K"]) -> Int[Array, " N"]:
    """The places in ``W.data`` of all entries of these rows, one row after the other."""
    counts = W.indptr[rows + 1] - W.indptr[rows]
    before = np.cumsum(counts) - counts
    return np.arange(counts.sum()) + np.repeat(W.indptr[rows] - before, counts)


def digest(weights: Float64[Array, "T S A"]) -> bytes:
    """What tells policies apart that may be too large to keep."""
    whole: Any = np.ascontiguousarray(weights)
    return hashlib.blake2b(whole).digest()


class Guesses:
    """The sparse tasks with float solutions that number systems share, so that nothing is solved twice."""

    def __init__(self, family: SparseFamily, transitions: tuple[Transitions, ...] = ()):
        self.transitions = transitions or tuple(Transitions(task) for task in family)
        self._kept: dict[tuple[str, bytes], Array] = {}

    def value(self, family: SparseFamily, weights: Float64[Array, "T S A"]) -> Float64[Array, "T S"]:
        """V^pi in float64 [T, S]."""
        return self._kept_or("V", weights, lambda system, task, pi: system.solve((pi * task.r).sum(axis=-1)), family)

    def visitation(self, family: SparseFamily, weights: Float64[Array, "T S A"]) -> Float64[Array, "T S"]:
        """nu^pi in float64 [T, S]."""

        def solve(system: DiscountedSystem, task: SparseMDP, pi: Array) -> Array:
            start = (1 - system.gamma) * (task.rho / task.rho.sum())
            return np.maximum(system.solve(start, transposed=True), 0)

        return self._kept_or("nu", weights, solve, family)

    def _kept_or(self, what: str, weights: Array, solve: Any, family: SparseFamily) -> Array:
        key = what, digest(weights)
        if key not in self._kept:
            while len(self._kept) >= KEPT_GUESSES:
                del self._kept[next(iter(self._kept))]
            found = []
            with FLOATS.activated():
                for one, task, w in zip(self.transitions, family, weights, strict=True):
                    pi = w / w.sum(axis=-1, keepdims=True)
                    found.append(solve(DiscountedSystem(one.under(pi), float(task.gamma)), task, pi))
            self._kept[key] = np.stack(found)
        return self._kept[key]

    def forget(self) -> None:
        self._kept.clear()


@dataclass(frozen=True, eq=False)
class SparseModel(Model):
    """A sparse family's data in floats or enclosures."""

    family: SparseFamily  # pyright: ignore[reportIncompatibleVariableOverride]
    numbers: Numbers
    guesses: Guesses

    @property
    def transitions(self) -> tuple[Transitions, ...]:
        return self.guesses.transitions

    @property
    def P(self) -> Any:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Never made.

        Raises:
            TooLarge: always.
        """
        raise TooLarge("this quantity", self.family.states)

    @cached_property
    def reachable(self) -> Bool[Array, "T S"]:
        everywhere = np.ones(self.family.r.shape[1:], dtype=bool)
        return np.stack([one.visited(everywhere) for one in self.transitions])

    @cached_property
    def r(self) -> Shaped[Numeric, "T S A"]:
        """Rewards; exact, so that the radii take no memory."""
        r = self.family.r
        return Enclosure(r, np.broadcast_to(0.0, r.shape)) if self.numbers.certified else r

    def expected(self, values: Shaped[Numeric, "T S"]) -> Shaped[Numeric, "T S A"]:
        """``P values``; all entries get the largest radius of the values."""
        if not isinstance(values, Enclosure):
            return np.stack([one.expected(v) for one, v in zip(self.transitions, values, strict=True)])
        mid = np.stack([one.expected(v) for one, v in zip(self.transitions, values.mid, strict=True)])
        size = np.abs(values.mid).max(axis=-1)
        rad = rounded_up(values.rad.max(axis=-1) + self._error(1.0, size, np.zeros_like(size)))
        return Enclosure(mid, np.broadcast_to(rad[:, None, None], mid.shape))

    def backup(self, V: Float64[Array, "T S"]) -> Enclosure:
        """``r + gamma P V - V`` [T, S, A] of doubles V, enclosed."""
        mid = np.stack([one.expected(v) for one, v in zip(self.transitions, V, strict=True)])
        mid *= float(self.family.gamma)
        mid += self.family.r
        mid -= V[..., None]
        size = np.abs(V).max(axis=-1), np.abs(self.family.r).max(axis=(-2, -1))
        error = self._error(float(self.family.gamma), *size)
        return Enclosure(mid, rounded_up(error[:, None, None] + U * np.abs(mid)) + TINY)

    def _error(self, gamma: float, V: Float64[Array, " T"], r: Float64[Array, " T"]) -> Float64[Array, " T"]:
        terms = np.array([one.terms for one in self.transitions])
        return np.where([one.sane for one in self.transitions], backup_error(terms, gamma, V, r), np.inf)


@dataclass(frozen=True, eq=False)
class SparseEvaluation(Evaluation):
    """A policy's value, visitation and return on sparse tasks."""

    model: SparseModel  # pyright: ignore[reportIncompatibleVariableOverride]

    @property
    def P(self) -> Any:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Never made.

        Raises:
            TooLarge: always.
        """
        raise TooLarge("this quantity", self.model.family.states)

    @cached_property
    def V(self) -> Shaped[Numeric, "T S"]:
        """State value: a guess in float64, enclosed by MacQueen's bounds for the policy's operator."""
        V = self.model.guesses.value(self.model.family, self.weights)
        if self.model.numbers is not ENCLOSURES:
            return V
        return V + discounted_error(self.average(self.model.backup(V)), self.model.gamma)

    @cached_property
    def nu(self) -> Shaped[Numeric, "T S"]:
        """Normalised discounted visitation; exactly zero where a state is never visited.

        Theorem. For any x, with ``res = (1-gamma) rho + gamma P_pi^T x - x``, ``|nu - x|_1 <= |res|_1 / (1-gamma)``;
        and ``nu >= (1-gamma) rho``.
        """
        x = self.model.guesses.visitation(self.model.family, self.weights)
        if self.model.numbers is not ENCLOSURES:
            return np.where(self.visited, x, 0.0)
        parts = zip(self.model.transitions, x, self.pi.mid, self.pi.rad, strict=True)
        inflow = [_inflow(one, v, Enclosure(mid, rad)) for one, v, mid, rad in parts]
        mid, rad = (np.stack([getattr(part, name) for part in inflow]) for name in ("mid", "rad"))
        least = (1 - self.model.gamma) * self.model.rho
        residual = least + self.model.gamma * Enclosure(mid, rad) - x
        size = Enclosure.exact(np.maximum(np.abs(residual.low), np.abs(residual.high))).sum(axis=-1, keepdims=True)
        off = Enclosure(x, np.broadcast_to((size / (1 - self.model.gamma)).high, x.shape))
        nu: Numeric = Enclosure.between(np.maximum(off.low, least.low), np.maximum(off.high, least.low))
        return np.where(self.visited, nu, self.model.zero)

    @cached_property
    def visited(self) -> Bool[Array, "T S"]:
        """Whether nu is positive: decided on the graph, not in arithmetic."""
        support = self.weights > 0
        if np.all(support):
            return self.model.reachable
        return np.stack([one.visited(mine) for one, mine in zip(self.model.transitions, support, strict=True)])

    def ahead(self, values: Shaped[Numeric, "T S"]) -> Shaped[Numeric, "T S"]:
        return self.average(self.model.expected(values))


def _inflow(one: Transitions, x: Float64[Array, " S"], pi: Enclosure) -> Enclosure:
    """``P_pi^T x`` [S] for doubles ``x >= 0``.

    A term ``W pi x / total`` meets at most ``terms`` roundings of the row's sum, three more of its own and those of the
    column's sum, and pi is known up to a relative error; all terms are non-negative, so the sum is off by as much.
    """
    flow = pi.mid * (x[:, None] / one.total)
    mid = one.W.T @ flow.ravel()
    spread = one.W.T @ (pi.rad * (x[:, None] / one.total)).ravel()
    relative = (one.terms + one.incoming + 8) * U
    error = rounded_up(relative * mid + spread * (1 + 2 * relative), 8) + UNDERFLOW * (1 + x.sum())
    return Enclosure(mid, error if one.sane else np.full_like(mid, np.inf))
