"""Which states a policy visits: a question about the graph, so it has an exact answer."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool
from scipy.sparse import csr_array
from scipy.sparse.csgraph import breadth_first_order

from bomrl_theory.numbers import Array
from bomrl_theory.tasks.family import TaskFamily

CLOSED_AT_ONCE = 32
"""Up to this many states all tasks are closed together, which beats a graph search a task."""


def visited_states(family: TaskFamily, support: Bool[Array, "T S A"]) -> Bool[Array, "T S"]:
    """States with positive discounted visitation when actions outside ``support`` are never taken.

    With gamma = 0 only the start distribution counts.
    """
    starts = family.rho > 0
    if family.gamma == 0:
        return starts
    states = family.states
    if states <= CLOSED_AT_ONCE:
        moves = ((family.P > 0) & support[..., None]).any(axis=2)
        while True:
            further = starts | (starts[..., None] & moves).any(axis=1)
            if np.array_equal(further, starts):
                return starts
            starts = further
    visited = np.zeros_like(starts)
    for task in range(family.tasks):
        edges = np.zeros((states + 1, states + 1), dtype=bool)
        edges[:states, :states] = ((family.P[task] > 0) & support[task][..., None]).any(axis=1)
        edges[states, :states] = starts[task]  # an added root that leads to every start
        reached = breadth_first_order(csr_array(edges), states, return_predecessors=False)
        visited[task, reached[reached < states]] = True
    return visited
