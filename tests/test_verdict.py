"""Verdicts: ties are decided, grades mean what they say, floats never pass as certified, exit codes are honest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import sympy as sp
from helpers import drawn, tabular
from hypothesis import given
from hypothesis import strategies as st
from strategies import cases

from bomrl_theory.errors import InvalidTask
from bomrl_theory.exact import solved as solved_module
from bomrl_theory.exact.optimum import Optimum, optimal_policy
from bomrl_theory.exact.solved import Solved
from bomrl_theory.numbers import FLOATS, Rationals
from bomrl_theory.tasks.family import TaskFamily
from bomrl_theory.tasks.garnet import garnet
from bomrl_theory.theory.case import AnyCase, Case
from bomrl_theory.theory.constants import scalar
from bomrl_theory.theory.measured import Measured
from bomrl_theory.theory.registry import registry, theorem_named
from bomrl_theory.theory.small import stay_or_leave, two_arms
from bomrl_theory.theory.theorem import ADAPTING, Theorem
from bomrl_theory.verify.adversarial_cases import adversarial_cases
from bomrl_theory.verify.random_cases import random_cases
from bomrl_theory.verify.run import (
    DEFAULT_CASES,
    LAMBDAS,
    ExitCode,
    Plan,
    Run,
    TheoremResult,
    draws_of,
    family_cases,
    verify,
)
from bomrl_theory.verify.verdict import Grade, Outcome, Verdict, Views, judge, tightest

NO_ADAPTATION = theorem_named("no_adaptation-v1")
CONTRACTION = theorem_named("contraction_kl_posterior-v1")
PUBLISHED = theorem_named("published_bound-v1")
TIE = Case.new(two_arms(Fraction(4, 5)), [[1, 2]], "none")
"""phi = (1/3, 2/3) and gamma = 4/5: no double is exact, and the bound is attained exactly."""


def only(verdicts: Sequence[Verdict]) -> Verdict:
    """The single verdict."""
    (verdict,) = verdicts
    return verdict


def test_exact_tie_is_decided_in_rationals() -> None:
    """left == bound: balls can never tell, rationals can."""
    verdict = only(judge(NO_ADAPTATION, TIE))
    assert verdict.outcome is Outcome.HOLDS
    assert verdict.ratio == 1.0
    assert verdict.certified
    assert verdict.numbers.startswith("rational")
    assert verdict.exact == ("10/3", "10/3")


@pytest.mark.parametrize("shortfall", [Fraction(1, 10**k) for k in (1, 9, 17, 30, 100)], ids=lambda x: f"{float(x):g}")
def test_bound_just_below_an_exact_tie_is_violated(shortfall: Fraction) -> None:
    """However little the bound falls short, the violation is proved."""
    verdict = only(judge(NO_ADAPTATION.scaled(1 - shortfall), TIE))
    assert verdict.outcome is Outcome.VIOLATED
    assert verdict.certified
    assert only(judge(NO_ADAPTATION.scaled(1 + shortfall), TIE)).outcome is Outcome.HOLDS


@pytest.mark.parametrize("factor", [1 - 1e-6, 1 - 1e-9, 1 - 1e-12, float(np.nextafter(1, 0))])
def test_scaling_by_a_float_near_one_is_not_lost(factor: float) -> None:
    """``scaled`` takes floats, too, and must not round them to 1."""
    assert only(judge(NO_ADAPTATION.scaled(factor), TIE)).outcome is Outcome.VIOLATED


@pytest.mark.parametrize(
    ("lam", "grade"),
    [("1/100", Grade.INFORMATIVE), ("7/10", Grade.INFORMATIVE), ("1", Grade.UNINFORMATIVE), ("3", Grade.TRIVIAL)],
)
def test_grades_by_hand(lam: str, grade: Grade) -> None:
    """Two arms at gamma = 1/2, phi uniform: J* - J(phi) = 1, largest gap 2, bound = 1/2 + lambda log 2."""
    verdict = only(judge(CONTRACTION, Case.new(two_arms(), [[1, 1]], "kl-posterior", lam)))
    assert verdict.bound == pytest.approx(0.5 + float(Fraction(lam)) * np.log(2), rel=1e-9)
    assert verdict.outcome is Outcome.HOLDS
    assert verdict.grade is grade


def test_bound_equal_to_the_unadapted_gap_is_not_informative() -> None:
    """A tie counts against the bound: no_adaptation's bound equals J* - J(phi) here."""
    assert only(judge(NO_ADAPTATION, TIE)).grade is Grade.UNINFORMATIVE


