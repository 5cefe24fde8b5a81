"""What has changed about a theorem since its baseline."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from statistics import median
from typing import Any

import sympy as sp
from flint import ctx

from bomrl_theory.regress.baseline import WORDING, Baseline, apart, parsed, row, tightness_of, wording_of
from bomrl_theory.regress.claim import Claim, expression
from bomrl_theory.regress.difference import Difference, difference
from bomrl_theory.regress.judged import FORMER, Judged, judge_former
from bomrl_theory.report.notation import expression_latex
from bomrl_theory.report.plain_text import plain_text
from bomrl_theory.theory.case import AnyCase
from bomrl_theory.theory.expression import Expr
from bomrl_theory.theory.theorem import Theorem
from bomrl_theory.verify.counterexample import smallest_counterexample
from bomrl_theory.verify.ratio import PRECISION, as_number
from bomrl_theory.verify.run import ExitCode, TheoremResult
from bomrl_theory.verify.verdict import Outcome, Verdict

SHOWN = 3
"""Cases that are named where there are many; JSON has them all."""


class Kind(StrEnum):
    """What can be said about a theorem that differs from its baseline."""

    NEW = "new"
    GONE = "gone"
    REWORDED = "reworded"
    REWRITTEN = "rewritten"
    RENUMBERED = "renumbered"
    TIGHTER = "tighter"
    LOOSER = "looser"
    BOUND = "bound changed"
    LEFT = "left side changed"
    SCOPE = "scope changed"
    VERSION = "same version"
    VIOLATED = "violated"
    NOT_VIOLATED = "no longer violated"
    UNDECIDED = "undecided"
    VACUOUS = "nothing in scope"
    VERDICTS = "verdicts changed"
    VALUES = "values changed"
    CASES = "own cases changed"
    CORPUS = "corpus changed"


OPEN = (Kind.UNDECIDED, Kind.VACUOUS)
"""What leaves a question open, and is no drift."""


@dataclass(frozen=True)
class Change:
    """One finding.

    Attributes:
        lines: for people.
        data: for machines.
    """

    kind: Kind
    lines: tuple[str, ...] = ()
    data: dict[str, Any] = field(default_factory=dict)
    label: str = ""
    """Stands for the kind in the theorem's first line: "tighter by 0.95"."""


@dataclass(frozen=True)
class Comparison:
    """A theorem against its baseline.

    Attributes:
        id: today's, or of the baseline where the theorem is gone.
        former: the baseline's id, None for a new theorem.
        counterexample: the smallest one, for a theorem that must not have any.
    """

    id: str
    former: str | None
    changes: tuple[Change, ...]
    counterexample: tuple[AnyCase, Verdict] | None = None

    @property
    def kinds(self) -> tuple[Kind, ...]:
        return tuple(change.kind for change in self.changes)

    @property
    def exit_code(self) -> ExitCode:
        """1 for any drift, 3 where only questions are open."""
        if any(kind not in OPEN for kind in self.kinds):
            return ExitCode.VIOLATED
        return ExitCode.UNDECIDED if self.kinds else ExitCode.EXPECTED

    @property
    def acceptable(self) -> bool:
        """Whether ``--update`` may make it the baseline: no claim changes under its id."""
        return Kind.VERSION not in self.kinds


def compare(former: Baseline | None, now: Judged, *, shrink: bool = True) -> Comparison:
    """Everything that differs, the claim first.

    Args:
        former: None for a theorem that has no baseline yet.
        shrink: look for the smallest counterexample of a violated theorem, which takes a second.
    """
    theorem = now.theorem
    changes: list[Change] = []
    if former is None:
        changes.append(Change(Kind.NEW, (theorem.title, f"bound {_shown(theorem.bound)}"), {"title": theorem.title}))
    else:
        claim = Claim.of(theorem)
        same = claim.says_the_same(former.claim)
        claimed = [] if same else list(_claim_changes(former, claim, now))
        equivalent = same or [change.kind for change in claimed] == [Kind.REWRITTEN]
        if not equivalent and former.id == theorem.id:
            claimed.append(_same_version(former.id))
        if equivalent and former.id != theorem.id:
            claimed.append(Change(Kind.RENUMBERED, (f"{former.id} is now {theorem.id}, and claims the same",)))
        changes += claimed
        changes += _reworded(former, theorem, claim)
        if equivalent:
            changes += _verdict_changes(former, now)
        changes += _cases(former, now)
    record = None
    for change in _findings(former, now):
        changes.append(change)
        if shrink and change.kind is Kind.VIOLATED:
            record = counterexample_of(now.result)
    return Comparison(theorem.id, former.id if former else None, tuple(changes), record)


