"""Figure of sampled adaptation on linear-quadratic control: gap, loss and hypergradient against sample size."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from bomrl_theory.report.figures import (
    ALGORITHMS,
    BLUE,
    GREEN,
    INK,
    MUTED,
    ORANGE,
    PAGE_WIDTH,
    new_figure,
    power_of_ten,
    styled,
)
from bomrl_theory.report.table import Table

GAPS: dict[str, tuple[str, str, Any, str]] = {
    "bound, section 2": (ORANGE, "v", "-", "bound for the exact step (section 2)"),
    "bound, section 6": (BLUE, "^", "-", "bound for the sampled step (section 6)"),
    "gap of the meta-policy": (MUTED, "", "--", "without adaptation"),
    "gap, sampled": (GREEN, "s", "-", "gap, sampled"),
    "gap, closed form": (INK, "", (0, (5, 3)), "gap, closed form"),
}
"""Colour, marker, dashes and label."""
NAMES = {"kl-prior": "Alg⁽¹⁾", "kl-posterior": "Alg⁽²⁾", "euclidean": "Alg⁽³⁾"}
ONE_PERCENT = 0.01


@styled
def samples_figure(table: Table, lam: float) -> Figure:
    """Three panels; bands hold the middle 80 % of the draws, of what depends on the sample.

    Args:
        table: columns algorithm, quantity, x, low, median, high.
        lam: regularisation, for the title.
    """
    figure = new_figure(PAGE_WIDTH, 4.3)
    gaps, losses, angles = figure.subplots(1, 3)
    posterior = table[table["algorithm"] == "kl-posterior"]
    for quantity, (colour, marker, dashes, label) in GAPS.items():
        band = quantity == "gap, sampled"
        _line(gaps, posterior[posterior["quantity"] == quantity], colour, marker, dashes, label, band=band)
    gaps.set_title(f"gap of Alg⁽²⁾, λ = {lam:g}")
    gaps.set_ylabel("expected optimality gap (return)")
    _line(losses, posterior[posterior["quantity"] == "loss"], GREEN, "s", "-", "median over draws")
    losses.axhline(ONE_PERCENT, color=INK, linewidth=0.8, linestyle=":", label="1 %")
    losses.set_title("return lost by sampling")
    losses.set_ylabel("|J(sampled) − J(closed form)| / |J|")
    for algorithm, name in NAMES.items():
        colour, marker, _ = ALGORITHMS[algorithm]
        for quantity, dashes, label in (("cosine", "-", name), ("cosine, frozen data", ":", "")):
            series = table[(table["algorithm"] == algorithm) & (table["quantity"] == quantity)]
            series = series.assign(low=1 - series["high"], median=1 - series["median"], high=1 - series["low"])
            _line(angles, series, colour, marker, dashes, label, band=quantity == "cosine")
    angles.plot([], [], color=MUTED, linestyle=":", label="dotted: frozen data")
    angles.axhline(ONE_PERCENT, color=INK, linewidth=0.8, linestyle=":")
    angles.set_title("hypergradient")
    angles.set_ylabel("1 − cosine with the exact one")
    for panel in (gaps, losses, angles):
        panel.set_xscale("log")
        panel.set_yscale("log")
        panel.set_xlabel("steps of each task, logarithmic")
        panel.yaxis.set_major_formatter(FuncFormatter(lambda value, _: power_of_ten(value)))
        panel.xaxis.set_major_formatter(FuncFormatter(lambda value, _: power_of_ten(value)))
    gaps.yaxis.set_minor_formatter(NullFormatter())
    gaps.legend(loc="upper center", bbox_to_anchor=(0.45, -0.2))
    losses.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2))
    angles.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2)
    return figure


def _line(panel: Axes, series: Table, colour: str, marker: str, dashes: Any, label: str, *, band: bool = True) -> None:
    """The median, with its band if wanted."""
    series = series.sort_values("x")
    at, low, median, high = (series[name].to_numpy(dtype=np.float64) for name in ("x", "low", "median", "high"))
    panel.plot(at, median, color=colour, marker=marker, markersize=4, linestyle=dashes, label=label or "_")
    finite = np.isfinite(high) & band
    panel.fill_between(at[finite], low[finite], high[finite], color=colour, alpha=0.15, linewidth=0)
