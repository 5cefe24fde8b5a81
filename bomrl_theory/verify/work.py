"""A run's work in pieces, done here or by several processes, with the same result.

A job is some consecutive cases on one family, which share what is solved about it. Processes are told the names of
the theorems and the numbers of the cases, and send verdicts back; these are entered in the order of the cases.
"""

from __future__ import annotations

import os
import signal
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import islice
from multiprocessing import get_context
from types import TracebackType
from typing import Any

from bomrl_theory.adapt.adapt import algorithm_named
from bomrl_theory.errors import InvalidTask, LostWorker
from bomrl_theory.exact.optimum import Optimum
from bomrl_theory.exact.sparse_solved import solved_family
from bomrl_theory.linear_quadratic.policy import GaussianPolicy
from bomrl_theory.linear_quadratic.task import LinearQuadraticFamily
from bomrl_theory.numbers import Array, computing_on, device_in_use
from bomrl_theory.tasks.family import TaskFamily
from bomrl_theory.tasks.sparse_family import SparseFamily
from bomrl_theory.theory.case import AnyCase, Case
from bomrl_theory.theory.linear_quadratic import LinearQuadraticCase
from bomrl_theory.theory.registry import theorem_named
from bomrl_theory.theory.theorem import Theorem, made
from bomrl_theory.verify.memory import forget_constants
from bomrl_theory.verify.processes import end_with_parent
from bomrl_theory.verify.verdict import Verdict, Views, judge

CASES_IN_A_JOB = 12
JOBS_AHEAD = 4
"""Jobs that wait for each process, so that none is idle while the next cases are drawn."""

Found = Sequence[tuple[list[Verdict], float]]
"""For each theorem that was judged on a case its verdicts, and the seconds that they took."""


@dataclass(frozen=True, eq=False)
class Job:
    """Cases on one family, and for each the places of the theorems that are judged on it.

    Attributes:
        first: number of its first case in the run.
        known: what was found already about some of the cases, by index.
    """

    cases: list[AnyCase]
    places: list[list[int]]
    first: int = 0
    known: Mapping[int, Found] = field(default_factory=dict)

    @property
    def missing(self) -> list[int]:
        """Indices of the cases that are still to be judged."""
        return [index for index in range(len(self.cases)) if index not in self.known]


OnFound = Callable[[Job, int, Found], None]
"""Told what was found about a job's case, by index, as soon as it is known and not again if it was known before."""


def ignore_found(job: Job, index: int, found: Found) -> None:
    """Nobody wants to be told."""


def judged(theorems: Iterable[Theorem], case: AnyCase, *, precise: bool = False) -> Found:
    """Judge the theorems on one case, measuring everything they share once."""
    views: Views = {}
    found = []
    for theorem in theorems:
        start = time.perf_counter()
        verdicts = judge(theorem, case, views, precise=precise)
        found.append((verdicts, time.perf_counter() - start))
        forget_constants(views)
    return found


def jobs(theorems: Sequence[Theorem], cases: Iterable[AnyCase], *, sparing: bool) -> Iterator[Job]:
    """The theorems' witnesses, then the cases with every theorem that covers them.

    Args:
        theorems: in the order of their places.
        cases: cases that share a family should be next to each other.
        sparing: identities only on the first case of every algorithm under each origin.
    """
    for place, theorem in enumerate(theorems):
        yield Job([made(theorem.witness, f"{theorem.id}, witness")], [[place]], place)
    first = len(theorems)
    seen: set[tuple[object, str, str]] = set()
    for unit in _units(cases):
        places = []
        for case in unit:
            key = (case.shared, case.origin, case.algorithm.name)
            again = sparing and key in seen
            seen.add(key)
            covering = (place for place, theorem in enumerate(theorems) if theorem.covers(case))
            places.append([place for place in covering if not (again and theorems[place].relation == "==")])
        yield Job(unit, places, first)
        first += len(unit)


def _units(cases: Iterable[AnyCase]) -> Iterator[list[AnyCase]]:
    """Consecutive cases on one family, not too many at once."""
    unit: list[AnyCase] = []
    for case in cases:
        if unit and (case.shared is not unit[0].shared or len(unit) == CASES_IN_A_JOB):
            yield unit
            unit = []
        unit.append(case)
    if unit:
        yield unit


def judged_here(
    theorems: Sequence[Theorem], work: Iterable[Job], on_found: OnFound = ignore_found
) -> Iterator[tuple[AnyCase, list[int], Found]]:
    """Case by case, in this process."""
    for job in work:
        for index, (case, places) in enumerate(zip(job.cases, job.places, strict=True)):
            found = job.known.get(index)
            if found is None:
                found = judged([theorems[place] for place in places], case)
                on_found(job, index, found)
            if isinstance(case, Case) and isinstance(case.family, SparseFamily):
                case.forget()
            yield case, places, found


