"""Figures of the sweeps: a gap and its bounds against one parameter."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from bomrl_theory.meta.learner import learner_named
from bomrl_theory.report.figures import (
    BLUE,
    GREEN,
    INK,
    MUTED,
    ORANGE,
    PAGE_WIDTH,
    PURPLE,
    SKY,
    VERMILLION,
    new_figure,
    power_of_ten,
    styled,
)
from bomrl_theory.report.table import Table

NO_STEP = "without adaptation"
UNSEEN_GAP = "mean gap on unseen tasks"
UNSEEN_BOUND = "bound on the expected gap of unseen tasks"
SMALLEST = 1e-8
"""Smaller values are drawn at the lower edge."""
AXES = {
    "lambda": "regularisation λ (return), logarithmic",
    "gamma": "discount γ",
    "variance": "share of the tasks' difference (0: all tasks equal)",
}
SERIES: dict[tuple[str, str], tuple[str, str, Any, str]] = {
    ("bo-mrl", "kl-posterior"): (GREEN, "s", "-", "gap, BO-MRL, Alg⁽²⁾"),
    ("bo-mrl", "kl-prior"): (BLUE, "o", "-", "gap, BO-MRL, Alg⁽¹⁾"),
    ("barycentre", "kl-posterior"): (GREEN, "s", ":", "gap, barycentre, Alg⁽²⁾"),
    ("barycentre", "kl-prior"): (BLUE, "o", ":", "gap, barycentre, Alg⁽¹⁾"),
    (NO_STEP, "kl-posterior"): (MUTED, "", "--", "gap of BO-MRL, Alg⁽²⁾, without adaptation"),
    ("lookahead_5", "kl-posterior"): (SKY, "^", "-", "bound lookahead_5"),
    ("contraction_task_average", "kl-posterior"): (INK, "D", "-", "bound contraction_task_average"),
    ("task_variance_tv", "kl-posterior"): (ORANGE, "v", "-", "bound task_variance_tv"),
    ("no_adaptation", "kl-posterior"): (PURPLE, "<", "-", "bound no_adaptation"),
    ("published_bound", "kl-posterior"): (VERMILLION, "", "-.", "published form, refuted in general"),
}
"""Colour, marker, dashes and label; bounds are those on BO-MRL's meta-policy with Alg(2)."""
LEARNERS: dict[str, tuple[str, str]] = {
    "bo-mrl": (GREEN, "s"),
    "maml": (PURPLE, "D"),
    "joint": (ORANGE, "^"),
    "barycentre": (MUTED, "v"),
}


@styled
def sweep_figure(table: Table, sweep: str) -> Figure:
    """One panel a variance setting; where the published form is violated, a cross."""
    variances = list(dict.fromkeys(table["variance"]))
    figure = new_figure(PAGE_WIDTH if len(variances) > 1 else PAGE_WIDTH * 0.7, 5.2)
    panels = figure.subplots(1, len(variances), squeeze=False, sharey=True)[0]
    for panel, variance in zip(panels, variances, strict=True):
        here = table[table["variance"] == variance]
        for (quantity, algorithm), look in SERIES.items():
            series = here[(here["quantity"] == quantity) & (here["algorithm"] == algorithm)]
            _line(panel, series, look[0], look[1], look[2])
            crossed = series[series["violated"] > 0]
            panel.plot(crossed["x"], crossed["mean"], color=VERMILLION, marker="X", markersize=8, linestyle="")
        if sweep == "lambda":
            panel.set_xscale("log")
        title = "Frozen Lake, from equal tasks to high variance" if sweep == "variance" else f"{variance} task variance"
        panel.set_title(title)
        panel.set_xlabel(AXES[sweep])
    _logarithmic(panels[0], table)
    panels[0].set_ylabel("expected optimality gap after one step\n(return), logarithmic")
    handles = [
        Line2D([], [], color=colour, marker=marker, linestyle=dashes, label=label)
        for colour, marker, dashes, label in SERIES.values()
    ]
    handles.append(
        Line2D([], [], color=VERMILLION, marker="X", markersize=8, linestyle="", label="VIOLATED on a draw, certified")
    )
    figure.legend(handles=handles, loc="outside lower center", ncols=3 if len(variances) > 1 else 2)
    return figure


@styled
def unseen_figure(table: Table, settings: dict[str, str]) -> Figure:
    """Gap on unseen tasks against the number of training tasks, with the statistical bound.

    Args:
        settings: how each learner adapts, for the legend.
    """
    variances = list(dict.fromkeys(table["variance"]))
    figure = new_figure(PAGE_WIDTH, 4.6)
    panels = figure.subplots(1, len(variances), squeeze=False, sharey=True)[0]
    for panel, variance in zip(panels, variances, strict=True):
        for learner, (colour, marker) in LEARNERS.items():
            here = table[(table["variance"] == variance) & (table["learner"] == learner)]
            _line(panel, here[here["quantity"] == UNSEEN_GAP], colour, marker, "-")
            _line(panel, here[here["quantity"] == "gap on the training tasks"], colour, marker, ":")
            if learner == "bo-mrl":
                _line(panel, here[here["quantity"] == UNSEEN_BOUND], INK, "", (0, (5, 3)))
        panel.set_xscale("log")
        panel.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        panel.set_title(f"{variance} task variance")
        panel.set_xlabel("number of training tasks, logarithmic")
    _logarithmic(panels[0], table)
    panels[0].set_ylabel("expected optimality gap after one step\n(return), logarithmic")
    handles = [
        Line2D(
            [], [], color=colour, marker=marker, label=f"{learner_named(name).label} ({settings[name]}), unseen tasks"
        )
        for name, (colour, marker) in LEARNERS.items()
    ]
    handles += [
        Line2D([], [], color=MUTED, linestyle=":", label="dotted: on the training tasks"),
        Line2D([], [], color=INK, linestyle=(0, (5, 3)), label="BO-MRL: empirical Bernstein bound, level 95 %"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3)
    return figure


def _line(panel: Axes, series: Table, colour: str, marker: str, dashes: Any) -> None:
    """The mean, with its interval as a band."""
    if series.empty:
        return
    at = series["x"].to_numpy(dtype=np.float64)
    mean, low, high = (
        np.maximum(series[name].to_numpy(dtype=np.float64), SMALLEST) for name in ("mean", "low", "high")
    )
    panel.plot(at, mean, color=colour, marker=marker, markersize=4, linestyle=dashes)
    panel.fill_between(at, low, high, color=colour, alpha=0.15, linewidth=0)


def _logarithmic(panel: Axes, table: Table) -> None:
    """From a little below the smallest mean that is drawn."""
    panel.set_yscale("log")
    panel.set_ylim(bottom=max(SMALLEST, table["mean"].min() / 3))
    panel.yaxis.set_major_locator(LogLocator(numticks=14))
    panel.yaxis.set_minor_formatter(NullFormatter())
    panel.yaxis.set_major_formatter(FuncFormatter(lambda value, _: power_of_ten(value)))
