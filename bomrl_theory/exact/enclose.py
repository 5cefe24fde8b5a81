"""Certified enclosures of V*, V^pi and J from any guess of the value, at next to no cost.

The guess is untrusted: a solver's V, or zeros. What is certified is the exact task, whose probabilities are
the doubles in P divided by their exact row sums and whose discount is an exact rational. Two tiers:

- tier 0, :func:`enclose_optimum`, :func:`enclose_value` and :func:`enclose_advantage`: one float64 backup with an
  a-priori rounding bound;
- tier 1, :func:`refine_optimum`, :func:`refine_value` and :func:`refine_advantage`: the backup in double-double, and
  with each refinement about 15 digits more, returned as an unevaluated sum of two doubles.

docs/rounding.md has the proofs. Overflow widens the bounds to infinity, never past the truth.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float64, Int

from bomrl_theory.errors import InvalidTask
from bomrl_theory.exact import kernels
from bomrl_theory.exact.solve import MAXIMUM_ITERATIONS, policy_iteration
from bomrl_theory.numbers import ENCLOSURES, FLOATS, Array, Enclosure, discounted_error
from bomrl_theory.numbers import double_double as dd
from bomrl_theory.numbers.enclosure import TINY, U, rounded_up
from bomrl_theory.tasks.family import TaskFamily
from bomrl_theory.tasks.mdp import MDP
from bomrl_theory.tasks.policy import deterministic

CHUNK = 2048
"""Rows of P taken at a time in double-double, so that temporaries stay in the processor's cache."""
UNDERFLOW = 2.0**-900
"""More than all underflows of one backup together can move an action value, in units of 1 + max|V|, for rows with such
sums; and more than those of one product with the transpose can lose, in units of 1 + the vector's sum."""


@dataclass(frozen=True, eq=False)
class Bounds:
    """``low <= exact <= high``, entry by entry; -inf and inf where nothing is known."""

    low: Float64[Array, "..."]
    high: Float64[Array, "..."]

    @classmethod
    def of(cls, enclosure: Enclosure) -> Bounds:
        """The bounds that an enclosure proves."""
        low, high = enclosure.low, enclosure.high
        known = np.isfinite(low) & np.isfinite(high)
        return cls(np.where(known, low, -np.inf), np.where(known, high, np.inf))

    @property
    def mid(self) -> Float64[Array, "..."]:
        """A double between the bounds."""
        return self.low / 2 + self.high / 2

    @property
    def radius(self) -> Float64[Array, "..."]:
        """Half the width, for display."""
        return self.high / 2 - self.low / 2

    def average(self, rho: Float64[Array, "... S"]) -> Bounds:
        """Bounds of ``rho . V``, rho being non-negative weights divided by their exact sum: J from V."""
        with ENCLOSURES.activated():
            return Bounds.of(ENCLOSURES.dot(ENCLOSURES.normalised(rho), Enclosure.between(self.low, self.high)))


@dataclass(frozen=True, eq=False)
class CertifiedOptimum:
    """A float solution of every task with bounds that do not depend on it being right.

    Attributes:
        actions: greedy policy [T, S], the lowest index among numerical ties.
        V: its value in float64 [T, S].
        bounds: of V* [T, S], certified.
        status: "converged", or "stopped" at the iteration cap; the bounds hold either way.
        iterations: policy evaluations, the most that a task needed.
        backend: "numba", "numpy" or "torch" (:mod:`device`).
    """

    actions: Int[Array, "T S"]
    V: Float64[Array, "T S"]
    bounds: Bounds
    status: Literal["converged", "stopped"]
    iterations: int
    backend: kernels.Backend


@dataclass(frozen=True, eq=False)
class PairBounds:
    """``|exact - (head + tail)| <= radius``: a value known beyond double precision.

    The sum is unevaluated: rounded to one double it is off by up to ``u |head|``.
    """

    head: Float64[Array, "..."]
    tail: Float64[Array, "..."]
    radius: Float64[Array, "..."]

    @property
    def bounds(self) -> Bounds:
        """The two nearest doubles that certainly enclose the value."""
        with ENCLOSURES.activated():
            return Bounds.of(Enclosure.exact(self.head) + Enclosure(self.tail, self.radius))


