"""A verification run: cases times theorems, summarised."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from enum import IntEnum
from fractions import Fraction
from functools import cached_property
from typing import Any

import numpy as np

from bomrl_theory.errors import InvalidTask
from bomrl_theory.exact.solved import Solved
from bomrl_theory.exact.sparse_solved import solved_family
from bomrl_theory.meta.barycentre import barycentre_of
from bomrl_theory.tasks.catalogue import family_named
from bomrl_theory.tasks.policy import uniform_policy
from bomrl_theory.theory.case import AnyCase, Case, Setting
from bomrl_theory.theory.draws import ADAPTATIONS, Draw
from bomrl_theory.theory.theorem import ADAPTING, Theorem
from bomrl_theory.verify.counterexample import smallest_counterexample
from bomrl_theory.verify.fingerprint import Fingerprint
from bomrl_theory.verify.quadratic_cases import CASES_A_FAMILY, quadratic_cases
from bomrl_theory.verify.random_cases import random_cases
from bomrl_theory.verify.record import Record
from bomrl_theory.verify.verdict import Grade, Outcome, Verdict, tightest
from bomrl_theory.verify.work import Found, Job, Workers, ignore_found, jobs, judged, judged_here

DEFAULT_FAMILIES = (
    "frozen-lake-high",
    "frozen-lake-low",
    "gymnasium:FrozenLake-v1:map_name=8x8,is_slippery=true|false",
    "gymnasium:CliffWalking-v1",
)
DEFAULT_CASES = 200
LAMBDAS = (Fraction(1, 100), Fraction(1, 10), Fraction(1), Fraction(100))


class ExitCode(IntEnum):
    """What ``bomrl verify`` returns to the shell."""

    EXPECTED = 0
    VIOLATED = 1
    USAGE = 2
    UNDECIDED = 3


@dataclass
class TheoremResult:
    """What a run found out about one theorem."""

    theorem: Theorem
    records: list[tuple[Any, Verdict]] = field(default_factory=list)
    seconds: float = 0.0
    _shrunk: tuple[Any, tuple[Any, Verdict]] | None = field(default=None, init=False, repr=False)
    """What :attr:`counterexample` started from, and found: shrinking takes a second."""

    @property
    def verdicts(self) -> list[Verdict]:
        return [verdict for _, verdict in self.records]

    @property
    def smallest_violated(self) -> tuple[Any, Verdict] | None:
        """The violated case with the fewest tasks, states and actions; the first of equals."""
        violated = (record for record in self.records if record[1].outcome is Outcome.VIOLATED)
        return min(violated, key=lambda record: size(record[0]), default=None)

    @property
    def counterexample(self) -> tuple[Any, Verdict] | None:
        """The smallest violated case, shrunk to the smallest counterexample that can be found from it."""
        record = self.smallest_violated
        if record is None:
            return None
        if self._shrunk is None or self._shrunk[0] is not record[0]:
            self._shrunk = record[0], smallest_counterexample(self.theorem, *record)
        return self._shrunk[1]

    @property
    def counts(self) -> dict[Outcome, int]:
        counter = Counter(verdict.outcome for verdict in self.verdicts)
        return {outcome: counter[outcome] for outcome in Outcome}

    @property
    def in_scope(self) -> int:
        return len(self.records) - self.counts[Outcome.OUT_OF_SCOPE]

    @property
    def max_ratio(self) -> float | None:
        return tightest(self.verdicts)

    @property
    def informative_share(self) -> float | None:
        """Share of informative ones among graded verdicts; None for identities."""
        grades = [verdict.grade for verdict in self.verdicts if verdict.grade is not None]
        return sum(grade is Grade.INFORMATIVE for grade in grades) / len(grades) if grades else None

    @property
    def decided_by(self) -> dict[str, int]:
        """How many verdicts each number system decided."""
        return dict(Counter(verdict.numbers for verdict in self.verdicts if verdict.numbers).most_common())

    @property
    def floats_only(self) -> int:
        """Verdicts that were not certified."""
        return sum(not verdict.certified for verdict in self.verdicts)

    @property
    def exit_code(self) -> ExitCode:
        """A refuted theorem is expected to be violated; any other must not be."""
        if not self.in_scope:
            return ExitCode.UNDECIDED
        if (self.counts[Outcome.VIOLATED] > 0) != (self.theorem.status == "refuted"):
            return ExitCode.VIOLATED
        if self.counts[Outcome.UNDECIDED]:
            return ExitCode.UNDECIDED
        return ExitCode.EXPECTED


def size(case: AnyCase) -> tuple[int, int, int]:
    """Tasks, states, actions: what makes a case small."""
    return case.family.tasks, case.family.states, case.family.actions


OnVerdicts = Callable[[Theorem, AnyCase, list[Verdict]], None]
"""Told about every theorem's verdicts on every case, as soon as they are decided."""


