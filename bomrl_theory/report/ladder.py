"""The bound ladder: every applicable bound on the expected gap beside the gap itself, on one logarithmic axis.

One step of Alg(2) from the barycentre with a little uniform mixed in, on one draw of each family. The gap,
the bounds and their verdicts are certified. A theorem about the unadapted meta-policy is a rung as well:
it bounds the gap without adaptation. The sweep moves the tasks of the Garnet family from their average
task, where all are equal, to where they were drawn.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from bomrl_theory.adapt.adapt import algorithm_named
from bomrl_theory.exact.solved import Solved
from bomrl_theory.meta.barycentre import barycentre
from bomrl_theory.numbers import FLOATS, to_float
from bomrl_theory.report.figures import (
    BLUE,
    GREEN,
    INK,
    MUTED,
    ORANGE,
    PAGE_WIDTH,
    PAPER,
    PURPLE,
    SKY,
    SMALLEST_VALUE,
    VERMILLION,
    new_figure,
    power_of_ten,
    styled,
    three_digits,
)
from bomrl_theory.report.frozen_lake import GAP, VARIANCES, bounds_gap
from bomrl_theory.report.table import Table
from bomrl_theory.tasks.family import TaskFamily
from bomrl_theory.tasks.frozen_lake import frozen_lake
from bomrl_theory.tasks.garnet import garnet
from bomrl_theory.tasks.interpolation import interpolate
from bomrl_theory.theorems.task_variance import task_variance
from bomrl_theory.theory.case import Case
from bomrl_theory.theory.measured import Measured
from bomrl_theory.theory.theorem import TOPICS, Theorem
from bomrl_theory.verify.evaluate import evaluate_case
from bomrl_theory.verify.verdict import Grade, Outcome

ALGORITHM = "kl-posterior"
NO_ADAPTATION = "expected optimality gap without adaptation"
DECIDED = (str(Outcome.HOLDS), str(Outcome.VIOLATED))
GARNET_STREAM = len(VARIANCES) + 1
"""The Frozen Lake study uses the streams before it, so that its first draws are the ladder's."""
TOPIC_MARKERS: dict[str, str] = dict(zip(TOPICS, "osD^vP*", strict=True))
OWN_MARKER = "h"
"""Of topics that the registry does not know."""
GRADE_FILLS = {str(Grade.INFORMATIVE): BLUE, str(Grade.UNINFORMATIVE): SKY, str(Grade.TRIVIAL): PAPER}
HIGHLIGHTS = ((BLUE, "o"), (ORANGE, "^"), (GREEN, "s"), (PURPLE, "D"))
"""Colour and marker of the tightest bounds in the sweep."""
SAME = 1e-6
"""Bounds that agree to this everywhere are one line in the sweep."""
FOOTNOTE_WIDTH = 105


@dataclass(frozen=True)
class Settings:
    """What is drawn.

    Attributes:
        seed: of every draw.
        tasks, size: of the Frozen Lake families.
        states, garnet_tasks: of the Garnet family.
        lambdas: of the ladders, in the unit of return; the sweep has the first, and the last has a second
            ladder on Frozen Lake with high variance.
        shares: of the tasks' difference in the sweep; 0 makes all tasks equal.
        uniform_share: how much uniform policy is mixed into the barycentre.
    """

    seed: int = 0
    tasks: int = 20
    size: int = 4
    states: int = 16
    garnet_tasks: int = 5
    lambdas: tuple[Fraction, Fraction] = (Fraction(1, 10), Fraction(1, 100))
    shares: tuple[float, ...] = tuple(eighth / 8 for eighth in range(9))
    uniform_share: float = 0.1


@dataclass(frozen=True)
class Ladder:
    """The tables, one row a quantity: the gap, the gap without adaptation, or a theorem's bound.

    Attributes:
        settings: what was drawn.
        cases: by family and lambda. ``value`` is the nearest double (NaN where nothing was decided), ``left``
            what it bounds, ``about`` which of the two gaps that is; ``outcome`` the worst over tasks.
        sweep: the same by share, with the family's task variance in nats.
    """

    settings: Settings
    cases: Table
    sweep: Table


