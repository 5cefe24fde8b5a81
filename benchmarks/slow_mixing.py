"""What follows a policy best on tasks that mix slowly: a slippery grid at discounts up to 0.9999.

Ours, which chooses between sweeps and BiCGSTAB by what it measures, beside each of the choices alone, policy
iteration by sparse LU, and quantecon.
"""

from __future__ import annotations

from fractions import Fraction
from functools import partial

import numpy as np
from large import certified, grid_task, ours, quantecon, storm
from measure import Prepare, Work, uncertified
from scipy.sparse import csc_array, eye_array
from side_by_side import Problem
from small import TOLERANCE

from bomrl_theory.exact import large
from bomrl_theory.tasks.sparse import SparseMDP

MOST_POLICIES = 400
PEERS_UP_TO = Fraction(999, 1000)
"""At larger discounts they take many minutes."""


def alone(method: large.Method, prepare: Prepare) -> Prepare:
    """Ours where nothing else is ever chosen."""

    def prepared(states: int) -> Work:
        large._Backups.method = property(lambda self: method)  # pyright: ignore[reportAttributeAccessIssue]
        return prepare(states)

    return prepared


def policy_iteration_by_lu(task: SparseMDP) -> tuple[np.ndarray, int]:
    """V and the number of policies, each solved by SuperLU in the order that fills least here."""
    from scipy.sparse.linalg import splu

    gamma, states = float(task.gamma), np.arange(task.states)
    V, previous = np.zeros(task.states), np.inf
    for policies in range(1, MOST_POLICIES + 1):
        Q = task.r + gamma * (task.P @ V).reshape(task.r.shape)
        actions = Q.argmax(axis=1)
        spread = float(np.ptp(Q.max(axis=1) - V))
        rounding = 1e-14 * float(np.abs(V).max())
        if spread <= 2 * TOLERANCE * (1 - gamma) or rounding >= spread >= previous:
            return V, policies
        previous = spread
        matrix = csc_array(eye_array(task.states) - gamma * task.P[states * task.actions + actions])
        order = {"permc_spec": "MMD_AT_PLUS_A", "diag_pivot_thresh": 0.0, "options": {"SymmetricMode": True}}
        V = splu(matrix, **order).solve(task.r[states, actions])
    raise SystemExit(f"not done after {MOST_POLICIES} policies")


def lu(gamma: Fraction, states: int) -> Work:
    task = grid_task(states, gamma)
    return Work(
        lambda: policy_iteration_by_lu(task), lambda found: {**uncertified(found[0], ours(task)), "policies": found[1]}
    )


def slow(gamma: Fraction) -> Problem:
    task_of = partial(grid_task, gamma=gamma)
    peers = {"quantecon MPI": quantecon(task_of), "Storm, value iteration": storm(task_of)}
    return Problem(
        f"grid-{float(gamma):g}",
        f"one slippery grid, {{}} states, gamma {float(gamma):g}",
        "MDP",
        (99_856, 2500 if gamma == Fraction(99, 100) else None),
        3,
        {
            "ours, certified": certified(task_of),
            "ours, sweeps alone": alone("sweeps", certified(task_of)),
            "ours, BiCGSTAB alone": alone("bicgstab", certified(task_of)),
            "policy iteration by sparse LU": partial(lu, gamma),
            **(peers if gamma <= PEERS_UP_TO else {}),
        },
        "" if gamma <= PEERS_UP_TO else "Peers are left out; sweeps alone are what quantecon does.",
    )


SLOW_MIXING = tuple(map(slow, map(Fraction, ("9/10", "99/100", "999/1000", "9999/10000"))))
