"""Which bound is the smaller one: proved symbolically, refuted by a certified case, or open.

The cases of a run are the search: each certified pair of bounds of one case is compared exactly. Where no
case contradicts "A is at most B", the symbolic proof is tried; where that fails too, the answer is open
and says on how many cases A was the smaller one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations
from typing import Any, Literal

from flint import arb, fmpq

from bomrl_theory.numbers import Enclosure
from bomrl_theory.theory.case import Case
from bomrl_theory.theory.dominance import at_most, comparable
from bomrl_theory.theory.theorem import Theorem
from bomrl_theory.verify.run import Run, TheoremResult, size
from bomrl_theory.verify.verdict import Outcome, Verdict

Interval = tuple[Fraction, Fraction]


@dataclass(frozen=True)
class Separation:
    """A case where one bound is certainly below another.

    Attributes:
        task: None where expectations over tasks are compared.
        smaller, larger: the two bounds, for display.
    """

    case: Case
    task: int | None
    smaller: float
    larger: float

    def describe(self) -> str:
        """One line: the case and both values."""
        where = "" if self.task is None else f"; task {self.task}"
        return f"{self.case.describe()}{where}: {self.smaller:.6g} against {self.larger:.6g}"


@dataclass(frozen=True)
class Relation:
    """What is known about "the bound of ``first`` is at most that of ``second``".

    Attributes:
        status: "proved" on the whole domain; "refuted" by a certified case; "open": neither.
        below, above, unclear: certified comparisons where the first bound is smaller, larger, or equal or too
            close to tell.
        against: the smallest case that refutes it.
    """

    first: Theorem
    second: Theorem
    status: Literal["proved", "refuted", "open"]
    below: int
    above: int
    unclear: int
    against: Separation | None = None

    @property
    def cases(self) -> int:
        return self.below + self.above + self.unclear


def relations(run: Run) -> list[Relation]:
    """Both directions of every comparable pair of inequalities in the run."""
    results = [result for result in run.results if result.theorem.relation == "<="]
    found: list[Relation] = []
    for one, other in combinations(results, 2):
        if comparable(one.theorem, other.theorem):
            found += _both_ways(one, other)
    return found


def _both_ways(one: TheoremResult, other: TheoremResult) -> list[Relation]:
    below, above, unclear = 0, 0, 0
    separating: dict[bool, Separation] = {}
    for case, task, first, second in _pairs(one, other):
        if first[1] < second[0] or second[1] < first[0]:
            smaller = first[1] < second[0]
            below, above = below + smaller, above + (not smaller)
            values = sorted((float(sum(first) / 2), float(sum(second) / 2)))
            found = Separation(case, task, *values)
            if smaller not in separating or size(case) < size(separating[smaller].case):
                separating[smaller] = found
        else:
            unclear += 1
    pairs = ((one.theorem, other.theorem, below, above, False), (other.theorem, one.theorem, above, below, True))
    return [
        Relation(first, second, _status(first, second, counter), lower, counter, unclear, separating.get(against))
        for first, second, lower, counter, against in pairs
    ]


def _status(first: Theorem, second: Theorem, contradicted: int) -> Literal["proved", "refuted", "open"]:
    if contradicted:
        return "refuted"
    return "proved" if at_most(first, second) else "open"


def _pairs(one: TheoremResult, other: TheoremResult) -> Iterator[tuple[Case, int | None, Interval, Interval]]:
    """Certified values of both bounds on every case that both were judged on."""
    averaged = one.theorem.scope != other.theorem.scope
    first, second = _by_case(one), _by_case(other)
    for case, left in first.items():
        if case not in second:
            continue
        if averaged:
            values = _expectation(case, left), _expectation(case, second[case])
            if values[0] is not None and values[1] is not None:
                yield case, None, values[0], values[1]
            continue
        for task, value in left.items():
            if task in second[case]:
                yield case, task, value, second[case][task]


def _by_case(result: TheoremResult) -> dict[Case, dict[int | None, Interval]]:
    """The bound's enclosure for every task, or for the family, wherever it is certified and in scope."""
    table: dict[Case, dict[int | None, Interval]] = {}
    for case, verdict in result.records:
        enclosure = interval_of(verdict)
        if enclosure is not None:
            table.setdefault(case, {})[verdict.task] = enclosure
    return table


