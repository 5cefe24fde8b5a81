"""Compiled kernels, where the optional package numba is installed; NumPy does the same work without it.

Everything is compiled without fast-math and on first use, and the machine code is kept beside this file (or in
numba's user-wide cache). No rigour rests on these kernels beyond the model of docs/rounding.md: each
operation rounds to nearest, sums may run in any order.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from functools import cache
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Float64, Int

from bomrl_theory.numbers import Array
from bomrl_theory.numbers.double_double import split, two_prod, two_sum

Backend = Literal["numba", "numpy", "torch"]
SMALL_STATES = 64
"""Up to this many states the batched kernel beats LAPACK called once a task."""


SANE_SUMS = (2.0**-100, 2.0**100)
"""Rows of weights whose computed sum lies outside get no certified bounds: divide them by their sum."""


def backend() -> Backend:
    """What runs here: "numba", or "numpy" where it is not installed (``pip install 'bomrl-theory[fast]'``)."""
    return "numba" if importlib.util.find_spec("numba") else "numpy"


@cache
def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function compiled on first use; call only where :func:`backend` is "numba"."""
    import numba
    from numba.extending import register_jitable

    for transformation in (two_sum, split, two_prod):
        register_jitable(transformation)
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": False}
    try:
        return numba.njit(cache=True, **options)(function)
    except RuntimeError:  # no directory can be written to keep the machine code
        return numba.njit(**options)(function)


class Residuals(NamedTuple):
    """``T V - V`` of every task, and what its rounding error depends on.

    Attributes:
        lowest: smallest ``max_a Q - V`` over the states [T], in float64 as it was computed.
        highest: largest ``max_a Q - V`` over the states [T].
        terms: most non-zero entries in a row of P [T].
        sums: smallest and largest computed row sum of P [T, 2].
    """

    lowest: Float64[Array, " T"]
    highest: Float64[Array, " T"]
    terms: Int[Array, " T"]
    sums: Float64[Array, "T 2"]


class BatchSolution(NamedTuple):
    """Policy iteration on every task, and the raw material of its certificate.

    Attributes:
        actions: greedy actions [T, S], the lowest index among numerical ties.
        V: value [T, S] in float64.
        iterations: linear solves [T].
        converged: whether policy iteration ended before its cap [T].
        residuals: ``T V - V`` of this V.
    """

    actions: Int[Array, "T S"]
    V: Float64[Array, "T S"]
    iterations: Int[Array, " T"]
    converged: Bool[Array, " T"]
    residuals: Residuals


def solve_batch(
    W: Float64[Array, "T S A S"], r: Float64[Array, "T S A"], gamma: float, *, maximum_iterations: int
) -> BatchSolution:
    """Policy iteration on many small tasks, one after the other on one core; needs numba."""
    from bomrl_theory.exact import batch

    *solution, lowest, highest, terms, sums = compiled(batch.solve)(_rows(W), r, gamma, maximum_iterations)
    # A tiny or huge row sum may overflow a row's factor. Such tasks get no bounds, but a solution all the same.
    odd = np.flatnonzero((sums[:, 0] < SANE_SUMS[0]) | (sums[:, 1] > SANE_SUMS[1]))
    if len(odd):
        rows = W[odd] / W[odd].sum(axis=-1, keepdims=True)
        for mine, again in zip(solution, compiled(batch.solve)(rows, r[odd], gamma, maximum_iterations), strict=False):
            mine[odd] = again
    actions, V, iterations, converged = solution
    return BatchSolution(actions, V, iterations, converged, Residuals(lowest, highest, terms, sums))


def residuals(
    W: Float64[Array, "T S A S"], r: Float64[Array, "T S A"], gamma: float, V: Float64[Array, "T S"]
) -> Residuals:
    """The residual of any V in one pass over the weights; needs numba."""
    from bomrl_theory.exact import batch

    return Residuals(*compiled(batch.residuals)(_rows(W), r, gamma, _rows(V)))


def _rows(x: Float64[Array, "..."]) -> Float64[Array, "..."]:
    """Doubles that lie one after the other, as compiled row operations want them."""
    return np.ascontiguousarray(x)


def advantages(
    W: Float64[Array, "T S A S"],
    r: Float64[Array, "T S A"],
    gamma: tuple[float, float],
    V: tuple[Float64[Array, "T S"], Float64[Array, "T S"]],
    places: tuple[Int[Array, " K"], Int[Array, " K"], Int[Array, " K"]],
) -> tuple[Float64[Array, " K"], Float64[Array, " K"]]:
    """:func:`double_double.advantage` for the listed (task, state, action), compiled: mid-points and row sums."""
    return compiled(_advantages)(W, r, *gamma, *V, *places)