def backup_error(terms: Any, gamma: float, V: Any, r: Any) -> Any:
    """How far the float64 value of ``r + gamma (sum W V) / (sum W)`` can be off, whatever the order of the sums,
    and whether the division or the product with gamma comes first.

    Theorem. Let every row of W >= 0 hold at most ``terms`` <= 10^6 non-zero entries and have a computed sum in
    ``SANE_SUMS``; let V and r bound ``|V|`` and ``|r|``. Then the error is at most
    ``u ((2 terms + 5) gamma V + r)`` plus ``UNDERFLOW (1 + V)``: each term is off by at most ``2 terms + 3``
    roundings, and the weights sum to 1 after the division.

    Args:
        terms: non-zero entries in a row.
        gamma: the double nearest to the discount.
        V: largest ``|V|``.
        r: largest ``|r|``.
    """
    return rounded_up(U * ((2 * terms + 5) * (gamma * V) + r) + UNDERFLOW * (1 + V))


def _radius(task: TaskFamily | MDP, V: Array, terms: Any) -> Any:
    """:func:`backup_error` of every task."""
    return backup_error(terms, float(task.gamma), np.abs(V).max(axis=-1), np.abs(task.r).max(axis=(-2, -1)))


def _difference(mid: Array, rad: Array) -> Enclosure:
    """``Q - V`` as computed, Q being off by ``rad``."""
    return Enclosure(mid, rounded_up(rad + U * np.abs(mid)) + TINY)


def _sane(lowest: Any, highest: Any) -> Any:
    """Whether the smallest and the largest computed row sum of a task are such that rounding errors are bounded."""
    return (lowest >= kernels.SANE_SUMS[0]) & (highest <= kernels.SANE_SUMS[1])


@dataclass(frozen=True, eq=False)
class Rows:
    """The weights of a task or a family, with what every product with them needs.

    Attributes:
        W: weights [*T, S, A, S].
        total: computed row sums [*T, S, A].
        terms: most non-zero entries in a row [*T], NumPy's scalar for a single task.
        sane: whether the rounding-error bounds hold [*T], likewise.
    """

    W: Float64[Array, "*T S A S"]
    total: Float64[Array, "*T S A"]
    terms: Any
    sane: Any

    @classmethod
    def of(cls, task: TaskFamily | MDP) -> Rows:
        """The rows of P, as they are."""
        total = task.P.sum(axis=-1)
        terms = np.count_nonzero(task.P, axis=-1).max(axis=(-2, -1))
        return cls(task.P, total, terms, _sane(total.min(axis=(-2, -1)), total.max(axis=(-2, -1))))

    def expected(self, values: Float64[Array, "*T S"]) -> Float64[Array, "*T S A"]:
        """``P values``, each entry within :func:`backup_error` for gamma = 1 and r = 0."""
        flat = self.W.reshape(*self.W.shape[:-3], -1, self.W.shape[-1])
        return (flat @ values[..., None]).reshape(self.total.shape) / self.total

    def where_sane(self, rad: Any) -> Any:
        """The radius [*T], infinite where a row sum is not sane."""
        return np.where(self.sane, rad, np.inf)

    def backup(self, task: TaskFamily | MDP, V: Float64[Array, "*T S"]) -> Enclosure:
        """``r + gamma P V - V`` [*T, S, A] of the task with these rows, enclosed in float64; inside ``activated()``.

        Theorem. Rows of P sum to 1, so with ``V = c + x`` it is ``r - (1-gamma) c + gamma P x - x``, whose rounding
        errors grow with the span of V and not with its size: :func:`backup_error` of x, and what subtractions lose.
        """
        centre = V.max(axis=-1, keepdims=True) / 2 + V.min(axis=-1, keepdims=True) / 2
        x = V - centre
        lost = (1 - ENCLOSURES.constant(task.gamma)) * Enclosure.exact(centre[..., 0])
        r = task.r - lost.mid[..., None, None]
        size, reward = np.abs(x).max(axis=-1), np.abs(r).max(axis=(-2, -1))
        # x and r are rounded, which matters once for r and twice, as P x and as x, for x.
        rounded = U * (2 * size + reward) + lost.rad
        rad = rounded_up(backup_error(self.terms, float(task.gamma), size, reward) + rounded)
        mid = (r + float(task.gamma) * self.expected(x)) - x[..., None]
        return _difference(mid, self.where_sane(rad)[..., None, None])