def _expectation(case: Case, values: dict[int | None, Interval]) -> Interval | None:
    """Of the bound over tasks; None unless every task is there."""
    if None in values:
        return values[None]
    if len(values) < case.family.tasks:
        return None
    weights = [Fraction(float(weight)) for weight in case.family.weights]
    low, high = (sum(weights[task] * values[task][end] for task in range(len(weights))) for end in (0, 1))
    return Fraction(low) / sum(weights), Fraction(high) / sum(weights)


def interval_of(verdict: Verdict) -> Interval | None:
    """The bound of a decided, certified verdict, enclosed in exact numbers."""
    if not verdict.certified or verdict.sides is None or verdict.outcome is Outcome.UNDECIDED:
        return None
    return enclosure_of(verdict.sides[1])


def enclosure_of(value: Any) -> Interval | None:
    """The ends of an exact number, a ball or an enclosure; None where they are not finite."""
    if isinstance(value, fmpq):
        exact = Fraction(int(value.p), int(value.q))
        return exact, exact
    if isinstance(value, arb):
        if not value.is_finite():
            return None
        middle, radius = _dyadic(value.mid()), _dyadic(value.rad())
        return middle - radius, middle + radius
    if isinstance(value, Enclosure):
        middle, radius = float(value.mid), float(value.rad)
        if not (abs(middle) < float("inf") and radius < float("inf")):
            return None
        return Fraction(middle) - Fraction(radius), Fraction(middle) + Fraction(radius)
    return None


def _dyadic(value: arb) -> Fraction:
    """A ball without radius, exactly."""
    mantissa, exponent = value.man_exp()
    return Fraction(int(mantissa)) * Fraction(2) ** int(exponent)


def covering(known: Iterable[Relation]) -> list[Relation]:
    """The lines of a Hasse diagram: orders that are proved or never contradicted, without those that follow.

    Bounds that are proved equal stand for one another: of two lines between them both are kept.
    """
    lines = [relation for relation in known if _is_line(relation)]
    below: dict[str, set[str]] = {}
    for line in lines:
        below.setdefault(line.second.id, set()).add(line.first.id)
    equal = {(line.first.id, line.second.id) for line in lines if line.second.id in below.get(line.first.id, ())}

    def follows(line: Relation) -> bool:
        between = below[line.second.id] - {line.first.id}
        return any(
            line.first.id in below.get(middle, ())
            and (line.first.id, middle) not in equal
            and (middle, line.second.id) not in equal
            for middle in between
        )

    return [line for line in lines if not follows(line)]


def _is_line(relation: Relation) -> bool:
    """Proved, or seen to be smaller and never larger."""
    return relation.status == "proved" or (relation.status == "open" and relation.below > 0)


def dominating(theorem: Theorem, others: Sequence[Theorem]) -> tuple[list[Theorem], list[Theorem]]:
    """Those whose bound is proved to be at most this theorem's, and those proved to be at least it.

    The witnesses of all are tried first: most pairs are told apart there, without any algebra.
    """
    rivals = [other for other in others if other.id != theorem.id and comparable(theorem, other)]
    cases = [make() for other in (theorem, *rivals) for make in (other.witness, *other.probes)]
    run = Run([TheoremResult(member) for member in (theorem, *rivals)])
    for case in cases:
        run.judge(case, [result for result in run.results if result.theorem.covers(case)])
    own = run.results[0]
    pairs = [relation for other in run.results[1:] for relation in _both_ways(own, other)]
    smaller = [r.first for r in pairs if r.second.id == theorem.id and r.status == "proved"]
    larger = [r.second for r in pairs if r.first.id == theorem.id and r.status == "proved"]
    return smaller, larger
