"""Exact rational solutions that share no code with the package, and tasks that are hard on floating point."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np
from flint import fmpq, fmpq_mat

from bomrl_theory.tasks.family import TaskFamily
from bomrl_theory.tasks.garnet import garnet
from bomrl_theory.tasks.mdp import MDP


def q(value: Any) -> fmpq:
    """The rational that a double or a Fraction is."""
    return fmpq(*(value if isinstance(value, Fraction) else float(value)).as_integer_ratio())


def exact_task(task: MDP) -> tuple[list[list[list[fmpq]]], list[list[fmpq]], fmpq]:
    """P, r and gamma as rationals."""
    P = [[[q(w) for w in row] for row in state] for state in task.P]
    P = [[[w / sum(row, fmpq(0)) for w in row] for row in state] for state in P]
    return P, [[q(x) for x in row] for row in task.r], q(task.gamma)


def exact_value(task: MDP, policy: np.ndarray) -> list[fmpq]:
    """V^pi for action indices [S]."""
    P, r, gamma = exact_task(task)
    n = task.states
    matrix = fmpq_mat(n, n, [fmpq(int(s == t)) - gamma * P[s][policy[s]][t] for s in range(n) for t in range(n)])
    return matrix.solve(fmpq_mat(n, 1, [r[s][policy[s]] for s in range(n)])).entries()


def exact_optimum(task: MDP, start: np.ndarray) -> list[fmpq]:
    """V* by policy iteration in rationals."""
    P, r, gamma = exact_task(task)
    policy = start.copy()
    while True:
        V = exact_value(task, policy)
        changed = False
        for s in range(task.states):
            ahead = [sum((p * v for p, v in zip(row, V, strict=True)), fmpq(0)) for row in P[s]]
            Q = [reward + gamma * value for reward, value in zip(r[s], ahead, strict=True)]
            best = max(range(task.actions), key=Q.__getitem__)
            if Q[best] > Q[policy[s]]:
                policy[s], changed = best, True
        if not changed:
            return V


def hard_families(rng: np.random.Generator, states: int, tasks: int) -> Iterator[tuple[str, TaskFamily]]:
    """Families that are hard on floating point, by name."""
    actions, shape = 3, (tasks, states, 3, states)
    base = garnet(states=states, actions=actions, branching=min(3, states), tasks=tasks, rng=rng)

    def family(P: Any, r: Any, gamma: Any = Fraction(9, 10)) -> TaskFamily:
        return TaskFamily.new(P, r, gamma, np.ones(states), row_weights=True)

    yield "garnet", base
    yield "gamma close to 1", family(base.P, base.r, 1 - Fraction(1, 10**9))
    yield "gamma zero", family(base.P, base.r, 0)
    yield "gamma tiny", family(base.P, base.r, Fraction(1, 10**320))
    yield "gamma not a double", family(base.P, base.r, Fraction(1, 3))
    tiny = np.where(rng.random(shape) < 0.5, 1e-300, rng.random(shape))
    tiny[..., 0] += 0.5
    yield "probabilities of 1e-300", family(tiny, base.r)
    subnormal = np.where(rng.random(shape) < 0.5, 5e-324, rng.random(shape))
    subnormal[..., 0] += 0.5
    yield "subnormal probabilities", family(subnormal, base.r)
    yield "subnormal rows", family(np.full(shape, 5e-324) * rng.integers(1, 9, shape), base.r)
    yield "huge rows", family(base.P * 1e300, base.r)
    yield "near ties", family(base.P, 1 + 2.0**-52 * rng.integers(0, 3, base.r.shape))
    yield "exact ties", family(np.repeat(base.P[:, :, :1], 3, axis=2), np.repeat(base.r[:, :, :1], 3, axis=2))
    yield "rewards of 1e12 and 1e-12", family(base.P, rng.choice([1e12, -1e12, 1e-12], base.r.shape) * base.r)
    yield "subnormal rewards", family(base.P, base.r * 1e-315)
    yield "huge rewards", family(base.P, base.r * 1e307)
    yield "negative rewards", family(base.P, -base.r)
    yield "large offset", family(base.P, base.r + 1e9, Fraction(999, 1000))
    yield "zero rewards", family(base.P, base.r * 0)
    absorbing = np.zeros(shape)
    absorbing[...] = np.eye(states)[:, None, :]
    yield "absorbing", family(absorbing, base.r, Fraction(99, 100))