def ladder(
    theorems: Iterable[Theorem],
    settings: Settings | None = None,
    *,
    on_case: Callable[[str], None] = lambda name: None,
) -> Ladder:
    """Evaluate every bound on the expected gap; theorems that are none are ignored.

    Args:
        theorems: the candidates.
        settings: what to draw.
        on_case: called with the name of each family when it starts.
    """
    settings = settings or Settings()
    bounds = [theorem for theorem in theorems if bounds_gap(theorem)]
    first, last = settings.lambdas

    def rng(*stream: int) -> np.random.Generator:
        return np.random.default_rng(np.random.SeedSequence(settings.seed, spawn_key=stream))

    def solved(family: TaskFamily) -> Solved:
        on_case(family.name)
        return Solved(family)

    lakes = [
        solved(frozen_lake(variance, size=settings.size, tasks=settings.tasks, rng=rng(stream, 0)))
        for stream, variance in enumerate(VARIANCES)
    ]
    drawn = garnet(states=settings.states, tasks=settings.garnet_tasks, rng=rng(GARNET_STREAM, 0))
    names = [f"Frozen Lake, {variance} task variance" for variance in VARIANCES]
    cases = [
        {"family": name, "lambda": str(lam)} | row
        for name, family, lam in (
            *zip(names, lakes, (first, first), strict=True),
            ("Garnet", solved(drawn), first),
            (names[0], lakes[0], last),
        )
        for row in _rungs(_case(family, lam, settings), bounds)
    ]
    sweep: list[dict[str, Any]] = []
    for share in settings.shares:
        case = _case(solved(interpolate(drawn, share)), first, settings)
        labels = {"family": "Garnet", "lambda": str(first), "share": share, "task_variance": _task_variance(case)}
        sweep += [labels | row for row in _rungs(case, bounds)]
    return Ladder(settings, pd.DataFrame(cases), pd.DataFrame(sweep))


def _case(solved: Solved, lam: Fraction, settings: Settings) -> Case:
    phi = barycentre(solved.family, solved.optimum, uniform_share=settings.uniform_share)
    return Case.new(solved, phi, ALGORITHM, lam)


def _task_variance(case: Case) -> float:
    with FLOATS.activated():
        # The logarithm of one can come out as a negative rounding error.
        return max(to_float(task_variance(Measured(case, FLOATS))), 0.0)


def _rungs(case: Case, bounds: Sequence[Theorem]) -> Iterator[dict[str, Any]]:
    unadapted = replace(case, algorithm=algorithm_named("none"))
    for quantity, report in ((GAP, evaluate_case(case, ())), (NO_ADAPTATION, evaluate_case(unadapted, ()))):
        yield {
            "quantity": quantity,
            "topic": "",
            "status": "gap",
            "about": quantity,
            "value": report.expected.gap,
            "left": report.expected.gap,
            "outcome": None,
            "grade": None,
            "certified": report.certified,
            "reason": "",
        }
    for bound in evaluate_case(case, bounds).bounds:
        theorem, verdict = bound.theorem, bound.verdict
        decided = str(verdict.outcome) in DECIDED
        yield {
            "quantity": theorem.id,
            "topic": theorem.topic,
            "status": theorem.status,
            "about": GAP if theorem.covers(case) else NO_ADAPTATION,
            "value": verdict.bound if decided else float("nan"),
            "left": verdict.left if decided else float("nan"),
            "outcome": str(verdict.outcome),
            "grade": None if verdict.grade is None else str(verdict.grade),
            "certified": verdict.certified and all(one.certified for one in bound.tasks),
            "reason": verdict.reason,
        }


# --- ladders --------------------------------------------------------------------------------------


