"""A verification run: cases times theorems, summarised."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from fractions import Fraction

import numpy as np

from bomrl_theory.errors import InvalidTask
from bomrl_theory.exact.solved import Solved
from bomrl_theory.meta.barycentre import barycentre
from bomrl_theory.tasks.catalogue import family_named
from bomrl_theory.tasks.policy import uniform_policy
from bomrl_theory.theory.case import Case
from bomrl_theory.theory.theorem import ADAPTING, Theorem
from bomrl_theory.verify.random_cases import random_cases
from bomrl_theory.verify.verdict import Grade, Outcome, Verdict, judge, tightest

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
    verdicts: list[Verdict] = field(default_factory=list)
    counterexample: tuple[Case, Verdict] | None = None
    seconds: float = 0.0

    def add(self, case: Case, verdicts: Sequence[Verdict], seconds: float) -> None:
        """Record verdicts and keep the counterexample with the smallest family."""
        self.verdicts.extend(verdicts)
        self.seconds += seconds
        for verdict in verdicts:
            if verdict.outcome is Outcome.VIOLATED and (
                self.counterexample is None or _size(case) < _size(self.counterexample[0])
            ):
                self.counterexample = (case, verdict)

    @property
    def counts(self) -> dict[Outcome, int]:
        counter = Counter(verdict.outcome for verdict in self.verdicts)
        return {outcome: counter[outcome] for outcome in Outcome}

    @property
    def in_scope(self) -> int:
        return len(self.verdicts) - self.counts[Outcome.OUT_OF_SCOPE]

    @property
    def max_ratio(self) -> float | None:
        return tightest(self.verdicts)

    @property
    def informative_share(self) -> float | None:
        """Share of informative ones among graded verdicts; None for identities."""
        grades = [verdict.grade for verdict in self.verdicts if verdict.grade is not None]
        return sum(grade is Grade.INFORMATIVE for grade in grades) / len(grades) if grades else None

    @property
    def floats_only(self) -> int:
        """Verdicts that were not certified."""
        return sum(not verdict.certified for verdict in self.verdicts)

    @property
    def exit_code(self) -> ExitCode:
        """A refuted theorem is expected to be violated; any other must not be."""
        if (self.counts[Outcome.VIOLATED] > 0) != (self.theorem.status == "refuted"):
            return ExitCode.VIOLATED
        if self.counts[Outcome.UNDECIDED] or not self.in_scope:
            return ExitCode.UNDECIDED
        return ExitCode.EXPECTED


def _size(case: Case) -> tuple[int, int, int]:
    return case.family.tasks, case.family.states, case.family.actions


@dataclass
class Run:
    """A finished or interrupted run."""

    results: list[TheoremResult]
    cases: int
    seed: int
    finished: bool = True

    @property
    def exit_code(self) -> ExitCode:
        codes = {result.exit_code for result in self.results}
        for code in (ExitCode.VIOLATED, ExitCode.UNDECIDED):
            if code in codes:
                return code
        return ExitCode.EXPECTED


def family_cases(solved: Solved, lambdas: Iterable[Fraction] = LAMBDAS) -> Iterator[Case]:
    """A named family under the barycentre and the uniform policy, unadapted and with every algorithm."""
    family = solved.family
    policies = {
        "barycentre": barycentre(family, solved.optimum),
        "uniform policy": uniform_policy(family.states, family.actions),
    }
    lambdas = tuple(lambdas)
    for label, phi in policies.items():
        origin = f"{family.name}, {label}"
        yield Case.new(solved, phi, "none", origin=origin)
        for algorithm in ADAPTING:
            for lam in lambdas:
                yield Case.new(solved, phi, algorithm, lam, origin=origin)


def plan(families: Sequence[str], cases: int, seed: int) -> tuple[int, Iterator[Case]]:
    """The run's cases and how many there are.

    Args:
        families: names or files; each gives its cases under every lambda of ``LAMBDAS``.
        cases: number of random families.
        seed: of everything that is drawn.

    Raises:
        InvalidTask: nothing to do; otherwise as :func:`family_named`.
    """
    if cases < 0 or (cases == 0 and not families):
        raise InvalidTask(f"--cases {cases}: at least one case is needed; give --cases 1 or more")
    # Every part of the run draws from its own stream, so that adding one leaves the others as they are.
    named, drawn = np.random.SeedSequence(seed).spawn(2)
    solved = [Solved(family_named(spec, np.random.default_rng(named))) for spec in families]
    per_family = 2 * (1 + len(ADAPTING) * len(LAMBDAS))

    def generate() -> Iterator[Case]:
        for family in solved:
            yield from family_cases(family)
        yield from random_cases(np.random.default_rng(drawn), cases)

    return per_family * len(solved) + (1 + len(ADAPTING)) * cases, generate()


def verify(
    theorems: Sequence[Theorem],
    cases: Iterable[Case],
    *,
    seed: int = 0,
    on_case: Callable[[Case], None] = lambda case: None,
) -> Run:
    """Judge every theorem on every case it covers; its own witness is always among them.

    An interrupt (ctrl-C) ends the run early with what was decided so far.
    """
    results = [TheoremResult(theorem) for theorem in theorems]
    run = Run(results, 0, seed)
    try:
        for result in results:
            _judge(result, result.theorem.witness(), {})
            run.cases += 1
        for case in cases:
            views: dict = {}
            for result in results:
                if result.theorem.covers(case):
                    _judge(result, case, views)
            run.cases += 1
            on_case(case)
    except KeyboardInterrupt:
        run.finished = False
    return run


def _judge(result: TheoremResult, case: Case, views: dict) -> None:
    start = time.perf_counter()
    verdicts = judge(result.theorem, case, views)
    result.add(case, verdicts, time.perf_counter() - start)
