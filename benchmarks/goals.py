"""What was wanted of speed and size, and whether the measured figures reach it."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass

from measure import Results

QUANTECON = ("quantecon PI", "quantecon PI, built and solved")
PYMDPTOOLBOX = ("pymdptoolbox PI", "pymdptoolbox PI, built and solved")
GIB = 1024


@dataclass(frozen=True)
class Goal:
    """One line of the summary.

    Attributes:
        text: what is measured.
        wanted: the figure to reach.
        figure: from the records; a KeyError says that it was not measured.
        unit: of both figures.
        at_least: whether ``wanted`` is the least that will do, else the most.
    """

    text: str
    wanted: float
    figure: Callable[[Results], float]
    unit: str = ""
    at_least: bool = True

    def line(self, results: Results) -> str:
        """Goal, wanted figure, measured figure, and "met", "missed" or "not measured"."""
        wanted = f"{'at least' if self.at_least else 'at most'} {_written(self.wanted)}{self.unit}"
        try:
            figure = self.figure(results)
        except KeyError:
            return f"| {self.text} | {wanted} | | not measured |"
        met = figure >= self.wanted if self.at_least else figure <= self.wanted
        return f"| {self.text} | {wanted} | {_written(figure)}{self.unit} | {'met' if met else '**missed**'} |"


def _written(figure: float) -> str:
    return f"{figure:,.0f}" if figure >= 100 else f"{figure:.3g}"


def faster(table: str, ours: str, *theirs: str) -> Callable[[Results], float]:
    """Their median CPU time over ours; the least ratio where they have several rows."""

    def ratio(results: Results) -> float:
        seconds = {name: statistics.median(results[table][name]["cpu"]) for name in (ours, *theirs)}
        return min(seconds[name] for name in theirs) / seconds[ours]

    return ratio


def wall(table: str, row: str) -> Callable[[Results], float]:
    """Median wall time in seconds."""
    return lambda results: statistics.median(results[table][row]["wall"])


def achieved(table: str, row: str, what: str) -> Callable[[Results], float]:
    """A figure of the outcome."""
    return lambda results: results[table][row]["outcome"][what]


def peak(table: str, row: str) -> Callable[[Results], float]:
    """Peak memory in MB."""
    return lambda results: results[table][row]["peak_mb"]


def _against_quantecon(table: str, what: str) -> Goal:
    return Goal(f"{what}, certified: times as fast as quantecon", 1, faster(table, "ours, certified", "quantecon MPI"))


_MILLION = ("million-verdict", "sparse-garnet, kl-posterior")
GOALS = (
    Goal("10,000 small MDPs, uncertified: times as fast as quantecon", 15, faster("batch", "ours, float", *QUANTECON)),
    Goal("the same, certified", 10, faster("batch", "ours, certified", *QUANTECON)),
    Goal(
        "10,000 small MDPs, uncertified: times as fast as pymdptoolbox",
        100,
        faster("batch", "ours, float", *PYMDPTOOLBOX),
    ),
    Goal("the same, certified", 60, faster("batch", "ours, certified", *PYMDPTOOLBOX)),
    Goal(
        "10,000 small MDPs, uncertified: time over that of plain C",
        1.5,
        faster("batch", "plain C", "ours, float"),
        at_least=False,
    ),
    _against_quantecon("dense", "dense, 2,000 states"),
    _against_quantecon("sparse", "sparse, 100,000 states"),
    _against_quantecon("grid-0.99", "slippery grid, 100,000 states"),
    _against_quantecon("million", "sparse, 1,000,000 states"),
    Goal(
        "sparse, 1,000,000 states: certified radius of the optimum",
        1e-8,
        achieved("million", "ours, certified", "radius"),
        at_least=False,
    ),
    Goal("sparse, 1,000,000 states: whole verdicts certified to hold", 1, achieved(*_MILLION, "certified to hold")),
    Goal("the same: peak memory", 2 * GIB, peak(*_MILLION), " MB", at_least=False),
    Goal("campaign: certified cases", 1_000_000, achieved("campaign", "ours, certified", "cases")),
    Goal("the same: wall time on two processes", 900, wall("campaign", "ours, certified"), " s", at_least=False),
    Goal("the same: undecided verdicts", 0, achieved("campaign", "ours, certified", "undecided"), at_least=False),
)


def summary(results: Results) -> str:
    """Markdown, computed from the records."""
    lines = ["## Summary", "", "| goal | wanted | measured | |", "|---|---|---:|---|"]
    return "\n".join([*lines, *(goal.line(results) for goal in GOALS), ""])
