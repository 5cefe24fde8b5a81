"""The report's page: one self-contained HTML file, readable offline, in the dark and on a phone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pandas as pd
from markupsafe import Markup

from bomrl_theory.adapt.adapt import algorithm_named
from bomrl_theory.formal.backing import backing
from bomrl_theory.report import tables
from bomrl_theory.report.changes import Changes
from bomrl_theory.report.finding import Finding, counts, finding, headline
from bomrl_theory.report.formula import GLYPHS, formula, prose, with_glyphs
from bomrl_theory.report.frozen_lake import CONFIDENCE, GAP, Settings, Study
from bomrl_theory.report.notation import claim_latex
from bomrl_theory.report.ratio_text import ratio_text
from bomrl_theory.report.table import Table
from bomrl_theory.theory.case import Case
from bomrl_theory.theory.theorem import Theorem, by_topic
from bomrl_theory.verify.run import ExitCode, Run, TheoremResult

FOLDER = Path(__file__).parent
DATA_ROWS = 200
"""A counterexample with more transition rows than this is left to its file."""
SHORT = 16
"""Exact fractions longer than this are shown as doubles."""
CSS = {
    Finding.HOLDS: "good",
    Finding.REFUTED: "note",
    Finding.BROKEN: "bad",
    Finding.NOT_REFUTED: "bad",
    Finding.UNDECIDED: "note",
    Finding.NOTHING: "note",
}
OBTAINED = {
    "derived here": "derived here",
    "as published": "as published",
    "reconstructed": "reconstructed: the published text was not at hand",
    "from memory": "from memory of the literature",
}


@dataclass(frozen=True)
class Picture:
    """A figure on the page."""

    svg: str
    title: str
    caption: str


@dataclass(frozen=True)
class Pictures:
    """Every figure on the page; histograms by theorem id."""

    overview: Picture
    scatter: Picture
    returns: Sequence[Picture]
    gaps: Picture
    histograms: Mapping[str, Picture]
    ladders: Sequence[Picture] = ()


def page(
    run: Run,
    study: Study,
    pictures: Pictures,
    order: Table,
    *,
    verdicts: Table | None = None,
    rungs: Table | None = None,
    seed: int,
    command: str,
    versions: Mapping[str, str],
    counterexamples: Mapping[str, str],
    files: Iterable[str],
    changes: Changes | None = None,
) -> str:
    """The whole page.

    Args:
        order: what is known about which bound is the smaller one.
        verdicts: the table of all verdicts, if it is there already.
        rungs: every bound of the bound ladders, in numbers.
        counterexamples: the case file of each violated theorem, relative to the page.
        files: what else the report consists of.
        changes: since the baseline, if there is one.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER), autoescape=True, trim_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.globals["zip"] = zip
    verdicts = tables.verdicts(run) if verdicts is None else verdicts
    topics = by_topic(result.theorem for result in run.results)
    results = {result.theorem.id: result for result in run.results}
    groups = {topic: [results[theorem.id] for theorem in members] for topic, members in topics.items()}
    constants, assumptions = (
        {str(theorem): rows.to_dict("records") for theorem, rows in table(run).groupby("theorem", sort=False)}
        for table in (tables.constants, tables.assumptions)
    )
    tightest = tables.tightest(verdicts)
    code = run.exit_code
    banner = Finding.HOLDS if code is ExitCode.EXPECTED else Finding.UNDECIDED
    banner = Finding.BROKEN if code is ExitCode.VIOLATED else banner
    text = environment.get_template("page.html.jinja").render(
        css=Markup((FOLDER / "page.css").read_text(encoding="utf-8")),
        headline=headline(run),
        banner=_badge(banner if run.finished else Finding.UNDECIDED),
        counts=counts(run),
        seed=seed,
        command=command,
        versions=versions,
        legend={"refuted": _badge(Finding.REFUTED), "broken": _badge(Finding.BROKEN)},
        glyphs=Markup(GLYPHS),
        overview=_overview(groups, tightest),
        attained=ATTAINED,
        remarkable=[_remarkable(result) for result in run.results if finding(result) is not Finding.HOLDS],
        summary=_summary(run, topics),
        tightest=_tightest(tightest, topics),
        figures=[_picture(pictures.overview), _picture(pictures.scatter)],
        frozen_lake={
            "text": _frozen_lake_text(study.settings),
            "figures": [_picture(picture) for picture in (*pictures.returns, pictures.gaps)],
            "absent": _not_drawn(study.gaps),
            "table": _gaps(study.gaps),
        },
        ladder={
            "figures": [_picture(picture) for picture in pictures.ladders],
            "table": None if rungs is None else _rungs(rungs),
        },
        order=_order(order),
        incomparable=_incomparable(order),
        topics=[
            {
                "title": topic,
                "id": _topic_id(topic),
                "theorems": [
                    _theorem(
                        result,
                        constants.get(result.theorem.id, []),
                        assumptions.get(result.theorem.id, []),
                        tightest,
                        pictures.histograms,
                        counterexamples.get(result.theorem.id),
                    )
                    for result in members
                ],
            }
            for topic, members in groups.items()
        ],
        skipped=_skipped(run, topics),
        files=", ".join(files),
        changes=changes,
    )
    return with_glyphs(text)


