"""What is dropped between two theorems on a large sparse case, so that memory does not grow with their number."""

from __future__ import annotations

from bomrl_theory.exact.sparse_solved import SparseSolved
from bomrl_theory.theory.case import Case
from bomrl_theory.verify.verdict import Views

LARGE = 100_000
"""States, over all tasks, from which a constant's array is worth measuring again rather than keeping."""


def forget_constants(views: Views) -> None:
    """Drop measurements, and what evaluations hold for every action; both come back when asked for.

    Cases that are not sparse, or small, keep everything.
    """
    for case in [measured.case for measured in views.values()]:
        if not (isinstance(case, Case) and isinstance(case.solved, SparseSolved)):
            continue
        if case.family.tasks * case.family.states >= LARGE:
            views.clear()
            case.solved.forget_actions()
