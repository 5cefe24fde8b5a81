"""One family, one meta-policy, one algorithm: returns, gaps and every applicable bound."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bomrl_theory.adapt.adapt import algorithm_named
from bomrl_theory.numbers import to_floats
from bomrl_theory.theory.case import Case
from bomrl_theory.theory.measured import Measured, View
from bomrl_theory.theory.theorem import Theorem
from bomrl_theory.verify.memory import forget_constants
from bomrl_theory.verify.verdict import Outcome, Verdict, Views, judge

SEVERITY = (Outcome.VIOLATED, Outcome.UNDECIDED, Outcome.OUT_OF_SCOPE, Outcome.HOLDS)


@dataclass(frozen=True)
class Returns:
    """Returns of one task, or their expectation over tasks; nearest doubles of certified values."""

    J_star: float
    J_meta: float
    J_adapted: float
    gap: float


@dataclass(frozen=True)
class BoundValue:
    """One bound on the expected gap, and its verdicts task by task where it speaks about tasks.

    Attributes:
        verdict: on the expectation over tasks; its outcome is the worst of the tasks' and its own.
        tasks: one verdict a task, empty for a theorem about the family.
    """

    theorem: Theorem
    verdict: Verdict
    tasks: tuple[Verdict, ...]


@dataclass(frozen=True)
class EvaluationReport:
    """What :func:`evaluate_case` found.

    Attributes:
        certified: False where the family is too large for certified arithmetic.
        status: of the adaptation's inner solver.
    """

    case: Case
    expected: Returns
    tasks: tuple[Returns, ...]
    bounds: tuple[BoundValue, ...]
    certified: bool
    status: str

    def as_json(self) -> dict[str, Any]:
        """The stable JSON contract of ``bomrl evaluate --json``."""
        return {
            "expected": _returns_json(self.expected),
            "tasks": [
                {
                    **_returns_json(returns),
                    "bounds": [_bound_json(b.tasks[index]) for b in self.bounds if b.tasks],
                }
                for index, returns in enumerate(self.tasks)
            ],
            "bounds": [_bound_json(bound.verdict) for bound in self.bounds],
            "family": self.case.family.name,
            "algorithm": self.case.algorithm.name,
            "lambda": float(self.case.lam),
            "steps": self.case.steps,
            "certified": self.certified,
            "status": self.status,
        }


def _returns_json(returns: Returns) -> dict[str, float]:
    return {
        "J_star": returns.J_star,
        "J_meta": returns.J_meta,
        "J_adapted": returns.J_adapted,
        "gap": returns.gap,
    }


def _bound_json(verdict: Verdict) -> dict[str, Any]:
    finite = np.isfinite(verdict.bound)
    return {
        "id": verdict.theorem,
        "value": verdict.bound if finite else None,
        "verdict": verdict.outcome,
        "grade": verdict.grade,
        "certified": verdict.certified,
        **({"reason": verdict.reason} if verdict.reason else {}),
    }


def evaluate_case(case: Case, theorems: Iterable[Theorem]) -> EvaluationReport:
    """Evaluate a case, and every bound on its gap or about its unadapted meta-policy."""
    views: Views = {}
    unadapted = replace(case, algorithm=algorithm_named("none"))
    unadapted_views: Views = {}
    bounds = []
    for theorem in theorems:
        if not theorem.bounds_gap:
            continue
        if theorem.covers(case):
            bounds.append(_bound(theorem, case, views))
        elif theorem.covers(unadapted):
            bounds.append(_bound(theorem, unadapted, unadapted_views))
        forget_constants(views)
        forget_constants(unadapted_views)
    numbers = case.number_systems("<=")[0]
    with numbers.activated():
        everything = tuple(range(case.family.tasks))
        measured: View = views.setdefault((numbers, everything), Measured(case, numbers))
        J = (measured.star.J, measured.phi.J, measured.plus.J, measured.star.J - measured.plus.J)
        tasks = tuple(Returns(*row) for row in np.stack([to_floats(column) for column in J], axis=-1).tolist())
        expected = Returns(*(float(to_floats((measured.model.w * column).sum(keepdims=True))[0]) for column in J))
    return EvaluationReport(case, expected, tasks, tuple(bounds), numbers.certified, case.adaptation.status)


def _bound(theorem: Theorem, case: Case, views: Views) -> BoundValue:
    (average,) = judge(theorem.averaged(), case, views)
    tasks = tuple(judge(theorem, case, views)) if theorem.scope == "task" else ()
    worst = min((verdict.outcome for verdict in (average, *tasks)), key=SEVERITY.index)
    if worst is not average.outcome:
        average = replace(average, outcome=worst, grade=None, reason=f"{worst} on at least one task")
    return BoundValue(theorem, average, tasks)