def usable_processors() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Workers:
    """Processes that judge jobs; a context manager that starts and ends them.

    Args:
        names: of the theorems by place: ids of the registry, or files.
        count: how many processes.

    Raises:
        InvalidTask: fewer than one.
    """

    def __init__(self, names: Sequence[str], count: int):
        if count < 1:
            raise InvalidTask(f"--workers {count}: nobody would work; give 1 or more, or leave it out")
        self.names = list(names)
        self.count = count
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> Workers:
        # A fresh interpreter each: a copy of this one could hold locks of threads that it does not have.
        context = get_context("spawn")
        self._pool = ProcessPoolExecutor(self.count, context, initializer=_begin, initargs=(self.names,))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None):
        assert self._pool is not None
        self._pool.shutdown(wait=kind is None, cancel_futures=True)
        self._pool = None

    def judged(
        self, work: Iterable[Job], on_found: OnFound = ignore_found
    ) -> Iterator[tuple[AnyCase, list[int], Found]]:
        """As :func:`judged_here`, in the same order; ``on_found`` is told in the order in which jobs end.

        Raises:
            LostWorker: a process ended by itself.
        """
        assert self._pool is not None, "use it as a context manager"
        work = iter(work)
        device = None if (numbers := device_in_use()) is None else numbers.device
        waiting: deque[Job] = deque()
        running: dict[Future[list[Found]], Job] = {}
        ended: dict[Job, dict[int, Found]] = {}
        while True:
            try:
                for job in islice(work, self.count * JOBS_AHEAD - len(waiting)):
                    waiting.append(job)
                    if job.missing:
                        running[self._pool.submit(_judged_job, _message(job), device)] = job
                    else:
                        ended[job] = dict(job.known)
                if not waiting:
                    return
                while waiting[0] not in ended:
                    for future in wait(running, return_when=FIRST_COMPLETED).done:
                        job = running.pop(future)
                        found = dict(zip(job.missing, future.result(), strict=True))
                        ended[job] = {**job.known, **found}
                        for index in found:
                            on_found(job, index, found[index])
            except BrokenProcessPool as error:
                raise LostWorker from error
            job = waiting.popleft()
            results = ended.pop(job)
            for index, (case, places) in enumerate(zip(job.cases, job.places, strict=True)):
                yield case, places, results[index]


# --- what crosses between processes ---------------------------------------------------------------


@dataclass(frozen=True)
class _QuadraticMessage:
    """A job on linear-quadratic cases: the fields of each, with the name of its algorithm."""

    cases: list[tuple[LinearQuadraticFamily, GaussianPolicy, str, Fraction, int, GaussianPolicy | None, str]]
    places: list[list[int]]

    def open(self) -> list[AnyCase]:
        return [
            LinearQuadraticCase(family, phi, algorithm_named(algorithm), lam, steps, adapted, origin)
            for family, phi, algorithm, lam, steps, adapted, origin in self.cases
        ]


@dataclass(frozen=True)
class _Message:
    """A job without anything that only lives in one process."""

    family: TaskFamily | SparseFamily
    optimum: Optimum | None
    cases: list[tuple[Array, str, Fraction, int, str]]
    places: list[list[int]]

    def open(self) -> list[AnyCase]:
        solved = solved_family(self.family)
        if self.optimum is not None:
            solved.optimum = self.optimum
        return [
            Case(solved, phi, algorithm_named(algorithm), lam, steps, origin)
            for phi, algorithm, lam, steps, origin in self.cases
        ]


def _message(job: Job) -> _Message | _QuadraticMessage:
    """What is still to be judged."""
    cases = [job.cases[index] for index in job.missing]
    places = [job.places[index] for index in job.missing]
    quadratic = [case for case in cases if isinstance(case, LinearQuadraticCase)]
    if quadratic:
        fields = [(x.family, x.phi, x.algorithm.name, x.lam, x.steps, x.adapted, x.origin) for x in quadratic]
        return _QuadraticMessage(fields, places)
    tabular = [case for case in cases if isinstance(case, Case)]
    solved = tabular[0].solved
    return _Message(
        solved.family,
        vars(solved).get("optimum"),  # only if it is known already
        [(case.phi, case.algorithm.name, case.lam, case.steps, case.origin) for case in tabular],
        places,
    )


_theorems: list[Theorem] = []
"""Of a process that works."""


def _begin(names: Sequence[str]) -> None:
    # Ctrl-C reaches the whole group: the first process sums up what it has, the others just end.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    end_with_parent()
    _theorems[:] = [theorem_named(name) for name in names]


def _judged_job(message: Any, device: str | None) -> list[Found]:
    with computing_on(device):
        return [
            judged([_theorems[place] for place in places], case)
            for case, places in zip(message.open(), message.places, strict=True)
        ]
