"""Work in processes: what they find is what one process finds, to the last digit of every radius."""

import pickle
from collections.abc import Iterator

import flint
import numpy as np
import pytest
from flint import arb, fmpq
from hypothesis import given
from hypothesis import strategies as st

from bomrl_theory.errors import InvalidTask, LostWorker
from bomrl_theory.theory.case import Case
from bomrl_theory.theory.registry import theorem_named
from bomrl_theory.verify.random_cases import random_cases
from bomrl_theory.verify.run import Run, draws_of, verify
from bomrl_theory.verify.verdict import judge
from bomrl_theory.verify.work import CASES_IN_A_JOB, Job, Workers, jobs, judged_here

NAMES = ("contraction_kl_posterior", "performance_difference-v1", "published_bound", "npg_steps")
"""Ties that climb to rationals, an identity, a violated form, and a bound on several steps."""
THEOREMS = [theorem_named(name) for name in NAMES]


def cases() -> Iterator[Case]:
    return random_cases(np.random.SeedSequence(11), 4, draws_of(THEOREMS))


def found(run: Run) -> list[tuple[object, ...]]:
    """Everything that a run found but the time it took."""
    return [
        (case.describe(), v.theorem, v.task, v.outcome, v.exact, v.grade, v.numbers, v.certified, v.reason, v.chosen)
        for result in run.results
        for case, v in result.records
    ]


def test_processes_find_what_one_process_finds() -> None:
    seen: dict[bool, list[str]] = {False: [], True: []}
    told: dict[bool, list[tuple[str, str]]] = {False: [], True: []}
    runs = {
        shared: verify(
            THEOREMS,
            cases(),
            on_case=lambda case, seen=seen[shared]: seen.append(case.describe()),
            on_verdicts=lambda theorem, case, _, told=told[shared]: told.append((theorem.id, case.describe())),
            workers=Workers(NAMES, 2) if shared else None,
        )
        for shared in (False, True)
    }
    assert found(runs[True]) == found(runs[False])
    assert len({verdict.numbers for result in runs[True].results for verdict in result.verdicts}) > 2
    assert seen[True] == seen[False] == [case.describe() for case in cases()]
    assert told[True] == told[False]
    assert runs[True].judged == runs[False].judged == len(seen[True]) + len(THEOREMS)


def test_jobs_without_numbers_keep_apart() -> None:
    """Baselines judge jobs that are no part of a numbered run; what is known of a case is not judged again."""
    work = [Job([theorem.witness()], [[place]]) for place, theorem in enumerate(THEOREMS)]
    known = [(judge(THEOREMS[0], THEOREMS[0].witness()), 0.0)]
    work += [Job([theorem.witness() for theorem in THEOREMS[:2]], [[0], [1]], known={0: known})]
    told: list[int] = []
    with Workers(NAMES, 2) as workers:
        shared = list(workers.judged(work, lambda job, index, found: told.append(index)))
    here = list(judged_here(THEOREMS, work))
    outcomes = [
        [[(case.describe(), places, verdict.exact) for verdict in each[0][0]] for case, places, each in results]
        for results in (shared, here)
    ]
    assert outcomes[0] == outcomes[1]
    assert shared[-2][2] is here[-2][2] is known
    assert sorted(told) == [0] * len(THEOREMS) + [1]


def test_interrupt_keeps_what_the_processes_found() -> None:
    def stop(case: Case) -> None:
        raise KeyboardInterrupt

    run = verify(THEOREMS, cases(), on_case=stop, workers=Workers(NAMES, 2))
    assert not run.finished
    assert run.judged == len(THEOREMS) + 1


def test_a_process_that_ends_is_told() -> None:
    with pytest.raises(LostWorker, match="try --workers 1"):
        verify(THEOREMS, cases(), workers=Workers(("no_such_theorem",), 2))


@pytest.mark.parametrize("count", [0, -3])
def test_nobody_is_too_few(count: int) -> None:
    with pytest.raises(InvalidTask, match=f"--workers {count}"):
        Workers(NAMES, count)


def test_sparing_leaves_out_identities_only_and_only_repetitions() -> None:
    everything, sparing = (list(jobs(THEOREMS, cases(), sparing=choice)) for choice in (False, True))
    identity = NAMES.index("performance_difference-v1")
    judged: set[tuple[object, str, str]] = set()
    dropped = 0
    for job, spared in zip(everything[len(THEOREMS) :], sparing[len(THEOREMS) :], strict=True):
        assert len(job.cases) <= CASES_IN_A_JOB
        assert len({case.shared for case in job.cases}) == 1
        for case, places, kept in zip(spared.cases, job.places, spared.places, strict=True):
            assert [place for place in places if place != identity] == [place for place in kept if place != identity]
            key = (case.shared, case.origin, case.algorithm.name)
            if identity in kept:
                assert key not in judged
                judged.add(key)
            elif identity in places:
                assert key in judged
                dropped += 1
    assert judged
    assert dropped


# --- balls between processes ----------------------------------------------------------------------


@given(
    st.floats(-1e300, 1e300), st.floats(0, 1e10) | st.sampled_from([1e-300, 0.5, 3.0]), st.sampled_from([53, 128, 1024])
)
def test_a_pickled_ball_is_the_same_ball(middle: float, radius: float, precision: int) -> None:
    with flint.ctx.workprec(precision):
        balls = [arb(middle, radius), arb(middle, radius) / 3, arb(2).sqrt() * arb(middle), arb(middle) + arb(1) / 7]
    for ball in balls:
        again = pickle.loads(pickle.dumps(ball))
        for part, other in ((ball.mid(), again.mid()), (ball.rad(), again.rad())):
            assert part.man_exp() == other.man_exp()


def test_what_is_no_finite_ball_stays_so() -> None:
    for ball in (arb("nan"), arb("inf"), arb("[1 +/- inf]")):
        again = pickle.loads(pickle.dumps(ball))
        assert not again.is_finite()
        assert not again >= 0
        assert not again < 0
    assert pickle.loads(pickle.dumps(fmpq(1, 3))) == fmpq(1, 3)