# --- tables ---------------------------------------------------------------------------------------


def _table(caption: str, columns: Sequence[tuple[str, str]], rows: Iterable[Sequence[Any]]) -> dict[str, Any]:
    """Columns are (title, css); a cell is its content, or (content, sort key)."""
    return _grouped(caption, columns, {"": list(rows)})


def _grouped(
    caption: str, columns: Sequence[tuple[str, str]], groups: Mapping[str, Sequence[Sequence[Any]]]
) -> dict[str, Any]:
    """A table whose rows stand under headings; one without a name has none."""
    cells = {name: [[_cell(cell) for cell in row] for row in rows] for name, rows in groups.items() if len(rows)}
    return {
        "caption": caption,
        "columns": [{"title": title, "css": css, "number": css == "number"} for title, css in columns],
        "groups": [{"title": name, "rows": rows} for name, rows in cells.items()],
        "rows": [row for rows in cells.values() for row in rows],
    }


def _by_topic(
    topics: Mapping[str, Sequence[Theorem]], rows: Iterable[tuple[str, Sequence[Any]]]
) -> dict[str, list[Sequence[Any]]]:
    """Rows, each with its theorem's id before it, under their topics."""
    of = {theorem.id: topic for topic, members in topics.items() for theorem in members}
    groups: dict[str, list[Sequence[Any]]] = {topic: [] for topic in topics}
    for theorem, row in rows:
        groups[of[theorem]].append(row)
    return groups


def _cell(cell: Any) -> dict[str, Any]:
    content, key = cell if isinstance(cell, tuple) else (cell, None)
    return {"html": content, "key": key}


def _number(value: Any, form: str = ".4g") -> tuple[str, str]:
    """A number for display, with its sort key; a dash where there is none."""
    if value is None or pd.isna(value):
        return "–", ""
    return format(value, form), repr(float(value))


def _ratio(ratio: float | None) -> tuple[str, str]:
    return ratio_text(ratio), _number(ratio)[1]


def _link(theorem: str) -> Markup:
    return Markup('<a href="#{0}"><code>{0}</code></a>').format(theorem)


def _badge(kind: Finding) -> dict[str, str]:
    return {"text": str(kind), "mark": kind.mark, "css": CSS[kind]}


def _badge_html(kind: Finding) -> Markup:
    badge = _badge(kind)
    return Markup('<span class="badge {css}"><span aria-hidden="true">{mark}</span> {text}</span>').format(**badge)


def _topic_id(topic: str) -> str:
    return "topic-" + "-".join(topic.split())


ATTAINED = 0.999
"""From this ratio on a bound counts as attained in the overview."""


