"""The registry as Markdown: tables by topic, and a page for each theorem."""

from __future__ import annotations

from collections.abc import Iterable

from bomrl_theory.formal.backing import backing
from bomrl_theory.report.markdown import cell
from bomrl_theory.report.notation import claim_latex, symbol_latex
from bomrl_theory.theory.theorem import Theorem, by_topic
from bomrl_theory.verify.evidence import evidence_of
from bomrl_theory.verify.tightness import tightness_of


def catalogue(theorems: Iterable[Theorem]) -> str:
    """A table for each topic: id (with its file), title, status, what backs it, best certified left/bound known.

    Links are relative to ``docs/``.
    """
    parts = []
    for topic, members in by_topic(theorems).items():
        rows = [
            f"| [`{theorem.id}`](../bomrl_theory/theorems/{theorem.name}.py) | {cell(theorem.title)} "
            f"| {theorem.status} | {_backed(theorem, '..')} | {_ratio(theorem)} |"
            for theorem in members
        ]
        head = ["| id | what it says | status | backed by | best left/bound |", "|---|---|---|---|---|"]
        parts.append("\n".join([f"## {topic[0].upper()}{topic[1:]}", "", *head, *rows]))
    return "\n\n".join(parts) + "\n"


def topics(theorems: Iterable[Theorem]) -> str:
    """How many theorems there are under each topic, with a few names."""
    rows = [
        f"| {topic} | {len(members)} | {', '.join(f'`{theorem.name}`' for theorem in members[:3])}"
        f"{', …' if len(members) > 3 else ''} |"
        for topic, members in by_topic(theorems).items()
    ]
    return "\n".join(["| topic | entries | for example |", "|---|---|---|", *rows]) + "\n"


def theorem_page(theorem: Theorem) -> str:
    """What a theorem declares and what is known of it; links are relative to ``docs/theorems/``."""
    source = theorem.source
    lines = [
        f"# {theorem.title}",
        f"`{theorem.id}`, registered as **{theorem.status}** · {theorem.topic}",
        f"$$\n{theorem.statement}\n$$",
        f"{source.work}; {source.place} ({source.obtained}).",
        "It speaks about "
        + ("each task" if theorem.scope == "task" else "the average over the family")
        + f" and is decided for {', '.join(theorem.algorithms)}"
        + ("" if theorem.steps in (None, 1) else f", {theorem.steps} steps")
        + ". What is evaluated:",
        f"$$\n{claim_latex(theorem)}\n$$",
        theorem.notes,
        "## Assumptions",
        "\n".join(
            f"- *{assumption.name}*: {assumption.statement}"
            + ("" if assumption.needed else " (no case is known where it matters)")
            for assumption in theorem.assumptions
        )
        or "None beyond a valid case.",
        "## Constants",
        "| symbol | meaning | unit |\n|---|---|---|\n"
        + "\n".join(
            f"| ${symbol_latex(c.name, getattr(c.symbol, 'indices', ()))}$ | {cell(c.meaning)} | {cell(c.unit)} |"
            for c in theorem.constants
        ),
        "## What is known",
        f"- Backed by: {_backed(theorem, '../..')}.",
        *_known(theorem),
        *(f"- Derived by SymPy: {derivation.claim}." for derivation in theorem.derivations),
        "## Try it",
        f"```console\n$ bomrl verify {theorem.name}\n$ bomrl show {theorem.name}\n$ bomrl search {theorem.name}\n```",
        f"File: [{theorem.name}.py](../../bomrl_theory/theorems/{theorem.name}.py).",
    ]
    return "\n\n".join(line for line in lines if line) + "\n"


def _backed(theorem: Theorem, root: str) -> str:
    known = backing(theorem)
    if not known.proof:
        return known.level
    return f"[{known.level}]({root}/{known.proof})"


def _ratio(theorem: Theorem) -> str:
    found = tightness_of(theorem)
    return "–" if found is None else str(found.ratio)


def _known(theorem: Theorem) -> list[str]:
    lines = []
    if (evidence := evidence_of(theorem)) is not None:
        counts = ", ".join(f"{count} {outcome}" for outcome, count in evidence.verdicts.items())
        certified = "all certified" if not evidence.uncertified else f"{evidence.uncertified} not certified"
        lines.append(f"- Judged on {evidence.cases} cases in scope: {counts}; {certified}.")
    if (tightness := tightness_of(theorem)) is not None:
        lines.append(f"- Largest certified left/bound known: {tightness.ratio}, from the {tightness.origin}.")
    return lines
