"""The verdict: where the gap meets the bound.

``left <= bound`` is decided first in enclosures, then in balls at growing precision and in rationals, where an
exact tie would keep balls undecided for ever. A comparison that no number system decides is UNDECIDED; "not
proved" is never "true". A verdict reached in float64 alone says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

import numpy as np
import sympy as sp
from jaxtyping import Bool

from bomrl_theory.errors import TooLarge
from bomrl_theory.numbers import (
    Array,
    Enclosures,
    Numbers,
    Numeric,
    Rationals,
    SingularSystem,
    on_host,
    to_float,
    to_floats,
)
from bomrl_theory.theory.case import AnyCase
from bomrl_theory.theory.comparator import FREE_PARAMETERS
from bomrl_theory.theory.constants import along_families, gap_phi, values, w
from bomrl_theory.theory.expression import Expr, evaluate, over_tasks
from bomrl_theory.theory.measured import View
from bomrl_theory.theory.theorem import Theorem
from bomrl_theory.theory.views import view


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
        sides: left side and bound as numbers of the deciding system; None where they were not computed.
        grade: for bounds on a gap that hold; None otherwise.
        numbers: the number system that decided.
        certified: False where only floats were used.
        reason: which assumption failed, or why it is undecided.
        chosen: the free parameters of comparators that went into the sides, as exact doubles: a list over
            states, or for the average over tasks and states.
    """

    theorem: str
    outcome: Outcome
    task: int | None
    sides: tuple[Any, Any] | None = field(default=None, repr=False)
    grade: Grade | None = None
    numbers: str = ""
    certified: bool = True
    reason: str = ""
    chosen: dict[str, list[Any]] = field(default_factory=dict, repr=False, compare=False)

    @property
    def left(self) -> float:
        """The double nearest to the left side; NaN where it was not computed."""
        return to_float(self.sides[0]) if self.sides else float("nan")

    @property
    def bound(self) -> float:
        """The double nearest to the bound; NaN where it was not computed."""
        return to_float(self.sides[1]) if self.sides else float("nan")

    @property
    def ratio(self) -> float | None:
        """left/bound for display; None where the bound is 0 or not computed."""
        return self.left / bound if self.sides and (bound := self.bound) != 0 else None

    @property
    def exact(self) -> tuple[str, str]:
        """Both sides as text: a rational, or a ball with its radius; empty where not computed."""
        return (_text(self.sides[0]), _text(self.sides[1])) if self.sides else ("", "")


SHOWN_DIGITS = 30
UNSOLVED = "no number system could solve this case within its precision"
DIVIDES_BY_ZERO = "a side or an assumption divides by zero"
REFERENCES = {"task": gap_phi.symbol, "family": over_tasks(w.symbol * gap_phi.symbol)}
"""The gap without adaptation, which an informative bound is below."""


Views = dict[tuple[Numbers, tuple[int, ...]], View]
"""Measurements by number system and by the tasks that they cover."""


def judge(
    theorem: Theorem,
    case: AnyCase,
    views: Views | None = None,
    *,
    precise: bool = False,
    only: Sequence[Numbers] = (),
) -> list[Verdict]:
    """Decide the theorem on a case: one verdict a task, or one for the family.

    All tasks are tried at once in the fastest number system; those left open climb to the next.

    Args:
        views: measurements of the same case to share between theorems; filled as needed.
        precise: start with balls of 128 bits, for both sides to some 30 digits, where the case can afford them.
        only: these number systems instead of the ladder.
    """
    views = {} if views is None else views
    count = case.family.tasks if theorem.scope == "task" else 1
    names: Sequence[int | None] = range(count) if theorem.scope == "task" else [None]
    if not theorem.covers(case):
        reason = f"speaks about {', '.join(theorem.algorithms)}" + (f", {theorem.steps} step" if theorem.steps else "")
        reason += f", on {theorem.setting} tasks" if case.setting != theorem.setting else ""
        return [Verdict(theorem.id, Outcome.OUT_OF_SCOPE, name, reason=reason) for name in names]
    verdicts = [Verdict(theorem.id, Outcome.UNDECIDED, name, reason=UNSOLVED) for name in names]
    systems = only or case.number_systems(theorem.relation)
    if precise:
        systems = [numbers for numbers in systems if not isinstance(numbers, Enclosures)] or systems
    for attempt, places in attempts(theorem, case, views, systems):
        for index, place in places.items():
            if isinstance(attempt, str):
                verdicts[index] = replace(verdicts[index], reason=attempt)
            else:
                verdicts[index] = attempt.verdict(place, names[index])
    return verdicts