def _overview(groups: Mapping[str, Sequence[TheoremResult]], tightest: Table) -> dict[str, Any]:
    """The first screen: by topic, what holds, how tight it is, what broke."""
    columns = [
        ("topic", ""),
        ("theorems", "number"),
        ("hold", "number"),
        ("refuted", "number"),
        ("unexpected", "number"),
        ("verdicts", "number"),
        ("attained", "number"),
        ("median ratio", "number"),
        ("informative", "number"),
    ]
    ratios = dict(zip(tightest["theorem"], tightest["ratio"], strict=True))
    rows = []
    for topic, members in groups.items():
        findings = [finding(result) for result in members]
        own = [ratios[result.theorem.id] for result in members if result.theorem.id in ratios]
        shares = [result.informative_share for result in members if result.informative_share is not None]
        unexpected = sum(not found.expected for found in findings)
        rows.append(
            (
                Markup('<a class="line" href="#{}">{}</a>').format(_topic_id(topic), topic),
                _number(len(members), "d"),
                _number(findings.count(Finding.HOLDS), "d"),
                _number(findings.count(Finding.REFUTED) or None, "d"),
                (Markup('<b class="bad">{}</b>').format(unexpected), str(unexpected)) if unexpected else ("–", "0"),
                _number(sum(len(result.records) for result in members), ",d"),
                (f"{sum(ratio >= ATTAINED for ratio in own)} of {len(own)}", repr(sum(r >= ATTAINED for r in own))),
                _ratio(float(np.median(own)) if own else None),
                _number(float(np.mean(shares)) if shares else None, ".0%"),
            )
        )
    return _table("", columns, rows)


def _remarkable(result: TheoremResult) -> dict[str, Any]:
    """A theorem whose finding is not just that it holds."""
    worst = max((v.ratio for v in result.verdicts if v.outcome == "VIOLATED" and v.ratio is not None), default=None)
    counts = {str(outcome): count for outcome, count in result.counts.items()}
    said = [
        f"violated on {counts['VIOLATED']:,} of {result.in_scope:,} verdicts" if counts["VIOLATED"] else "",
        f"left/bound up to {ratio_text(worst)}" if worst is not None else "",
        f"{counts['UNDECIDED']:,} undecided" if counts["UNDECIDED"] else "",
    ]
    return {
        "link": _link(result.theorem.id),
        "finding": _badge(finding(result)),
        "title": result.theorem.title,
        "said": ", ".join(filter(None, said)),
    }


def _summary(run: Run, topics: Mapping[str, Sequence[Theorem]]) -> dict[str, Any]:
    columns = [
        ("theorem", ""),
        ("finding", ""),
        ("max left/bound", "number"),
        ("holds", "number"),
        ("violated", "number"),
        ("informative", "number"),
        ("trivial", "number"),
        ("certified", "number"),
        ("undecided", "number"),
        ("out of scope", "number"),
        ("title", "line"),
        ("obtained", "line"),
    ]
    table = tables.summary(run)
    rows = [
        (
            row["theorem"],
            (
                _link(row["theorem"]),
                (_badge_html(finding(result)), row["finding"]),
                _ratio(row["max_ratio"]),
                *(_number(row[column], ",d") for column in ("holds", "violated")),
                *(_number(row[column], ".0%") for column in ("informative_share", "trivial_share", "certified_share")),
                *(_number(row[column], ",d") for column in ("undecided", "out_of_scope")),
                row["title"],
                row["obtained"],
            ),
        )
        for result, row in zip(run.results, table.to_dict("records"), strict=True)
    ]
    return _grouped("One row a theorem, by topic; the headers sort.", columns, _by_topic(topics, rows))


