"""``bomrl campaign``: from a file to a folder of verdicts and their summary."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bomrl_theory.campaign.backends import (
    BACKENDS,
    Backend,
    Dask,
    Processes,
    Results,
    check_installed,
    done_by,
    done_here,
)
from bomrl_theory.campaign.cells import Cell, Chunk, cells_of, chunks_of
from bomrl_theory.campaign.chunk import Done, Work, own_version
from bomrl_theory.campaign.spec import Spec, read_spec
from bomrl_theory.campaign.store import Store
from bomrl_theory.campaign.summary import Tally, as_json, exit_code, tally
from bomrl_theory.errors import InvalidTask
from bomrl_theory.numbers import device_in_use
from bomrl_theory.verify.work import usable_processors


@dataclass
class Campaign:
    """A campaign in its folder.

    Attributes:
        spec: what it does.
        cells: of its grid.
        store: its folder.
        open: chunks that are not finished.
    """

    spec: Spec
    cells: tuple[Cell, ...]
    store: Store
    open: list[Chunk]

    @classmethod
    def begin(cls, file: Path, folder: Path, *, resume: bool = False) -> Campaign:
        """Read the file, and begin the folder or take it up.

        Raises:
            InvalidFile: as :func:`read_spec`, :func:`cells_of` and :class:`Store`.
        """
        spec = read_spec(file)
        cells = cells_of(spec)
        store = Store(folder, spec, cells, resume=resume)
        return cls(spec, cells, store, [chunk for chunk in chunks_of(cells, spec.chunk) if not store.is_done(chunk)])

    @property
    def cases(self) -> int:
        """How many there are in all."""
        return sum(cell.cases for cell in self.cells)

    @property
    def open_cases(self) -> int:
        """How many are not done."""
        return sum(chunk.count for chunk in self.open)

    @property
    def files(self) -> dict[str, str]:
        """The files of the theorems that are not registered, by id."""
        pairs = zip(self.spec.theorems, self.spec.sources, strict=True)
        return {theorem.id: source.name for theorem, source in pairs if source.text is not None}

    def works(self) -> Iterator[Work]:
        """What is left to do."""
        spec = self.spec
        device = None if (numbers := device_in_use()) is None else numbers.device
        for chunk in self.open:
            yield Work(own_version(), spec.seed, chunk, spec.batch, spec.sources, spec.saved, device)

    def run(self, done: Results, on_done: Callable[[Done], None] = lambda done: None) -> None:
        """Keep what comes of each chunk as it comes.

        Raises:
            LostWorker, BomrlError: what is finished stays finished.
        """
        finished: set[tuple[int, int]] = set()
        try:
            with closing(done):  # whatever happens, nobody works on
                for one in done:
                    self.store.add(one)
                    finished.add((one.chunk.cell.index, one.chunk.index))
                    on_done(one)
        finally:
            self.store.lock.release()
            self.open = [chunk for chunk in self.open if (chunk.cell.index, chunk.index) not in finished]

    def summary(self) -> tuple[list[Tally], dict[str, Any]]:
        """What the finished chunks say, also as JSON; written to the folder."""
        tallies = tally(self.spec.theorems, self.store.files())
        found = {
            "name": self.spec.name,
            "version": own_version(),
            "seed": self.spec.seed,
            "cells": len(self.cells),
            "cases": self.cases,
            "cases_done": self.cases - self.open_cases,
            "verdicts": sum(sum(one.outcomes.values()) for one in tallies),
            "decided_by": dict(sum((one.decided_by for one in tallies), Counter()).most_common()),
            "theorems": [as_json(one, self.store.counterexamples(one.theorem.id)) for one in tallies],
            "finished": not self.open,
            "exit_code": int(exit_code(tallies)),
        }
        self.store.write_summary(found)
        return tallies, found


def workers_of(backend: str | None, workers: int | None, scheduler: str | None) -> tuple[Backend, int]:
    """The backend and its number of processes, checked before anything is written.

    Raises:
        MissingExtra: what the backend needs is not installed.
        InvalidTask: options that do not go together, or no scheduler answers.
    """
    if backend is None:
        alone = workers == 1 or (workers is None and device_in_use() is not None)  # one process has the device
        backend = "dask" if scheduler else "serial" if alone else "processes"
    if backend not in BACKENDS:
        raise InvalidTask(f"--backend {backend} is not known; choose one of {', '.join(BACKENDS)}")
    if (scheduler is not None) != (backend == "dask"):
        raise InvalidTask("--backend dask and --scheduler ADDRESS go together; give both or neither")
    if workers is not None and backend != "processes" and workers != 1:
        raise InvalidTask(f"--workers {workers} is for --backend processes; leave it out")
    if workers is not None and workers < 1:
        raise InvalidTask(f"--workers {workers}: nobody would work; give 1 or more, or leave it out")
    check_installed(backend)
    if backend == "dask":
        Dask(scheduler or "").close(finished=True)
    return backend, workers or usable_processors()


def done(campaign: Campaign, backend: Backend, workers: int, scheduler: str | None) -> Results:
    """What comes of the campaign's chunks.

    Raises:
        MissingExtra, InvalidTask: as the backend.
    """
    works = campaign.works()
    if backend == "dask":
        return done_by(Dask(scheduler or ""), works)
    if backend == "processes":
        return done_by(Processes(min(workers, max(len(campaign.open), 1))), works)
    return done_here(works)