def test_identities_and_violations_have_no_grade() -> None:
    """A grade belongs to an inequality that holds."""
    identity = theorem_named("performance_difference-v1")
    assert only(judge(identity, identity.witness())).grade is None
    assert only(judge(PUBLISHED, PUBLISHED.witness())).grade is None


@pytest.mark.parametrize("name", ["surrogate_error", "advantage_range", "barycentre_optimal", "unseen_tasks"])
def test_bounds_on_anything_but_a_gap_have_no_grade(name: str) -> None:
    """A grade compares with the gap without adaptation, which says nothing about another quantity."""
    theorem = theorem_named(name)
    verdict = only(judge(theorem, theorem.witness()))
    assert (verdict.outcome, verdict.grade) == (Outcome.HOLDS, None)
    assert not theorem.bounds_gap


def test_counterexample_that_can_be_checked_by_hand() -> None:
    """THEORY section 4: every number of the counterexample to the published form, without a condition on lambda."""
    case = Case.new(stay_or_leave(), [[1, 9], [2**20, 1]], "kl-posterior", "1/10")
    with FLOATS.activated():
        m = Measured(case, FLOATS)
        assert m.star.J[0] == pytest.approx(5)
        assert m.phi.Q[0, 0] == pytest.approx([4.217391, 4.0], abs=1e-6)
        assert m.plus.pi[0, 0, 0] == pytest.approx(0.494, abs=5e-4)
        assert m.plus.J[0] == pytest.approx(4.163, abs=5e-4)
        assert m.phi.nu[0, 0] == pytest.approx(0.2 / 0.92)
    verdict = only(judge(PUBLISHED, case))
    assert verdict.left == pytest.approx(0.837, abs=5e-4)
    assert verdict.bound == pytest.approx(0.4505, abs=5e-4)
    assert verdict.outcome is Outcome.VIOLATED
    assert verdict.certified


def test_published_condition_saves_the_counterexample_from_scope() -> None:
    """With the condition on lambda the same case is no counterexample: it is out of scope."""
    conditional = theorem_named("published_bound_conditional-v1")
    verdict = only(judge(conditional, PUBLISHED.witness()))
    assert verdict.outcome is Outcome.OUT_OF_SCOPE
    assert "lambda above threshold" in verdict.reason


def uncertified(family: TaskFamily, **settings: Any) -> Optimum:
    """As for a family that is too large to decide its ties."""
    return Optimum(optimal_policy(family, **settings).actions, ("float",) * family.tasks)


@pytest.mark.parametrize("theorem", tabular(), ids=lambda theorem: theorem.id)
def test_floats_never_pass_as_certified(monkeypatch: pytest.MonkeyPatch, theorem: Theorem) -> None:
    """Beyond the size of exact arithmetic every verdict says that it rests on floats."""
    monkeypatch.setattr(solved_module, "optimal_policy", uncertified)
    case = theorem.witness()
    assert isinstance(case, Case)
    assert theorem.covers(case)
    assert not case.solved.optimum.certified
    for verdict in judge(theorem, case):
        assert verdict.outcome is not Outcome.OUT_OF_SCOPE
        assert verdict.numbers == "float64"
        assert not verdict.certified


@pytest.mark.parametrize("theorem", tabular(), ids=lambda theorem: theorem.id)
def test_rounding_is_no_counterexample(monkeypatch: pytest.MonkeyPatch, theorem: Theorem) -> None:
    """In floats alone neither overflow nor a rounded tie breaks a theorem that exact arithmetic upholds."""
    monkeypatch.setattr(solved_module, "optimal_policy", uncertified)
    for case in random_cases(np.random.SeedSequence(0), 12):
        if theorem.covers(case):
            verdicts = judge(theorem, case)
            assert not any(verdict.certified for verdict in verdicts if verdict.outcome is not Outcome.OUT_OF_SCOPE)
            if theorem.status == "proved":
                assert Outcome.VIOLATED not in {verdict.outcome for verdict in verdicts}


@given(cases(["kl-posterior"], tasks=2))
def test_views_shared_between_theorems_change_nothing(case: Case) -> None:
    """Measuring a case once for all theorems gives the verdicts that each alone would get."""
    views: Views = {}
    for theorem in registry().values():
        shared, alone = judge(theorem, case, views), judge(theorem, case)
        assert [(v.outcome, v.exact, v.grade, v.numbers) for v in shared] == [
            (v.outcome, v.exact, v.grade, v.numbers) for v in alone
        ]