def _tightest(table: Table, topics: Mapping[str, Sequence[Theorem]]) -> dict[str, Any]:
    columns = [
        ("theorem", ""),
        ("left/bound", "number"),
        ("left", "number"),
        ("bound", "number"),
        ("grade", ""),
        ("case", "wide"),
        ("decided in", ""),
    ]
    rows = [
        (
            row["theorem"],
            (
                _link(row["theorem"]),
                _ratio(row["ratio"]),
                _number(row["left"]),
                _number(row["bound"]),
                row["grade"] if isinstance(row["grade"], str) else "–",
                _where(row),
                row["numbers"],
            ),
        )
        for row in table.to_dict("records")
    ]
    caption = "For every theorem the case that holds with the largest left/bound; 1 means that the bound is attained."
    return _grouped(caption, columns, _by_topic(topics, rows))


def _where(row: Mapping[Any, Any]) -> str:
    return row["case"] + ("" if pd.isna(row["task"]) else f"; task {row['task']}")


def _rungs(rungs: Table) -> dict[str, Any]:
    columns = [
        ("family", ""),
        ("λ", ""),
        ("quantity", ""),
        ("value", "number"),
        ("verdict", ""),
        ("grade", ""),
        ("certified", ""),
        ("why not", "wide"),
    ]
    rows = [
        (
            row["family"],
            row["lambda"],
            row["quantity"] if row["status"] == "gap" else _link(row["quantity"]),
            _number(row["value"]),
            "–" if pd.isna(row["outcome"]) else row["outcome"].replace("_", " "),
            "–" if pd.isna(row["grade"]) else row["grade"],
            "yes" if row["certified"] else "no",
            row["reason"],
        )
        for row in rungs.to_dict("records")
    ]
    return _table("Each bound on the gap, with the reason where it is out of scope.", columns, rows)


def _gaps(gaps: Table) -> dict[str, Any]:
    columns = [
        ("variance", ""),
        ("λ", ""),
        ("algorithm", ""),
        ("quantity", ""),
        ("mean", "number"),
        (f"{CONFIDENCE:.0%} interval", "number"),
        ("main draw", "number"),
        ("holds", "number"),
        ("violated", "number"),
        ("out of scope", "number"),
    ]
    rows = []
    for row in gaps.to_dict("records"):
        is_gap = row["quantity"] == GAP
        counts = (row[name] for name in ("holds", "violated", "out_of_scope"))
        known = np.isfinite(row["low"])
        rows.append(
            (
                row["variance"],
                (row["lambda"], repr(float(Fraction(row["lambda"])))),
                algorithm_named(row["algorithm"]).label,
                GAP if is_gap else _link(row["quantity"]),
                _number(row["mean"]),
                (f"{row['low']:.4g} to {row['high']:.4g}", repr(row["low"])) if known else ("–", ""),
                _number(row["main"]),
                *(_number(None if is_gap else count, "d") for count in counts),
            )
        )
    caption = "In units of return; means over task families. Verdicts count families."
    return _table(caption, columns, rows)


def _order(order: Table) -> dict[str, Any]:
    """The lines of the Hasse diagram, proved ones first."""
    columns = [("smaller bound", ""), ("", ""), ("larger bound", ""), ("how it is known", "wide"), ("cases", "number")]
    known = {(row["smaller"], row["larger"]) for row in order.to_dict("records") if row["status"] == "proved"}
    rows = []
    for row in (
        order[order["line"].astype(bool)]  # an empty column has no type of its own
        .sort_values(["status", "larger", "smaller"], ascending=[False, True, True])
        .to_dict("records")
    ):
        smaller, larger = row["smaller"], row["larger"]
        equal = {(smaller, larger), (larger, smaller)} <= known
        if equal and smaller > larger:
            continue
        how = "proved symbolically" if row["status"] == "proved" else "not proved; never contradicted"
        counted = row["below"] + row["above"] + row["equal_or_unclear"]
        rows.append((_link(smaller), "=" if equal else "≤", _link(larger), how, _number(counted, ",d")))
    return _table("Bounds on the same quantity; orders that follow from two others are left out.", columns, rows)


