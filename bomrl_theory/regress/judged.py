"""What theorems reach today: their verdicts on their own cases and on the corpus."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from bomrl_theory.regress.corpus import Corpus, case_of, mapping_of
from bomrl_theory.theory.case import AnyCase
from bomrl_theory.theory.theorem import Theorem, made
from bomrl_theory.verify.run import TheoremResult
from bomrl_theory.verify.verdict import Outcome, Verdict
from bomrl_theory.verify.work import CASES_IN_A_JOB, Job, Workers, judged_here

FORMER = " (as in the baseline)"
"""Ends the name of a case that the baseline has kept and that the theorem no longer has."""


@dataclass
class Judged:
    """A theorem's verdicts by the name of the case, on every case that it covers.

    Attributes:
        own: the theorem's own cases as data: witness, probes, and where each assumption fails.
        corpus: hash of the corpus.
        offered: names of all cases that there were, covered or not.
    """

    theorem: Theorem
    own: dict[str, dict[str, Any]]
    corpus: str
    offered: set[str] = field(default_factory=set)
    rows: dict[str, tuple[AnyCase, list[Verdict]]] = field(default_factory=dict)

    @property
    def verdicts(self) -> list[Verdict]:
        return [verdict for _, verdicts in self.rows.values() for verdict in verdicts]

    @property
    def result(self) -> TheoremResult:
        """The same as a run has it."""
        records = [(case, verdict) for case, verdicts in self.rows.values() for verdict in verdicts]
        return TheoremResult(self.theorem, records)

    def places(self, outcome: Outcome) -> list[str]:
        """Names of the cases with such a verdict."""
        return [name for name, (_, verdicts) in self.rows.items() if any(v.outcome is outcome for v in verdicts)]


def own_cases(theorem: Theorem) -> dict[str, AnyCase]:
    """Witness, probes and the cases where assumptions fail, by name.

    Raises:
        InvalidTheorem: one of them cannot be made.
    """
    broken = {f"where '{a.name}' fails": a.broken for a in theorem.assumptions if a.broken is not None}
    return theorem.known_cases() | {name: made(make, f"{theorem.id}, {name}") for name, make in broken.items()}


def judged(
    theorems: Sequence[Theorem],
    corpus: Corpus,
    kept: Mapping[str, Mapping[str, Any]] = {},
    *,
    workers: Workers | None = None,
    on_case: Callable[[str], None] = lambda name: None,
) -> list[Judged]:
    """Judge every theorem on its own cases and on what it covers of the corpus.

    Args:
        kept: by theorem name the own cases that its baseline has; those that are no longer the theorem's are judged
            as well, so that a case cannot leave together with the assumption that it breaks.
        workers: processes that share the work, made for these theorems; the result is the same.
        on_case: called with the name of each case that is done.
    """
    found = [Judged(theorem, {}, corpus.sha256, set(corpus.names)) for theorem in theorems]
    names: list[str] = []

    def work() -> Iterator[Job]:
        for place, result in enumerate(found):
            own = own_cases(result.theorem)
            result.own = {name: mapping_of(case) for name, case in own.items()}
            former = {
                name + FORMER: case_of(mapping, name + FORMER)
                for name, mapping in kept.get(result.theorem.name, {}).items()
                if mapping not in result.own.values()
            }
            result.offered |= set(own)
            for name, case in (own | former).items():
                if result.theorem.covers(case):
                    names.append(name)
                    yield Job([case], [[place]])
        for _, cases in groupby(corpus.cases(), key=lambda pair: pair[1].shared):
            for unit in _pieces(list(cases)):
                names.extend(name for name, _ in unit)
                covering = [[p for p, theorem in enumerate(theorems) if theorem.covers(case)] for _, case in unit]
                yield Job([case for _, case in unit], covering)

    with workers or nullcontext():
        done = judged_here(theorems, work()) if workers is None else workers.judged(work())
        for number, (case, places, verdicts) in enumerate(done):
            for place, (of_theorem, _) in zip(places, verdicts, strict=True):
                found[place].rows[names[number]] = case, of_theorem
            on_case(names[number])
    return found


def _pieces(cases: list[tuple[str, AnyCase]]) -> Iterator[list[tuple[str, AnyCase]]]:
    for start in range(0, len(cases), CASES_IN_A_JOB):
        yield cases[start : start + CASES_IN_A_JOB]


def judge_former(theorem: Theorem, now: Judged) -> Judged:
    """A former version of a theorem, on all cases of its successor that it covers."""
    rows = {name: case for name, (case, _) in now.rows.items() if theorem.covers(case)}
    jobs = [Job([case], [[0]]) for case in rows.values()]
    verdicts = [found[0][0] for _, _, found in judged_here([theorem], jobs)]
    former = Judged(theorem, now.own, now.corpus)
    former.rows = {name: (case, of_case) for (name, case), of_case in zip(rows.items(), verdicts, strict=True)}
    return former
