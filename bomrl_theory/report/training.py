"""Figures of the meta-training experiment: returns against adaptation steps, and gaps beside their bounds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from bomrl_theory.adapt.adapt import algorithm_named
from bomrl_theory.meta.learner import learner_named
from bomrl_theory.report.figures import (
    ALGORITHMS,
    INK,
    MUTED,
    PAGE_WIDTH,
    PAPER,
    PURPLE,
    VERMILLION,
    new_figure,
    power_of_ten,
    styled,
    three_digits,
    value_beside,
)
from bomrl_theory.report.frozen_lake import CONFIDENCE, VARIANCES
from bomrl_theory.report.table import Table

OURS = ("kl-prior", "kl-posterior", "euclidean")
SMALLEST = 1e-7
"""Smaller gaps are drawn at the left edge."""


def short(algorithm: str) -> str:
    """The algorithm's label without its penalty."""
    return algorithm_named(algorithm).label


def best_settings(gaps: Table, learner: str, variance: str) -> str:
    """The setting in which a learner's mean gap after one step is smallest: tuned in hindsight."""
    chosen = gaps[(gaps["kind"] == "gap") & (gaps["learner"] == learner) & (gaps["variance"] == variance)]
    return str(chosen.loc[chosen["mean"].idxmin(), "setting"])