def _incomparable(order: Table) -> dict[str, Any]:
    columns = [
        ("bound", ""),
        ("other bound", ""),
        ("smaller on", "number"),
        ("larger on", "number"),
        ("smallest case where it is larger", "wide"),
    ]
    refuted = order[order["status"] == "refuted"]
    directions = {(row["smaller"], row["larger"]) for row in refuted.to_dict("records")}
    paired = [row for row in refuted.to_dict("records") if (row["larger"], row["smaller"]) in directions]
    rows = [
        (
            _link(row["smaller"]),
            _link(row["larger"]),
            _number(row["below"], ",d"),
            _number(row["above"], ",d"),
            row["refuted_by"],
        )
        for row in paired
    ]
    return _table("Each pair stands in both directions; certified comparisons on the cases of this run.", columns, rows)


def _constants(rows: Sequence[Mapping[Any, Any]]) -> dict[str, Any]:
    cells = [(Markup(formula(row["symbol"])), row["meaning"], row["unit"]) for row in rows]
    return _table("What the inequality is made of.", [("symbol", ""), ("meaning", "wide"), ("unit", "")], cells)


def _skipped(run: Run, topics: Mapping[str, Sequence[Theorem]]) -> dict[str, Any]:
    columns = [("theorem", ""), ("what", ""), ("verdicts", "number"), ("why", "wide")]
    rows = [
        (
            row["theorem"],
            (
                _link(row["theorem"]),
                row["what"].replace("_", " ").lower(),
                _number(row["verdicts"], ",d"),
                row["reason"],
            ),
        )
        for row in tables.skipped(run).to_dict("records")
    ]
    caption = "Verdicts that say nothing about the bound, or say it without a certificate."
    return _grouped(caption, columns, _by_topic(topics, rows))


# --- text -----------------------------------------------------------------------------------------


def _frozen_lake_text(settings: Settings) -> str:
    return (
        f"{settings.draws} independent families of {settings.tasks} maps ({settings.size}x{settings.size}) for each "
        f"variance setting. The meta-policy is the barycentre of the optima with {settings.uniform_share:.0%} uniform "
        f"mixed in; the policy-gradient step has size (1 − γ)/(2λ). Intervals are {CONFIDENCE:.0%} percentile "
        "bootstrap intervals of the mean over families. A bound on every single task is shown as the bound on the "
        "expected gap that it implies, and counts as holding where it holds on every task as well."
    )


def _not_drawn(gaps: Table) -> list[Markup]:
    """Bounds that the figure leaves out, each with its reason, said once."""
    rows = gaps[~gaps["drawn"]]
    return [
        Markup("{}: {}").format(_link(theorem), "; ".join(dict.fromkeys(filter(None, group["reason"]))) or "no value")
        for theorem, group in rows.groupby("quantity", sort=False)
    ]


def _picture(picture: Picture) -> dict[str, Any]:
    return {"svg": Markup(picture.svg), "title": picture.title, "caption": picture.caption}


def _theorem(
    result: TheoremResult,
    constants: Sequence[Mapping[Any, Any]],
    assumptions: Sequence[Mapping[Any, Any]],
    tightest: Table,
    histograms: Mapping[str, Picture],
    file: str | None,
) -> dict[str, Any]:
    theorem = result.theorem
    own = tightest[tightest["theorem"] == theorem.id].to_dict("records")
    histogram = histograms.get(theorem.id)
    return {
        "id": theorem.id,
        "title": theorem.title,
        "status": theorem.status,
        "ratio": ratio_text(result.max_ratio),
        "finding": _badge(finding(result)),
        "statement": Markup(formula(theorem.statement)),
        "claim": Markup(formula(claim_latex(theorem))),
        "source": f"{theorem.source.work}; {theorem.source.place}",
        "obtained": OBTAINED[theorem.source.obtained],
        "proof": theorem.proof,
        "backing": backing(theorem).summary,
        "scope": _scope(theorem),
        "notes": theorem.notes,
        "counts": ", ".join(
            f"{count:,} {outcome.replace('_', ' ').lower()}" for outcome, count in result.counts.items() if count
        )
        or "none",
        "tightest": f"{_where(own[0])}: left/bound = {ratio_text(own[0]['ratio'])}" if own else "none holds",
        "assumptions": [
            {
                "name": row["assumption"],
                "statement": Markup(prose(row["statement"])),
                "rate": f"met by {row['met']:,} of {row['tested']:,} verdicts" if row["tested"] else "never tested",
            }
            for row in assumptions
        ],
        "derivations": [
            {
                "claim": Markup(prose(step.claim)),
                "mark": "✓" if confirmed else "✗",
                "said": "confirmed by SymPy" if confirmed else "NOT CONFIRMED by SymPy",
            }
            for step in theorem.derivations
            for confirmed in [step.holds()]
        ],
        "constants": _constants(constants),
        "histogram": _picture(histogram) if histogram else None,
        "counterexample": _counterexample(result, file),
    }


