"""Learning curves of several learners on sampled tasks, over seeds."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bomrl_theory.report.figures import (
    BLUE,
    GREEN,
    INK,
    MUTED,
    ORANGE,
    PAGE_WIDTH,
    PURPLE,
    SKY,
    new_figure,
    styled,
)
from bomrl_theory.report.table import Table

LOOKS = ((BLUE, "o"), (ORANGE, "^"), (GREEN, "s"), (PURPLE, "D"), (SKY, "v"), (INK, "P"), (MUTED, "X"))
"""Colour and marker of each learner, in order of appearance."""
MARKERS = 8
"""Marks along a curve."""


@styled
def control_curves(curves: Table, references: Table) -> Figure:
    """Return after adaptation against environment steps, a panel a family, a curve a learner, with bands.

    Args:
        curves: columns ``family``, ``label``, ``steps``, ``value``, ``low``, ``high``.
        references: columns ``family``, ``label``, ``value``: horizontal lines.
    """
    families = list(dict.fromkeys(curves["family"]))
    labels = list(dict.fromkeys(curves["label"]))
    columns = min(2, len(families))
    rows = -(-len(families) // columns)
    figure = new_figure(PAGE_WIDTH * (0.55 if columns == 1 else 1), 3.4 * rows)
    panels = figure.subplots(rows, columns, squeeze=False)
    for axes, family in zip(panels.flat, families, strict=False):
        here = curves[curves["family"] == family]
        for label in labels:
            _curve(axes, here[here["label"] == label], label, *LOOKS[labels.index(label) % len(LOOKS)])
        for _, line in references[references["family"] == family].iterrows():
            axes.axhline(line["value"], color=MUTED, linestyle="--", label=line["label"])
        axes.set(title=family, xlabel="environment steps", ylabel="return after one adaptation")
    for axes in list(panels.flat)[len(families) :]:
        axes.remove()
    handles, names = panels.flat[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=min(4, len(names)))
    return figure


def _curve(axes: Axes, points: Table, label: str, colour: str, marker: str) -> None:
    if not len(points):
        return
    x, every = points["steps"].to_numpy(dtype=float), max(1, len(points) // MARKERS)
    axes.plot(x, points["value"].to_numpy(dtype=float), color=colour, marker=marker, markevery=every, label=label)
    axes.fill_between(
        x, points["low"].to_numpy(dtype=float), points["high"].to_numpy(dtype=float), color=colour, alpha=0.18, lw=0
    )