@styled
def returns_figure(returns: Table, steps: int) -> Figure:
    """Expected return against the number of adaptation steps, a panel for each variance and lambda."""
    lambdas = [setting for setting in dict.fromkeys(returns["setting"]) if setting.startswith("λ")]
    figure = new_figure(PAGE_WIDTH, 6.4)
    panels = figure.subplots(len(VARIANCES), len(lambdas), squeeze=False, sharey="row")
    for line, variance in zip(panels, VARIANCES, strict=True):
        here = returns[(returns["variance"] == variance) & (returns["step"] <= steps)]
        tuned = here[(here["learner"] == "maml") & (here["step"] == 1)]
        best = str(tuned.loc[tuned["mean"].idxmax(), "setting"])
        for panel, setting in zip(line, lambdas, strict=True):
            _return_panel(panel, here, setting, best)
            panel.set_title(f"{variance} task variance, {setting}")
            panel.xaxis.set_major_locator(MaxNLocator(integer=True))
        line[0].set_ylabel("expected return\n(discounted sum of rewards)")
    for panel in panels[-1]:
        panel.set_xlabel("adaptation steps K, one policy evaluation each")
    handles = [
        Line2D([], [], color=ALGORITHMS[name][0], marker=ALGORITHMS[name][1], label=f"BO-MRL, {short(name)}")
        for name in OURS
    ]
    handles += [
        Line2D([], [], color=PURPLE, marker="D", label="MAML, best step size (named in the panel)"),
        Line2D([], [], color=PURPLE, marker="D", mfc=PAPER, linestyle=":", label="MAML, α = 1"),
        Line2D([], [], color=MUTED, marker="v", label=f"random initialisation, {short('kl-posterior')}"),
        Line2D([], [], color=INK, linestyle=(0, (5, 3)), linewidth=1.1, label="optimum"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=4)
    return figure


def _return_panel(panel: Axes, rows: Table, setting: str, best: str) -> None:
    optimum = float(rows[rows["learner"] == "optimum"]["mean"].iloc[0])
    panel.axhline(optimum, color=INK, linestyle=(0, (5, 3)), linewidth=1.1)
    series: list[tuple[str, str, str, str, str, str, str | None]] = [
        ("bo-mrl", name, setting, *ALGORITHMS[name][:2], "-", None) for name in OURS
    ]
    series.append(("maml", "policy-gradient", best, PURPLE, "D", "-", None))
    if best != "α = 1":
        series.append(("maml", "policy-gradient", "α = 1", PURPLE, "D", ":", PAPER))
    series.append(("random", "kl-posterior", setting, MUTED, "v", "-", None))
    for index, (learner, algorithm, chosen, colour, marker, dashes, face) in enumerate(series):
        line = rows[(rows["learner"] == learner) & (rows["algorithm"] == algorithm) & (rows["setting"] == chosen)]
        mean = line["mean"].to_numpy()
        # Small sideways steps keep coinciding intervals apart.
        at = line["step"].to_numpy() + 0.05 * (index - (len(series) - 1) / 2)
        errors = np.nan_to_num(np.abs(line[["low", "high"]].to_numpy().T - mean))
        look: dict[str, Any] = {"color": colour, "marker": marker, "linestyle": dashes}
        panel.errorbar(at, mean, errors, capsize=2.5, elinewidth=1, mfc=face or colour, **look)
    panel.text(0.98, 0.05, f"MAML's best: {best}", transform=panel.transAxes, ha="right", fontsize=7, color=PURPLE)


@dataclass(frozen=True)
class Row:
    """One line of a panel of :func:`gaps_figure`: a bar, or the bounds on the bar above it."""

    learner: str
    algorithm: str
    kind: str


ROWS = (
    Row("bo-mrl", "kl-posterior", "gap without adaptation"),
    Row("bo-mrl", "kl-posterior", "bounds without adaptation"),
    *(Row("bo-mrl", algorithm, kind) for algorithm in OURS for kind in ("gap", "bounds", "published")),
    *(
        Row(name, algorithm, "gap")
        for name, algorithm in (
            ("bo-mrl-first-order", "kl-posterior"),
            ("maml", "policy-gradient"),
            ("fomaml", "policy-gradient"),
            ("e-maml", "policy-gradient"),
            ("promp", "policy-gradient"),
            ("reptile", "policy-gradient"),
            ("joint", "kl-posterior"),
            ("barycentre", "kl-posterior"),
            ("random", "kl-posterior"),
        )
    ),
)


def _drawn_rows(bounds: Table) -> list[Row]:
    """The published form has a row where it says something."""
    published = bounds[bounds["status_of_theorem"] == "refuted"]
    return [row for row in ROWS if row.kind != "published" or row.algorithm in set(published["algorithm"])]


@styled
def gaps_figure(gaps: Table, bounds: Table) -> Figure:
    """The expected gap after one step of every learner as bars, and every valid bound on BO-MRL's as diamonds."""
    lambdas = [setting for setting in dict.fromkeys(gaps["setting"]) if setting.startswith("λ")]
    rows = _drawn_rows(bounds)
    heights = _heights(rows)
    figure = new_figure(PAGE_WIDTH, 1.6 + len(VARIANCES) * (0.6 + 0.2 * -heights[-1]))
    panels = figure.subplots(len(VARIANCES), len(lambdas), squeeze=False, sharey=True, sharex=True)
    for line, variance in zip(panels, VARIANCES, strict=True):
        for panel, setting in zip(line, lambdas, strict=True):
            for row, height in zip(rows, heights, strict=True):
                _draw_row(panel, gaps, bounds, row, height, variance, setting)
            panel.set_title(f"{variance} task variance, {setting}")
            panel.grid(visible=False, axis="y")
        line[0].set_yticks(heights, [_label(row) for row in rows])
        for tick, row in zip(line[0].get_yticklabels(), rows, strict=True):
            tick.set_fontweight("bold" if row.learner == "bo-mrl" and row.kind.startswith("gap") else "normal")
    panels[0, 0].set_xscale("log")
    panels[0, 0].set_xlim(SMALLEST, 3e4)
    panels[0, 0].xaxis.set_major_locator(LogLocator(numticks=12))
    panels[0, 0].xaxis.set_minor_formatter(NullFormatter())
    panels[0, 0].xaxis.set_major_formatter(FuncFormatter(lambda value, _: power_of_ten(value)))
    for panel in panels[-1]:
        panel.set_xlabel("expected optimality gap E[J* − J] (return), logarithmic")
    draws = int(gaps["draws"].max())
    figure.legend(
        handles=[
            Patch(facecolor=MUTED, alpha=0.55, label=f"expected gap: mean over {draws} task families"),
            Line2D([], [], color=INK, marker="|", markersize=7, label=f"{CONFIDENCE:.0%} bootstrap interval"),
            Line2D([], [], color=INK, linestyle="", marker="D", markersize=4, label="valid bound, certified"),
            Line2D([], [], color=VERMILLION, linestyle="", marker="X", label="published form, refuted in general"),
        ],
        loc="outside lower center",
        ncols=2,
    )
    return figure


def _heights(rows: list[Row]) -> list[float]:
    """Downwards from 0, with more room before each bar that bounds follow."""
    heights, at = [], 0.0
    for index, row in enumerate(rows):
        if index:
            at -= 1.5 if row.learner == "bo-mrl" and row.kind == "gap" else 1.0
        if row.learner == "bo-mrl-first-order":
            at -= 0.5
        heights.append(at)
    return heights


def _label(row: Row) -> str:
    if row.kind.startswith("bounds"):
        return "valid bounds"
    if row.kind == "published":
        return "published form"
    if row.kind == "gap without adaptation":
        return f"BO-MRL, {short(row.algorithm)}: no step"
    label = learner_named(row.learner).label
    return f"{label}, {short(row.algorithm)}" if row.learner == "bo-mrl" else label


def _draw_row(panel: Axes, gaps: Table, bounds: Table, row: Row, height: float, variance: str, setting: str) -> None:
    if not row.kind.startswith("gap"):
        _draw_bounds(panel, bounds, row, height, variance, setting)
        return
    chosen = gaps[
        (gaps["variance"] == variance)
        & (gaps["learner"] == row.learner)
        & (gaps["algorithm"] == row.algorithm)
        & (gaps["kind"] == row.kind)
    ]
    tuned = row.algorithm == "policy-gradient"
    entry: Any = chosen.loc[chosen["mean"].idxmin()] if tuned else chosen[chosen["setting"] == setting].iloc[0]
    mean, low, high = (max(float(entry[name]), SMALLEST) for name in ("mean", "low", "high"))
    colour = ALGORITHMS[row.algorithm if row.kind == "gap" else "none"][0]
    panel.barh(height, mean, height=0.8, color=colour, alpha=0.55 if row.learner == "bo-mrl" else 0.3)
    if np.isfinite(low):
        panel.plot([low, high], [height, height], color=INK, linewidth=1, marker="|", markersize=5)
    note = three_digits(float(entry["mean"])) if entry["mean"] >= SMALLEST else f"{entry['mean']:.1g}"
    value_beside(panel, np.nanmax([mean, high]), height, f"{note} ({entry['setting']})" if tuned else note, INK)


def _draw_bounds(panel: Axes, bounds: Table, row: Row, height: float, variance: str, setting: str) -> None:
    """Diamonds at the means of the bounds that hold on every family; the smallest has its name beside it."""
    here = bounds[
        (bounds["variance"] == variance) & (bounds["algorithm"] == row.algorithm) & (bounds["setting"] == setting)
    ]
    here = here[here["without_adaptation"] == (row.kind == "bounds without adaptation")]
    if row.kind == "published":
        for _, entry in here[here["status_of_theorem"] == "refuted"].iterrows():
            violated, draws = int(entry["violated"]), int(entry["draws"])
            panel.plot(entry["mean"], height, color=VERMILLION, marker="X", markersize=7, linestyle="")
            says = f"VIOLATED on {violated} of {draws}" if violated else f"holds on {int(entry['holds'])} of {draws}"
            text = f"{three_digits(float(entry['mean']))} ({says})"
            value_beside(panel, float(entry["mean"]), height, text, VERMILLION if violated else INK)
        return
    valid = here[(here["status_of_theorem"] == "proved") & here["certified"] & (here["holds"] == here["draws"])]
    if valid.empty:
        return
    values = valid["mean"].to_numpy(dtype=np.float64)
    panel.plot(values, np.full(len(values), height), color=INK, marker="D", markersize=3.5, linestyle="")
    best: Any = valid.loc[valid["mean"].idxmin()]
    name = str(best["theorem"]).rpartition("-v")[0]
    mean = float(best["mean"])
    value_beside(panel, mean, height, f"{name} {three_digits(mean)}", before=True)
