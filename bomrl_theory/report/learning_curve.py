"""Learning curves of training runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from bomrl_theory.meta.learner import learner_named
from bomrl_theory.meta.train import Training
from bomrl_theory.report.figures import BLUE, MUTED, new_figure, styled
from bomrl_theory.tasks.files import replacing

if TYPE_CHECKING:  # torch may be missing
    from bomrl_theory.control.record import Record


@styled
def draw_learning_curve(training: Training, path: Path) -> None:
    """The exact expected gaps, before and after adaptation, against the meta-iteration; PNG.

    Raises:
        InvalidFile: the place cannot be written.
    """
    figure = new_figure(5.2, 3.2)
    axes = figure.subplots()
    iteration = training.column("iteration")
    marker = "o" if len(iteration) == 1 else ""
    for name, colour, label in (("gap_before", MUTED, "before adaptation"), ("gap_after", BLUE, "after adaptation")):
        axes.plot(iteration, training.column(name), color=colour, marker=marker, label=label)
    gaps = np.concatenate([training.column("gap_before"), training.column("gap_after")])
    if np.all(gaps > 0) and gaps.max() > 20 * gaps.min():
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())
    config = training.config
    how = "" if config.algorithm == "none" else f", $\\lambda$ = {float(config.lam):g}"
    axes.set(
        xlabel="meta-iteration",
        ylabel="expected optimality gap",
        title=f"{learner_named(config.learner).label}, {config.algorithm}{how}, {config.rule}",
    )
    axes.legend()
    with replacing(path) as temporary:
        figure.savefig(temporary)


@styled
def draw_returns(log: Sequence[Record], title: str, path: Path) -> None:
    """The returns of one run on sampled tasks, before and after adaptation, against environment steps; PNG.

    Raises:
        InvalidFile: the place cannot be written.
    """
    figure = new_figure(5.2, 3.2)
    axes = figure.subplots()
    steps = np.array([record.steps for record in log])
    marker = "o" if len(steps) == 1 else ""
    for name, colour, label in (
        ("return_before", MUTED, "before adaptation"),
        ("return_after", BLUE, "after adaptation"),
    ):
        axes.plot(steps, [getattr(record, name) for record in log], color=colour, marker=marker, label=label)
    axes.set(xlabel="environment steps", ylabel="return", title=title)
    axes.legend()
    with replacing(path) as temporary:
        figure.savefig(temporary)