@styled
def bound_ladders(cases: Table) -> Figure:
    """One panel a family and lambda, one row a bound, the smallest on top."""
    panels_of = [group for _, group in cases.groupby(["family", "lambda"], sort=False)]
    columns = 2
    lines = -(-len(panels_of) // columns)
    most = max(len(_decided(group)) for group in panels_of)
    figure = new_figure(PAGE_WIDTH * 1.15, 0.9 + lines * (1.4 + 0.16 * most))
    panels = figure.subplots(lines, columns, squeeze=False).ravel()
    for panel, group in zip(panels, panels_of, strict=False):
        _ladder_panel(panel, group)
    for panel in panels[len(panels_of) :]:
        panel.set_axis_off()
    figure.legend(handles=_ladder_handles(cases), loc="outside lower center", ncols=4)
    return figure


def _decided(group: Table) -> Table:
    """The rungs from the smallest to the largest."""
    return group[group["outcome"].isin(DECIDED)].sort_values("value", kind="stable")


def _reference(group: Table, quantity: str) -> float:
    return float(group.loc[group["quantity"] == quantity, "value"].iloc[0])


def _ladder_panel(panel: Axes, group: Table) -> None:
    rungs = _decided(group).to_dict("records")
    gap, without = (max(_reference(group, quantity), SMALLEST_VALUE) for quantity in (GAP, NO_ADAPTATION))
    values = np.maximum([gap, without, *(rung["value"] for rung in rungs)], SMALLEST_VALUE)
    panel.set_xscale("log")
    # Room on the left for the gap's own label.
    left, right = np.log10(values.min()), np.log10(values.max())
    panel.set_xlim(10 ** (left - 0.2 * (right - left) - 0.1), 10 ** (right + 0.04 * (right - left) + 0.1))
    panel.set_ylim(-max(len(rungs), 1) + 0.2, 0.8)
    if gap < without:
        panel.axvspan(gap, without, color=BLUE, alpha=0.06, linewidth=0)
    panel.axvline(gap, color=INK, linewidth=1.6)
    panel.axvline(without, color=INK, linewidth=1.1, linestyle=(0, (5, 3)))
    for x, text, side in ((gap, f"gap {three_digits(gap)} ", "right"), (without, " no adaptation ", "left")):
        text += three_digits(without) if side == "left" else ""
        panel.annotate(
            text,
            (x, 1),
            xycoords=("data", "axes fraction"),
            xytext=(3 if side == "right" else -3, 2),
            textcoords="offset points",
            ha=side,
            fontsize=7.5,
        )
    for index, rung in enumerate(rungs):
        _rung(panel, rung, -index)
    panel.set_yticks([-index for index in range(len(rungs))], [_rung_label(rung) for rung in rungs], fontsize=7)
    for tick, rung in zip(panel.get_yticklabels(), rungs, strict=True):
        violated = rung["outcome"] == Outcome.VIOLATED
        tick.set_color(VERMILLION if violated else INK)
        tick.set_fontweight("bold" if violated else "normal")
    panel.tick_params(axis="y", length=0)
    panel.grid(visible=False, axis="y")
    panel.xaxis.set_major_locator(LogLocator(numticks=9))
    panel.xaxis.set_minor_formatter(NullFormatter())
    panel.xaxis.set_major_formatter(FuncFormatter(lambda value, _: power_of_ten(value)))
    panel.set_xlabel("value (return), logarithmic")
    panel.set_title(f"{group['family'].iloc[0]}, λ = {group['lambda'].iloc[0]}", pad=15)
    _footnote(panel, _absent(group), FOOTNOTE_WIDTH, (-128, -32))


def _footnote(panel: Axes, text: str, width: int, offset: tuple[float, float]) -> None:
    """Below the panel's lower left corner, ``offset`` points away."""
    panel.annotate(
        textwrap.fill(text, width, break_long_words=False),
        (0, 0),
        xycoords="axes fraction",
        xytext=offset,
        textcoords="offset points",
        va="top",
        multialignment="left",
        fontsize=6.2,
    )


def _rung(panel: Axes, rung: dict[Any, Any], height: float) -> None:
    violated = rung["outcome"] == Outcome.VIOLATED
    value, bounded = (max(rung[key], SMALLEST_VALUE) for key in ("value", "left"))
    colour = VERMILLION if violated else BLUE
    panel.plot([bounded, value], [height, height], color=colour if violated else MUTED, linewidth=0.8, alpha=0.8)
    panel.plot(
        value,
        height,
        linestyle="",
        marker=TOPIC_MARKERS.get(rung["topic"], OWN_MARKER),
        markersize=7 if violated else 5.5,
        markeredgecolor=colour,
        markerfacecolor=VERMILLION if violated else GRADE_FILLS[rung["grade"]],
        zorder=4,
    )
    # Numbers stand in a column of their own: beside the marks they would hide the two gaps' lines.
    word = str(rung["outcome"] if violated else rung["grade"]) + ("" if rung["certified"] else ", float")
    for offset, side, text in ((36, "right", _number(value)), (42, "left", word)):
        panel.annotate(
            text,
            (1, height),
            xycoords=("axes fraction", "data"),
            xytext=(offset, -0.5),
            textcoords="offset points",
            ha=side,
            va="center",
            fontsize=7,
            fontweight="bold" if violated or word == Grade.INFORMATIVE else "normal",
            color=VERMILLION if violated else INK,
            annotation_clip=False,
        )


def _number(value: float) -> str:
    return three_digits(value) if value < 1000 else f"{value:,.0f}"


def _name(theorem: str) -> str:
    return theorem.rpartition("-v")[0]


def _rung_label(rung: dict[Any, Any]) -> str:
    """The name, with signs for a bound on the other gap and for a form that is refuted in general."""
    signs = (" (φ)" if rung["about"] == NO_ADAPTATION else "") + (" ⊘" if rung["status"] == "refuted" else "")
    return _name(rung["quantity"]) + signs


def _absent(group: Table) -> str:
    """What is no rung of this panel: out of scope, or undecided."""
    words = {str(Outcome.OUT_OF_SCOPE): "Out of scope", str(Outcome.UNDECIDED): "Undecided"}
    parts = []
    for outcome, word in words.items():
        if names := [_name(theorem) for theorem in group.loc[group["outcome"] == outcome, "quantity"].unique()]:
            parts.append(f"{word}: {', '.join(names)}.")
    return " ".join(parts)


def _how(rungs: Table) -> str:
    """Whether the two gaps are certified everywhere."""
    return "certified" if rungs.loc[rungs["status"] == "gap", "certified"].all() else "float"


def _ladder_handles(cases: Table) -> list[Any]:
    decided = cases[cases["outcome"].isin(DECIDED)]
    topics = [topic for topic in dict.fromkeys((*TOPICS, *decided["topic"])) if (decided["topic"] == topic).any()]
    how = _how(cases)
    handles: list[Any] = [
        Line2D([], [], color=INK, linewidth=1.6, label=f"expected gap after one Alg⁽²⁾ step, {how}"),
        Line2D([], [], color=INK, linewidth=1.1, linestyle=(0, (5, 3)), label=f"gap without adaptation, {how}"),
        Patch(facecolor=BLUE, alpha=0.15, label="between the two: informative"),
        Line2D([], [], linestyle="", marker="o", markersize=7, color=VERMILLION, label="VIOLATED"),
    ]
    plain = {"linestyle": "", "markersize": 5.5, "markeredgecolor": BLUE}
    handles += [
        Line2D([], [], marker="o", markerfacecolor=fill, label=f"holds, {grade}", **plain)
        for grade, fill in GRADE_FILLS.items()
    ]
    handles += [
        Line2D(
            [],
            [],
            linestyle="",
            markersize=5.5,
            markeredgecolor=INK,
            markerfacecolor=MUTED,
            marker=TOPIC_MARKERS.get(topic, OWN_MARKER),
            label=topic,
        )
        for topic in topics
    ]
    return handles + _sign_handles(decided)


def _sign_handles(decided: Table) -> list[Line2D]:
    """What the signs in :func:`_rung_label` mean, where they occur."""
    signs = (
        ("(φ) bounds the gap without adaptation", decided["about"] == NO_ADAPTATION),
        ("⊘ refuted in general", decided["status"] == "refuted"),
    )
    return [Line2D([], [], linestyle="", label=text) for text, present in signs if present.any()]


# --- sweep ----------------------------------------------------------------------------------------


@styled
def bound_sweep(sweep: Table) -> Figure:
    """Every bound against the share of the tasks' difference; the tightest few in colour."""
    figure = new_figure(PAGE_WIDTH * 1.1, 6.2)
    panel = figure.subplots()
    decided = sweep[sweep["outcome"].isin(DECIDED)]
    values = decided.pivot(index="share", columns="quantity", values="value")
    shares = sorted(sweep["share"].unique())
    values = values.reindex(shares).clip(lower=SMALLEST_VALUE)
    references = {
        quantity: sweep[sweep["quantity"] == quantity].set_index("share")["value"].reindex(shares)
        for quantity in (GAP, NO_ADAPTATION)
    }
    lines = _coinciding(values)
    labels = {rung["quantity"]: _rung_label(rung) for rung in decided.to_dict("records")}
    # Slack in decades over the whole sweep, of bounds that are in scope throughout.
    slack = {
        names: float(np.log10(values[names[0]] / references[GAP].clip(lower=SMALLEST_VALUE)).mean(skipna=False))
        for names in lines
    }
    tightest = sorted((names for names in lines if np.isfinite(slack[names])), key=lambda names: slack[names])
    looks = dict(zip(tightest, HIGHLIGHTS, strict=False))
    ends: list[tuple[float, str, str, bool]] = []
    for names in lines:
        column = values[names[0]]
        colour, marker = looks.get(names, (MUTED, "."))
        chosen = names in looks
        panel.plot(
            shares,
            column,
            color=colour,
            marker=marker,
            markersize=4.5 if chosen else 3,
            linewidth=1.8 if chosen else 0.8,
            alpha=1.0 if chosen else 0.7,
            zorder=4 if chosen else 2,
        )
        ends.append((float(column.dropna().iloc[-1]), " = ".join(labels[name] for name in names), colour, chosen))
    panel.plot(shares, references[GAP], color=INK, linewidth=2.4, zorder=5)
    panel.plot(shares, references[NO_ADAPTATION], color=INK, linewidth=1.4, linestyle=(0, (5, 3)), zorder=5)
    ends.append((float(references[GAP].iloc[-1]), f"EXPECTED GAP, {_how(sweep)}", INK, True))
    ends.append((float(references[NO_ADAPTATION].iloc[-1]), f"NO ADAPTATION, {_how(sweep)}", INK, True))
    violated = decided[decided["outcome"] == Outcome.VIOLATED]
    panel.plot(violated["share"], violated["value"], linestyle="", marker="X", markersize=8, color=VERMILLION, zorder=6)
    panel.set_yscale("log")
    panel.set_xlim(shares[0] - 0.02, shares[-1] + 0.01)
    panel.yaxis.set_major_locator(LogLocator(numticks=12))
    panel.yaxis.set_minor_formatter(NullFormatter())
    panel.yaxis.set_major_formatter(FuncFormatter(lambda value, _: power_of_ten(value)))
    _label_ends(panel, ends, shares[-1])
    variance = sweep.groupby("share")["task_variance"].first()
    panel.set_xticks(shares, [f"{share:g}\n{three_digits(variance[share])}" for share in shares])
    panel.set_xlabel(
        "share of the difference between tasks: 0 all equal, 1 as drawn\nbelow it the task variance (nats)"
    )
    panel.set_ylabel("value (return), logarithmic")
    panel.set_title(f"{sweep['family'].iloc[0]}, λ = {sweep['lambda'].iloc[0]}: bounds against task variance")
    # A bound with a line only where it is in scope needs no footnote.
    never = sweep[~sweep["quantity"].isin(decided["quantity"])]
    _footnote(panel, _absent(never), 2 * FOOTNOTE_WIDTH, (-40, -62))
    signs = _sign_handles(decided)
    if len(violated):
        signs.append(Line2D([], [], linestyle="", marker="X", markersize=8, color=VERMILLION, label="VIOLATED"))
    if signs:
        figure.legend(handles=signs, loc="outside lower right", ncols=len(signs))
    return figure


def _coinciding(values: Table) -> list[tuple[str, ...]]:
    """Columns that agree everywhere, together."""
    groups: list[list[str]] = []
    for name in values:
        same = (g for g in groups if np.allclose(values[g[0]], values[name], rtol=SAME, atol=0, equal_nan=True))
        group = next(same, None)
        if group is None:
            groups.append([name])
        else:
            group.append(name)
    return [tuple(group) for group in groups]


def _label_ends(panel: Axes, ends: list[tuple[float, str, str, bool]], last: float) -> None:
    """One label a line at the right, moved apart where they would overlap, joined to their line's end."""
    ends = sorted(ends, key=lambda end: end[0])
    low, high = np.log10(panel.get_ylim())
    wanted = np.array([(np.log10(end[0]) - low) / (high - low) for end in ends])
    placed = _apart(wanted, 0.029)
    for (value, text, colour, bold), at in zip(ends, placed, strict=True):
        panel.annotate(
            text,
            (last, value),
            xytext=(1.05, at),
            textcoords="axes fraction",
            va="center",
            fontsize=7 if bold else 6.5,
            fontweight="bold" if bold else "normal",
            color=INK if colour == MUTED else colour,
            arrowprops={
                "arrowstyle": "-",
                "color": colour,
                "linewidth": 0.6,
                "shrinkA": 1,
                "shrinkB": 2,
                "relpos": (0, 0.5),
            },
            annotation_clip=False,
        )


def _apart(wanted: np.ndarray, distance: float) -> np.ndarray:
    """Ascending heights moved as little as it takes, in the least-squares sense, to be ``distance`` apart."""
    # Less its place times the distance, a sequence that only has to ascend: pooling neighbours solves it.
    pools: list[list[float]] = []
    for index, height in enumerate(wanted):
        pools.append([height - index * distance])
        while len(pools) > 1 and np.mean(pools[-2]) > np.mean(pools[-1]):
            pools[-2:] = [pools[-2] + pools[-1]]
    flat = np.concatenate([np.full(len(pool), np.mean(pool)) for pool in pools])
    return flat + distance * np.arange(len(wanted))