def attempts(
    theorem: Theorem, case: AnyCase, views: Views, systems: Sequence[Numbers], families: int = 1
) -> Iterator[tuple[Attempt | str, dict[int, int]]]:
    """What each number system makes of the verdicts that those before it left open, all at once.

    Args:
        systems: in the order they are tried.
        families: of the same size, that the case holds side by side; more than one only for a claim about a family
            whose constants are measured task by task.

    Yields:
        an attempt, or why there is none; and of each verdict that it is about its place in the attempt. A later attempt
        replaces what an earlier one said. Nothing about what could not be solved.
    """
    left_open = tuple(range(case.family.tasks if theorem.scope == "task" else families))
    apart, size = theorem.separable or families > 1, 1 if theorem.scope == "task" else case.family.tasks // families
    for numbers in systems:
        chosen = left_open if apart else range(case.family.tasks // size)
        tasks = tuple(task for index in chosen for task in range(index * size, (index + 1) * size))
        places = {index: place if apart else index for place, index in enumerate(left_open)}
        with numbers.activated():
            measured = views.get((numbers, tasks)) or view(case.restricted(tasks), numbers)
            views[numbers, tasks] = measured
            try:
                attempt = Attempt.make(theorem, measured, len(chosen) if families > 1 else 1)
            except SingularSystem:
                continue
            except TooLarge as error:
                attempt = str(error)
            except ZeroDivisionError:  # exact numbers notice; enclosures and balls become infinite
                attempt = DIVIDES_BY_ZERO
        yield attempt, places
        if isinstance(attempt, Attempt):
            left_open = tuple(index for index, place in places.items() if not attempt.settled[place])
        if not left_open:
            break


@dataclass(frozen=True)
class Attempt:
    """A theorem on a case in one number system: both sides, and what is certain about them, [count] each."""

    theorem: Theorem
    numbers: Numbers
    left: Numeric
    bound: Numeric
    outcomes: list[Outcome]
    grades: list[Grade | None]
    reasons: list[str]
    chosen: dict[str, Array]
    """Free parameters that were measured, [count, S] each, or [count, T, S] for claims about families."""
    settled: Bool[Array, " count"]
    """Where a more precise number system could change neither outcome nor grade."""

    @classmethod
    def make(cls, theorem: Theorem, measured: View, families: int = 1) -> Attempt:
        """See :func:`attempts`."""
        numbers, tasks = measured.numbers, measured.case.family.tasks // families
        count = tasks if theorem.scope == "task" else families
        shared = values((*theorem.constants, w, gap_phi) if theorem.bounds_gap else theorem.constants, measured)
        weights = measured.model.w
        if families > 1:
            shared = {name: along_families(value, families) for name, value in shared.items()}
            weights = numbers.normalised(measured.case.family.weights.reshape(families, tasks))
            shared[w.name] = np.swapaxes(weights, 0, 1)[:, None, :]
        sizes = (tasks, measured.case.family.states)

        def column(expression: Expr) -> Numeric:
            value = evaluate(sp.sympify(expression), shared, numbers, sizes)
            return on_host(np.broadcast_to(value[:, 0] if value.ndim == 2 else value[0, 0], (count,)))

        def family(each: Numeric) -> Numeric:
            if theorem.scope == "task":
                return each
            return (weights * each.reshape(weights.shape)).reshape(families, tasks).sum(axis=-1)

        left, bound = column(theorem.left), column(theorem.bound)
        holds, violated = _signs(bound - left)
        if not numbers.certified:
            holds, violated = _float_signs(left, bound, family(measured.size), theorem.relation)
        elif theorem.relation == "==":
            # Equality needs both directions; only exact numbers can prove it.
            other_way, above = _signs(left - bound)
            holds, violated = holds & other_way, violated | above
        outcomes = np.where(holds, Outcome.HOLDS, np.where(violated, Outcome.VIOLATED, Outcome.UNDECIDED)).tolist()
        reasons = [
            "the sides are closer than the precision can tell" if o == Outcome.UNDECIDED else "" for o in outcomes
        ]
        for assumption in theorem.assumptions:
            met, failed = _signs(column(assumption.margin))
            for place in np.flatnonzero(~met):
                outcomes[place] = Outcome.OUT_OF_SCOPE if failed[place] else Outcome.UNDECIDED
                what = "does not hold" if failed[place] else "could not be decided"
                reasons[place] = f"assumption '{assumption.name}' {what}"
        outcomes = [Outcome(outcome) for outcome in outcomes]
        decided = np.array([outcome is not Outcome.UNDECIDED for outcome in outcomes])
        kept = FREE_PARAMETERS if measured.case.certifiable else ()  # they are for certificate files
        chosen = {c.name: to_floats(measured.memo[c]) for c in kept if c in measured.memo}
        if theorem.scope == "family":
            chosen = {name: x.reshape(families, tasks, -1) for name, x in chosen.items()}
        if not theorem.bounds_gap:
            return cls(theorem, numbers, left, bound, outcomes, [None] * count, reasons, chosen, decided)

        # Informative only where it is certain; what cannot be told counts against the bound.
        at_least_gap, informative = _signs(bound - column(REFERENCES[theorem.scope]))
        trivial, below_largest = _signs(bound - family(measured.largest_gap))
        graded = np.where(informative, Grade.INFORMATIVE, np.where(trivial, Grade.TRIVIAL, Grade.UNINFORMATIVE))
        grades = [
            Grade(grade) if outcome is Outcome.HOLDS else None
            for grade, outcome in zip(graded.tolist(), outcomes, strict=True)
        ]
        # A grade that exact data cannot tell hangs on an irrational tie: not worth more digits.
        certain = informative | trivial | (at_least_gap & below_largest) | isinstance(numbers, Rationals)
        holding = np.array([outcome is Outcome.HOLDS for outcome in outcomes])
        return cls(theorem, numbers, left, bound, outcomes, grades, reasons, chosen, decided & (certain | ~holding))

    def verdict(self, place: int, task: int | None) -> Verdict:
        outcome = self.outcomes[place]
        return Verdict(
            theorem=self.theorem.id,
            outcome=outcome,
            task=task,
            sides=None if outcome is Outcome.OUT_OF_SCOPE else (self.left[place], self.bound[place]),
            grade=self.grades[place],
            numbers=self.numbers.name,
            certified=self.numbers.certified,
            reason=self.reasons[place],
            chosen={name: x[place].tolist() for name, x in self.chosen.items()},
        )


FLOAT_TOLERANCE = 1e-8


def _float_signs(
    left: Array, bound: Array, size: Array, relation: str
) -> tuple[Bool[Array, " count"], Bool[Array, " count"]]:
    """As :func:`_signs` for doubles, which tell sides apart only beyond a margin far above rounding.

    ``size`` is the size of the returns that the sides are made of.
    """
    margin = FLOAT_TOLERANCE * (np.abs(left) + np.abs(bound) + size)
    difference = bound - left
    if relation == "==":
        return np.abs(difference) <= margin, np.abs(difference) > margin
    return difference > margin, difference < -margin


def _signs(x: Numeric) -> tuple[Bool[Array, " count"], Bool[Array, " count"]]:
    """Where x >= 0 is certain, and where x < 0 is. A NaN is neither, so it can never pass as a proof."""
    return np.asarray(x >= 0, dtype=bool), np.asarray(x < 0, dtype=bool)


def _text(x: Any) -> str:
    """A number with everything that matters: rationals in full if short, balls with their radius."""
    text = x.str(SHOWN_DIGITS) if hasattr(x, "rad") else str(x)
    return text if len(text) <= 400 else f"{text[:190]}...({len(text) - 380} digits)...{text[-190:]}"


def tightest(verdicts: Sequence[Verdict]) -> float | None:
    """The largest left/bound among decided verdicts."""
    decided = (v.ratio for v in verdicts if v.outcome in (Outcome.HOLDS, Outcome.VIOLATED))
    return max((ratio for ratio in decided if ratio is not None), default=None)
