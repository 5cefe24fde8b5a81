"""One chunk of a campaign: drawn, judged and laid out as a table, the same bytes wherever it is done."""

from __future__ import annotations

import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from bomrl_theory.campaign.cells import Cell, Chunk
from bomrl_theory.campaign.spec import TheoremSource
from bomrl_theory.campaign.table import Block, parquet_bytes
from bomrl_theory.errors import InvalidTask
from bomrl_theory.numbers import computing_on
from bomrl_theory.theory.case import AnyCase, Case
from bomrl_theory.theory.registry import theorem_named
from bomrl_theory.theory.theorem import Theorem
from bomrl_theory.verify.casefile import case_text, fits_file
from bomrl_theory.verify.columns import Columns, judge_columns
from bomrl_theory.verify.memory import forget_constants
from bomrl_theory.verify.verdict import Outcome, Verdict, Views


@dataclass(frozen=True)
class Work:
    """A chunk with everything that another process, or another machine, needs to do it.

    Attributes:
        version: of this package; another one on the other machine refuses.
        seed: of the campaign.
        chunk: which cases.
        batch: cases that share a meta-policy.
        theorems: what is judged on them, where they speak about them.
        saved: cases that are saved for each theorem, at most.
        device: where verdicts begin; None is the host.
    """

    version: str
    seed: int
    chunk: Chunk
    batch: int
    theorems: tuple[TheoremSource, ...]
    saved: int
    device: str | None = None


@dataclass(frozen=True)
class SavedCase:
    """A violated or undecided case.

    Attributes:
        theorem: id.
        outcome: which of the two.
        case: its number in the cell.
        task: of the case's family, or None for a claim about the family.
        text: a case file, which ``bomrl verify --replay`` reads.
    """

    theorem: str
    outcome: Outcome
    case: int
    task: int | None
    text: str

    @property
    def order(self) -> tuple[bool, int, int]:
        """Violated ones first."""
        return self.outcome is not Outcome.VIOLATED, self.case, -1 if self.task is None else self.task


@dataclass(frozen=True)
class Done:
    """What came of a chunk.

    Attributes:
        chunk: which one.
        table: its verdicts as a Parquet file.
        counts: of outcomes, for the progress line.
        saved: violated and undecided cases.
    """

    chunk: Chunk
    table: bytes
    counts: dict[str, int]
    saved: tuple[SavedCase, ...]


_turn = threading.Lock()
"""The precision of balls belongs to the process: threads of a worker take turns."""


def own_version() -> str:
    """Of the installed package."""
    return version("bomrl-theory")


def judge_chunk(work: Work) -> Done:
    """Draw the chunk's cases and judge every theorem that covers them.

    Raises:
        InvalidTask: this machine has another version of the package.
    """
    if work.version != own_version():
        raise InvalidTask(
            f"a worker has bomrl-theory {own_version()}, the campaign began with {work.version}; "
            "install the same version everywhere"
        )
    with _turn, computing_on(work.device):
        theorems = [loaded(source) for source in work.theorems]
        blocks: list[Block] = []
        saved: list[SavedCase] = []
        for block, found in _judged(work, theorems):
            blocks.append(block)
            saved.extend(found)
        counts = Counter(str(outcome) for block in blocks for outcome in block.columns.outcomes)
        chunk = work.chunk
        table = parquet_bytes(blocks, seed=work.seed, chunk=chunk.index)
        return Done(chunk, table, dict(counts), tuple(_first(saved, work.saved)))


def _first(saved: list[SavedCase], most: int) -> Iterator[SavedCase]:
    taken: Counter[str] = Counter()
    for one in sorted(saved, key=lambda one: (one.theorem, one.order)):
        if taken[one.theorem] < most:
            taken[one.theorem] += 1
            yield one


@cache
def loaded(source: TheoremSource) -> Theorem:
    """A theorem of the registry, or of a file, which is written anew where this machine does not have it.

    Raises:
        BomrlError: as :func:`theorem_named`.
    """
    if source.text is None:
        return theorem_named(source.name)
    here = Path(source.name)
    if here.is_file() and here.read_text(encoding="utf-8") == source.text:
        return theorem_named(source.name)
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / here.name
        copy.write_text(source.text, encoding="utf-8")
        return theorem_named(str(copy))


def _judged(work: Work, theorems: list[Theorem]) -> Iterator[tuple[Block, list[SavedCase]]]:
    """The verdicts of each theorem, batch by batch."""
    for batch in _batches(work):
        for theorem in theorems:
            if theorem.covers(batch.case):
                yield from batch.judged(theorem, work.saved)
                forget_constants(batch.views)


def _batches(work: Work) -> Iterator[_Batch]:
    chunk, cell = work.chunk, work.chunk.cell
    rng = cell.generator(work.seed, chunk.index)
    size = work.batch if cell.how.independent else 1
    for first in range(chunk.first, chunk.first + chunk.count, size):
        families = min(size, chunk.first + chunk.count - first)
        yield _Batch.of(cell, cell.draw(families, rng), first, families)