def test_nan_is_undecided() -> None:
    """An invalid computation never passes as a proof, in either direction."""
    nan = scalar("nan_", "not a number", "1", lambda m: m.numbers.log(m.numbers.load(np.array(-1.0)))[()])
    mutant = replace(NO_ADAPTATION, bound=nan.symbol, constants=(*NO_ADAPTATION.constants, nan))
    assert only(judge(mutant, TIE)).outcome is Outcome.UNDECIDED


def test_irrational_tie_is_undecided() -> None:
    """log 2 + log 3 = log 6 is beyond both balls and rationals; the verdict says so."""
    expression = sp.log(2, evaluate=False) + sp.log(3, evaluate=False)
    mutant = replace(NO_ADAPTATION, left=expression + 0 * NO_ADAPTATION.left, bound=sp.log(6, evaluate=False))
    verdict = only(judge(mutant, TIE))
    assert verdict.outcome is Outcome.UNDECIDED
    assert verdict.grade is None
    assert "closer than the precision" in verdict.reason


def fake(outcome: Outcome, ratio: float | None = 0.5, **changes: Any) -> Verdict:
    """A verdict with the given outcome and left/bound."""
    return Verdict("t-v1", outcome, 0, sides=None if ratio is None else (ratio, 1.0), **changes)


H, V, U, OUT = Outcome.HOLDS, Outcome.VIOLATED, Outcome.UNDECIDED, Outcome.OUT_OF_SCOPE


def result_of(*verdicts: Verdict, theorem: Theorem = NO_ADAPTATION, case: Case = TIE) -> TheoremResult:
    """A theorem's result on one case."""
    return TheoremResult(theorem, [(case, verdict) for verdict in verdicts])


@pytest.mark.parametrize(
    ("status", "outcomes", "expected"),
    [
        ("proved", [H, H], ExitCode.EXPECTED),
        ("proved", [H, OUT], ExitCode.EXPECTED),
        ("proved", [H, V], ExitCode.VIOLATED),
        ("proved", [V, U], ExitCode.VIOLATED),
        ("proved", [H, U], ExitCode.UNDECIDED),
        ("proved", [OUT, OUT], ExitCode.UNDECIDED),
        ("proved", [], ExitCode.UNDECIDED),
        ("conjectured", [V], ExitCode.VIOLATED),
        ("refuted", [H, V], ExitCode.EXPECTED),
        ("refuted", [H, H], ExitCode.VIOLATED),
        ("refuted", [V, U], ExitCode.UNDECIDED),
    ],
)
def test_exit_codes(status: Any, outcomes: list[Outcome], expected: ExitCode) -> None:
    """0 as expected, 1 a surprise in either direction, 3 nothing in scope or something undecided."""
    result = result_of(*map(fake, outcomes), theorem=replace(NO_ADAPTATION, status=status))
    assert result.exit_code is expected


def test_refuted_theorem_that_suddenly_holds_breaks_the_run() -> None:
    """A bound ten times as large has no counterexample any more: that is news, not success."""
    assert verify([PUBLISHED.scaled(10)], []).exit_code is ExitCode.VIOLATED
    assert verify([PUBLISHED], []).exit_code is ExitCode.EXPECTED


def test_theorem_without_a_case_in_scope_breaks_the_run() -> None:
    """A vacuous pass is no pass: here the witness itself breaks the assumption."""
    conditional = replace(theorem_named("published_bound_conditional-v1"), witness=PUBLISHED.witness)
    run = verify([conditional], [])
    assert run.results[0].in_scope == 0
    assert run.exit_code is ExitCode.UNDECIDED


def test_worst_result_decides_the_run() -> None:
    """A counterexample outweighs an undecided theorem, which outweighs success."""
    holds, open_, broken = (result_of(fake(outcome)) for outcome in (H, U, V))
    assert Run([holds, open_, broken]).exit_code is ExitCode.VIOLATED
    assert Run([holds, open_]).exit_code is ExitCode.UNDECIDED
    assert Run([holds]).exit_code is ExitCode.EXPECTED
    assert [int(code) for code in ExitCode] == [0, 1, 2, 3]


