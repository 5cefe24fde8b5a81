"""A run's findings as DataFrames in long form, each ready for CSV."""

from __future__ import annotations

from typing import Any

import pandas as pd

from bomrl_theory.report.finding import finding
from bomrl_theory.report.notation import symbol_latex
from bomrl_theory.report.table import Table
from bomrl_theory.theory.case import AnyCase
from bomrl_theory.verify.order import covering, relations
from bomrl_theory.verify.run import Run, TheoremResult
from bomrl_theory.verify.verdict import Grade, Outcome, Verdict


def summary(run: Run) -> Table:
    """One row a theorem.

    Shares are of graded verdicts (inequalities that hold), ``certified_share`` of all. ``seconds`` is
    the only column that differs between machines.
    """
    return pd.DataFrame([_summary(result) for result in run.results])


def _summary(result: TheoremResult) -> dict[str, Any]:
    theorem, counts = result.theorem, result.counts
    return {
        "theorem": theorem.id,
        "title": theorem.title,
        "status": theorem.status,
        "source": f"{theorem.source.work}; {theorem.source.place}",
        "obtained": theorem.source.obtained,
        "finding": str(finding(result)),
        **{str(outcome).lower(): counts[outcome] for outcome in Outcome},
        "max_ratio": _number(result.max_ratio),
        "informative_share": _number(result.informative_share),
        "trivial_share": _share(result, Grade.TRIVIAL),
        "certified_share": 1 - result.floats_only / len(result.records) if result.records else float("nan"),
        "seconds": result.seconds,
    }


def _number(value: float | None) -> float:
    return float("nan") if value is None else value


def _share(result: TheoremResult, grade: Grade) -> float:
    grades = [verdict.grade for verdict in result.verdicts if verdict.grade is not None]
    return grades.count(grade) / len(grades) if grades else float("nan")


def verdicts(run: Run) -> Table:
    """One row a verdict: the case, the outcome, both sides for display and as exact text."""
    cases = {case: tuple(_case(case).values()) for result in run.results for case, _ in result.records}
    rows = [
        (verdict.theorem, *cases[case], *list(_verdict(verdict).values())[1:])
        for result in run.results
        for case, verdict in result.records
    ]
    table = pd.DataFrame(rows, columns=["theorem", *CASE_COLUMNS, *VERDICT_COLUMNS[1:]])
    table["task"] = table["task"].astype("Int64")
    return table


CASE_COLUMNS = ("case", "origin", "algorithm", "lambda", "steps", "tasks", "states", "actions", "gamma")
VERDICT_COLUMNS = (
    "theorem",
    "task",
    "outcome",
    "left",
    "bound",
    "ratio",
    "grade",
    "numbers",
    "certified",
    "exact_left",
    "exact_bound",
    "reason",
)


def _case(case: AnyCase) -> dict[str, Any]:
    family = case.family
    lam = None if case.algorithm.name == "none" else str(case.lam)
    row = (
        case.describe(),
        case.origin,
        case.algorithm.name,
        lam,
        case.steps,
        family.tasks,
        family.states,
        family.actions,
        str(family.gamma),
    )
    return dict(zip(CASE_COLUMNS, row, strict=True))


def _verdict(verdict: Verdict) -> dict[str, Any]:
    row = (
        verdict.theorem,
        verdict.task,
        str(verdict.outcome),
        verdict.left,
        verdict.bound,
        _number(verdict.ratio),
        None if verdict.grade is None else str(verdict.grade),
        verdict.numbers,
        verdict.certified,
        *verdict.exact,
        verdict.reason,
    )
    return dict(zip(VERDICT_COLUMNS, row, strict=True))


def tightest(table: Table) -> Table:
    """The verdict with the largest left/bound among those of each theorem that hold, in their order."""
    usable = table[(table["outcome"] == Outcome.HOLDS) & table["ratio"].notna()]
    rows = usable.groupby("theorem", sort=False)["ratio"].idxmax()
    return usable.loc[rows]


def assumptions(run: Run) -> Table:
    """How often each assumption was met, among the verdicts that came to test it.

    Assumptions are tested in their declared order and testing stops at the first that fails.
    """
    rows = []
    for result in run.results:
        tested = len(result.records)
        for assumption in result.theorem.assumptions:
            prefix = f"assumption '{assumption.name}' "
            failed = sum(verdict.reason.startswith(prefix) for verdict in result.verdicts)
            rows.append(
                {
                    "theorem": result.theorem.id,
                    "assumption": assumption.name,
                    "statement": assumption.statement,
                    "tested": tested,
                    "met": tested - failed,
                    "pass_rate": 1 - failed / tested if tested else float("nan"),
                }
            )
            tested -= failed
    columns = ["theorem", "assumption", "statement", "tested", "met", "pass_rate"]
    return pd.DataFrame(rows, columns=columns)


def constants(run: Run) -> Table:
    """Every constant of every theorem: symbol (LaTeX), meaning, unit."""
    return pd.DataFrame(
        [
            {
                "theorem": result.theorem.id,
                "name": constant.name,
                "symbol": symbol_latex(constant.name, getattr(constant.symbol, "indices", ())),
                "meaning": constant.meaning,
                "unit": constant.unit,
            }
            for result in run.results
            for constant in result.theorem.constants
        ],
        columns=["theorem", "name", "symbol", "meaning", "unit"],
    )


def order(run: Run) -> Table:
    """The partial order of the bounds, both directions of every comparable pair, in long form."""
    rows = [
        {
            "smaller": relation.first.id,
            "larger": relation.second.id,
            "status": relation.status,
            "below": relation.below,
            "above": relation.above,
            "equal_or_unclear": relation.unclear,
            "refuted_by": "" if relation.against is None else relation.against.describe(),
            "line": relation in lines,
        }
        for known in [relations(run)]
        for lines in [covering(known)]
        for relation in known
    ]
    columns = ["smaller", "larger", "status", "below", "above", "equal_or_unclear", "refuted_by", "line"]
    return pd.DataFrame(rows, columns=columns)


def counterexamples(run: Run) -> Table:
    """The smallest counterexample of every violated theorem, and whether it was expected."""
    found = [(result, result.counterexample) for result in run.results]
    rows = [
        {"expected": result.theorem.status == "refuted", **_case(record[0]), **_verdict(record[1])}
        for result, record in found
        if record is not None
    ]
    return pd.DataFrame(rows, columns=["expected", *CASE_COLUMNS, *VERDICT_COLUMNS])


def skipped(run: Run) -> Table:
    """What was not decided, or decided without a certificate, and why: theorem, reason, verdicts."""
    rows = []
    for result in run.results:
        reasons: dict[tuple[str, str], int] = {}
        for verdict in result.verdicts:
            if verdict.outcome in (Outcome.OUT_OF_SCOPE, Outcome.UNDECIDED):
                key = (str(verdict.outcome), verdict.reason)
            elif not verdict.certified:
                key = ("not certified", "the family is too large for certified arithmetic; decided in float64")
            else:
                continue
            reasons[key] = reasons.get(key, 0) + 1
        rows += [
            {"theorem": result.theorem.id, "what": what, "reason": reason, "verdicts": count}
            for (what, reason), count in reasons.items()
        ]
    return pd.DataFrame(rows, columns=["theorem", "what", "reason", "verdicts"])