def drawn_case(work: Work, number: int) -> AnyCase:
    """A case of the chunk, by its number in the cell."""
    with _turn:
        batch = next(batch for batch in _batches(work) if batch.first <= number < batch.first + batch.families)
        return batch.family(number - batch.first)


@dataclass(frozen=True)
class _Batch:
    """Families side by side in one case.

    A theorem whose constants are measured task by task is judged on all of them at once; any other on each family,
    which keeps what was solved and adapted.

    Attributes:
        cell: what it was drawn in.
        case: of all families.
        first: number of the first family's case.
        families: how many.
        views: measurements of the whole.
        own: each family's case with its measurements, as far as they were needed.
    """

    cell: Cell
    case: AnyCase
    first: int
    families: int
    views: Views
    own: dict[int, tuple[AnyCase, Views]]

    @classmethod
    def of(cls, cell: Cell, case: AnyCase, first: int, families: int) -> _Batch:
        return cls(cell, case, first, families, {}, {})

    @property
    def tasks(self) -> int:
        """Of a family."""
        return self.case.family.tasks // self.families

    def judged(self, theorem: Theorem, saved: int) -> Iterator[tuple[Block, list[SavedCase]]]:
        columns = self._together(theorem, saved)
        if columns is not None:
            yield self._block(theorem, columns, self.first), self._saved(theorem, columns, self.case, self.first)
            return
        for place in range(self.families):
            columns, case = self._alone(theorem, place, saved)
            yield (
                self._block(theorem, columns, self.first + place),
                self._saved(theorem, columns, case, self.first + place),
            )

    def _together(self, theorem: Theorem, saved: int) -> Columns | None:
        """Verdicts on all families at once; None where the theorem asks for each by itself.

        That a constant of a claim about families depends on one task alone is its author's word. So the first and the
        last family are judged by themselves too, for a constant may look at either end of what it is given; and where
        one comes out otherwise, all are.
        """
        if self.families == 1:
            return judge_columns(theorem, self.case, self.views, saved=saved)
        if self.case.algorithm.mixes_tasks or not theorem.measured_by_task:
            return None
        if theorem.scope == "task":
            return judge_columns(theorem, self.case, self.views, saved=saved) if theorem.separable else None
        columns = judge_columns(theorem, self.case, self.views, families=self.families, saved=saved)
        for place in (0, self.families - 1):
            alone, _ = self._alone(theorem, place, 0)
            sides = [(columns.left[place], alone.left[0]), (columns.bound[place], alone.bound[0])]
            as_alone = all(np.allclose(one, other, rtol=1e-6, atol=1e-12, equal_nan=True) for one, other in sides)
            if not as_alone or columns.outcomes[place] is not alone.outcomes[0]:
                return None
        return columns

    def _alone(self, theorem: Theorem, place: int, saved: int) -> tuple[Columns, AnyCase]:
        if place not in self.own:
            self.own[place] = self.family(place), {}
        case, views = self.own[place]
        return judge_columns(theorem, case, views, saved=saved), case

    def family(self, place: int) -> AnyCase:
        """One family's case."""
        if self.families == 1:
            return self.case
        tasks = tuple(range(place * self.tasks, (place + 1) * self.tasks))
        case = self.case
        if case.algorithm.mixes_tasks and isinstance(case, Case):  # what the whole adapted to is not what it would
            return Case(case.solved.restricted(tasks), case.phi, case.algorithm, case.lam, case.steps, case.origin)
        return case.restricted(tasks)

    def _block(self, theorem: Theorem, columns: Columns, first: int) -> Block:
        family = self.case.family
        return Block(
            theorem=theorem.id,
            cell=self.cell,
            lam=self.case.lam,
            sizes=(family.states, family.actions, self.tasks),
            gamma=family.gamma,
            first=first,
            by_task=theorem.scope == "task",
            columns=columns,
        )

    def _saved(self, theorem: Theorem, columns: Columns, case: AnyCase, first: int) -> list[SavedCase]:
        if not fits_file(case):
            return []
        return [self._saved_case(theorem, verdict, case, first, row) for row, verdict in columns.saved.items()]

    def _saved_case(self, theorem: Theorem, verdict: Verdict, case: AnyCase, first: int, row: int) -> SavedCase:
        number, task = first, verdict.task
        if task is None and case is self.case:
            number, case = first + row, self.family(row)
        if task is not None:
            number, task = first + task // self.tasks, task % self.tasks
            if theorem.separable and not case.algorithm.mixes_tasks:
                case, verdict = case.restricted((verdict.task or 0,)), replace(verdict, task=0)
        origin = f"{self.cell.kind or self.cell.named}, cell {self.cell.index}, case {number}"
        named: Any = replace(case, origin=origin)  # pyright: ignore[reportArgumentType, reportCallIssue]
        return SavedCase(theorem.id, verdict.outcome, number, task, case_text(named, verdict))
