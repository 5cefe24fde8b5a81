"""The verdict: where the gap meets the bound.

``left <= bound`` is decided first in balls at growing precision, then in rationals where an exact tie
would keep balls undecided for ever. A comparison that no number system decides is UNDECIDED; "not
proved" is never "true". A verdict reached in float64 alone says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import sympy as sp

from bomrl_theory.exact.solved import RATIONAL_STATES
from bomrl_theory.numbers import (
    FLOATS,
    Array,
    Balls,
    Numbers,
    Rationals,
    SingularSystem,
    certainly_nonnegative,
    to_float,
)
from bomrl_theory.theory.case import Case
from bomrl_theory.theory.constants import gap_phi, values, w
from bomrl_theory.theory.expression import Expr, evaluate, over_tasks
from bomrl_theory.theory.measured import Measured
from bomrl_theory.theory.theorem import Theorem


class Outcome(StrEnum):
    """What was established about ``left <= bound`` on a case."""

    HOLDS = "HOLDS"
    VIOLATED = "VIOLATED"
    UNDECIDED = "UNDECIDED"
    OUT_OF_SCOPE = "OUT_OF_SCOPE"


class Grade(StrEnum):
    """What a bound that holds is worth (THEORY section 5)."""

    TRIVIAL = "trivial"
    """At least the largest gap that any policy could have."""
    UNINFORMATIVE = "uninformative"
    """At least the gap that the meta-policy has without adapting."""
    INFORMATIVE = "informative"
    """Certainly below the gap without adaptation."""


@dataclass(frozen=True)
class Verdict:
    """One decision about one task, or about one family's average.

    Attributes:
        theorem: id.
        outcome: see :class:`Outcome`.
        task: task index, or None where the claim is about the average.
        left, bound: nearest doubles, for display.
        exact: both sides as text: a rational, or a ball with its radius.
        ratio: left/bound for display; None where the bound is 0 or the case out of scope.
        grade: for inequalities that hold; None otherwise.
        numbers: the number system that decided.
        certified: False where only floats were used.
        reason: which assumption failed, or why it is undecided.
    """

    theorem: str
    outcome: Outcome
    task: int | None
    left: float
    bound: float
    exact: tuple[str, str]
    ratio: float | None
    grade: Grade | None
    numbers: str
    certified: bool
    reason: str = ""


CERTIFIED: tuple[Numbers, ...] = (Balls(128), Rationals(256), Balls(1024), Rationals(4096))
"""Number systems in the order they are tried."""
SHOWN_DIGITS = 30


def number_systems(case: Case) -> tuple[Numbers, ...]:
    """What this case can afford: rationals up to some hundred states, floats beyond a certified optimum."""
    if not case.solved.optimum.certified:
        return (FLOATS,)
    if case.family.states > RATIONAL_STATES // 2:
        return tuple(numbers for numbers in CERTIFIED if isinstance(numbers, Balls))
    return CERTIFIED


def ladder(case: Case, theorem: Theorem) -> tuple[Numbers, ...]:
    """Which number systems to try, in order. Balls never prove an equality."""
    systems = number_systems(case)
    if theorem.relation == "==" and Rationals in map(type, systems):
        return tuple(numbers for numbers in systems if isinstance(numbers, Rationals))
    return systems


def judge(theorem: Theorem, case: Case, views: dict[Numbers, Measured] | None = None) -> list[Verdict]:
    """Decide the theorem on a case: one verdict a task, or one for the family.

    Args:
        views: measurements of the same case to share between theorems; filled as needed.
    """
    views = {} if views is None else views
    count = case.family.tasks if theorem.scope == "task" else 1
    if not theorem.covers(case):
        reason = f"speaks about {', '.join(theorem.algorithms)}" + (f", {theorem.steps} step" if theorem.steps else "")
        return [_out_of_scope(theorem, index, reason) for index in range(count)]
    verdicts: list[Verdict | None] = [None] * count
    for numbers in ladder(case, theorem):
        with numbers.activated():
            measured = views.setdefault(numbers, Measured(case, numbers))
            try:
                attempt = _Attempt.make(theorem, measured, count)
            except SingularSystem:
                continue
            for index in range(count):
                if verdicts[index] is None or verdicts[index].outcome is Outcome.UNDECIDED:  # type: ignore[union-attr]
                    verdicts[index] = attempt.verdict(index)
        if all(verdict is not None and verdict.outcome is not Outcome.UNDECIDED for verdict in verdicts):
            break
    return [verdict or _undecided(theorem, index) for index, verdict in enumerate(verdicts)]


def _index(theorem: Theorem, index: int) -> int | None:
    return index if theorem.scope == "task" else None


def _out_of_scope(theorem: Theorem, index: int, reason: str) -> Verdict:
    nan = float("nan")
    return Verdict(
        theorem.id,
        Outcome.OUT_OF_SCOPE,
        _index(theorem, index),
        nan,
        nan,
        ("", ""),
        None,
        None,
        "",
        True,
        reason,
    )


def _undecided(theorem: Theorem, index: int) -> Verdict:
    nan = float("nan")
    reason = "no number system could solve this case within its precision"
    return Verdict(
        theorem.id,
        Outcome.UNDECIDED,
        _index(theorem, index),
        nan,
        nan,
        ("", ""),
        None,
        None,
        "",
        True,
        reason,
    )


@dataclass(frozen=True)
class _Attempt:
    """Both sides and all margins of a theorem in one number system, [count] each."""

    theorem: Theorem
    numbers: Numbers
    left: Array
    bound: Array
    assumptions: tuple[tuple[str, Array], ...]
    gap_phi: Array
    largest_gap: Array

    @classmethod
    def make(cls, theorem: Theorem, measured: Measured, count: int) -> _Attempt:
        numbers = measured.numbers
        shared = values((*theorem.constants, w, gap_phi), measured)

        def column(expression: Expr) -> Array:
            return np.broadcast_to(evaluate(sp.sympify(expression), shared, numbers)[:, 0], (count,))

        largest = measured.largest_gap
        reference = gap_phi.symbol
        if theorem.scope == "family":
            largest = (measured.model.w * largest).sum(keepdims=True)
            reference = over_tasks(w.symbol * gap_phi.symbol)
        return cls(
            theorem,
            numbers,
            column(theorem.left),
            column(theorem.bound),
            tuple((assumption.name, column(assumption.margin)) for assumption in theorem.assumptions),
            column(reference),
            largest,
        )

    def verdict(self, index: int) -> Verdict:
        for name, margins in self.assumptions:
            met = certainly_nonnegative(margins[index])
            if met is False:
                return _out_of_scope(self.theorem, index, f"assumption '{name}' does not hold")
            if met is None:
                return self._decided(index, Outcome.UNDECIDED, f"assumption '{name}' could not be decided")
        left, bound = self.left[index], self.bound[index]
        margin = bound - left
        within = certainly_nonnegative(margin)
        if self.theorem.relation == "==":
            # Equality needs both directions; only exact numbers can prove it.
            other = certainly_nonnegative(-margin)
            within = False if within is False or other is False else (True if within and other else None)
        outcome = {True: Outcome.HOLDS, False: Outcome.VIOLATED, None: Outcome.UNDECIDED}[within]
        reason = "the sides are closer than the precision can tell" if outcome is Outcome.UNDECIDED else ""
        return self._decided(index, outcome, reason)

    def _decided(self, index: int, outcome: Outcome, reason: str) -> Verdict:
        left, bound = self.left[index], self.bound[index]
        shown_left, shown_bound = to_float(left), to_float(bound)
        return Verdict(
            theorem=self.theorem.id,
            outcome=outcome,
            task=_index(self.theorem, index),
            left=shown_left,
            bound=shown_bound,
            exact=(_text(left), _text(bound)),
            ratio=shown_left / shown_bound if shown_bound != 0 else None,
            grade=self._grade(index) if outcome is Outcome.HOLDS and self.theorem.relation == "<=" else None,
            numbers=self.numbers.name,
            certified=self.numbers.certified,
            reason=reason,
        )

    def _grade(self, index: int) -> Grade:
        """Informative only where it is certain; a tie counts against the bound."""
        bound = self.bound[index]
        if bound < self.gap_phi[index]:
            return Grade.INFORMATIVE
        if bound >= self.largest_gap[index]:
            return Grade.TRIVIAL
        return Grade.UNINFORMATIVE


def _text(x: Any) -> str:
    """A number with everything that matters: rationals in full if short, balls with their radius."""
    text = x.str(SHOWN_DIGITS) if hasattr(x, "rad") else str(x)
    return text if len(text) <= 400 else f"{text[:190]}...({len(text) - 380} digits)...{text[-190:]}"


def tightest(verdicts: Sequence[Verdict]) -> float | None:
    """The largest left/bound among decided verdicts."""
    ratios = [v.ratio for v in verdicts if v.ratio is not None and v.outcome in (Outcome.HOLDS, Outcome.VIOLATED)]
    return max(ratios, default=None)
