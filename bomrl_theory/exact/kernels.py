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

Backend = Literal["numba", "numpy"]
SMALL_STATES = 64
"""Up to this many states the batched kernel beats LAPACK called once a task."""
PRESWEEPS = (3, 5)
"""Cheap sweeps before the first linear solve, over all actions and then of the greedy policy; they save solves."""


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
    actions, V, iterations, converged, *rest = compiled(_solve_batch)(W, r, gamma, *PRESWEEPS, maximum_iterations)
    return BatchSolution(actions, V, iterations, converged, Residuals(*rest))


def residuals(
    W: Float64[Array, "T S A S"], r: Float64[Array, "T S A"], gamma: float, V: Float64[Array, "T S"]
) -> Residuals:
    """The residual of any V in one pass over the weights; needs numba."""
    return Residuals(*compiled(_residuals)(W, r, gamma, V))


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


def _residuals(W, r, gamma, V):
    tasks, states, actions, _ = W.shape
    lowest, highest = np.full(tasks, np.inf), np.full(tasks, -np.inf)
    terms = np.zeros(tasks, dtype=np.int64)
    sums = np.empty((tasks, 2))
    for task in range(tasks):
        sums[task, 0], sums[task, 1] = np.inf, 0.0
        for s in range(states):
            best = -np.inf
            for a in range(actions):
                product, total, count = 0.0, 0.0, 0
                for target in range(states):
                    w = W[task, s, a, target]
                    product += w * V[task, target]
                    total += w
                    count += w != 0.0
                value = (r[task, s, a] + gamma * (product / total)) - V[task, s]
                # A NaN anywhere must reach the certificate.
                if value > best or value != value:
                    best = value
                terms[task] = max(terms[task], count)
                sums[task, 0] = min(sums[task, 0], total)
                sums[task, 1] = max(sums[task, 1], total)
            if best < lowest[task] or best != best:
                lowest[task] = best
            if best > highest[task] or best != best:
                highest[task] = best
    return lowest, highest, terms, sums


def _solve_batch(W, r, gamma, presweeps, following, maximum_iterations):
    tasks, states, actions, _ = W.shape
    index = np.empty((states, actions, states), dtype=np.int64)
    weight = np.empty((states, actions, states))
    filled = np.empty((states, actions), dtype=np.int64)
    matrix = np.empty((states, states))
    Q = np.empty((states, actions))
    policies = np.empty((tasks, states), dtype=np.int64)
    values = np.empty((tasks, states))
    iterations = np.zeros(tasks, dtype=np.int64)
    converged = np.zeros(tasks, dtype=np.bool_)
    lowest, highest = np.full(tasks, np.inf), np.full(tasks, -np.inf)
    terms = np.zeros(tasks, dtype=np.int64)
    sums = np.empty((tasks, 2))
    for task in range(tasks):
        policy, V, rewards = policies[task], values[task], r[task]
        # Keep the non-zero weights only, without a branch, and divide them by their sum.
        sums[task, 0], sums[task, 1] = np.inf, 0.0
        largest_reward = 0.0
        for s in range(states):
            V[s] = rewards[s, 0]
            policy[s] = 0
            for a in range(actions):
                count = 0
                total = 0.0
                for target in range(states):
                    w = W[task, s, a, target]
                    index[s, a, count] = target
                    weight[s, a, count] = w
                    total += w
                    count += w != 0.0
                filled[s, a] = count
                for i in range(count):
                    weight[s, a, i] /= total
                terms[task] = max(terms[task], count)
                sums[task, 0] = min(sums[task, 0], total)
                sums[task, 1] = max(sums[task, 1], total)
                largest_reward = max(largest_reward, abs(rewards[s, a]))
                if rewards[s, a] > V[s]:
                    V[s], policy[s] = rewards[s, a], a
        for _ in range(presweeps):
            for s in range(states):
                best = -np.inf
                for a in range(actions):
                    average = 0.0
                    for i in range(filled[s, a]):
                        average += weight[s, a, i] * V[index[s, a, i]]
                    value = rewards[s, a] + gamma * average
                    if value > best:
                        best = value
                        policy[s] = a
                V[s] = best
            for _ in range(following):
                for s in range(states):
                    a = policy[s]
                    average = 0.0
                    for i in range(filled[s, a]):
                        average += weight[s, a, i] * V[index[s, a, i]]
                    V[s] = rewards[s, a] + gamma * average
        while True:
            # (I - gamma P_pi) V = r_pi by elimination; diagonally dominant by rows, so no pivoting is needed.
            iterations[task] += 1
            for s in range(states):
                a = policy[s]
                matrix[s, :] = 0.0
                for i in range(filled[s, a]):
                    matrix[s, index[s, a, i]] = -gamma * weight[s, a, i]
                matrix[s, s] += 1.0
                V[s] = rewards[s, a]
            for k in range(states):
                pivot = 1.0 / matrix[k, k]
                for s in range(k + 1, states):
                    if matrix[s, k] != 0.0:
                        factor = matrix[s, k] * pivot
                        for j in range(k + 1, states):
                            matrix[s, j] -= factor * matrix[k, j]
                        V[s] -= factor * V[k]
            size = 0.0
            for s in range(states - 1, -1, -1):
                value = V[s]
                for j in range(s + 1, states):
                    value -= matrix[s, j] * V[j]
                V[s] = value / matrix[s, s]
                size = max(size, abs(V[s]))
            tolerance = 64 * 2.0**-52 * (size + largest_reward) / (1 - gamma)
            improved = False
            for s in range(states):
                best, better = -np.inf, policy[s]
                for a in range(actions):
                    average = 0.0
                    for i in range(filled[s, a]):
                        average += weight[s, a, i] * V[index[s, a, i]]
                    Q[s, a] = rewards[s, a] + gamma * average
                    if Q[s, a] > best:
                        best, better = Q[s, a], a
                if best > Q[s, policy[s]] + tolerance:
                    policy[s] = better
                    improved = True
            converged[task] = not improved
            if converged[task] or iterations[task] >= maximum_iterations:
                break
        for s in range(states):
            best = -np.inf
            for a in range(actions):
                if Q[s, a] > best or Q[s, a] != Q[s, a]:  # a NaN anywhere must reach the certificate
                    best = Q[s, a]
            for a in range(actions):
                if best - Q[s, a] <= tolerance:
                    policy[s] = a
                    break
            difference = best - V[s]
            if difference < lowest[task] or difference != difference:
                lowest[task] = difference
            if difference > highest[task] or difference != difference:
                highest[task] = difference
    return policies, values, iterations, converged, lowest, highest, terms, sums