def test_result_keeps_the_smallest_counterexample_and_its_statistics() -> None:
    """The summary's columns from verdicts that anyone can count."""
    large = Case.new(drawn("garnet:tasks=1"), np.ones((16, 4)), "none")
    result = result_of(fake(V, ratio=3.0), fake(H, grade=Grade.INFORMATIVE, certified=False), case=large)
    result.records += result_of(
        fake(V, ratio=2.0), fake(H, grade=Grade.TRIVIAL), fake(U, ratio=9.0), fake(OUT, ratio=None)
    ).records
    assert result.counterexample is not None
    assert result.counterexample[0] is TIE
    assert result.counts == {H: 2, V: 2, U: 1, OUT: 1}
    assert result.in_scope == 5
    assert result.max_ratio == 3.0
    assert result.informative_share == 0.5
    assert result.floats_only == 1
    assert tightest([]) is None
    assert TheoremResult(NO_ADAPTATION).counterexample is None
    assert TheoremResult(NO_ADAPTATION).informative_share is None


def test_run_over_a_family() -> None:
    """The plan counts its cases, every theorem is judged, and all is as registered."""
    plan = Plan(("bandit:tasks=2",), cases=2, seed=3, draws=draws_of(tabular()))
    seen: list[AnyCase] = []
    run = verify(tabular(), plan.generate(), on_case=seen.append)
    assert len(seen) == plan.count
    assert run.judged == plan.count + len(tabular())
    assert run.finished
    assert run.exit_code is ExitCode.EXPECTED
    assert all(result.in_scope > 1 for result in run.results)


def test_plan_without_families_draws_random_ones_after_the_defaults() -> None:
    """The count that the progress bar shows is the number of cases that come."""
    plan = Plan(cases=3)
    planned = list(plan.generate())
    assert len(planned) == plan.count
    assert len({case.family.name for case in planned if case.origin.startswith("random")}) == 3
    assert Plan().drawn == DEFAULT_CASES
    assert Plan(("bandit",)).drawn == 0


def fingerprints(plan: Plan, origin: str) -> list[tuple[str, bytes, bytes]]:
    """What identifies the cases of one origin."""
    chosen = [case for case in plan.generate() if case.origin.startswith(origin)]
    assert chosen
    return [(case.describe(), case.phi.tobytes(), case.family.r.tobytes()) for case in chosen]


def test_same_seed_same_cases() -> None:
    """A run can be repeated, and adding a family leaves the cases of the others as they are."""
    alone, again, other = (fingerprints(Plan(("bandit",), 2, seed), "bandit") for seed in (1, 1, 2))
    assert alone == again
    assert alone != other
    assert fingerprints(Plan(("bandit", "chain"), 2, 1), "bandit") == alone


@pytest.mark.parametrize(
    ("arguments", "message"), [({"cases": 0}, "--cases 0"), ({"cases": -1}, "--cases -1"), ({"seed": -1}, "--seed -1")]
)
def test_impossible_plan(arguments: dict[str, Any], message: str) -> None:
    """A run of nothing would pass vacuously."""
    with pytest.raises(InvalidTask, match=message):
        Plan(**arguments)


def test_family_cases_cover_every_algorithm_and_lambda() -> None:
    """Two meta-policies, unadapted and with each algorithm at each lambda, then the drawn ones."""
    rng = np.random.default_rng(0)
    covered = [(case.algorithm.name, case.lam) for case in family_cases(Solved(drawn("bandit")), 2, rng)]
    fixed = 2 * (1 + len(ADAPTING) * len(LAMBDAS))
    assert len(covered) == fixed + 2 * (1 + len(ADAPTING))
    assert {(name, lam) for name in ADAPTING for lam in LAMBDAS} < set(covered[:fixed])


def test_interrupt_keeps_what_was_decided() -> None:
    """ctrl-C ends the run early; the verdicts so far remain, and the run says that it is unfinished."""

    def interrupt(case: Case) -> None:
        raise KeyboardInterrupt

    run = verify([NO_ADAPTATION], random_cases(np.random.SeedSequence(0), 5), on_case=interrupt)
    assert not run.finished
    assert run.judged == 2
    assert run.results[0].in_scope > 0


@given(st.integers(0, 2**32))
def test_random_cases_are_valid_and_described(seed: int) -> None:
    """One family gives the unadapted case and one for each algorithm, all on the same family."""
    drawn_cases = list(random_cases(np.random.SeedSequence(seed), 1))
    assert [case.algorithm.name for case in drawn_cases] == ["none", *ADAPTING]
    assert len({id(case.solved) for case in drawn_cases}) == 1
    assert all(Fraction(99, 10**6) <= case.lam <= 1010 for case in drawn_cases)
    assert all(case.origin in case.describe() for case in drawn_cases)