def counterexample_of(result: TheoremResult) -> tuple[AnyCase, Verdict] | None:
    """The smallest one that is found from the smallest violated case, the same on every machine."""
    record = result.smallest_violated
    return None if record is None else smallest_counterexample(result.theorem, *record, timed=False)


def gone(former: Baseline) -> Comparison:
    """For a baseline whose theorem is no longer there."""
    lines = (former.wording["title"], f"bound was {former.text}")
    return Comparison(former.id, former.id, (Change(Kind.GONE, lines, {"title": former.wording["title"]}),))


# --- the claim ------------------------------------------------------------------------------------


def _claim_changes(former: Baseline, claim: Claim, now: Judged) -> Iterator[Change]:
    old, theorem = former.claim, now.theorem
    symbols = old.symbols(theorem)
    parts = {name: _side_difference(name, theorem, claim, old, symbols) for name in ("left", "bound")}
    scope = _scope_lines(claim, old, theorem, symbols)
    if not scope and all(part is None or part.equal for part in parts.values()):
        lines = (f"the same claim in another form; the bound was {former.text}", f"now {_shown(theorem.bound)}")
        yield Change(Kind.REWRITTEN, lines)
        return
    predecessor = old.claimed_by(theorem)
    then = None if predecessor is None else judge_former(predecessor, now)
    if (apart := parts["left"]) is not None and not apart.equal:
        yield Change(Kind.LEFT, *_symbolic("left side", theorem.left, expression(old.left, symbols), apart))
    if (apart := parts["bound"]) is not None and not apart.equal:
        yield _bound_change(former, now, then, apart, expression(old.bound, symbols))
    if scope:
        yield _scope_change(former, now, then, scope)


def _side_difference(
    name: str, theorem: Theorem, claim: Claim, old: Claim, symbols: dict[str, Expr]
) -> Difference | None:
    """None where the side is the same, tree for tree."""
    if getattr(claim, name) == getattr(old, name):
        return None
    return difference(getattr(theorem, name), expression(getattr(old, name), symbols))


def _bound_change(former: Baseline, now: Judged, then: Judged | None, apart: Difference, old: Expr) -> Change:
    """Tighter or looser: decided verdict by verdict, in certified numbers where today's constants allow it."""
    lines, data = _symbolic("bound", now.theorem.bound, old, apart)
    pairs = list(_pairs(former, now, then))
    tighter, looser = (sum(sign == wanted for sign, _ in pairs) for wanted in (-1, 1))
    ratios = sorted(ratio for _, ratio in pairs if ratio is not None)
    middle = median(ratios) if ratios else None
    how = "certified" if then is not None else "from the rounded numbers of the baseline"
    data |= {"verdicts": len(pairs), "tighter": tighter, "looser": looser, "certified": then is not None}
    if ratios and middle is not None:
        data["new_over_old"] = {"smallest": _six(ratios[0]), "median": _six(middle), "largest": _six(ratios[-1])}
        lines += (
            f"new/old bound: {_six(ratios[0])} at least, {_six(middle)} in the median, {_six(ratios[-1])} at most",
        )
    if not pairs:
        lines += ("no verdict of before and now can be compared",)
    else:
        rest = len(pairs) - tighter - looser
        counts = f"smaller on {tighter} of {len(pairs)} verdicts, larger on {looser}, equal or too close on {rest}"
        lines += (f"{counts} ({how})",)
    before, today = former.tightness.get("largest", "-"), tightness_of(now.verdicts).get("largest", "-")
    lines += (f"largest left/bound: {before} before, {today} now",)
    if bool(tighter) == bool(looser):
        return Change(Kind.BOUND, lines, data)
    kind = Kind.TIGHTER if tighter else Kind.LOOSER
    moved = [ratio for sign, ratio in pairs if sign and ratio is not None]
    return Change(kind, lines, data, f"{kind} by {_six(median(moved))}" if moved else "")


def _symbolic(what: str, new: Expr, old: Expr, apart: Difference) -> tuple[tuple[str, ...], dict[str, Any]]:
    lines = (f"{what} was {_shown(old)}", f"{what} is  {_shown(new)}", f"new - old = {_shown(apart.difference)}")
    latex = expression_latex(apart.difference)
    lines += (f"as LaTeX: {latex}",)
    data: dict[str, Any] = {"difference": _shown(apart.difference), "latex": latex}
    data |= {
        "was": _shown(old),
        "is": _shown(new),
        "was_latex": expression_latex(old),
        "is_latex": expression_latex(new),
    }
    if apart.factor is not None:
        lines += (f"which is {apart.factor} times the old one on every case",)
        data["factor"] = str(apart.factor)
    return lines, data