def _advantages(W, r, gamma, gamma_low, head, tail, tasks, states, actions):
    mid, sums = np.empty(len(tasks)), np.empty(len(tasks))
    for k in range(len(tasks)):
        task, s, a = tasks[k], states[k], actions[k]
        own_high, own_error = two_sum(r[task, s, a], -head[task, s])
        own_low = own_error - tail[task, s]
        high, low, total = 0.0, 0.0, 0.0
        for target in range(W.shape[3]):
            w = W[task, s, a, target]
            if w != 0.0:
                next_high, next_error = two_prod(gamma, head[task, target])
                next_low = next_error + (gamma_low * head[task, target] + gamma * tail[task, target])
                gain, error = two_sum(next_high, own_high)
                gain_low = error + (next_low + own_low)
                p, q = two_prod(w, gain)
                high, error = two_sum(high, p)
                low += q + w * gain_low + error
                total += w
        mid[k], sums[k] = (high + low) / total, total
    return mid, sums


class Rows(NamedTuple):
    """Sparse rows of weights in CSR form, ready for backups."""

    indptr: Int[Array, " R"]
    indices: Int[Array, " N"]
    W: Float64[Array, " N"]


def row_sums(rows: Rows) -> Float64[Array, " SA"]:
    """The computed sum of every row."""
    return compiled(_row_sums)(*rows)


def sparse_backup(
    rows: Rows, r: Float64[Array, "S A"], scale: Float64[Array, " SA"], V: Float64[Array, " S"]
) -> tuple[Float64[Array, " S"], Int[Array, " S"]]:
    """``max_a r + scale (W V)`` and where it is attained, from weights [S*A, S]; makes no array [S, A]."""
    return compiled(_sparse_backup)(*rows, r, scale, V)


def policy_rows(
    rows: Rows, r: Float64[Array, "S A"], scale: Float64[Array, " SA"], policy: Int[Array, " S"]
) -> tuple[Rows, Float64[Array, " S"], Float64[Array, " S"]]:
    """What the policy chooses, moved together: weights [S, S], rewards and scale."""
    indptr, indices, W, *rest = compiled(_policy_rows)(*rows, r, scale, policy)
    return Rows(indptr, indices, W), *rest


def sweep(
    rows: Rows,
    r: Float64[Array, " S"],
    scale: Float64[Array, " S"],
    V: Float64[Array, " S"],
    out: Float64[Array, " S"],
    direction: int = 1,
) -> float:
    """``out = r + scale (W V)`` from weights [S, S], state by state upward (1) or downward (-1).

    With ``out`` the same array as V, every state already sees the new values of those before it.

    Returns:
        The spread of the change, largest minus smallest.
    """
    return compiled(_sweep)(*rows, r, scale, V, out, direction)


# Unsigned indices spare the check for negative ones, which costs more than the arithmetic.


def _row_sums(indptr, indices, W):
    sums = np.empty(len(indptr) - 1)
    for row in range(len(sums)):
        total = 0.0
        for i in range(np.uint64(indptr[row]), np.uint64(indptr[row + 1])):
            total += W[i]
        sums[row] = total
    return sums


def _sparse_backup(indptr, indices, W, r, scale, V):
    states, actions = r.shape
    values, policy = np.empty(states), np.empty(states, dtype=np.int32)
    one, row = np.uint64(1), np.uint64(0)
    for s in range(states):
        best, choice = -np.inf, 0
        for a in range(actions):
            product = 0.0
            for i in range(np.uint64(indptr[row]), np.uint64(indptr[row + one])):
                product += W[i] * V[np.uint64(indices[i])]
            value = r[s, a] + scale[row] * product
            # Without a branch: which action is best cannot be predicted. A NaN stays.
            better = (value > best) | (value != value)
            choice, best = a if better else choice, value if better else best
            row += one
        values[s], policy[s] = best, choice
    return values, policy


def _policy_rows(indptr, indices, W, r, scale, policy):
    states, actions = r.shape
    starts = np.zeros(states + 1, dtype=indptr.dtype)
    entries = 0
    for s in range(states):
        row = s * actions + policy[s]
        entries += indptr[row + 1] - indptr[row]
        starts[s + 1] = entries
    targets, weights = np.empty(entries, dtype=indices.dtype), np.empty(entries)
    rewards, factors = np.empty(states), np.empty(states)
    place = np.uint64(0)
    for s in range(states):
        row = np.uint64(s * actions + policy[s])
        for i in range(np.uint64(indptr[row]), np.uint64(indptr[row + np.uint64(1)])):
            targets[place], weights[place] = indices[i], W[i]
            place += np.uint64(1)
        rewards[s], factors[s] = r[s, policy[s]], scale[row]
    return starts, targets, weights, rewards, factors


def _sweep(indptr, indices, W, r, scale, V, out, direction):
    states = len(r)
    lowest, highest = np.inf, -np.inf
    for k in range(states):
        s = np.uint64(k if direction > 0 else states - 1 - k)
        product = 0.0
        for i in range(np.uint64(indptr[s]), np.uint64(indptr[s + np.uint64(1)])):
            product += W[i] * V[np.uint64(indices[i])]
        value = r[s] + scale[s] * product
        change = value - V[s]
        lowest, highest = min(lowest, change), max(highest, change)
        out[s] = value
    return highest - lowest