def sparse_backup(
    indptr: Int[Array, " R"],
    indices: Int[Array, " N"],
    W: Float64[Array, " N"],
    r: Float64[Array, "S A"],
    scale: Float64[Array, " SA"],
    V: Float64[Array, " S"],
) -> tuple[Float64[Array, " S"], Int[Array, " S"]]:
    """``max_a r + scale (W V)`` and where it is attained, from CSR weights [S*A, S]; makes no array [S, A]."""
    return compiled(_sparse_backup)(indptr, indices, W, r, scale, V)


def sweep(
    indptr: Int[Array, " R"],
    indices: Int[Array, " N"],
    W: Float64[Array, " N"],
    r: Float64[Array, " S"],
    scale: Float64[Array, " S"],
    V: Float64[Array, " S"],
    direction: int,
) -> float:
    """``V = r + scale (W V)`` in place, from CSR weights [S, S], state by state upward (1) or downward (-1).

    Returns:
        The largest change of an entry.
    """
    return compiled(_sweep)(indptr, indices, W, r, scale, V, direction)


def _sparse_backup(indptr, indices, W, r, scale, V):
    # Unsigned indices spare the check for negative ones, which costs more than the arithmetic.
    states, actions = r.shape
    values, policy = np.empty(states), np.zeros(states, dtype=np.int32)
    one, row = np.uint64(1), np.uint64(0)
    for s in range(states):
        best = -np.inf
        for a in range(actions):
            product = 0.0
            for i in range(np.uint64(indptr[row]), np.uint64(indptr[row + one])):
                product += W[i] * V[np.uint64(indices[i])]
            value = r[s, a] + scale[row] * product
            if value > best or value != value:
                best = value
                policy[s] = a
            row += one
        values[s] = best
    return values, policy


def _sweep(indptr, indices, W, r, scale, V, direction):
    states = len(r)
    largest = 0.0
    for k in range(states):
        s = np.uint64(k if direction > 0 else states - 1 - k)
        product = 0.0
        for i in range(np.uint64(indptr[s]), np.uint64(indptr[s + np.uint64(1)])):
            product += W[i] * V[np.uint64(indices[i])]
        value = r[s] + scale[s] * product
        largest = max(largest, abs(value - V[s]))
        V[s] = value
    return largest
