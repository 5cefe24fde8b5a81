"""The report's figures, drawn with Matplotlib's object interface on the Agg canvas.

Colours are Okabe and Ito's, which stay apart under colour-blindness; vermillion is kept for
violations, and every series has a marker of its own besides.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from html import escape
from io import StringIO
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from bomrl_theory.adapt.adapt import algorithm_named
from bomrl_theory.report.frozen_lake import CONFIDENCE, GAP, OPTIMUM, VARIANCES
from bomrl_theory.report.table import Table
from bomrl_theory.theory.theorem import ADAPTING
from bomrl_theory.verify.verdict import Outcome

STYLE = Path(__file__).with_name("style.mplstyle")
INK, PAPER, MUTED = "#1b1b1f", "#fffffe", "#8c8c94"
BLUE, SKY, GREEN, ORANGE, VERMILLION, PURPLE = "#0072b2", "#56b4e9", "#009e73", "#e69f00", "#d55e00", "#cc79a7"
THEMED = {INK: "currentColor", PAPER: "var(--card)", BLUE: "var(--blue)"}
"""Colours that a page draws in its theme's."""
ALGORITHMS: dict[str, tuple[str, str, str]] = {
    "none": (MUTED, "s", "no adaptation"),
    "kl-prior": (BLUE, "o", r"$\mathrm{KL}(\phi\|\pi)$"),
    "kl-posterior": (GREEN, "s", r"$\mathrm{KL}(\pi\|\phi)$"),
    "euclidean": (ORANGE, "^", r"$\|\theta-\theta_\phi\|^2$"),
    "policy-gradient": (PURPLE, "D", ""),
}
"""Colour, marker and what the algorithm regularises with."""
THEOREM_COLOURS = (BLUE, GREEN, ORANGE, PURPLE, SKY, MUTED)
THEOREM_MARKERS = "osD^vP*<>hX"
SMALLEST_RATIO, SMALLEST_VALUE = 1e-6, 1e-9
"""What lies below is drawn at the edge."""
PAGE_WIDTH = 9.6


def styled(draw: Callable[..., Any]) -> Callable[..., Any]:
    """Run inside the package's style, and leave the caller's settings as they were."""

    @wraps(draw)
    def inside(*arguments: Any, **keywords: Any) -> Any:
        with matplotlib.rc_context(fname=STYLE):
            return draw(*arguments, **keywords)

    return inside


