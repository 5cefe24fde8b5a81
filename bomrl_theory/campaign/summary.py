"""What a campaign found, from its files: counts, ratios and where the largest is, in memory that does not grow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bomrl_theory.errors import InvalidFile
from bomrl_theory.numbers import Array
from bomrl_theory.theory.theorem import Theorem
from bomrl_theory.verify.evaluate import SEVERITY
from bomrl_theory.verify.run import ExitCode
from bomrl_theory.verify.verdict import Outcome, judge

MEDIAN_BITS = 12
"""Ratios are counted by so many leading bits, so that the median is off by one part in 4,000 at most."""
COLUMNS = ("theorem", "ratio", "outcome", "grade", "decided_by", "certified", "case", "task")


@dataclass
class Tally:
    """The verdicts on one theorem.

    Attributes:
        theorem: which one.
        outcomes, grades, decided_by: how many of each.
        floats_only: verdicts that were not certified.
        largest: the largest left/bound of a decided verdict, or None.
        where: its cell, case and task.
        witness: what the theorem's own witness gives.
    """

    theorem: Theorem
    outcomes: Counter[str] = field(default_factory=Counter)
    grades: Counter[str] = field(default_factory=Counter)
    decided_by: Counter[str] = field(default_factory=Counter)
    floats_only: int = 0
    largest: float | None = None
    where: dict[str, int | None] = field(default_factory=dict)
    witness: str = ""
    ratios: Counter[float] = field(default_factory=Counter)
    """Rounded ratios."""

    @property
    def in_scope(self) -> int:
        return sum(self.outcomes.values()) - self.outcomes[Outcome.OUT_OF_SCOPE]

    @property
    def median(self) -> float | None:
        """The median of left/bound, to about four digits."""
        half, seen = sum(self.ratios.values()) / 2, 0
        for ratio in sorted(self.ratios):
            seen += self.ratios[ratio]
            if seen >= half:
                return ratio
        return None

    @property
    def exit_code(self) -> ExitCode:
        """As ``bomrl verify``, which judges the witness too: a refuted theorem is expected to be violated there."""
        if not self.in_scope:
            return ExitCode.UNDECIDED
        violated = self.outcomes[Outcome.VIOLATED] > 0 or self.witness == Outcome.VIOLATED
        if violated != (self.theorem.status == "refuted"):
            return ExitCode.VIOLATED
        return ExitCode.UNDECIDED if self.outcomes[Outcome.UNDECIDED] else ExitCode.EXPECTED

    def add(self, rows: Any, cell: int) -> None:
        """Enter a table of this theorem's verdicts."""
        for column, counter in (
            ("outcome", self.outcomes),
            ("grade", self.grades),
            ("decided_by", self.decided_by),
        ):
            for entry in rows[column].combine_chunks().value_counts():
                if entry["values"].is_valid:
                    counter[entry["values"].as_py()] += entry["counts"].as_py()
        self.floats_only += rows.num_rows - (rows["certified"].combine_chunks().true_count)
        ratio = rows["ratio"].to_numpy()
        decided = np.isin(_texts(rows["outcome"]), DECIDED)
        known = np.flatnonzero(decided & ~np.isnan(ratio))
        if not len(known):
            return
        self.ratios.update(dict(zip(*_counted(ratio[known]), strict=True)))
        best = int(known[ratio[known].argmax()])
        if self.largest is None or ratio[best] > self.largest:
            self.largest = float(ratio[best])
            self.where = {"cell": cell, **{name: rows[name][best].as_py() for name in ("case", "task")}}


DECIDED = (str(Outcome.HOLDS), str(Outcome.VIOLATED))


def _texts(column: Any) -> Array:
    return np.asarray(column.cast(pa.string()).to_numpy(zero_copy_only=False), dtype=str)


def _counted(ratios: Array) -> tuple[list[float], list[int]]:
    mantissa, exponent = np.frexp(ratios)
    rounded = np.ldexp(np.round(mantissa * 2**MEDIAN_BITS), exponent - MEDIAN_BITS)
    values, counts = np.unique(rounded, return_counts=True)
    return values.tolist(), counts.tolist()


def tally(theorems: Sequence[Theorem], files: Iterable[Path]) -> list[Tally]:
    """Read the files one after the other; the witnesses are judged, too.

    Raises:
        InvalidFile: a file is damaged.
    """
    tallies = {theorem.id: Tally(theorem) for theorem in theorems}
    for file in files:
        try:
            with file.open("rb") as stream:  # a name with a colon would be taken for a URI
                table = pq.ParquetFile(stream).read(columns=list(COLUMNS))
        except (OSError, ValueError) as error:
            raise InvalidFile(f"{file} is damaged ({error}); delete it, and go on with --resume") from None
        names = _texts(table["theorem"])
        cell = int(file.parent.name.partition("=")[2])
        for name in dict.fromkeys(names.tolist()):
            tallies[name].add(table.filter(pa.array(names == name)), cell)
    for one in tallies.values():
        one.witness = str(min((v.outcome for v in judge(one.theorem, one.theorem.witness())), key=SEVERITY.index))
    return list(tallies.values())


def exit_code(tallies: Sequence[Tally]) -> ExitCode:
    """The worst of the theorems'."""
    codes = {one.exit_code for one in tallies}
    return next((code for code in (ExitCode.VIOLATED, ExitCode.UNDECIDED) if code in codes), ExitCode.EXPECTED)


def as_json(one: Tally, saved: Sequence[Path]) -> dict[str, Any]:
    """A theorem's line in ``summary.json``."""
    graded = sum(one.grades.values())
    return {
        "id": one.theorem.id,
        "status": one.theorem.status,
        "verdicts": {str(outcome): one.outcomes[outcome] for outcome in Outcome},
        "max_ratio": one.largest,
        "max_ratio_at": one.where or None,
        "median_ratio": one.median,
        "informative_share": one.grades["informative"] / graded if graded else None,
        "not_certified": one.floats_only,
        "decided_by": dict(one.decided_by.most_common()),
        "witness": one.witness,
        "as_expected": one.exit_code == 0,
        "saved_cases": [f"{file.parent.name}/{file.name}" for file in saved],
    }