def backup(task: TaskFamily | MDP, V: Float64[Array, "*T S"]) -> Enclosure:
    """:meth:`Rows.backup` of the task's own rows."""
    return Rows.of(task).backup(task, V)


def beyond_guess(error: Enclosure, gamma: Enclosure) -> Enclosure:
    """All of ``gamma e(s') - e(s)`` where e lies in ``error``: what the advantage is off by where V is."""
    low, high = Enclosure.exact(error.low), Enclosure.exact(error.high)
    return Enclosure.between((gamma * low - high).low, (gamma * high - low).high)


def _optimal_residual(task: TaskFamily | MDP, V: Float64[Array, "*T S"]) -> Enclosure:
    """Some numbers [*T, n] whose smallest and largest bound ``T V - V`` of the task."""
    if kernels.backend() == "numpy" or not isinstance(task, TaskFamily):
        return ENCLOSURES.largest(backup(task, V), -1)
    return _extremes(task, V, kernels.residuals(task.P, task.r, float(task.gamma), V))


def _extremes(family: TaskFamily, V: Float64[Array, "T S"], found: kernels.Residuals) -> Enclosure:
    rad = np.where(_sane(found.sums[:, 0], found.sums[:, 1]), _radius(family, V, found.terms), np.inf)
    return _difference(np.stack([found.lowest, found.highest], axis=-1), rad[:, None])


def enclose_optimum(task: TaskFamily | MDP, V: Float64[Array, "*T S"]) -> Bounds:
    """Bounds of V* [*T, S] around any guess V, in float64 (tier 0).

    Theorem (MacQueen 1966). ``V + min(T V - V)/(1-gamma) <= V* <= V + max(T V - V)/(1-gamma)`` with T the optimal
    Bellman operator; the residual's rounding error is bounded by :func:`backup_error`.

    Raises:
        InvalidTask: V has the wrong shape.
    """
    V = _guess(task, V)
    with ENCLOSURES.activated():
        return _around(V, _optimal_residual(task, V), task.gamma)


def certified_optimum(family: TaskFamily, *, maximum_iterations: int = MAXIMUM_ITERATIONS) -> CertifiedOptimum:
    """Solve every task by policy iteration and enclose V*; see :func:`enclose_optimum` for the theorem.

    Where numba is installed and the tasks are small, one compiled pass does both.
    """
    if kernels.backend() == "numba" and family.states <= kernels.SMALL_STATES:
        found = kernels.solve_batch(family.P, family.r, float(family.gamma), maximum_iterations=maximum_iterations)
        with ENCLOSURES.activated():
            bounds = _around(found.V, _extremes(family, found.V, found.residuals), family.gamma)
        status = "converged" if found.converged.all() else "stopped"
        return CertifiedOptimum(found.actions, found.V, bounds, status, int(found.iterations.max()), "numba")
    with FLOATS.activated():
        solution = policy_iteration(family, maximum_iterations=maximum_iterations)
    bounds = enclose_optimum(family, solution.V)
    return CertifiedOptimum(
        solution.actions, solution.V, bounds, solution.status, solution.iterations, kernels.backend()
    )


def enclose_value(task: TaskFamily | MDP, policy: Array, V: Float64[Array, "*T S"]) -> Bounds:
    """Bounds of V^pi [*T, S] around any guess V, in float64 (tier 0).

    Theorem. MacQueen's bounds with the policy's operator, ``T V = r_pi + gamma P_pi V``.

    Args:
        task: the task or family.
        policy: action indices [*T, S], or non-negative weights [*T, S, A], normalised exactly.
        V: a guess of the value.

    Raises:
        InvalidTask: a wrong shape.
    """
    V = _guess(task, V)
    with ENCLOSURES.activated():
        advantages = backup(task, V)
        if policy.shape == V.shape:
            residual: Any = np.take_along_axis(advantages, policy[..., None], axis=-1)[..., 0]  # pyright: ignore
        elif policy.shape == task.r.shape:
            residual = ENCLOSURES.dot(ENCLOSURES.normalised(policy), advantages)
        else:
            raise InvalidTask(
                f"the policy has shape {list(policy.shape)}; give {list(V.shape)} or {list(task.r.shape)}"
            )
        return _around(V, residual, task.gamma)