def ignore(theorem: Theorem, case: AnyCase, verdicts: list[Verdict]) -> None:
    """Nobody wants to be told."""


@dataclass
class Run:
    """A finished or interrupted run."""

    results: list[TheoremResult]
    judged: int = 0
    finished: bool = True

    def judge(
        self,
        case: AnyCase,
        results: Iterable[TheoremResult],
        on_verdicts: OnVerdicts = ignore,
        *,
        precise: bool = False,
    ) -> None:
        """Judge these theorems on one case, measuring everything they share once."""
        results = list(results)
        self.enter(case, results, judged([result.theorem for result in results], case, precise=precise), on_verdicts)

    def enter(
        self, case: AnyCase, results: Iterable[TheoremResult], found: Found, on_verdicts: OnVerdicts = ignore
    ) -> None:
        """Enter what was found about these theorems on one case."""
        for result, (verdicts, seconds) in zip(results, found, strict=True):
            result.records.extend((case, verdict) for verdict in verdicts)
            result.seconds += seconds
            on_verdicts(result.theorem, case, verdicts)
        self.judged += 1

    @property
    def exit_code(self) -> ExitCode:
        codes = {result.exit_code for result in self.results}
        for code in (ExitCode.VIOLATED, ExitCode.UNDECIDED):
            if code in codes:
                return code
        return ExitCode.EXPECTED


def family_cases(
    solved: Solved, drawn: int, rng: np.random.Generator, lambdas: Sequence[Fraction] = LAMBDAS
) -> Iterator[Case]:
    """A family under the barycentre and the uniform policy at every lambda, then under drawn ones."""
    family = solved.family
    policies = {
        "barycentre": barycentre_of(solved),
        "uniform policy": uniform_policy(family.states, family.actions),
    }
    for label, phi in policies.items():
        phi.setflags(write=False)  # cases share it
        origin = f"{family.name}, {label}"
        yield Case.new(solved, phi, "none", origin=origin)
        for algorithm in ADAPTING:
            for lam in lambdas:
                yield Case.new(solved, phi, algorithm, lam, origin=origin)
    for index in range(drawn):
        yield from ADAPTATIONS.make(solved, rng, f"{family.name}, policy {index}")


