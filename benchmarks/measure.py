"""Times and peak memory of one row of a table, taken in a process of its own."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

Outcome = Mapping[str, "str | int | float"]
"""What was achieved, by what it is called."""
Record = dict[str, Any]
"""Of a measured row: ``size``, ``units`` of a call, ``wall`` and ``cpu`` [calls] in seconds a unit, ``peak_mb``,
``outcome``, and ``flops`` and ``bytes`` of a call where they are known. Of one that could not be measured: ``error``.
"""
Results = dict[str, dict[str, Record]]
"""Records by table and row."""

BUDGET_S = 20.0
"""No further repeat is begun after so many seconds of them."""


@dataclass(frozen=True)
class Work:
    """What is timed.

    Attributes:
        call: the timed call.
        told: what its result achieved; not timed.
        units: how many things it does, which times are divided by.
        renew: done before every call, not timed: fresh objects, where a solved one would start from its solution.
        needs: from the result to what the call cannot do without, floating-point operations and bytes of P.
    """

    call: Callable[[], Any]
    told: Callable[[Any], Outcome]
    units: int = 1
    renew: Callable[[], None] = lambda: None
    needs: Callable[[Any], tuple[float, float]] | None = None


Prepare = Callable[[int], Work]
"""From a size to the work, whose data are ready."""


@dataclass(frozen=True)
class Row:
    """One line of a table.

    Attributes:
        size: for :data:`prepare`.
        smallest: a size that is done once beforehand, so that everything is compiled; None where none is small.
        repeats: timed calls, after one that is not counted.
        prepare: makes the work.
    """

    size: int
    smallest: int | None
    repeats: int
    prepare: Prepare


class Table(Protocol):
    """A block of the page."""

    @property
    def name(self) -> str:
        """For ``--only``."""
        ...

    def rows(self, *, quick: bool) -> dict[str, Row]:
        """The rows by name, all of them or those of ``--quick``."""
        ...

    def markdown(self, results: Results) -> str:
        """From what was measured, its own records and the machine's limits."""
        ...


def measured(row: Row) -> Record:
    """The record of a row; call it in a fresh process, for peak memory only grows.

    The first call is not counted, unless it takes the whole budget.
    """
    if row.smallest not in (None, row.size):
        small = row.prepare(row.smallest)
        small.renew()
        small.call()
    work = row.prepare(row.size)
    wall: list[float] = []
    cpu: list[float] = []
    result = None
    while len(wall) <= row.repeats and sum(wall) < BUDGET_S:
        result = None  # so that no two results are in memory
        work.renew()
        started, used = time.perf_counter(), cpu_seconds()
        result = work.call()
        wall.append((time.perf_counter() - started) / work.units)
        cpu.append((cpu_seconds() - used) / work.units)
    first = 1 if len(wall) > 1 else 0
    record: Record = {
        "size": row.size,
        "units": work.units,
        "wall": wall[first:],
        "cpu": cpu[first:],
        "peak_mb": peak(),
    }
    if work.needs:
        record["flops"], record["bytes"] = work.needs(result)
    return record | {"outcome": dict(work.told(result))}


def cpu_seconds() -> float:
    """Of this process and of those that it started and that have ended."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def peak() -> float:
    """Peak memory in MB of this process, or of the largest that it started if that is more."""
    largest = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return largest / (2**20 if sys.platform == "darwin" else 2**10)


def uncertified(V: np.ndarray, ours: np.ndarray) -> Outcome:
    """What a peer achieved: values without bounds, and how far they are from ours at most."""
    return {"bounds": "uncertified", "from ours": float(np.abs(V - ours).max())}


def written(outcome: Outcome) -> str:
    """On one line: texts as they are, counts before what they count, other numbers after their names."""
    parts = []
    for name, value in outcome.items():
        if isinstance(value, str):
            parts.append(value)
        else:
            parts.append(f"{value:,} {name}" if isinstance(value, int) else f"{name} {value:.2g}")
    return ", ".join(parts)


def duration(seconds: float) -> str:
    """With a unit, to three digits."""
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds * 1e6:.3g} µs"


def span(times: list[float]) -> str:
    """Least to most."""
    return f"{duration(min(times))} to {duration(max(times))}"