def refine_optimum(family: TaskFamily, V: Float64[Array, "T S"], *, refinements: int = 1) -> PairBounds:
    """V* [T, S] beyond double precision (tier 1).

    Theorem. MacQueen's bounds with the residual computed by :func:`double_double.advantage`. Actions that tier 0
    proves worse than another are left out: they do not attain the maximum. Each refinement adds the float
    solution of ``(I - gamma P_pi) d = T V - V`` to V, kept as a pair, which shrinks the residual by about 1e-15.

    Args:
        family: the tasks.
        V: a guess, best from policy iteration; a poor one gives wide bounds, never wrong ones.
        refinements: 0 is the plain double-double certificate.
    """
    V = _guess(family, V)
    with ENCLOSURES.activated():
        advantages = backup(family, V)
        best = advantages.low.max(axis=-1, keepdims=True)
        # Refinement may move V by half of this room, far more than it needs; beyond, it is not done.
        room = 2.0**-40 * (np.abs(V).max(axis=-1) + np.abs(family.r).max(axis=(-2, -1)))[:, None, None]
        possible = ~(advantages.high + room < best - room)
        return _refined(family, V, possible, refinements, room[..., 0])


def refine_value(
    family: TaskFamily, actions: Int[Array, "T S"], V: Float64[Array, "T S"], *, refinements: int = 1
) -> PairBounds:
    """V^pi [T, S] of deterministic policies beyond double precision (tier 1); see :func:`refine_optimum`."""
    V = _guess(family, V)
    with ENCLOSURES.activated():
        return _refined(
            family, V, deterministic(actions, family.actions) > 0, refinements, np.full((len(V), 1), np.inf)
        )


def enclose_advantage(family: TaskFamily, actions: Int[Array, "T S"], V: Float64[Array, "T S"]) -> Enclosure:
    """``A^pi`` [T, S, A] of deterministic policies, from a guess V of their values, in float64 (tier 0).

    Theorem. With ``low <= V^pi - V <= high`` as in :func:`enclose_value`, ``Q^pi(s,a) - V^pi(s)`` is
    ``r + gamma P V - V(s)`` plus something between ``gamma low - high`` and ``gamma high - low``.
    """
    V = _guess(family, V)
    with ENCLOSURES.activated():
        advantages = backup(family, V)
        gamma = ENCLOSURES.constant(family.gamma)
        own: Any = np.take_along_axis(advantages, actions[..., None], axis=-1)[..., 0]  # pyright: ignore
        return advantages + beyond_guess(discounted_error(own, gamma), gamma)[..., None]


def refine_advantage(
    family: TaskFamily, actions: Int[Array, "T S"], V: Float64[Array, "T S"], places: tuple[Int[Array, " K"], ...]
) -> Enclosure:
    """``A^pi`` at the listed (task, state, action) [K], to some 25 digits of V (tier 1).

    Theorem. :func:`refine_value` encloses V^pi in a pair that is off by at most the radius e, so the pair's
    advantage is off by at most ``(1 + gamma) e`` more.
    """
    pair = refine_value(family, actions, V)
    with ENCLOSURES.activated():
        # Exactly the same pair, with a tail below the last digit of the head again.
        head, tail = dd.two_sum(pair.head, pair.tail)
        size = np.abs(family.r).max(axis=(-2, -1)) + 2 * (np.abs(head).max(axis=-1) * (1 + 2.0**-40))
        off = 2 * pair.radius.max(axis=-1)
        advantages = _advantages(family, dd.discount_pair(family.gamma), (head, tail), places, size[places[0]])
        return advantages + Enclosure(np.zeros_like(advantages.mid), off[places[0]])


