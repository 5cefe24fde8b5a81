"""Tables over independent draws: means with bootstrap intervals, counts of verdicts, and records as CSV."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np

from bomrl_theory.report.frozen_lake import interval
from bomrl_theory.report.table import Table
from bomrl_theory.tasks.files import replacing
from bomrl_theory.verify.verdict import Outcome


def over_draws(rows: Table, keys: Sequence[str], rng: np.random.Generator) -> Table:
    """Mean, interval (low, high) and number of draws of ``value``, in the order of first appearance.

    Args:
        rows: a row a draw, with the columns ``draw``, ``value`` and the keys.
        keys: columns that tell the lines of the table apart.
        rng: of the bootstrap.
    """
    wide = rows.pivot(index="draw", columns=list(keys), values="value")
    wide = wide[list(rows[list(keys)].drop_duplicates().itertuples(index=False, name=None))]
    low, high = interval(wide.to_numpy(dtype=np.float64), rng)
    table = wide.columns.to_frame(index=False)
    return table.assign(mean=wide.mean(axis=0).to_numpy(), low=low, high=high, draws=wide.notna().sum().to_numpy())


def with_verdicts(table: Table, rows: Table, keys: Sequence[str]) -> Table:
    """The table with how many draws had which verdict, from the rows' column ``outcome``."""
    groups = rows.groupby(list(keys), sort=False)
    for outcome in (Outcome.HOLDS, Outcome.VIOLATED, Outcome.UNDECIDED):
        counted = groups["outcome"].agg(lambda column, wanted=outcome: int((column == str(wanted)).sum()))
        table = table.merge(counted.rename(str(outcome).lower()).reset_index(), on=list(keys), validate="one_to_one")
    return table


def write_records(path: Path, records: Sequence[Any]) -> None:
    """Dataclass instances of one class as CSV, floats with six digits; a former file is replaced at once."""
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([field.name for field in fields(records[0])])
        for record in records:
            writer.writerow([f"{x:.6g}" if isinstance(x, float) else x for x in asdict(record).values()])