def _pairs(former: Baseline, now: Judged, then: Judged | None) -> Iterator[tuple[int, float | None]]:
    """For every verdict in scope before and now: the sign of new - old bound, and new/old where old is positive."""
    for name, (_, verdicts) in now.rows.items():
        if then is not None:
            before = {v.task: v for v in then.rows[name][1]} if name in then.rows else {}
            for verdict in verdicts:
                old = before.get(verdict.task)
                if verdict.sides and old is not None and old.sides:
                    yield _sign(verdict, old), verdict.bound / old.bound if old.bound > 0 else None
        else:
            for verdict, text in zip(verdicts, former.verdicts.get(name, ()), strict=False):
                bound = parsed(text)[2]
                if verdict.sides and bound == bound:
                    moved = apart(verdict.bound, bound)
                    sign = 0 if not moved else (1 if verdict.bound > bound else -1)
                    yield sign, verdict.bound / bound if bound > 0 else None


def _sign(new: Verdict, old: Verdict) -> int:
    """1 or -1 where the bounds are certainly different."""
    assert new.sides is not None
    assert old.sides is not None
    with ctx.workprec(PRECISION):
        one, other = as_number(new.sides[1]), as_number(old.sides[1])
        return 1 if one > other else (-1 if one < other else 0)


# --- the scope ------------------------------------------------------------------------------------


def _scope_lines(claim: Claim, old: Claim, theorem: Theorem, symbols: dict[str, Expr]) -> list[str]:
    """What is different about the cases that the claim speaks about."""
    lines = []
    for what, new, before in (
        ("algorithms", ", ".join(claim.algorithms), ", ".join(old.algorithms)),
        ("steps", str(claim.steps or "any"), str(old.steps or "any")),
        ("relation", claim.relation, old.relation),
    ):
        if new != before and (what != "algorithms" or set(claim.algorithms) != set(old.algorithms)):
            lines.append(f"{what}: {before} before, {new} now")
    margins = {a.name: a.margin for a in theorem.assumptions}
    added = {name for name in claim.assumptions if claim.assumptions[name] not in old.assumptions.values()}
    dropped = {name for name in old.assumptions if old.assumptions[name] not in claim.assumptions.values()}
    for name in sorted(added & dropped):
        before = expression(old.assumptions[name], symbols)
        if not difference(margins[name], before).equal:
            lines.append(f"assumption '{name}' changed: {_shown(before)} ≥ 0 before, {_shown(margins[name])} ≥ 0 now")
    lines += [
        f"assumption '{name}' dropped: {_shown(expression(old.assumptions[name], symbols))} ≥ 0"
        for name in sorted(dropped - added)
    ]
    lines += [f"assumption '{name}' added: {_shown(margins[name])} ≥ 0" for name in sorted(added - dropped)]
    return lines


def _scope_change(former: Baseline, now: Judged, then: Judged | None, lines: list[str]) -> Change:
    inside = _inside(now)
    today = {name.removesuffix(FORMER) for name in now.rows}
    before = [name for name in _inside_before(former) if name in now.offered - today]  # covered then, and not now
    before += _inside(then) if then is not None else [name for name in _inside_before(former) if name in today]
    entered, left = ([n for n in a if n not in b] for a, b in ((inside, before), (before, inside)))
    told = [*lines, f"cases in scope: {len(before)} before, {len(inside)} now"]
    for names, how in ((entered, "came into scope"), (left, "left the scope")):
        if names:
            told.append(f"{len(names)} {how}: {some(names)}")
    data = {"differences": lines, "entered": entered, "left": left, "before": len(before), "now": len(inside)}
    return Change(Kind.SCOPE, tuple(told), data)


def _inside(judged: Judged) -> list[str]:
    names = [
        name.removesuffix(FORMER)
        for name, (_, verdicts) in judged.rows.items()
        if any(verdict.outcome is not Outcome.OUT_OF_SCOPE for verdict in verdicts)
    ]
    return list(dict.fromkeys(names))


def _inside_before(former: Baseline) -> list[str]:
    return [
        name for name, rows in former.verdicts.items() if any(parsed(text)[0] != Outcome.OUT_OF_SCOPE for text in rows)
    ]


# --- words and cases ------------------------------------------------------------------------------


def _same_version(name: str) -> Change:
    stem, _, version = name.rpartition("-v")
    line = f"the claim changed under the id {name}: give it a new version, {stem}-v{int(version) + 1}"
    return Change(Kind.VERSION, (line, f"(never published? delete {stem}.json from the baseline instead)"))


