"""Would anybody notice if a constant of a bound were smaller than the theorem says?

A mutation multiplies one site of the bound (the whole bound, an additive term, a quantity, an argument
of an inner sum or maximum) by a factor. It is noticed when a certified verdict on some case is
VIOLATED. Sites that no case notices are findings: the constant may be improvable, or the cases weak.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any, Literal

import numpy as np
import sympy as sp

from bomrl_theory.numbers import ENCLOSURES, FLOATS, Balls, Rationals, SingularSystem
from bomrl_theory.theory.case import AnyCase
from bomrl_theory.theory.comparator import FREE_PARAMETERS
from bomrl_theory.theory.constants import values
from bomrl_theory.theory.expression import Expr, evaluate, replaced
from bomrl_theory.theory.terms import inner_parts, symbols, terms
from bomrl_theory.theory.theorem import Theorem
from bomrl_theory.theory.views import view
from bomrl_theory.verify.verdict import Outcome, Views, judge, tightest

JUST_BELOW = Fraction(999_999, 1_000_000)
"""How far below the best ratio a mutation stays."""
COARSE = tuple(Fraction(x) for x in ("0.9", "0.5", "0.1", "0.01"))
"""Factors tried where the fine one is not noticed; terms are also left out altogether."""
BISECTIONS = 12
CANDIDATES = 4
"""Cases that certified verdicts are asked about, after floats have sorted them."""
NEGLIGIBLE = 1e-9
"""A site that moves the bound by less than this share of the largest possible gap corrects rounding."""


@dataclass(frozen=True)
class Site:
    """One place of a bound that can be scaled.

    Attributes:
        kind: the whole bound, an additive term, a quantity, or a part of an inner sum or maximum.
        expression: what is multiplied.
        within: for a part, the sum or maximum that holds it.
    """

    kind: Literal["bound", "term", "quantity", "part"]
    expression: Expr
    within: Expr = None

    @property
    def key(self) -> str:
        """Unique in its theorem, and the same in every session."""
        return f"{self.kind}: {self.expression}" + (f" in {self.within}" if self.within is not None else "")

    def scaled(self, theorem: Theorem, factor: Fraction) -> Theorem:
        """The theorem with this site multiplied by the factor, exactly."""
        number = sp.Rational(factor.numerator, factor.denominator)
        bound = sp.sympify(theorem.bound)
        if self.kind == "bound":
            bound = number * bound
        elif self.kind == "term":
            bound = sum((number * term if term == self.expression else term) for term in terms(bound))
        elif self.kind == "quantity":
            bound = replaced(bound, {self.expression: number * self.expression})
        else:
            arguments = [number * x if x == self.expression else x for x in self.within.args]
            bound = sum(replaced(term, {self.within: self.within.func(*arguments)}) for term in terms(bound))
        return replace(theorem, bound=bound)


def sites(theorem: Theorem) -> list[Site]:
    """Every site of the bound, the whole first."""
    bound = sp.sympify(theorem.bound)
    found = [Site("bound", bound)]
    parts = terms(bound)
    if len(parts) > 1:
        found += [Site("term", term) for term in dict.fromkeys(parts)]
    free = {parameter.symbol for parameter in FREE_PARAMETERS}  # the bound holds for any value of these
    found += [Site("quantity", symbol) for symbol in symbols(bound) if symbol not in free]
    found += [Site("part", node.args[place], node) for node, place in inner_parts(bound)]
    return found


@dataclass(frozen=True)
class Finding:
    """What is known about one site.

    Attributes:
        outcome: "caught" by a factor just below the best ratio of the whole bound (or its inverse, where
            a larger value tightens); "weak" where only a smaller factor is noticed; "unnoticed" otherwise.
        factor: the mildest factor that is noticed, None if none is.
        case, task: where it is VIOLATED, certified.
        origin: "witness", "probe K" or "corpus K".
        reason: for a site that is not caught.
    """

    site: Site
    outcome: Literal["caught", "weak", "unnoticed"]
    factor: Fraction | None = None
    case: AnyCase | None = field(default=None, repr=False)
    origin: str = ""
    reason: str = ""


@dataclass
class _Screened:
    """A case in floats: what is needed to see whether a mutated bound could fall below the left side."""

    origin: str
    case: AnyCase
    measured: dict[str, Any]
    sizes: tuple[int, int]
    left: Any
    bound: Any
    inside: Any
    """Tasks where every assumption holds, as far as floats can tell."""
    largest: float
    """The largest gap that any policy could have."""
    views: Views = field(default_factory=dict)

    @classmethod
    def make(cls, theorem: Theorem, origin: str, case: AnyCase) -> _Screened | None:
        try:
            with FLOATS.activated(), np.errstate(all="ignore"):
                m = view(case, FLOATS)
                measured, largest = values(theorem.constants, m), float(np.max(m.size))
        except (SingularSystem, FloatingPointError):
            return None
        self = cls(origin, case, measured, (case.family.tasks, case.family.states), None, None, None, largest)
        self.left, self.bound = self.column(theorem.left), self.column(theorem.bound)
        margins = [self.column(assumption.margin) >= 0 for assumption in theorem.assumptions]
        self.inside = np.logical_and.reduce(
            np.broadcast_arrays(np.isfinite(self.left) & np.isfinite(self.bound), *margins)
        )
        return self if self.inside.any() else None

    def column(self, expression: Expr) -> Any:
        with FLOATS.activated(), np.errstate(all="ignore"):
            return evaluate(sp.sympify(expression), self.measured, FLOATS, self.sizes)[:, 0]

    def excess(self, bound: Expr) -> float:
        """By how much of itself the left side exceeds a mutated bound, at most over tasks; negative: it holds."""
        value = self.column(bound)
        with np.errstate(all="ignore"):
            # Sides far below the scale of returns are rounding noise.
            size = np.maximum(np.maximum(np.abs(self.left), np.abs(self.bound)), NEGLIGIBLE * self.largest + 1e-300)
            over = (self.left - value) / size
        return float(np.max(np.where(self.inside & np.isfinite(over), over, -np.inf)))


def best_ratio(theorem: Theorem, cases: Sequence[AnyCase]) -> float:
    """The largest certified left/bound on these cases."""
    ratios = [tightest(judge(theorem, case)) for case in cases]
    return max((ratio for ratio in ratios if ratio is not None), default=0.0)


def examine(theorem: Theorem, corpus: Iterable[AnyCase] = ()) -> Iterator[Finding]:
    """Mutate every site and look for a case that notices.

    Args:
        corpus: cases tried besides the theorem's witness and probes; those it does not cover are skipped.
    """
    known = list(theorem.known_cases().items())
    ratio = best_ratio(theorem, [case for _, case in known])
    tried = [*known, *((f"corpus {i}", case) for i, case in enumerate(corpus) if theorem.covers(case))]
    screened = [case for case in (_Screened.make(theorem, *pair) for pair in tried) if case is not None]
    fine = min(Fraction(ratio), Fraction(1)) * JUST_BELOW
    for site in sites(theorem):
        yield _examine(theorem, site, fine, screened)


def _examine(theorem: Theorem, site: Site, fine: Fraction, screened: list[_Screened]) -> Finding:
    factors = [fine, *(x for x in COARSE if x < fine)] + ([Fraction(0)] if site.kind in ("bound", "term") else [])
    milder = fine
    for factor in factors:
        for upward in (False, True) if factor else (False,):
            found = _noticed(site, factor, upward, theorem, screened)
            if found is None:
                continue
            if factor == fine:
                return Finding(site, "caught", _mutation(factor, upward), found.case, found.origin)
            # Between the last factor that nobody noticed and this one, find the mildest that is noticed.
            for _ in range(BISECTIONS):
                middle = Fraction(round((milder + factor) / 2 * 2**20), 2**20)
                closer = _noticed(site, middle, upward, theorem, screened)
                milder, factor, found = (milder, middle, closer) if closer else (middle, factor, found)
            reason = f"the rest of the bound covers smaller changes; noticed from a factor of {float(factor):.4g}"
            return Finding(site, "weak", _mutation(factor, upward), found.case, found.origin, reason)
        milder = factor
    return Finding(site, "unnoticed", reason=_reason(theorem, site, fine, screened))


def _mutation(factor: Fraction, upward: bool) -> Fraction:
    """The factor, or where a larger value tightens (the gamma of 1 - gamma) its inverse."""
    return 1 / factor if upward else factor


def _noticed(
    site: Site, factor: Fraction, upward: bool, theorem: Theorem, screened: list[_Screened]
) -> _Screened | None:
    """A case where the mutated bound fails, confirmed by a certified verdict: witness and probes first."""
    mutant = site.scaled(theorem, _mutation(factor, upward))
    failing = [(case, excess) for case in screened if (excess := case.excess(mutant.bound)) > 0]
    failing.sort(key=lambda pair: (pair[0].origin.startswith("corpus"), -pair[1]))
    return next((case for case, _ in failing[:CANDIDATES] if is_violated(mutant, case.case, case.views)), None)


def is_violated(theorem: Theorem, case: AnyCase, views: Views | None = None) -> bool:
    """Whether some verdict on the case is a certified violation, as far as 256 bits or rationals can tell.

    Balls alone would leave open an assumption that is met with equality, as where rows of thirds are the same.

    Args:
        views: measurements of this case to share between mutations; filled as needed.
    """
    for numbers in (ENCLOSURES, Balls(256), Rationals(256)) if case.setting == "tabular" else (Balls(256),):
        verdicts = judge(theorem, case, views, only=(numbers,))
        if any(verdict.outcome is Outcome.VIOLATED for verdict in verdicts):
            return True
        if not any(verdict.outcome is Outcome.UNDECIDED for verdict in verdicts):
            return False
    return False


def _reason(theorem: Theorem, site: Site, fine: Fraction, screened: list[_Screened]) -> str:
    """Why no mutation of the site was noticed."""
    largest = 0.0
    for bound in (site.scaled(theorem, fine).bound, site.scaled(theorem, 1 / fine).bound):
        for case in screened:
            with np.errstate(all="ignore"):
                moved = np.abs(case.column(bound) - case.bound) / float(1 - fine) / max(case.largest, 1e-300)
            largest = max(largest, float(np.max(np.where(case.inside & np.isfinite(moved), moved, 0.0))))
    if largest < NEGLIGIBLE:
        return "it pays for rounding alone: below 1e-9 of the largest possible gap on every case"
    return "the rest of the bound covers it on every case"
