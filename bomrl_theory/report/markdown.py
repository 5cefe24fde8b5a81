"""The report's findings as Markdown, for issues, pull requests and wikis."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from bomrl_theory.report import tables
from bomrl_theory.report.changes import Changes
from bomrl_theory.report.finding import Finding, finding, headline
from bomrl_theory.report.notation import claim_latex
from bomrl_theory.report.ratio_text import ratio_text
from bomrl_theory.theory.theorem import by_topic
from bomrl_theory.verify.run import Run, TheoremResult


def markdown(
    run: Run,
    *,
    counts: str,
    seed: int,
    command: str,
    counterexamples: Mapping[str, str],
    figures: Sequence[str],
    changes: Changes | None = None,
) -> str:
    """The headline, a table for each topic, counterexamples with their replay commands, what was skipped, figures.

    Args:
        counts: how many verdicts there are, in one sentence.
        seed, command: what regenerates the report.
        counterexamples: the case file of each violated theorem, relative to the page.
        figures: PNG files, relative to the page.
        changes: since the baseline, if there is one.
    """
    results = {result.theorem.id: result for result in run.results}
    parts = [f"# {headline(run)}", f"{counts} Regenerate with `{command}` (seed {seed})."]
    for topic, members in by_topic(result.theorem for result in run.results).items():
        head = "| theorem | finding | max left/bound | holds | violated | undecided | out of scope | informative |"
        rows = [_row(results[theorem.id]) for theorem in members]
        parts += [f"## {topic[0].upper()}{topic[1:]}", "\n".join([head, "|---|---|--:|--:|--:|--:|--:|--:|", *rows])]
    parts += [_violated(results[theorem], file) for theorem, file in counterexamples.items()]
    skipped = [
        f"- `{row['theorem']}`, {row['what'].replace('_', ' ').lower()}: {row['verdicts']:,} ({cell(row['reason'])})"
        for row in tables.skipped(run).to_dict("records")
    ]
    if changes is not None:
        parts += ["## Since the baseline", changes.summary]
        parts += ["```text\n" + "\n".join(lines) + "\n```" for lines in changes.different.values()]
    parts += ["## Skipped", "\n".join(skipped) or "Nothing: every theorem was decided, with a certificate."]
    parts += ["## Figures", "\n\n".join(f"![{figure}]({figure})" for figure in figures)] if figures else []
    return "\n\n".join(parts) + "\n"


def cell(text: str) -> str:
    """Plain text in a table: bars would end the cell, and stars and underlines are meant as they stand."""
    return re.sub(r"[|*_]", lambda found: f"&#{ord(found[0])};", text)


def _row(result: TheoremResult) -> str:
    counts, kind = result.counts, finding(result)
    share = result.informative_share
    numbers = " | ".join(f"{count:,}" for outcome, count in counts.items())
    informative = "–" if share is None else f"{share:.0%}"
    ratio = ratio_text(result.max_ratio)
    return f"| `{result.theorem.id}` | {kind.mark} {kind} | {ratio} | {numbers} | {informative} |"


def _violated(result: TheoremResult, file: str) -> str:
    record = result.counterexample
    assert record is not None, "a case file is written for a counterexample"
    case, verdict = record
    kind = finding(result)
    said = "refuted, as registered" if kind is Finding.REFUTED else str(kind)
    lines = [
        f"## Counterexample to `{result.theorem.id}` ({said})",
        f"$$\n{claim_latex(result.theorem)}\n$$",
        f"{case.describe()}: left = {verdict.left:.12g}, bound = {verdict.bound:.12g}, decided in {verdict.numbers}.",
        f"Replay in this report's folder: `bomrl verify --replay {file}`",
    ]
    return "\n\n".join(lines)
