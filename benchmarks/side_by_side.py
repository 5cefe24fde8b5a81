"""A table of contestants who solve one problem of one size."""

from __future__ import annotations

import statistics
from dataclasses import dataclass

from measure import Prepare, Results, Row, duration, span, written


@dataclass(frozen=True)
class Problem:
    """What is solved, and who solves it.

    Attributes:
        name: for ``--only``.
        title: what is solved; ``{}`` is the size.
        unit: what times are given per.
        size: full, and with ``--quick`` (None: left out).
        repeats: timed calls, after one that is not counted.
        contestants: who takes part.
        remarks: who does not, and why.
        reference: the contestant whose CPU time is 1.
    """

    name: str
    title: str
    unit: str
    size: tuple[int, int | None]
    repeats: int
    contestants: dict[str, Prepare]
    remarks: str = ""
    reference: str = "ours, certified"

    def rows(self, *, quick: bool) -> dict[str, Row]:
        size = self.size[quick]
        if size is None:
            return {}
        return {name: Row(size, self.size[1], self.repeats, prepare) for name, prepare in self.contestants.items()}

    def markdown(self, results: Results) -> str:
        """CPU times also as ratios to the reference's."""
        found = results[self.name]
        records = {name: found[name] for name in self.contestants if name in found}
        size = next((record["size"] for record in records.values() if "size" in record), self.size[0])
        title = self.title.format(f"{size:,}")
        lines = [f"## {title[0].upper()}{title[1:]}", ""]
        lines.append(f"| | wall per {self.unit} | span | CPU per {self.unit} | span | ratio | MB | calls | outcome |")
        lines.append("|---|---:|---|---:|---|---:|---:|---:|---|")
        first = records.get(self.reference, {}).get("cpu")
        for name, record in records.items():
            if "error" in record:
                lines.append(f"| {name} | | | | | | | | {record['error']} |")
                continue
            cells = [name]
            for kind in ("wall", "cpu"):
                cells += [duration(statistics.median(record[kind])), span(record[kind])]
            cells.append(f"{statistics.median(record['cpu']) / statistics.median(first):.2f}" if first else "")
            cells += [f"{record['peak_mb']:,.0f}", str(len(record["cpu"])), written(record["outcome"])]
            lines.append("| " + " | ".join(cells) + " |")
        return "\n".join([*lines, "", *([self.remarks, ""] if self.remarks else [])])
