"""Verdicts by the thousand: the same decisions as :func:`~bomrl_theory.verify.verdict.judge`, as columns of doubles."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from bomrl_theory.numbers import Array, to_floats
from bomrl_theory.theory.case import AnyCase
from bomrl_theory.theory.theorem import Theorem
from bomrl_theory.verify.verdict import (
    UNSOLVED,
    Grade,
    Outcome,
    Verdict,
    Views,
    attempts,
)


@dataclass(frozen=True, eq=False)
class Columns:
    """The verdicts of one theorem on a case, one entry a task, or one for the family; see :class:`Verdict`.

    Attributes:
        left, bound: nearest doubles of both sides [n]; NaN where they were not computed.
        outcomes: what was established.
        grades: of bounds on a gap that hold; None otherwise.
        numbers: the number systems that decided.
        certified: False where only floats were used.
        reasons: which assumption failed, or why it is undecided.
        saved: the first verdicts in full that are violated or undecided, by their place.
    """

    left: Float64[Array, " n"]
    bound: Float64[Array, " n"]
    outcomes: list[Outcome]
    grades: list[Grade | None]
    numbers: list[str]
    certified: list[bool]
    reasons: list[str]
    saved: dict[int, Verdict]

    @property
    def ratio(self) -> Float64[Array, " n"]:
        """left/bound; NaN where the bound is 0 or not computed."""
        known = np.isfinite(self.left) & (self.bound != 0)
        with np.errstate(all="ignore"):
            return np.where(known, self.left / np.where(self.bound == 0, np.nan, self.bound), np.nan)


def judge_columns(theorem: Theorem, case: AnyCase, views: Views, *, families: int = 1, saved: int = 0) -> Columns:
    """Decide a theorem that covers the case.

    Args:
        families: that the case holds side by side, one verdict each: see :func:`~bomrl_theory.verify.verdict.attempts`.
        views: measurements of the same case to share between theorems; filled as needed.
        saved: at most so many violated or undecided verdicts are also returned in full.
    """
    count = case.family.tasks if theorem.scope == "task" else families
    left, bound = np.full(count, np.nan), np.full(count, np.nan)
    outcomes: list[Outcome] = [Outcome.UNDECIDED] * count
    grades: list[Grade | None] = [None] * count
    numbers, certified, reasons = [""] * count, [True] * count, [UNSOLVED] * count
    full: dict[int, Verdict] = {}
    for attempt, places in attempts(theorem, case, views, case.number_systems(theorem.relation), families):
        if isinstance(attempt, str):
            for index in places:
                reasons[index] = attempt
            continue
        indexes, rows = list(places), list(places.values())
        for side, values in ((left, attempt.left), (bound, attempt.bound)):
            side[indexes] = to_floats(values)[rows]
        for index, row in places.items():
            outcome = attempt.outcomes[row]
            outcomes[index], grades[index], reasons[index] = outcome, attempt.grades[row], attempt.reasons[row]
            numbers[index], certified[index] = attempt.numbers.name, attempt.numbers.certified
            if outcome is Outcome.OUT_OF_SCOPE:
                left[index] = bound[index] = np.nan
            if outcome in (Outcome.VIOLATED, Outcome.UNDECIDED):
                full[index] = attempt.verdict(row, index if theorem.scope == "task" else None)
            else:
                full.pop(index, None)
    kept = {
        index: full[index] for index in sorted(full, key=lambda i: (outcomes[i] is not Outcome.VIOLATED, i))[:saved]
    }
    return Columns(left, bound, outcomes, grades, numbers, certified, reasons, kept)
