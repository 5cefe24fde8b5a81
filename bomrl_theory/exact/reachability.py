"""Which states a policy visits: a question about the graph, so it has an exact answer."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool

from bomrl_theory.numbers import Array
from bomrl_theory.tasks.family import TaskFamily


def visited_states(family: TaskFamily, support: Bool[Array, "T S A"]) -> Bool[Array, "T S"]:
    """States with positive discounted visitation when actions outside ``support`` are never taken.

    With gamma = 0 only the start distribution counts.
    """
    starts = family.rho > 0
    if family.gamma == 0:
        return starts
    edges = np.any((family.P > 0) & support[..., None], axis=2)
    visited, new = starts.copy(), starts
    while new.any():  # breadth first in all tasks at once; every state is left once
        task, state = np.nonzero(new)
        first = np.flatnonzero(np.diff(task, prepend=-1))
        there = task[first]
        reached = np.logical_or.reduceat(edges[task, state], first)
        new = np.zeros_like(visited)
        new[there] = reached & ~visited[there]
        visited |= new
    return visited
