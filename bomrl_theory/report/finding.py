"""What a run means for one theorem: as its registration says, or not."""

from __future__ import annotations

from enum import StrEnum

from bomrl_theory.verify.run import ExitCode, Run, TheoremResult


class Finding(StrEnum):
    """The finding in words; a refuted theorem with a counterexample is as expected, never broken."""

    HOLDS = "holds"
    REFUTED = "refuted, as registered"
    BROKEN = "BROKEN"
    NOT_REFUTED = "refuted, yet it holds"
    UNDECIDED = "undecided cases"
    NOTHING = "nothing in scope"

    @property
    def expected(self) -> bool:
        return self in (Finding.HOLDS, Finding.REFUTED)

    @property
    def mark(self) -> str:
        """A sign beside the words, so that nothing rests on colour."""
        return {
            Finding.HOLDS: "✓",
            Finding.REFUTED: "⊘",
            Finding.BROKEN: "✗",
            Finding.NOT_REFUTED: "✗",
            Finding.UNDECIDED: "?",
            Finding.NOTHING: "∅",
        }[self]


def finding(result: TheoremResult) -> Finding:
    """The finding about one theorem."""
    refuted = result.theorem.status == "refuted"
    match result.exit_code:
        case ExitCode.VIOLATED:
            return Finding.NOT_REFUTED if refuted else Finding.BROKEN
        case ExitCode.UNDECIDED:
            return Finding.UNDECIDED if result.in_scope else Finding.NOTHING
    return Finding.REFUTED if refuted else Finding.HOLDS


def headline(run: Run) -> str:
    """One sentence about the whole run."""
    findings = [finding(result) for result in run.results]
    count = len(findings)
    what = f"{count} theorem{'s' if count != 1 else ''}"
    unexpected = [f for f in findings if not f.expected]
    if not run.finished:
        return f"Interrupted: {what}, judged on {run.judged} cases only"
    if not unexpected:
        refuted = findings.count(Finding.REFUTED)
        tail = f", {refuted} of them refuted with a counterexample, as registered" if refuted else ""
        return f"All as expected: {what}{tail}"
    parts = [f"{unexpected.count(kind)} {kind}" for kind in Finding if kind in unexpected]
    return f"Not as expected: {'; '.join(parts)} (of {what})"


def counts(run: Run) -> str:
    """How many verdicts there are, and whether all are certified."""
    uncertified = sum(result.floats_only for result in run.results)
    how = "all certified" if not uncertified else f"{uncertified:,} of them in float64, not certified"
    return f"{sum(len(result.records) for result in run.results):,} verdicts on {run.judged:,} cases, {how}."
