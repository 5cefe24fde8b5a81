"""Every benchmark of solvers and verdicts on one page: ``python benchmarks/run.py [--quick] [--only NAME] [--resume]``.

Every row is measured in a process of its own, on one thread, so that peak memory is its own. Writes results.json and
results.md beside this file after each row; an interrupted run goes on with ``--resume``.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from goals import summary
from growth import GROWTH
from large import LARGE
from limits import LIMITS, Limits
from machine import machine
from measure import BUDGET_S, Record, Results, Table, measured
from meta_training import META_TRAINING
from million_cases import CAMPAIGN
from slow_mixing import SLOW_MIXING
from small import SMALL
from verdicts import VERDICTS

from bomrl_theory.tasks.files import replacing

HERE = Path(__file__).resolve().parent
PARTS: dict[str, tuple[Table, ...]] = {
    "peers": (SMALL, *LARGE, *VERDICTS, META_TRAINING),
    "slow-mixing": SLOW_MIXING,
    "growth": (LIMITS, *GROWTH),
    "campaign": (CAMPAIGN,),
}
TABLES: dict[str, Table] = {table.name: table for tables in PARTS.values() for table in tables}
LIMIT_S = 1200
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


def in_a_process(table: str, row: str, *, quick: bool) -> Record:
    """The record of a row from a fresh process; what went wrong if it did."""
    command = [sys.executable, str(Path(__file__)), "--child", table, row, *(["--quick"] if quick else [])]
    environment = os.environ | dict.fromkeys(THREADS, "1")
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False, env=environment)
    except subprocess.TimeoutExpired:
        return {"error": f"not done in {LIMIT_S} s"}
    if done.returncode:
        return {"error": (done.stderr.strip().splitlines() or ["no message"])[-1][:120]}
    return json.loads(done.stdout.splitlines()[-1])


def child(table: str, row: str, *, quick: bool) -> None:
    """Prints the record."""
    try:
        print(json.dumps(measured(TABLES[table].rows(quick=quick)[row])))
    except ModuleNotFoundError as error:
        raise SystemExit(f"not installed: {error.name}") from None


class Page:
    """The measured rows, and the two files that hold them.

    Attributes:
        machine: what it is measured on.
        results: records so far.
        folder: of results.json and results.md; None writes nothing.
    """

    def __init__(self, about: dict[str, Any], folder: Path | None) -> None:
        self.machine, self.folder = about, folder
        self.results: Results = {}

    def keep(self, tables: Sequence[str]) -> None:
        """Read the file's rows of these tables.

        Raises:
            ValueError: the file's rows are of another machine or other versions, or it is no JSON.
        """
        assert self.folder
        file = self.folder / "results.json"
        if not file.exists():
            return
        old = json.loads(file.read_text(encoding="utf-8"))
        differ = [key for key in self.machine if old["machine"].get(key) != self.machine[key]]
        if differ:
            raise ValueError(f"{file}: its rows are of another {', '.join(differ)}; measure all, without options")
        self.results |= {name: rows for name, rows in old["results"].items() if name in tables}

    def add(self, table: str, row: str, record: Record) -> None:
        """Enter a record and write both files."""
        self.results.setdefault(table, {})[row] = record
        if self.folder:
            found = {"machine": self.machine, "results": self.results}
            with replacing(self.folder / "results.json") as temporary:
                temporary.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
            with replacing(self.folder / "results.md") as temporary:
                temporary.write_text(self.markdown(), encoding="utf-8")

    def markdown(self) -> str:
        """Summary, machine, and every table that has rows, in the order of ``PARTS``.

        Without a folder there is no summary: small sizes were measured, and goals are about full ones.
        """
        blocks = [f"# Benchmarks\n\n{READING}\n", *([summary(self.results)] if self.folder else []), "## Machine\n"]
        blocks += [f"- {key}: {value}" for key, value in self.machine.items()]
        limits = Limits.found(self.results)
        if limits:
            blocks.append(f"- one thread: {limits.flops / 1e9:.1f} GFLOP/s, {limits.bytes / 1e9:.1f} GB/s")
        blocks.append("")
        return "\n".join([*blocks, *(t.markdown(self.results) for t in TABLES.values() if self.results.get(t.name))])


READING = f"""\
`python benchmarks/run.py` makes this page; `pip install -e '.[benchmark]' stormpy==2.0.0` installs whom it compares.

Every row is a process of its own on one thread, after a small instance that compiles. Times are medians of the calls,
with their span; a first call is not counted unless it is the only one, and none is begun after {BUDGET_S:g} s of them.
Peak memory holds the task too. Ratios are of CPU times. "From ours" is the largest difference of a value from ours; a
radius is certified. The limit is the larger of two times: the floating-point operations of the LU factorisations or
backups that were made, at the speed of a matrix product, and the bytes of P that they read, at the speed of a dot
product. Exponents are fitted without the smallest sizes, fewer than half of them."""


def run(page: Page, tables: Sequence[str], *, quick: bool) -> None:
    """Measure the rows of these tables that the page has not, or has of another size, or that failed."""
    todo = [
        (name, row)
        for name in tables
        for row, wanted in TABLES[name].rows(quick=quick).items()
        if page.results.get(name, {}).get(row, {}).get("size") != wanted.size
    ]
    for done, (name, row) in enumerate(todo):
        print(f"{done + 1} of {len(todo)}: {name}, {row}", file=sys.stderr, flush=True)
        page.add(name, row, in_a_process(name, row, quick=quick))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes, a minute or two; nothing is written")
    parser.add_argument("--only", choices=list(PARTS | TABLES), action="append", help="keep the other tables' rows")
    parser.add_argument("--resume", action="store_true", help="measure only the rows that results.json has not")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        child(*arguments.child, quick=arguments.quick)
        return
    named = arguments.only or list(PARTS)
    tables = [name for part in named for name in ([t.name for t in PARTS[part]] if part in PARTS else [part])]
    page = Page(machine(), None if arguments.quick else HERE)
    kept = [name for name in TABLES if arguments.resume or name not in tables]
    if kept and not arguments.quick:
        try:
            page.keep(kept)
        except ValueError as error:
            parser.error(str(error))
    try:
        run(page, tables, quick=arguments.quick)
    except KeyboardInterrupt:
        parser.exit(130, "interrupted; --resume measures the rest\n")
    print(page.markdown())


if __name__ == "__main__":
    main()