def new_figure(width: float, height: float) -> Figure:
    """Empty, in inches, with constrained layout."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def label_of(algorithm: str) -> str:
    """The algorithm as figures call it."""
    label, penalty = algorithm_named(algorithm).label, ALGORITHMS[algorithm][2]
    return f"{label}: {penalty}" if penalty and algorithm != "none" else label


@styled
def frozen_lake_returns(returns: Table, lam: str) -> Figure:
    """Expected return against the number of adaptation steps, one panel a variance setting."""
    chosen = returns[returns["lambda"] == lam]
    figure = new_figure(PAGE_WIDTH * 0.85, 3.9)
    panels = figure.subplots(1, len(VARIANCES), squeeze=False)[0]
    handles = [
        Line2D([], [], color=ALGORITHMS[name][0], marker=ALGORITHMS[name][1], label=label_of(name)) for name in ADAPTING
    ]
    handles.append(Line2D([], [], color=INK, linestyle=(0, (5, 3)), linewidth=1.1, label="optimum"))
    for panel, variance in zip(panels, VARIANCES, strict=True):
        rows = chosen[chosen["variance"] == variance]
        optimum = rows[rows["algorithm"] == OPTIMUM]
        panel.plot(optimum["step"], optimum["mean"], color=INK, linestyle=(0, (5, 3)), linewidth=1.1, zorder=5)
        for index, algorithm in enumerate(ADAPTING):
            series = rows[rows["algorithm"] == algorithm]
            colour, marker, _ = ALGORITHMS[algorithm]
            mean = series["mean"].to_numpy()
            # Small sideways steps keep coinciding intervals apart.
            at = series["step"].to_numpy() + 0.05 * (index - (len(ADAPTING) - 1) / 2)
            errors = np.abs(series[["low", "high"]].to_numpy().T - mean)
            errors = np.nan_to_num(errors)
            panel.errorbar(at, mean, errors, color=colour, marker=marker, capsize=2.5, elinewidth=1)
        panel.set_title(f"{variance} task variance, λ = {lam}")
        panel.set_xlabel("adaptation steps K")
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    panels[0].set_ylabel("expected return\n(discounted sum of rewards)")
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    return figure


@styled
def frozen_lake_gaps(gaps: Table) -> Figure:
    """The expected gap of every algorithm, as bars, with every bound on it in a row of its own below."""
    drawn = gaps[gaps["drawn"]]
    lambdas = list(dict.fromkeys(gaps["lambda"]))
    rows = list(dict.fromkeys(drawn[["algorithm", "quantity"]].itertuples(index=False, name=None)))
    order = list(ALGORITHMS)
    rows.sort(key=lambda row: (order.index(row[0]), row[1] != GAP))
    heights = _row_heights(rows)
    figure = new_figure(PAGE_WIDTH, 1.9 + len(VARIANCES) * (0.6 + 0.19 * -heights[-1]))
    panels = figure.subplots(len(VARIANCES), len(lambdas), sharey=True, sharex="row", squeeze=False)
    for line, variance in zip(panels, VARIANCES, strict=True):
        for panel, lam in zip(line, lambdas, strict=True):
            chosen = drawn[(drawn["variance"] == variance) & (drawn["lambda"] == lam)]
            _gap_panel(panel, chosen.set_index(["algorithm", "quantity"]), rows, heights)
            panel.set_title(f"{variance} task variance, λ = {lam}")
            panel.grid(visible=False, axis="y")
        _gap_limits(line[0], drawn[drawn["variance"] == variance])
    for panel in panels[:, 0]:
        panel.set_yticks(heights, [_row_label(*row) for row in rows])
        for tick, (_, quantity) in zip(panel.get_yticklabels(), rows, strict=True):
            tick.set_fontweight("bold" if quantity == GAP else "normal")
    for panel in panels[-1]:
        panel.set_xlabel("expected optimality gap E[J* − J] (return), logarithmic")
    draws = int(gaps["draws"].max())
    figure.legend(
        handles=[
            Patch(facecolor=MUTED, alpha=0.55, label=f"expected gap: mean over {draws} task families"),
            Line2D(
                [], [], color=INK, marker="|", markersize=7, label=f"{CONFIDENCE:.0%} bootstrap interval of that mean"
            ),
            Line2D([], [], color=INK, linestyle="", marker="D", label="proved bound, certified, holds on every family"),
            Line2D(
                [],
                [],
                color=VERMILLION,
                linestyle="",
                marker="X",
                markersize=7,
                label="published form, refuted without a condition on λ (in brackets: its verdicts here)",
            ),
        ],
        loc="outside lower center",
        ncols=2,
    )
    return figure


def _row_heights(rows: list[tuple[str, str]]) -> list[float]:
    """Rows downwards from 0, with more room before each algorithm."""
    heights, at = [], 0.0
    for index, (algorithm, _) in enumerate(rows):
        if index:
            at -= 1.0 if rows[index - 1][0] == algorithm else 1.5
        heights.append(at)
    return heights


def _row_label(algorithm: str, quantity: str) -> str:
    return label_of(algorithm) if quantity == GAP else quantity.rpartition("-v")[0]


def _gap_panel(panel: Axes, values: Table, rows: list[tuple[str, str]], heights: list[float]) -> None:
    for row, height in zip(rows, heights, strict=True):
        if row not in values.index:
            continue
        entry: Any = values.loc[row]
        mean, low, high = entry["mean"], entry["low"], entry["high"]
        colour = ALGORITHMS[row[0]][0]
        if row[1] == GAP:
            panel.barh(height, mean, height=0.8, color=colour, alpha=0.55)
            last = min(h for (algorithm, _), h in zip(rows, heights, strict=True) if algorithm == row[0])
            panel.plot([mean, mean], [height, last - 0.4], color=colour, linewidth=1, linestyle=(0, (2, 2)))
            if np.isfinite(low):
                panel.plot([low, high], [height, height], color=INK, linewidth=1, marker="|", markersize=5)
            value_beside(panel, max(mean, high) if np.isfinite(high) else mean, height, three_digits(mean), INK)
            continue
        refuted = entry["kind"] == "refuted"
        violated = int(entry["violated"])
        panel.plot(
            mean,
            height,
            color=VERMILLION if refuted else INK,
            marker="X" if refuted else "D",
            markersize=7 if refuted else 4,
            linestyle="",
        )
        note = three_digits(mean)
        if refuted:
            decided = f"VIOLATED {violated}" if violated else f"holds {int(entry['holds'])}"
            note += f" ({decided} of {int(entry['draws'])})"
        text = value_beside(panel, mean, height, note, VERMILLION if refuted and violated else INK)
        text.set_fontweight("bold" if refuted and violated else "normal")


def value_beside(panel: Axes, x: float, y: float, text: str, colour: str = INK, *, before: bool = False) -> Any:
    """Small text to the right of a point, or before it, readable on what is drawn there."""
    return panel.annotate(
        text,
        (x, y),
        xytext=(-6 if before else 7, -0.5),
        textcoords="offset points",
        ha="right" if before else "left",
        va="center",
        fontsize=7,
        color=colour,
        bbox={"facecolor": PAPER, "edgecolor": "none", "pad": 0.6},
    )


def three_digits(value: float) -> str:
    """Three significant digits."""
    return f"{value:#.3g}".rstrip(".")


def power_of_ten(value: float) -> str:
    """Plain between 0.001 and 1000, a power beyond."""
    if 1e-3 <= value <= 1e3:
        return f"{value:g}"
    return rf"$10^{{{round(np.log10(value))}}}$"


def _gap_limits(panel: Axes, values: Table) -> None:
    """A decade of room to the right for the numbers; bars start where the smallest interval ends."""
    numbers = values[["mean", "low"]].to_numpy(dtype=np.float64)
    positive = numbers[np.isfinite(numbers) & (numbers > 0)]
    largest = positive.max(initial=1.0)
    smallest = max(positive.min(initial=largest), largest * SMALLEST_RATIO)
    panel.set_xscale("log")
    panel.set_xlim(smallest / 2.5, largest * 12)
    panel.xaxis.set_major_locator(LogLocator(numticks=12))
    panel.xaxis.set_minor_formatter(NullFormatter())
    panel.xaxis.set_major_formatter(FuncFormatter(lambda value, _: power_of_ten(value)))


OUTCOMES = (
    (Outcome.HOLDS, "holds", INK),
    (Outcome.VIOLATED, "violated", VERMILLION),
    (Outcome.UNDECIDED, "undecided", INK),
    (Outcome.OUT_OF_SCOPE, "out of scope", INK),
)


@styled
def verdict_overview(verdicts: Table, topics: Mapping[str, str]) -> Figure:
    """For every theorem the distribution of left/bound on a logarithmic axis, and its verdict counts.

    Args:
        topics: of the theorems, in the order of the rows; each topic has a heading.
    """
    rows = _with_headings(topics)
    figure = new_figure(PAGE_WIDTH, 1.3 + 0.2 * len(rows))
    panel = figure.subplots()
    decided = _decided(verdicts)
    edges = _ratio_edges(decided["ratio"].max() if len(decided) else 1.0)
    own = dict(list(decided.groupby("theorem", sort=False)))
    counts = verdicts.groupby(["theorem", "outcome"], sort=False).size().to_dict()
    for index, (text, heading) in enumerate(rows):
        if heading:
            panel.axhline(-index, color=MUTED, linewidth=0.4, alpha=0.5, zorder=0)
            continue
        if text in own:
            _ratio_bars(panel, own[text], edges, base=-index - 0.42, height=0.84)
        for column, (outcome, _, colour) in enumerate(OUTCOMES):
            count = int(counts.get((text, str(outcome)), 0))
            _margin_text(panel, column, -index, f"{count:,}" if count else "–", colour if count else MUTED)
    for column, (_, label, _) in enumerate(OUTCOMES):
        _margin_text(panel, column, 1.0, label, INK)
    panel.axvline(1.0, color=INK, linewidth=0.9)
    panel.annotate(
        "left = bound", (1.0, 1.0), xytext=(-4, 0), textcoords="offset points", ha="right", va="center", fontsize=8
    )
    panel.set_yticks([-index for index in range(len(rows))], [text.rpartition("-v")[0] or text for text, _ in rows])
    for tick, (_, heading) in zip(panel.get_yticklabels(), rows, strict=True):
        tick.set_fontweight("bold" if heading else "normal")
    panel.tick_params(axis="y", length=0)
    panel.set_ylim(-len(rows) + 0.4, 1.5)
    panel.grid(visible=False, axis="y")
    _ratio_axis(panel, edges)
    figure.legend(handles=_outcome_handles(), loc="outside lower center", ncols=2)
    return figure


def _with_headings(topics: Mapping[str, str]) -> list[tuple[str, bool]]:
    """Rows as (text, whether it is the heading of a topic)."""
    rows: list[tuple[str, bool]] = []
    for theorem, topic in topics.items():
        if (topic, True) not in rows:
            rows.append((topic, True))
        rows.append((theorem, False))
    return rows


def ratio_counts(verdicts: Table) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Decided verdicts by left/bound: the bins' edges, and how many hold and how many are violated in each."""
    decided = _decided(verdicts)
    edges = _ratio_edges(decided["ratio"].max() if len(decided) else 1.0)
    return edges, *_binned(decided, edges)


