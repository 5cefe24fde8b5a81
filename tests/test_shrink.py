"""Smallest counterexamples: planted wrong bounds are cut down to what a person can check by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import cases

from bomrl_theory.exact.solved import Solved
from bomrl_theory.meta.barycentre import barycentre
from bomrl_theory.tasks.catalogue import family_named
from bomrl_theory.tasks.family import TaskFamily
from bomrl_theory.theory.case import Case
from bomrl_theory.theory.constants import D, gamma, rho
from bomrl_theory.theory.expression import over_states
from bomrl_theory.theory.registry import registry, theorem_named
from bomrl_theory.theory.small import stay_or_leave
from bomrl_theory.theory.theorem import Theorem
from bomrl_theory.verify.casefile import load_case, save_case
from bomrl_theory.verify.counterexample import smallest_counterexample
from bomrl_theory.verify.random_cases import random_cases
from bomrl_theory.verify.readable import exact_lines, exact_mapping
from bomrl_theory.verify.run import Run, TheoremResult
from bomrl_theory.verify.shrink import complexity, shrunk, violation, whole_weights
from bomrl_theory.verify.verdict import Outcome, Verdict, judge


def without_discounted_term() -> Theorem:
    """The contraction bound with the gap one step ahead left out."""
    theorem = theorem_named("contraction_kl_posterior")
    return replace(theorem, bound=theorem.bound - over_states(rho.symbol * gamma.symbol * D.symbol))


def without_effective_horizon() -> Theorem:
    """The no-adaptation bound without its factor 1/(1-gamma)."""
    theorem = theorem_named("no_adaptation")
    return replace(theorem, bound=theorem.bound * (1 - gamma.symbol))


def published_form() -> Theorem:
    """The published form without a condition on lambda."""
    return theorem_named("published_bound")


PLANTED = [without_discounted_term, without_effective_horizon, published_form]


def first_violated(theorem: Theorem, *, states: int = 4, seed: int = 0) -> tuple[Case, Verdict]:
    """The first violated random case with several tasks and at least so many states."""
    for case in random_cases(np.random.SeedSequence(seed), 400):
        if theorem.covers(case) and case.family.states >= states and case.family.tasks > 1:
            verdict = violation(theorem, case)
            if verdict is not None:
                return case, verdict
    raise AssertionError("no random case violates the planted bound")


@pytest.mark.parametrize("planted", PLANTED, ids=lambda planted: planted.__name__)
def test_planted_wrong_bound_shrinks_to_two_states(planted) -> None:
    """From several tasks and four or more states to one task, two states and two actions, in round numbers."""
    theorem = planted()
    found, verdict = smallest_counterexample(theorem, *first_violated(theorem))
    family = found.family
    assert (family.tasks, family.actions) == (1, 2)
    assert family.states <= 2
    assert set(np.unique(family.P)) <= {0.0, 1.0}
    assert np.all(family.r == np.round(family.r))
    assert verdict.outcome is Outcome.VIOLATED
    assert verdict.certified
    assert violation(theorem, found) is not None


def test_registered_refuted_entries_have_small_counterexamples() -> None:
    """At most two tasks, three states and two actions, from a random case that violates the entry, too."""
    refuted = [theorem for theorem in registry().values() if theorem.status == "refuted"]
    assert refuted
    for theorem in refuted:
        witness = theorem.witness()
        for case, verdict in ((witness, violation(theorem, witness)),):
            assert verdict is not None
            found, _ = smallest_counterexample(theorem, case, verdict)
            sizes = found.family.tasks, found.family.states, found.family.actions
            assert all(size <= limit for size, limit in zip(sizes, (2, 3, 2), strict=True)), theorem.id
            assert complexity(found) <= complexity(case)


def test_published_form_shrinks_from_frozen_lake() -> None:
    """Sixteen states and twenty tasks, as in the figures, come down to two states."""
    theorem = theorem_named("published_bound")
    solved = Solved(family_named("frozen-lake-high:tasks=3", np.random.default_rng(0)))
    case = Case.new(solved, barycentre(solved.family, solved.optimum), "kl-posterior", Fraction(1, 100))
    verdict = violation(theorem, case)
    assert verdict is not None
    found, verdict = smallest_counterexample(theorem, case, verdict)
    assert (found.family.tasks, found.family.states, found.family.actions) == (1, 2, 2)
    assert verdict.outcome is Outcome.VIOLATED


def test_same_case_same_counterexample() -> None:
    """Nothing in the way to it is random."""
    theorem = theorem_named("published_bound")
    witness = theorem.witness()
    record = witness, judge(theorem, witness)[0]
    first, again = (exact_mapping(smallest_counterexample(theorem, *record)[0]) for _ in range(2))
    assert first == again


def test_condition_of_a_theorem_is_never_left() -> None:
    """Shrinking stays in scope: a case where an assumption fails is no counterexample."""
    theorem = theorem_named("published_bound_conditional")
    tighter = theorem.scaled(Fraction(1, 2))
    witness = theorem.witness()
    verdict = violation(tighter, witness)
    assert verdict is not None
    found, verdict = smallest_counterexample(tighter, witness, verdict)
    assert verdict.outcome is Outcome.VIOLATED
    assert {v.outcome for v in judge(theorem, found)} == {Outcome.HOLDS}


def test_uncertified_violation_is_left_alone() -> None:
    """On a task too large for exact numbers nothing is claimed about smaller ones."""
    theorem = theorem_named("published_bound")
    case = theorem.witness()
    verdict = replace(judge(theorem, case)[0], certified=False)
    assert smallest_counterexample(theorem, case, verdict) == (case, verdict)


@settings(max_examples=8)
@given(data=st.data())
def test_shrunk_case_is_simpler_and_still_shows_it(data: st.DataObject) -> None:
    """For a condition on the sizes alone, the smallest case that meets it is found."""
    case = data.draw(cases(["kl-posterior"], states=4, actions=3, tasks=3))

    def shows(variant: Case) -> bool:
        return variant.family.tasks >= min(2, case.family.tasks) and bool(
            np.any(variant.family.r == case.family.r.max())
        )

    found = shrunk(case, shows, budget=100)
    assert shows(found)
    assert complexity(found) <= complexity(case)
    assert found.family.tasks == min(2, case.family.tasks)
    assert found.family.states == 1


def test_removed_states_probability_goes_elsewhere() -> None:
    """Three states in a row, of which the middle one only passes on: two are enough, and rows stay distributions."""
    P = [[[[0, 1, 0]], [[0, 0, 1]], [[0, 0, 1]]]]
    case = Case.new(TaskFamily.new(P, [[[0], [0], [1]]], Fraction(1, 2), [1, 0, 0]), [[1], [1], [1]], "none")
    found = shrunk(case, lambda variant: variant.solved.optimum.certified and variant.family.states >= 2)
    assert found.family.states == 2
    assert np.all(found.family.P.sum(axis=-1) == 1)


def test_run_shrinks_what_it_reports(tmp_path: Path) -> None:
    """The counterexample of a run is the shrunk one; it is saved with exact numbers and replays as violated."""
    theorem = theorem_named("published_bound")
    result = TheoremResult(theorem)
    case, _ = first_violated(theorem, seed=3)
    Run([result]).judge(case, [result])
    assert result.smallest_violated is not None
    assert result.counterexample is not None
    found, verdict = result.counterexample
    assert result.counterexample[0] is found, "shrinking is done once"
    assert complexity(found) < complexity(result.smallest_violated[0])
    path = save_case(found, verdict, tmp_path)
    name, replayed = load_case(path)
    assert name == theorem.id
    assert {v.outcome for v in judge(theorem, replayed)} == {Outcome.VIOLATED}
    assert json.loads(path.read_text())["exact"] == exact_mapping(replayed)


# --- exact numbers for people -----------------------------------------------------------------------


def test_lines_that_can_be_checked_by_hand() -> None:
    """Fractions, powers of two and plain words."""
    case = Case.new(stay_or_leave(), [[1, 9], [2**20, 1]], "kl-posterior", Fraction(1, 10))
    assert exact_lines(case) == [
        "1 task, 2 states, 2 actions; gamma = 4/5; kl-posterior, lambda = 1/10",
        "starts in state 0",
        "  state 0, action 0: reward 1, to state 0; meta-policy 1/10",
        "  state 0, action 1: reward 0, to state 1; meta-policy 9/10",
        "  state 1, action 0: reward 1, to state 1; meta-policy 1048576/1048577",
        "  state 1, action 1: reward 1, to state 1; meta-policy 1/1048577",
    ]


def test_lines_of_several_tasks_and_of_long_numbers() -> None:
    """Task weights and starts are told; a number too long to read is marked as rounded; a huge case is only counted."""
    family = TaskFamily.new(
        [[[[1, 2], [1, 0]]] * 2] * 2,
        [[[0.1, 2.0**40]] * 2] * 2,
        Fraction(1, 3),
        [[1, 1], [0, 1]],
        [1, 3],
        row_weights=True,
    )
    lines = exact_lines(Case.new(family, [[1, 1], [1, 2]], "kl-prior", Fraction(1, 3), steps=2))
    assert lines[0].endswith("gamma = 1/3; kl-prior, lambda = 1/3, 2 steps")
    assert lines[1] == "task 0, weight 1/4: starts in state 0 (1/2), state 1 (1/2)"
    assert "reward about 0.1, to state 0 (1/3), state 1 (2/3)" in lines[2]
    assert "reward 2^40" in lines[3]
    large = family_named("frozen-lake-high:tasks=2", np.random.default_rng(0))
    assert len(exact_lines(Case.new(large, np.ones((16, 4)), "none"))) == 1


def test_whole_weights() -> None:
    """Smallest whole numbers in the exact proportions of doubles."""
    assert whole_weights(np.array([0.5, 0.25, 0.25])) == [2, 1, 1]
    assert whole_weights(np.array([0.0, 3.0])) == [0, 1]
