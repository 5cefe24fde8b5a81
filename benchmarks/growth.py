"""How time and memory grow with the size, and how far they are from the machine's limit."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import large
import numpy as np
import small
import verdicts
from limits import Limits
from measure import Prepare, Results, Row, duration, span


@dataclass(frozen=True)
class Series:
    """One quantity that grows.

    Attributes:
        name: for ``--only``.
        title: with what stays fixed.
        grows: what the sizes are.
        sizes: full; with ``--quick`` the first.
        prepare: from a size to the work, which says what it needs.
    """

    name: str
    title: str
    grows: str
    sizes: tuple[int, ...]
    prepare: Prepare

    def rows(self, *, quick: bool) -> dict[str, Row]:
        sizes = self.sizes[: 1 if quick else None]
        return {f"{size:,}": Row(size, self.sizes[0], 5, self.prepare) for size in sizes}

    def markdown(self, results: Results) -> str:
        """A line for each size, with the fitted exponent and the distance to the limit where they are known."""
        found, limits = results[self.name], Limits.found(results)
        records = {name: found[name] for name in self.rows(quick=False) if name in found}
        measured = [record for record in records.values() if "error" not in record]
        lines = [f"## {self.title[0].upper()}{self.title[1:]}", ""]
        if len(measured) > 2:
            slope, error = exponent([record["size"] for record in measured], [_seconds(record) for record in measured])
            lines += [f"CPU time grows as {self.grows}^{slope:.2f} (standard error {error:.2f}).", ""]
        lines.append(f"| {self.grows} | CPU | span | MB | limit | bound by | times the limit |")
        lines.append("|---:|---:|---|---:|---:|---|---:|")
        for name, record in records.items():
            if "error" in record:
                lines.append(f"| {name} | {record['error']} | | | | | |")
                continue
            cpu = [one * record["units"] for one in record["cpu"]]
            cells = [name, duration(_seconds(record)), span(cpu), f"{record['peak_mb']:,.0f}"]
            if limits:
                least, by = limits.of(record)
                cells += [duration(least), by, f"{_seconds(record) / least:.1f}"]
            else:
                cells += ["", "", ""]
            lines.append("| " + " | ".join(cells) + " |")
        return "\n".join([*lines, ""])


def _seconds(record: dict[str, Any]) -> float:
    """Median CPU time of a call."""
    return statistics.median(record["cpu"]) * record["units"]


def exponent(sizes: Sequence[float], times: Sequence[float]) -> tuple[float, float]:
    """Slope of log time against log size, without the smallest sizes (fewer than half), and its standard error."""
    from scipy.stats import linregress

    first = len(sizes) // 2 - 1
    fit: Any = linregress(np.log(sizes[first:]), np.log(times[first:]))
    return float(fit.slope), float(fit.stderr)


GROWTH = (
    Series(
        "tasks",
        "certified optima, Garnet tasks of 16 states and 4 actions",
        "tasks",
        (100, 1000, 10_000, 30_000, 100_000),
        small.certified,
    ),
    Series(
        "states",
        "certified optima, 1,000 Garnet tasks of 4 actions",
        "states",
        (4, 8, 16, 32, 64),
        lambda states: small.certified(1000, states),
    ),
    Series(
        "actions",
        "certified optima, 1,000 Garnet tasks of 16 states",
        "actions",
        (2, 4, 8, 16, 32, 64),
        lambda actions: small.certified(1000, 16, actions),
    ),
    Series(
        "cases",
        "certified verdicts of the universal bound, i = 2, Garnet tasks of 16 states",
        "cases",
        (100, 1000, 3000, 10_000, 30_000),
        verdicts.many,
    ),
    Series(
        "dense-states",
        "certified optimum of one dense task of 8 actions, gamma 0.9",
        "states",
        (250, 500, 1000, 2000, 3000),
        large.certified(large.dense_task),
    ),
    Series(
        "dense-actions",
        "certified optimum of one dense task of 1,000 states, gamma 0.9",
        "actions",
        (2, 4, 8, 16, 32),
        lambda actions: large.certified(lambda states: large.dense_task(states, actions))(1000),
    ),
    Series(
        "sparse-states",
        "certified optimum of one sparse Garnet task of 4 actions and 5 branches, gamma 0.9",
        "states",
        (1000, 10_000, 100_000, 300_000, 1_000_000),
        large.certified(large.sparse_task),
    ),
    Series(
        "grid-states",
        "certified optimum of one slippery grid, gamma 0.99",
        "states",
        (1024, 10_000, 40_000, 100_489),
        large.certified(large.grid_task),
    ),
)