def _decided(verdicts: Table) -> Table:
    outcomes = [str(Outcome.HOLDS), str(Outcome.VIOLATED)]
    return verdicts[verdicts["outcome"].isin(outcomes) & np.isfinite(verdicts["ratio"])]


def _ratio_edges(largest: float) -> np.ndarray:
    """Bin edges, ten a decade, with 1 among them; the first and the last bin collect what lies beyond."""
    decades = int(np.ceil(np.log10(np.clip(largest, 10, 1e6))))
    return np.logspace(np.log10(SMALLEST_RATIO), decades, 10 * (decades - round(np.log10(SMALLEST_RATIO))) + 1)


def _ratio_bars(panel: Axes, rows: Table, edges: np.ndarray, *, base: float, height: float) -> None:
    """Stacked histogram; scaled so that the tallest bar has ``height``."""
    held, violated = _binned(rows, edges)
    scale = height / max((held + violated).max(initial=0.0), 1.0)
    styles = (
        (held, 0.0, {"color": BLUE, "linewidth": 0}),
        (violated, held, {"facecolor": VERMILLION, "edgecolor": INK, "hatch": "////", "linewidth": 0.4}),
    )
    for counts, below, style in styles:
        for first, last in _runs(counts > 0):  # empty bins would be drawn as a line along the bottom
            part = slice(first, last)
            bottom = base + below * scale + np.zeros_like(counts)
            top = bottom + counts * scale
            panel.stairs(top[part], edges[first : last + 1], baseline=bottom[part], fill=True, **style)


