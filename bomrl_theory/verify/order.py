"""Which bound is the smaller one: proved symbolically, refuted by a certified case, or open.

The cases of a run are the search: each certified pair of bounds of one case is compared exactly. Where no
case contradicts "A is at most B", the symbolic proof is tried; where that fails too, the answer is open
and says on how many cases A was the smaller one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations
from typing import Any, Literal

import numpy as np
from flint import arb, fmpq

from bomrl_theory.numbers import Enclosure, to_float
from bomrl_theory.theory.case import AnyCase
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

    case: AnyCase
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
    pairs = [pair for pair in combinations(results, 2) if comparable(pair[0].theorem, pair[1].theorem)]
    values = {id(result): _by_case(result) for pair in pairs for result in pair}
    return [relation for pair in pairs for relation in _both_ways(*pair, *(values[id(result)] for result in pair))]


def _both_ways(one: TheoremResult, other: TheoremResult, first: Values, second: Values) -> list[Relation]:
    below, above, unclear = 0, 0, 0
    separating: dict[bool, Separation] = {}
    averaged = one.theorem.scope != other.theorem.scope
    for case, task, value, rival in _pairs(first, second, averaged=averaged):
        smaller = is_below(value, rival)
        if smaller is None:
            unclear += 1
            continue
        below, above = below + smaller, above + (not smaller)
        if smaller not in separating or size(case) < size(separating[smaller].case):
            shown = sorted(float(sum(each.exact()) / 2) for each in (value, rival))
            separating[smaller] = Separation(case, task, *shown)
    pairs = ((one.theorem, other.theorem, below, above, False), (other.theorem, one.theorem, above, below, True))
    return [
        Relation(first, second, _status(first, second, counter), lower, counter, unclear, separating.get(against))
        for first, second, lower, counter, against in pairs
    ]


def _status(first: Theorem, second: Theorem, contradicted: int) -> Literal["proved", "refuted", "open"]:
    if contradicted:
        return "refuted"
    return "proved" if at_most(first, second) else "open"


@dataclass(frozen=True)
class Value:
    """A bound's value between two doubles, and between exact numbers where these do not tell enough."""

    low: float
    high: float
    exact: Callable[[], Interval]


Values = dict[AnyCase, dict[int | None, Value]]
"""Certified values by case and by task, or None for the family."""


def is_below(value: Value, rival: Value) -> bool | None:
    """Whether the value is certainly smaller, or certainly larger; None where neither is."""
    if value.high < rival.low or rival.high < value.low:
        return value.high < rival.low
    (low, high), (rival_low, rival_high) = value.exact(), rival.exact()
    return high < rival_low if high < rival_low or rival_high < low else None


def _pairs(first: Values, second: Values, *, averaged: bool) -> Iterator[tuple[AnyCase, int | None, Value, Value]]:
    """Certified values of both bounds on every case that both were judged on."""
    for case, left in first.items():
        right = second.get(case)
        if right is None:
            continue
        if averaged:
            values = _expectation(case, left), _expectation(case, right)
            if values[0] is not None and values[1] is not None:
                yield case, None, values[0], values[1]
            continue
        for task, value in left.items():
            if task in right:
                yield case, task, value, right[task]


def _by_case(result: TheoremResult) -> Values:
    """The bound's enclosure for every task, or for the family, wherever it is certified and in scope."""
    table: Values = {}
    for case, verdict in result.records:
        if _is_usable(verdict):
            value = bounds_value(verdict.sides[1])  # pyright: ignore[reportOptionalSubscript]
            if value is not None:
                table.setdefault(case, {})[verdict.task] = value
    return table


def bounds_value(number: Any) -> Value | None:
    """A bound's number; None where it is not finite, or no number of a certified system."""
    if isinstance(number, Enclosure):
        low, high = float(number.low), float(number.high)
    elif isinstance(number, arb):
        # The radius is a little more than its double; each end has one rounding besides.
        middle, radius = float(number.mid()), float(number.rad()) * 1.0000001
        low = math.nextafter(math.nextafter(middle, -math.inf) - radius, -math.inf)
        high = math.nextafter(math.nextafter(middle, math.inf) + radius, math.inf)
    elif isinstance(number, fmpq):
        middle = to_float(number)
        low, high = math.nextafter(middle, -math.inf), math.nextafter(middle, math.inf)
    else:
        return None
    if not (math.isfinite(low) and math.isfinite(high)):  # unknown, or beyond the range of doubles
        exact = enclosure_of(number)
        return None if exact is None else Value(-math.inf, math.inf, lambda: exact)

    def exactly() -> Interval:
        interval = enclosure_of(number)
        assert interval is not None, "its ends are finite"
        return interval

    return Value(low, high, exactly)


ROUNDING = 1e-12
"""More than the relative rounding error of a sum of some thousand terms in doubles."""


def _expectation(case: AnyCase, values: dict[int | None, Value]) -> Value | None:
    """Of the bound over tasks; None unless every task is there."""
    if None in values:
        return values[None]
    weights = case.family.weights
    if len(values) < len(weights):
        return None
    each = [values[task] for task in range(len(weights))]
    low, high = (np.array([getattr(value, end) for value in each]) for end in ("low", "high"))
    slack = ROUNDING * float(weights @ np.maximum(np.abs(low), np.abs(high))) / float(weights.sum())

    def exact() -> Interval:
        shares = [Fraction(float(weight)) for weight in weights]
        ends = [value.exact() for value in each]
        bottom, top = (sum(share * end[place] for share, end in zip(shares, ends, strict=True)) for place in (0, 1))
        return Fraction(bottom) / sum(shares), Fraction(top) / sum(shares)

    total = float(weights.sum())
    return Value(float(weights @ low) / total - slack, float(weights @ high) / total + slack, exact)


def _is_usable(verdict: Verdict) -> bool:
    return verdict.certified and verdict.sides is not None and verdict.outcome is not Outcome.UNDECIDED


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
    cases = [case for other in (theorem, *rivals) for case in other.known_cases().values()]
    run = Run([TheoremResult(member) for member in (theorem, *rivals)])
    for case in cases:
        run.judge(case, [result for result in run.results if result.theorem.covers(case)])
    own = run.results[0]
    values = _by_case(own)
    pairs = [relation for other in run.results[1:] for relation in _both_ways(own, other, values, _by_case(other))]
    smaller = [r.first for r in pairs if r.second.id == theorem.id and r.status == "proved"]
    larger = [r.second for r in pairs if r.first.id == theorem.id and r.status == "proved"]
    return smaller, larger
