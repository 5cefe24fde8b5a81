"""Many small tasks, one after the other on one core: policy iteration and residuals, to be compiled.

Rows are dense: up to some 64 states vector instructions on all of a row beat finding its non-zero entries.
:mod:`kernels` wraps these functions and says what they return.
"""

from __future__ import annotations

import numpy as np

from bomrl_theory.exact.vectors import WIDTH, dot, nonzeros, subtract, total


def residuals(W, r, gamma, V):
    tasks, states, actions, _ = W.shape
    weights, values = W.reshape(-1), V.reshape(-1)
    lowest, highest = np.full(tasks, np.inf), np.full(tasks, -np.inf)
    terms = np.zeros(tasks, dtype=np.int64)
    sums = np.empty((tasks, 2))
    row = 0
    for task in range(tasks):
        sums[task, 0], sums[task, 1] = np.inf, 0.0
        most = 0.0
        for s in range(states):
            best = -np.inf
            for a in range(actions):
                size = total(weights, row, weights, row, states)
                sums[task, 0] = min(sums[task, 0], size)
                sums[task, 1] = max(sums[task, 1], size)
                most = max(most, nonzeros(weights, row, weights, row, states))
                value = r[task, s, a] + gamma / size * dot(weights, row, values, task * states, states)
                # A NaN anywhere must reach the certificate.
                if value > best or value != value:
                    best = value
                row += states
            difference = best - V[task, s]
            if difference < lowest[task] or difference != difference:
                lowest[task] = difference
            if difference > highest[task] or difference != difference:
                highest[task] = difference
        terms[task] = int(most)
    return lowest, highest, terms, sums


def solve(W, r, gamma, maximum_iterations):
    tasks, states, actions, _ = W.shape
    weights = W.reshape(-1)
    # Whole vectors in every row of the matrix, so that elimination has no remainders.
    width = (states + WIDTH - 1) // WIDTH * WIDTH
    matrix = np.empty(states * width)
    scale, Q = np.empty((states, actions)), np.empty((states, actions))
    V, policy = np.empty(states), np.empty(states, dtype=np.int64)
    policies = np.empty((tasks, states), dtype=np.int64)
    values = np.empty((tasks, states))
    iterations = np.zeros(tasks, dtype=np.int64)
    converged = np.zeros(tasks, dtype=np.bool_)
    lowest, highest = np.full(tasks, np.inf), np.full(tasks, -np.inf)
    terms = np.zeros(tasks, dtype=np.int64)
    sums = np.empty((tasks, 2))
    for task in range(tasks):
        rewards, first = r[task], task * states * actions * states
        smallest, largest, most, largest_reward = np.inf, 0.0, 0.0, 0.0
        row = first
        for s in range(states):
            best, choice = -np.inf, 0
            for a in range(actions):
                size = total(weights, row, weights, row, states)
                scale[s, a] = gamma / size
                smallest, largest = min(smallest, size), max(largest, size)
                most = max(most, nonzeros(weights, row, weights, row, states))
                largest_reward = max(largest_reward, abs(rewards[s, a]))
                better = rewards[s, a] > best
                # Without a branch: which action is best cannot be predicted.
                choice, best = a if better else choice, rewards[s, a] if better else best
                row += states
            policy[s] = choice
        terms[task], sums[task, 0], sums[task, 1] = int(most), smallest, largest
        while True:
            # (I - gamma P_pi) V = r_pi by elimination; diagonally dominant by rows, so no pivoting is needed.
            iterations[task] += 1
            matrix[:] = 0.0
            for s in range(states):
                a = policy[s]
                subtract(matrix, s * width, scale[s, a], weights, first + (s * actions + a) * states, states)
                matrix[s * width + s] += 1.0
                V[s] = rewards[s, a]
            for k in range(states):
                pivot = 1.0 / matrix[k * width + k]
                start = (k + 1) // WIDTH * WIDTH  # what this overwrites left of k + 1 is not needed any more
                for s in range(k + 1, states):
                    factor = matrix[s * width + k] * pivot
                    subtract(matrix, s * width + start, factor, matrix, k * width + start, width - start)
                    V[s] -= factor * V[k]
            size = 0.0
            for s in range(states - 1, -1, -1):
                V[s] /= matrix[s * width + s]
                for i in range(s):
                    V[i] -= matrix[i * width + s] * V[s]
                size = max(size, abs(V[s]))
            tolerance = 64 * 2.0**-52 * (size + largest_reward) / (1 - gamma)
            improved = False
            row = first
            for s in range(states):
                best, choice = -np.inf, 0
                for a in range(actions):
                    value = rewards[s, a] + scale[s, a] * dot(weights, row, V, 0, states)
                    better = value > best
                    choice, best = a if better else choice, value if better else best
                    Q[s, a] = value
                    row += states
                if best > Q[s, policy[s]] + tolerance:
                    policy[s] = choice
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
            policies[task, s], values[task, s] = policy[s], V[s]
            difference = best - V[s]
            if difference < lowest[task] or difference != difference:
                lowest[task] = difference
            if difference > highest[task] or difference != difference:
                highest[task] = difference
    return policies, values, iterations, converged, lowest, highest, terms, sums