def _runs(filled: np.ndarray) -> list[tuple[int, int]]:
    """Where stretches of true entries begin and end."""
    changes = np.flatnonzero(np.diff(np.concatenate([[0], filled.astype(int), [0]])))
    return list(zip(changes[::2].tolist(), changes[1::2].tolist(), strict=True))


def _binned(rows: Table, edges: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How many hold and how many are violated in each bin; a tie (left = bound) belongs to the bin below 1."""
    inside = np.clip(rows["ratio"].to_numpy(dtype=np.float64), edges[0] * 1.001, edges[-1] / 1.001)
    inside = np.where(inside >= 1, inside * 1.0000001, inside * 0.9999999)
    holds = (rows["outcome"] == str(Outcome.HOLDS)).to_numpy(dtype=bool)
    inside = np.where(holds, np.minimum(inside, 0.9999999), inside)
    held, violated = (np.histogram(inside[chosen], edges)[0].astype(float) for chosen in (holds, ~holds))
    return held, violated


def _ratio_axis(panel: Axes, edges: np.ndarray) -> None:
    panel.set_xscale("log")
    panel.set_xlim(edges[0], edges[-1])
    panel.xaxis.set_major_locator(LogLocator(numticks=20))
    panel.xaxis.set_minor_formatter(NullFormatter())
    panel.xaxis.set_major_formatter(
        FuncFormatter(lambda value, _: ("≤ " if value <= SMALLEST_RATIO * 1.01 else "") + power_of_ten(value))
    )
    panel.set_xlabel("left side / bound (dimensionless, logarithmic)")


def _margin_text(panel: Axes, column: int, y: float, text: str, colour: str) -> None:
    panel.annotate(
        text,
        (1.0, y),
        xycoords=("axes fraction", "data"),
        xytext=(46 + 58 * column, 0),
        textcoords="offset points",
        ha="right",
        va="center",
        fontsize=8,
        color=colour,
        annotation_clip=False,
    )


def _outcome_handles() -> list[Patch]:
    return [
        Patch(facecolor=BLUE, label="holds"),
        Patch(facecolor=VERMILLION, edgecolor=INK, hatch="////", label="violated"),
    ]


@styled
def gap_against_bound(verdicts: Table, topics: Mapping[str, str]) -> Figure:
    """Left side against bound on logarithmic axes, in the colours of topics; on the diagonal the bound is attained.

    Args:
        topics: of the theorems that are shown.
    """
    figure = new_figure(PAGE_WIDTH * 0.9, 5.2)
    panel = figure.subplots()
    decided = _decided(verdicts)
    decided = decided[decided["theorem"].isin(topics)]
    largest = 1.0
    for index, (topic, rows) in enumerate(decided.groupby(decided["theorem"].map(topics), sort=False)):
        x, y = (np.maximum(rows[side].to_numpy(), SMALLEST_VALUE) for side in ("bound", "left"))
        largest = max(largest, x.max(), y.max())
        colour = THEOREM_COLOURS[index % len(THEOREM_COLOURS)]
        marker = THEOREM_MARKERS[index % len(THEOREM_MARKERS)]
        panel.scatter(
            x, y, s=9, color=colour, marker=marker, alpha=0.35, linewidths=0, rasterized=True, label=str(topic)
        )
    broken = decided[decided["outcome"] == str(Outcome.VIOLATED)]
    panel.scatter(
        *(np.maximum(broken[side].to_numpy(), SMALLEST_VALUE) for side in ("bound", "left")),
        s=42,
        facecolors="none",
        edgecolors=VERMILLION,
        linewidths=1,
        rasterized=True,
        label="violated",
    )
    limits = SMALLEST_VALUE / 2, largest * 3
    panel.plot(limits, limits, color=INK, linewidth=0.9, label="left = bound")
    panel.set(xscale="log", yscale="log", xlim=limits, ylim=limits)
    panel.set_xlabel("bound (return)")
    panel.annotate(
        f"below {power_of_ten(SMALLEST_VALUE)}: drawn at the edge",
        (0.98, SMALLEST_VALUE),
        xycoords=("axes fraction", "data"),
        xytext=(0, 6),
        textcoords="offset points",
        ha="right",
        fontsize=7.5,
    )
    panel.set_ylabel("optimality gap (return)")
    for handle in figure.legend(loc="outside right upper").legend_handles:
        handle.set_alpha(1)  # pyright: ignore[reportOptionalMemberAccess]
    return figure


METADATA: dict[str, dict[str, Any]] = {
    "png": {},
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "ModDate": None},
}


@styled
def save(figure: Figure, directory: Path, stem: str, kinds: Iterable[str] = tuple(METADATA)) -> list[Path]:
    """PNG (200 dpi), SVG and PDF, without dates: the same data give the same bytes."""
    paths = [directory / f"{stem}.{kind}" for kind in kinds]
    for path, kind in zip(paths, kinds, strict=True):
        figure.savefig(path, format=kind, metadata=METADATA[kind])
    return paths


@styled
def svg(figure: Figure) -> str:
    """The figure as SVG text."""
    buffer = StringIO()
    figure.savefig(buffer, format="svg", metadata=METADATA["svg"])
    return buffer.getvalue()


def inline(text: str, name: str, description: str) -> str:
    """An SVG file's text made ready for a page: transparent, in the page's ink, with ids of its own."""
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'<g id="patch_1">.*?</g>', "", text, count=1, flags=re.DOTALL)  # the background
    text = re.sub(r'\s(?:xmlns(?::\w+)?|version)="[^"]*"', "", text)
    text = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', text)
    text = re.sub(r'href="#([^"]+)"', rf'href="#{name}-\1"', text)
    text = re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", text)
    for colour, themed in THEMED.items():
        text = text.replace(colour, themed)
    return text.replace("<svg ", f'<svg role="img" aria-label="{escape(description, quote=True)}" ', 1).strip()