def _reworded(former: Baseline, theorem: Theorem, claim: Claim) -> Iterator[Change]:
    wording = wording_of(theorem)
    lines, changed = [], []
    for key in WORDING:
        if wording[key] != former.wording[key]:
            changed.append(key)
            lines += [f"{key} was {former.wording[key]!r}", f"{key} is  {wording[key]!r}"]
    renamed = set(claim.assumptions) ^ set(former.claim.assumptions)
    if renamed and claim.says_the_same(former.claim):
        changed.append("assumptions")
        lines.append(f"assumptions were {list(former.claim.assumptions)}, are {list(claim.assumptions)}")
    for name, quantity in claim.quantities.items():
        before = former.claim.quantities.get(name)
        if before is not None and before != quantity:
            changed.append(name)
            lines.append(f"{name} was '{before.meaning}' [{before.unit}], is '{quantity.meaning}' [{quantity.unit}]")
    if changed:
        yield Change(Kind.REWORDED, tuple(lines), {"changed": changed})


def _cases(former: Baseline, now: Judged) -> Iterator[Change]:
    if former.corpus != now.corpus:
        known, today = set(former.verdicts), set(now.rows)
        added, missing = sorted(today - known), sorted(known - today)
        line = f"judged on another corpus than the baseline: {len(added)} cases more, {len(missing)} fewer"
        yield Change(Kind.CORPUS, (line,), {"added": added, "missing": missing})
    added, missing = sorted(set(now.own) - set(former.own)), sorted(set(former.own) - set(now.own))
    if added or missing:
        lines = tuple(
            f"own cases {how}: {some(names)}" for names, how in ((added, "added"), (missing, "removed")) if names
        )
        yield Change(Kind.CASES, lines, {"added": added, "removed": missing})


# --- verdicts -------------------------------------------------------------------------------------


def _verdict_changes(former: Baseline, now: Judged) -> Iterator[Change]:
    """For the same claim: other outcomes or sides, made by the constants, the exact layer or the adaptation."""
    refuted = now.theorem.status == "refuted"
    outcomes, moved = [], []
    for name, (_, verdicts) in now.rows.items():
        for verdict, text in zip(verdicts, former.verdicts.get(name, ()), strict=False):
            new, old = parsed(row(verdict)), parsed(text)
            noise = not any((*new[1:], *old[1:]))  # which side of 0 rounding falls on depends on the machine
            if new[0] != old[0]:
                known = verdict.outcome is Outcome.VIOLATED and not refuted  # told as a finding
                if not known and verdict.outcome is not Outcome.UNDECIDED and not (refuted and noise):
                    outcomes.append(f"{_place(name, verdict)}: {old[0]} before, {new[0]} now")
            elif any(apart(x, y) for x, y in zip(new[1:], old[1:], strict=True)):
                moved.append(f"{_place(name, verdict)}: {text} before, {row(verdict)} now")
    if outcomes:
        yield Change(Kind.VERDICTS, (f"{len(outcomes)} verdicts: {some(outcomes, '; ')}",), {"verdicts": outcomes})
    if moved:
        lines = (
            f"the expressions are the same and {len(moved)} verdicts have other sides:",
            *moved[:SHOWN],
            "a constant is measured otherwise, or the tasks are solved or adapted otherwise",
        )
        yield Change(Kind.VALUES, lines, {"verdicts": moved})


def _findings(former: Baseline | None, now: Judged) -> Iterator[Change]:
    """What is wrong or open today, whatever the baseline says."""
    violated, undecided = now.places(Outcome.VIOLATED), now.places(Outcome.UNDECIDED)
    if violated and now.theorem.status != "refuted":
        known = {} if former is None else former.verdicts
        before = {name for name, rows in known.items() if any(parsed(x)[0] == Outcome.VIOLATED for x in rows)}
        newly = [name for name in violated if name.removesuffix(FORMER) not in before]
        line = f"violated on {len(violated)} of {len(_inside(now))} cases in scope, {len(newly)} of them newly"
        data = {"cases": violated, "newly": newly}
        yield Change(Kind.VIOLATED, (f"{line}: {some(newly or violated)}",), data, "newly violated" if newly else "")
    if not violated and now.theorem.status == "refuted":
        yield Change(Kind.NOT_VIOLATED, ("registered as refuted, and no case violates it",))
    if undecided:
        yield Change(Kind.UNDECIDED, (f"undecided on {len(undecided)} cases: {some(undecided)}",), {"cases": undecided})
    if not _inside(now):
        yield Change(Kind.VACUOUS, ("no case is in its scope, so nothing was tested",))


def _place(name: str, verdict: Verdict) -> str:
    return name.removesuffix(FORMER) + ("" if verdict.task is None else f", task {verdict.task}")


def some(names: Sequence[str], between: str = "; ") -> str:
    """The first few."""
    more = len(names) - SHOWN
    return between.join(names[:SHOWN]) + (f"{between}and {more} more" if more > 0 else "")


def _shown(value: Any) -> str:
    return plain_text(expression_latex(sp.sympify(value)))


def _six(x: float) -> str:
    return f"{x:.6g}"