def _scope(theorem: Theorem) -> str:
    who = "every task" if theorem.scope == "task" else "the expectation over tasks"
    how = ", ".join(algorithm_named(name).label for name in theorem.algorithms)
    steps = "" if theorem.algorithms == ("none",) else ", any K" if theorem.steps is None else f", K = {theorem.steps}"
    return f"{who}; {how}{steps}"


# --- counterexamples ------------------------------------------------------------------------------


def _counterexample(result: TheoremResult, file: str | None) -> dict[str, Any] | None:
    record = result.counterexample
    if record is None:
        return None
    case, verdict = record
    kind = Finding.REFUTED if result.theorem.status == "refuted" else Finding.BROKEN
    expected = "Counterexample, expected: the theorem is registered as refuted"
    unexpected = "UNEXPECTED counterexample: this theorem is broken"
    family = case.family
    sizes = ((family.tasks, "task"), (family.states, "state"), (family.actions, "action"))
    size = ", ".join(f"{count} {what}{'s' if count != 1 else ''}" for count, what in sizes)
    facts = [
        ("case", case.describe() + ("" if verdict.task is None else f"; task {verdict.task}")),
        ("family", f"{size}, γ = {family.gamma}"),
        ("left", f"{verdict.exact[0]} ≈ {verdict.left:.12g}"),
        ("bound", f"{verdict.exact[1]} ≈ {verdict.bound:.12g}"),
        ("left/bound", ratio_text(verdict.ratio)),
        ("decided in", verdict.numbers + ("" if verdict.certified else " (not certified)")),
    ]
    small = family.tasks * family.states * family.actions <= DATA_ROWS
    return {
        "css": CSS[kind],
        "mark": kind.mark,
        "title": expected if kind is Finding.REFUTED else unexpected,
        "facts": facts,
        "data": _data(case) if small and isinstance(case, Case) else None,
        "file": file,
    }


def _data(case: Case) -> dict[str, Any]:
    """The family and the meta-policy, one row a task, state and action."""
    family = case.family
    columns = [("task (weight)", ""), ("state (start)", ""), ("action", "number")]
    columns += [("φ(a|s)", "number"), ("r(s,a)", "number"), ("P(·|s,a)", "wide")]
    rows = []
    task_weights, phi = _normalised(family.weights), [_normalised(row) for row in case.phi]
    for task in range(family.tasks):
        start = _normalised(family.rho[task])
        for state in range(family.states):
            for action in range(family.actions):
                successors = _normalised(family.P[task, state, action])
                law = ", ".join(f"{p} to {state}" for state, p in enumerate(successors) if p != "0")
                reward = _exact(Fraction(float(family.r[task, state, action])))
                rows.append(
                    (
                        f"{task} ({task_weights[task]})",
                        f"{state} ({start[state]})",
                        str(action),
                        phi[state][action],
                        reward,
                        law,
                    )
                )
    caption = "Exact fractions where they are short, otherwise the nearest double."
    return _table(caption, columns, rows)


def _normalised(weights: np.ndarray) -> list[str]:
    exact = [Fraction(float(weight)) for weight in weights]
    total = sum(exact)
    return [_exact(weight / total) for weight in exact]


def _exact(value: Fraction) -> str:
    return str(value) if len(str(value)) <= SHORT else repr(float(value))