def _refined(
    family: TaskFamily,
    V: Float64[Array, "T S"],
    possible: Bool[Array, "T S A"],
    refinements: int,
    room: Float64[Array, "T 1"],
) -> PairBounds:
    gamma = dd.discount_pair(family.gamma)
    place = np.nonzero(possible)  # sorted by task, then state
    first = np.flatnonzero(np.r_[True, (np.diff(place[0]) != 0) | (np.diff(place[1]) != 0)])

    def measured(head: Array, tail: Array) -> tuple[Enclosure, Enclosure]:
        """Advantages of the possible actions [K], and the residual ``T V - V`` [T, S]."""
        v = np.abs(head).max(axis=-1) * (1 + 2.0**-40)
        size = (np.abs(family.r).max(axis=(-2, -1)) + 2 * v)[place[0]]
        advantages = _advantages(family, gamma, (head, tail), place, size)
        low = np.maximum.reduceat(advantages.low, first).reshape(V.shape)
        high = np.maximum.reduceat(advantages.high, first).reshape(V.shape)
        return advantages, Enclosure.between(low, high)

    head, tail = V, np.zeros_like(V)
    for _ in range(refinements):
        advantages, residual = measured(head, tail)
        best = np.maximum.reduceat(advantages.mid, first)
        chosen = advantages.mid == np.repeat(best, np.diff(np.r_[first, len(place[0])]))
        greedy = np.zeros(V.shape, dtype=int)
        greedy[place[0][chosen], place[1][chosen]] = place[2][chosen]
        P = np.take_along_axis(family.P, greedy[..., None, None], axis=2)[:, :, 0]
        matrix = np.eye(family.states) - gamma[0] * (P / P.sum(axis=-1, keepdims=True))
        try:
            step = np.linalg.solve(matrix, residual.mid[..., None])[..., 0]
        except np.linalg.LinAlgError:
            break  # what is certified stays certified, only wider
        # V may be any pair at all; but it must not leave the room in which actions were ruled out.
        moved = np.abs(dd.two_sum(head, tail + step)[0] - V) <= room / 2
        head, tail = dd.two_sum(head, np.where(moved.all(axis=-1, keepdims=True), tail + step, tail))
    error = discounted_error(measured(head, tail)[1], ENCLOSURES.constant(family.gamma))
    tail_enclosed = Enclosure.exact(tail) + error
    known = np.isfinite(tail_enclosed.rad) & np.isfinite(head + tail_enclosed.mid)
    return PairBounds(
        np.where(known, head, 0.0), np.where(known, tail_enclosed.mid, 0.0), np.where(known, tail_enclosed.rad, np.inf)
    )


def _advantages(
    family: TaskFamily,
    gamma: tuple[float, float],
    V: tuple[Float64[Array, "T S"], Float64[Array, "T S"]],
    places: tuple[Int[Array, " K"], ...],
    size: Float64[Array, " K"],
) -> Enclosure:
    """:func:`double_double.advantage` at the listed (task, state, action)."""
    if kernels.backend() == "numba":
        task, state, action = places
        mid, total = kernels.advantages(family.P, family.r, gamma, V, (task, state, action))
        return Enclosure(mid, dd.advantage_radius(mid, family.states, size, total))
    parts = []
    for start in range(0, len(size), CHUNK):
        task, state, action = (index[start : start + CHUNK] for index in places)
        successors, here = (V[0][task], V[1][task]), (V[0][task, state], V[1][task, state])
        rows = (task, state, action)
        parts.append(dd.advantage(family.P[rows], family.r[rows], gamma, successors, here, size[start : start + CHUNK]))
    return Enclosure(np.concatenate([x.mid for x in parts]), np.concatenate([x.rad for x in parts]))


def _around(V: Float64[Array, "*T S"], residual: Enclosure, gamma: Fraction) -> Bounds:
    return Bounds.of(V + discounted_error(residual, ENCLOSURES.constant(gamma)))


def _guess(task: TaskFamily | MDP, V: Any) -> Float64[Array, "*T S"]:
    V = np.asarray(V, dtype=np.float64)
    if V.shape != task.r.shape[:-1]:
        raise InvalidTask(f"V has shape {list(V.shape)}; the task asks for {list(task.r.shape[:-1])}")
    return V
