"""Constants for which a bound holds on a whole corpus: proposed by a linear program, certified exactly.

What comes out is no theorem: it says by how much the constants of the derived bound might be lowered
before one of these cases objects, and which cases object first. Room for improvement, or for worse cases.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from math import ceil, isfinite
from typing import Any

import numpy as np
import sympy as sp

from bomrl_theory.errors import InvalidTheorem
from bomrl_theory.numbers import FLOATS, SingularSystem
from bomrl_theory.theory.case import AnyCase
from bomrl_theory.theory.constants import values
from bomrl_theory.theory.expression import Expr, evaluate
from bomrl_theory.theory.optimise import propose
from bomrl_theory.theory.terms import terms
from bomrl_theory.theory.theorem import Theorem
from bomrl_theory.theory.views import view
from bomrl_theory.verify.verdict import Outcome, judge

GRID = 10**6
"""Certified constants are multiples of 1/GRID, rounded up."""
NEGLIGIBLE = 1e-9
"""Cases whose bound is below this share of the largest possible gap are certified, but not optimised over."""
ROUNDS = 40


@dataclass(frozen=True)
class Binding:
    """A case that keeps the constants from being smaller; its price is the dual value."""

    case: AnyCase
    task: int | None
    price: float

    def describe(self) -> str:
        """One line."""
        return self.case.describe() + ("" if self.task is None else f"; task {self.task}")


@dataclass(frozen=True)
class Admissible:
    """Constants that are admissible on a corpus.

    Attributes:
        theorem: whose bound is ``sum_k terms[k]``.
        constants: exact; with them in front of the terms every verdict on the corpus HOLDS, certified.
        mean: mean of the new bound over the derived one, on the cases that were optimised over.
        attainable: mean of the left side over the derived bound: no constants can go below.
        cases, verdicts: how many were certified.
        binding: dearest first.
    """

    theorem: Theorem
    terms: tuple[Expr, ...]
    constants: tuple[Fraction, ...]
    mean: float
    attainable: float
    cases: int
    verdicts: int
    binding: tuple[Binding, ...]


def admissible(theorem: Theorem, corpus: Iterable[AnyCase], features: Sequence[Expr] = ()) -> Admissible:
    """The smallest constants, in the mean of new over derived bound, that the corpus admits.

    Args:
        corpus: cases besides the theorem's witness and probes; those out of scope are left out.
        features: expressions in the theorem's constants instead of its bound's additive terms.

    Raises:
        InvalidTheorem: an identity, or no case in scope, or no constants are admissible.
        MissingExtra: cvxpy is not installed.
    """
    if theorem.relation != "<=":
        raise InvalidTheorem(f"{theorem.id} is an identity; constants are optimised for inequalities")
    parts = tuple(features) or terms(sp.sympify(theorem.bound))
    known = theorem.known_cases().values()
    cases = [case for case in (*known, *corpus) if theorem.covers(case) and _in_scope(theorem, case)]
    rows = [row for case in cases for row in _rows(theorem, parts, case)]
    if not rows:
        raise InvalidTheorem(f"{theorem.id}: no case of the corpus is in scope with a positive bound; draw more cases")
    matrix = np.array([row[2] for row in rows])
    left = np.array([row[3] for row in rows])
    proposal = propose(matrix, left)
    if not np.isfinite(proposal.constants).all():
        raise InvalidTheorem(f"{theorem.id}: no constants are admissible on this corpus ({proposal.status})")
    constants = _certified(theorem, parts, proposal.constants, cases)
    found = np.array([float(c) for c in constants])
    order = [int(place) for place in np.argsort(-proposal.duals) if proposal.duals[place] > 1e-6]
    return Admissible(
        theorem,
        parts,
        constants,
        float((matrix @ found).mean()),
        float(left.mean()),
        len(cases),
        sum(len(judge(theorem, case)) for case in cases),
        tuple(Binding(rows[place][0], rows[place][1], float(proposal.duals[place])) for place in order),
    )


def with_constants(theorem: Theorem, parts: Sequence[Expr], constants: Sequence[Fraction]) -> Theorem:
    """The claim with these constants before its terms."""
    bound = sum(sp.Rational(c.numerator, c.denominator) * part for c, part in zip(constants, parts, strict=True))
    return replace(theorem, bound=sp.sympify(bound))


def _in_scope(theorem: Theorem, case: AnyCase) -> bool:
    return any(verdict.outcome is not Outcome.OUT_OF_SCOPE for verdict in judge(theorem, case))


def _rows(
    theorem: Theorem, parts: Sequence[Expr], case: AnyCase
) -> list[tuple[AnyCase, int | None, list[float], float]]:
    """For every task in scope, or the family: the terms and the left side relative to the derived bound."""
    verdicts = judge(theorem, case)
    sizes = (case.family.tasks, case.family.states)
    try:
        with FLOATS.activated(), np.errstate(all="ignore"):
            m = view(case, FLOATS)
            measured = values(theorem.constants, m)
            scale = float(np.max(m.size))

            def column(expression: Any) -> Any:
                found = evaluate(sp.sympify(expression), measured, FLOATS, sizes)[:, 0]
                return np.broadcast_to(found, (len(verdicts),))

            left, bound = column(theorem.left), column(theorem.bound)
            columns = np.stack([column(part) for part in parts], axis=-1)
    except SingularSystem:
        return []
    rows = []
    for place, verdict in enumerate(verdicts):
        usable = bound[place] > NEGLIGIBLE * scale and np.isfinite([*columns[place], left[place], bound[place]]).all()
        if usable and verdict.outcome is not Outcome.OUT_OF_SCOPE:
            relative = columns[place] / bound[place]
            rows.append((case, verdict.task, relative.tolist(), float(left[place] / bound[place])))
    return rows


def _certified(
    theorem: Theorem, parts: Sequence[Expr], proposed: np.ndarray, cases: Sequence[AnyCase]
) -> tuple[Fraction, ...]:
    """The proposal rounded up, and raised step by step until every verdict on every case HOLDS, certified."""
    step = Fraction(1, GRID)
    constants = [Fraction(ceil(float(c) * GRID), GRID) if isfinite(float(c)) else Fraction(1) for c in proposed]
    for _ in range(ROUNDS):
        claim = with_constants(theorem, parts, constants)
        if all(_holds(claim, case) for case in cases):
            return tuple(constants)
        constants = [c + step for c in constants]
        step *= 2
    raise InvalidTheorem(
        f"{theorem.id}: no constants near {', '.join(f'{c:.6g}' for c in proposed)} could be certified on this corpus"
    )


def _holds(claim: Theorem, case: AnyCase) -> bool:
    return all(
        verdict.outcome is Outcome.OUT_OF_SCOPE or (verdict.outcome is Outcome.HOLDS and verdict.certified)
        for verdict in judge(claim, case)
    )
