"""A chunk's verdicts as a Parquet file of the same bytes every time."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from bomrl_theory.campaign.cells import Cell
from bomrl_theory.errors import MissingExtra
from bomrl_theory.numbers import Array
from bomrl_theory.verify.columns import Columns

try:
    import pyarrow as pa
    import pyarrow.parquet as pq
except ImportError:
    raise MissingExtra("pyarrow", "campaign") from None

COMPRESSION: Any = {"compression": "zstd", "compression_level": 3}


@dataclass(frozen=True, eq=False)
class Block:
    """Consecutive rows that differ in task and verdict only.

    Attributes:
        theorem: id.
        cell: of the grid.
        lam: exact.
        sizes: states, actions, and tasks of a family.
        gamma: exact.
        first: number of the first row's case.
        by_task: whether a row is about a task, and not a family.
        columns: the verdicts.
    """

    theorem: str
    cell: Cell
    lam: Fraction
    sizes: tuple[int, int, int]
    gamma: Fraction
    first: int
    by_task: bool
    columns: Columns

    def __len__(self) -> int:
        return len(self.columns.outcomes)


def parquet_bytes(blocks: Sequence[Block], *, seed: int, chunk: int) -> bytes:
    """The file; docs/campaigns.md describes its columns."""
    lengths = [len(block) for block in blocks]

    def texts(of: Callable[[Block], str | None]) -> Any:
        return _dictionary([of(block) for block in blocks], lengths)

    def numbers(of: Callable[[Block], Any], kind: Any) -> Any:
        return pa.array(np.repeat(np.array([of(block) for block in blocks]), lengths), kind)

    def verdicts(of: Callable[[Columns], Sequence[Any]]) -> Any:
        return _dictionary([None if x is None else str(x) or None for block in blocks for x in of(block.columns)])

    def doubles(of: Callable[[Columns], Array]) -> Any:
        values = np.concatenate([of(block.columns) for block in blocks] or [np.empty(0)])
        return pa.array(values, pa.float64(), mask=np.isnan(values))

    adapting = [block.cell.algorithm != "none" for block in blocks]
    lambdas = np.repeat(np.array([float(block.lam) for block in blocks]), lengths)
    row = np.concatenate([np.arange(length) for length in lengths] or [np.empty(0, dtype=int)])
    family_rows = np.repeat(np.array([not block.by_task for block in blocks], dtype=bool), lengths)
    tasks = np.repeat(np.array([block.sizes[2] for block in blocks], dtype=int), lengths)
    table = pa.table(
        {
            "theorem": texts(lambda block: block.theorem),
            "family": texts(lambda block: block.cell.kind or block.cell.named),
            "parameters": texts(lambda block: json.dumps(dict(block.cell.parameters), sort_keys=True)),
            "states": numbers(lambda block: block.sizes[0], pa.int32()),
            "actions": numbers(lambda block: block.sizes[1], pa.int32()),
            "tasks": numbers(lambda block: block.sizes[2], pa.int32()),
            "gamma": texts(lambda block: str(block.gamma)),
            "gamma_value": numbers(lambda block: float(block.gamma), pa.float64()),
            "meta_policy": texts(lambda block: block.cell.meta_policy),
            "algorithm": texts(lambda block: block.cell.algorithm),
            "lambda": texts(lambda block: str(block.lam) if block.cell.algorithm != "none" else None),
            "lambda_value": pa.array(lambdas, pa.float64(), mask=~np.repeat(np.array(adapting, dtype=bool), lengths)),
            "steps": numbers(lambda block: block.cell.steps, pa.int32()),
            "seed": numbers(lambda block: seed, pa.int64()),
            "chunk": numbers(lambda block: chunk, pa.int32()),
            "case": pa.array(
                np.repeat(np.array([block.first for block in blocks], dtype=int), lengths)
                + np.where(family_rows, row, row // tasks),
                pa.int64(),
            ),
            "task": pa.array(row % tasks, pa.int32(), mask=family_rows),
            "left": doubles(lambda columns: columns.left),
            "bound": doubles(lambda columns: columns.bound),
            "ratio": doubles(lambda columns: columns.ratio),
            "outcome": verdicts(lambda columns: columns.outcomes),
            "grade": verdicts(lambda columns: columns.grades),
            "decided_by": verdicts(lambda columns: columns.numbers),
            "certified": pa.array([x for block in blocks for x in block.columns.certified], pa.bool_()),
            "reason": verdicts(lambda columns: columns.reasons),
        }
    )
    file = io.BytesIO()
    pq.write_table(table, file, version="2.6", write_statistics=True, **COMPRESSION)
    return file.getvalue()


def _dictionary(values: Sequence[str | None], lengths: Sequence[int] | None = None) -> Any:
    """Texts, each repeated so often, as indices into the distinct ones in the order of their first use."""
    codes: dict[str, int] = {}
    indices = np.array([-1 if x is None else codes.setdefault(x, len(codes)) for x in values], dtype=np.int32)
    if lengths is not None:
        indices = np.repeat(indices, lengths)
    return pa.DictionaryArray.from_arrays(
        pa.array(indices, pa.int32(), mask=indices < 0), pa.array(list(codes), pa.string())
    )
