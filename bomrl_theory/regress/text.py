"""Comparisons as lines of text and as JSON: the same on every run, with no times in it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from bomrl_theory.regress.compare import Comparison
from bomrl_theory.theory.case import AnyCase
from bomrl_theory.verify.readable import exact_lines
from bomrl_theory.verify.verdict import Verdict


def lines_of(comparison: Comparison, replay: str | None = None) -> Iterator[str]:
    """What has changed about one theorem; nothing for an unchanged one."""
    if not comparison.changes:
        return
    renamed = comparison.former not in (None, comparison.id)
    name = f"{comparison.former} -> {comparison.id}" if renamed else comparison.id
    yield f"{name}: " + ", ".join(change.label or str(change.kind) for change in comparison.changes)
    for change in comparison.changes:
        yield from (f"  {line}" for line in change.lines)
    if comparison.counterexample is not None:
        yield from (f"  {line}" for line in counterexample_lines(*comparison.counterexample))
    if replay is not None:
        yield f"  {replay}"


def counterexample_lines(case: AnyCase, verdict: Verdict) -> Iterator[str]:
    """Both sides, the margin, and the case in exact numbers."""
    where = "" if verdict.task is None else f", task {verdict.task}"
    yield f"smallest counterexample{where}: {case.describe()}"
    yield from sides_lines(verdict)
    yield from (f"  {line}" for line in exact_lines(case))


def sides_lines(verdict: Verdict) -> Iterator[str]:
    """Both sides and by how much the left one is above the bound."""
    left, bound = verdict.exact
    yield f"  left  = {verdict.left:.12g}  ({left})"
    yield f"  bound = {verdict.bound:.12g}  ({bound})"
    how = f"certified in {verdict.numbers}" if verdict.certified else "float, not certified"
    yield f"  left - bound = {verdict.left - verdict.bound:.6g}, {how}"


def replay_command(saved: Path, file: str | None = None) -> str:
    """How to decide a saved case again."""
    return "replay: " + shlex.join(["bomrl", "verify", *([file] if file else []), "--replay", str(saved)])


def summary(comparisons: Sequence[Comparison], directory: Path) -> str:
    """The last line."""
    differ = sum(bool(comparison.changes) for comparison in comparisons)
    same = len(comparisons) - differ
    return f"{same} unchanged, {differ} different from {directory}"


def as_json(comparisons: Sequence[Comparison], replays: dict[str, str]) -> list[dict[str, Any]]:
    """The stable JSON contract of ``bomrl regress --json``, theorem by theorem."""
    return [
        {
            "id": comparison.id,
            "former": comparison.former,
            "changes": [
                {"kind": str(change.kind), "lines": list(change.lines), **change.data} for change in comparison.changes
            ],
            "counterexample": None
            if comparison.counterexample is None
            else {
                "case": comparison.counterexample[0].describe(),
                "task": comparison.counterexample[1].task,
                "left": comparison.counterexample[1].exact[0],
                "bound": comparison.counterexample[1].exact[1],
                "replay": replays.get(comparison.id),
            },
            "exit_code": int(comparison.exit_code),
        }
        for comparison in comparisons
    ]