@dataclass(frozen=True)
class Plan:
    """What a run will do.

    Attributes:
        families: names or files. Each is judged under two fixed meta-policies and every lambda of
            ``LAMBDAS``, and under ``cases`` random ones.
        cases: without families, the default families are judged and then ``cases`` random families.
        seed: of everything that is drawn.
        draws: further draws that the theorems ask for, on every family.
        settings: of the theorems. Linear-quadratic families are drawn, half as many as random ones, where one speaks
            about them and no families are given.
    """

    families: tuple[str, ...] = ()
    cases: int | None = None
    seed: int = 0
    draws: tuple[Draw, ...] = ()
    settings: tuple[Setting, ...] = ("tabular",)

    @classmethod
    def of(
        cls, theorems: Sequence[Theorem], families: Sequence[str] = (), cases: int | None = None, seed: int = 0
    ) -> Plan:
        """The plan for these theorems: with the draws that they ask for, and cases of their settings."""
        return cls(tuple(families), cases, seed, draws_of(theorems), settings_of(theorems))

    def __post_init__(self) -> None:
        if self.cases is not None and self.cases < 1:
            raise InvalidTask(f"--cases {self.cases}: nothing would be drawn; give 1 or more, or leave it out")
        if self.seed < 0:
            raise InvalidTask(f"--seed {self.seed}: seeds are whole numbers from 0")

    @property
    def drawn(self) -> int:
        """Random families, or random meta-policies for each given family."""
        return self.cases if self.cases is not None else (0 if self.families else DEFAULT_CASES)

    @property
    def quadratic(self) -> int:
        """Random linear-quadratic families."""
        return 0 if self.families or "linear-quadratic" not in self.settings else -(-self.drawn // 2)

    @cached_property
    def named(self) -> list[Solved]:
        """The families that are not random, drawn or loaded.

        Raises:
            BomrlError: as :func:`family_named`.
        """
        seeds = np.random.SeedSequence(self.seed)
        specs = self.families or DEFAULT_FAMILIES
        return [solved_family(family_named(spec, np.random.default_rng(seeds))) for spec in specs]

    def fingerprint(self, theorems: Sequence[Theorem]) -> Fingerprint:
        """What the verdicts of these theorems in this run depend on.

        Raises:
            BomrlError: as :attr:`named`.
        """
        names = self.families or DEFAULT_FAMILIES
        families = [(name, solved.family) for name, solved in zip(names, self.named, strict=True)]
        drawn = f"{self.drawn} meta-policies a family" if self.families else f"{self.drawn} random families"
        return Fingerprint.of(theorems, families, drawn, self.seed)

    @property
    def count(self) -> int:
        """How many cases :meth:`generate` yields."""
        fixed = 2 * (1 + len(ADAPTING) * len(LAMBDAS))
        further = sum(draw.cases for draw in self.draws)
        each = ADAPTATIONS.cases + further
        if self.families:
            return len(self.families) * (fixed + self.drawn * ADAPTATIONS.cases + max(self.drawn, 1) * further)
        tabular = len(DEFAULT_FAMILIES) * (fixed + further) + self.drawn * each
        return ("tabular" in self.settings) * tabular + self.quadratic * CASES_A_FAMILY

    def generate(self) -> Iterator[Any]:
        """The cases, family by family; memoised values of a finished family are dropped."""
        if self.families or "tabular" in self.settings:
            yield from self._tabular()
        yield from quadratic_cases(np.random.SeedSequence(self.seed, spawn_key=(2,)), self.quadratic)

    def _tabular(self) -> Iterator[Case]:
        # Every family and every draw has its own stream: adding one leaves the others as they are.
        streams = np.random.SeedSequence(self.seed, spawn_key=(1,)).spawn(len(self.named) + 1)
        for solved, stream in zip(self.named, streams, strict=False):
            drawn = self.drawn if self.families else 0
            yield from family_cases(solved, drawn, np.random.default_rng(stream))
            for draw in self.draws:
                rng = draw.generator(stream)
                for index in range(max(drawn, 1)):
                    yield from draw.make(solved, rng, f"{solved.family.name}, {draw.name} {index}")
            solved.forget()
        if not self.families:
            yield from random_cases(streams[-1], self.drawn, self.draws)


def draws_of(theorems: Iterable[Theorem]) -> tuple[Draw, ...]:
    """Every draw that a theorem asks for, once, in the order of first mention."""
    return tuple({draw.name: draw for theorem in theorems for draw in theorem.draws}.values())


def settings_of(theorems: Iterable[Theorem]) -> tuple[Setting, ...]:
    """The settings that theorems speak about, once each."""
    return tuple(dict.fromkeys(theorem.setting for theorem in theorems))


def verify(
    theorems: Sequence[Theorem],
    cases: Iterable[AnyCase],
    *,
    on_case: Callable[[Any], None] = lambda case: None,
    on_verdicts: OnVerdicts = ignore,
    sparing: bool = False,
    workers: Workers | None = None,
    record: Record | None = None,
) -> Run:
    """Judge every theorem on every case it covers; its own witness is always among them.

    An interrupt (ctrl-C) ends the run early with what was decided so far.

    Args:
        theorems: what is judged.
        cases: where.
        on_case: called with each case that is done.
        on_verdicts: called with the verdicts on it before that.
        sparing: judge identities, which only exact rationals decide, once for each algorithm under each origin.
        workers: processes that share the work; the result is the same.
        record: keeps what is decided; what it holds already is not judged again, and the result is the same.

    Raises:
        InvalidFile: the record cannot be written, is damaged, or holds something about other cases.
    """
    run = Run([TheoremResult(theorem) for theorem in theorems])
    work: Iterable[Job] = jobs(theorems, cases, sparing=sparing)
    if record is not None:
        work = record.recalled(work)
    on_found = ignore_found if record is None else record.keep
    try:
        with workers or nullcontext():
            found = judged_here(theorems, work, on_found) if workers is None else workers.judged(work, on_found)
            for number, (case, places, verdicts) in enumerate(found):
                run.enter(case, [run.results[place] for place in places], verdicts, on_verdicts)
                if number >= len(theorems):  # after the witnesses
                    on_case(case)
    except KeyboardInterrupt:
        run.finished = False
    return run