def test_long_rationals_are_shown_abridged() -> None:
    """The exact text of a verdict stays readable and says how much it leaves out."""
    x = scalar("x_", "a long fraction", "1", lambda m: m.numbers.constant(Fraction(1, 10**900 + 7)))
    mutant = replace(NO_ADAPTATION, left=x.symbol, relation="==", bound=x.symbol, constants=(x,))
    verdict = only(judge(mutant, TIE))
    assert verdict.outcome is Outcome.HOLDS
    assert verdict.numbers == Rationals(256).name
    assert "digits" in verdict.exact[0]
    assert len(verdict.exact[0]) < 420


def test_cases_built_to_break_floats_are_decided() -> None:
    """Subnormal probabilities, last-bit ties, gamma = 1 - 1e-9 and rewards of 1e12: decided, and never wrongly."""
    theorems = [theorem for theorem in registry().values() if theorem.relation == "<="]
    for case in adversarial_cases(np.random.SeedSequence(7), 40, largest=8):
        for theorem in theorems:
            if theorem.covers(case):
                outcomes = {verdict.outcome for verdict in judge(theorem, case)}
                assert Outcome.UNDECIDED not in outcomes
                assert Outcome.VIOLATED not in outcomes or theorem.status == "refuted"


def test_task_weights_belong_to_the_whole_family() -> None:
    """A tied task that climbs alone keeps its weight: here bound - left is exactly 0 on task 1."""
    from bomrl_theory.tasks.family import TaskFamily
    from bomrl_theory.theory.constants import gap_phi, w

    unadapted = theorem_named("no_adaptation-v1")
    theorem = replace(
        unadapted, left=w.symbol, bound=sp.Rational(1, 2) + gap_phi.symbol, constants=(w, gap_phi), id="weights-v1"
    )
    family = TaskFamily.new([[[[1], [1]]]] * 2, [[[1, 0]], [[0, 0]]], 0, [1])
    verdicts = judge(theorem, Case.new(family, [[1, 3]], "none"))
    assert [verdict.outcome for verdict in verdicts] == [Outcome.HOLDS, Outcome.HOLDS]


def test_large_tasks_are_certified_without_rationals() -> None:
    """700 states: the optimum and inequalities by enclosures; an identity, which only rationals prove, in floats."""
    family = garnet(states=700, tasks=1, rng=np.random.default_rng(0))
    case = Case.new(family, np.ones((700, 4)), "kl-posterior", "1/10")
    assert case.solved.optimum.decided == ("enclosure",)
    for name in ("contraction_kl_posterior", "coverage"):
        verdict = only(judge(theorem_named(name), case))
        assert verdict.outcome is Outcome.HOLDS
        assert (verdict.numbers, verdict.certified) == ("float64 enclosure", True)
        broken = only(judge(theorem_named(name).scaled(sp.Rational(1, 100)), case))
        assert (broken.outcome, broken.certified) == (Outcome.VIOLATED, True)
    identity = only(judge(theorem_named("performance_difference"), case))
    assert (identity.outcome, identity.certified) == (Outcome.HOLDS, False)


def test_tasks_too_large_for_balls_stay_in_enclosures_when_asked_for_digits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing more precise can be afforded: better few certified digits than no verdict."""
    monkeypatch.setattr(solved_module, "BALL_WEIGHTS", 1)
    monkeypatch.setattr(solved_module, "RATIONAL_STATES_OF_BOUNDS", 1)
    case = Case.new(stay_or_leave(), [[1, 3], [1, 1]], "none")
    verdict = only(judge(NO_ADAPTATION, case, precise=True))
    assert (verdict.outcome, verdict.numbers) == (Outcome.HOLDS, "float64 enclosure")


def test_a_large_tie_says_that_it_is_not_certified() -> None:
    """Two different actions that tie, in a task too large for rationals: floats, and the verdict says so."""
    family = garnet(states=700, tasks=1, rng=np.random.default_rng(0))
    P, r = family.P.copy(), family.r.copy()
    P[0, 0], r[0, 0] = np.eye(700)[:4], 1.0  # to four states that look alike
    P[0, :4], r[0, :4] = P[0, 0], r[0, 0]
    tied = TaskFamily.new(P, r, family.gamma, family.rho, row_weights=True)
    case = Case.new(tied, np.ones((700, 4)), "kl-posterior", "1/10")
    assert case.solved.optimum.decided == ("float",)
    verdict = only(judge(theorem_named("contraction_kl_posterior"), case))
    assert (verdict.numbers, verdict.certified) == ("float64", False)
