"""Worst-case search: its float population, what it certifies, and that it finds what is known to be there."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import sympy as sp
from flint import fmpq
from helpers import tabular
from hypothesis import given
from hypothesis import strategies as st

import bomrl_theory.verify.search as search_module
from bomrl_theory.errors import InvalidTask
from bomrl_theory.theory.case import Case
from bomrl_theory.theory.constants import D, R, gamma, gap, gap_phi, nu_phi, rho, w
from bomrl_theory.theory.expression import over_states, over_tasks
from bomrl_theory.theory.registry import theorem_named
from bomrl_theory.theory.small import corridor, two_arms
from bomrl_theory.theory.theorem import Theorem
from bomrl_theory.verify.casefile import load_case, write_case
from bomrl_theory.verify.population import Population, Screen
from bomrl_theory.verify.ratio import certified_ratio, float_ratio
from bomrl_theory.verify.search import Progress, Search, Settings, lambda_range, scores
from bomrl_theory.verify.space import Space
from bomrl_theory.verify.verdict import Outcome, Verdict, judge

EVERY = [pytest.param(theorem, id=theorem.id) for theorem in tabular()]


def population(theorem: Theorem, *, size: int = 5, tasks: int = 2, seed: int = 0) -> Population:
    """Random candidates that the theorem speaks about."""
    rng = np.random.default_rng(seed)
    T, S, A = tasks, 2, 3
    return Population(
        rng.dirichlet(np.full(S, 0.5), (size, T, S, A)),
        rng.normal(size=(size, T, S, A)),
        rng.dirichlet(np.ones(S), (size, T)),
        rng.integers(1, 4, (size, T)).astype(float),
        rng.dirichlet(np.ones(A), (size, S)) + 1e-6,
        Fraction(4, 5),
        Fraction(200),
        theorem.algorithms[0],
        theorem.steps or 1,
    )


# --- the population against the verdict -------------------------------------------------------------


@pytest.mark.parametrize("theorem", EVERY)
def test_population_agrees_with_certified_sides(theorem: Theorem) -> None:
    """Every candidate's sides, measured together in floats, are those of its own certified verdict."""
    many = population(theorem)
    sides = Screen(theorem)(many)
    compared = 0
    for index in range(many.size):
        for place, verdict in enumerate(judge(theorem, many.case(index))):
            if verdict.sides is not None:
                compared += 1
                assert sides.left[place, index] == pytest.approx(verdict.left, rel=1e-7, abs=1e-9)
                assert sides.bound[place, index] == pytest.approx(verdict.bound, rel=1e-7, abs=1e-9)
                assert np.all(sides.margins[:, place, index] >= -1e-9)
            else:
                assert verdict.outcome is Outcome.OUT_OF_SCOPE
                assert sides.margins[:, place, index].min() < 0
    assert compared or theorem.assumptions


def test_weights_of_candidates_are_their_own() -> None:
    """An average over tasks uses each candidate's weights, not the whole population's."""
    theorem = theorem_named("contraction_task_average")
    many = population(theorem)
    heavy = replace(many, w=np.tile([1.0, 1e-12], (many.size, 1)))
    first = population(theorem, tasks=2)
    alone = replace(first, P=first.P[:, :1], r=first.r[:, :1], rho=first.rho[:, :1], w=first.w[:, :1])
    assert Screen(theorem)(heavy).left == pytest.approx(Screen(theorem)(alone).left, rel=1e-9)


def test_constant_that_secretly_mixes_tasks_is_measured_apart() -> None:
    """A constant indexed by tau that depends on other tasks is noticed, and measured candidate by candidate."""
    theorem = theorem_named("contraction_kl_posterior")
    secret = replace(
        next(c for c in theorem.constants if c.name == "gap"),
        measure=lambda m: (m.star.J - m.plus.J).sum() + 0 * m.star.J,
    )
    constants = tuple(secret if c.name == "gap" else c for c in theorem.constants)
    screen = Screen(replace(theorem, constants=constants))
    many = population(theorem, tasks=1)
    plain = Screen(theorem)(many)
    assert screen(many).left == pytest.approx(plain.left, rel=1e-9)
    assert not any(screen.batchable.values())


@given(data=st.data())
def test_box_round_trip(data: st.DataObject) -> None:
    """Vectors decode to valid cases, and a decoded case encodes to a vector of the same case, within rounding."""
    space = Space(data.draw(st.integers(1, 2)), data.draw(st.integers(1, 3)), data.draw(st.integers(1, 3)))
    seed = data.draw(st.integers(0, 10**6))
    x = np.random.default_rng(seed).uniform(-1, 1, (1, space.dimension))
    first = space.decode(x, Fraction(1, 2), Fraction(1), "kl-prior", 1)
    case = first.case(0)
    again = space.decode(space.encode(case)[None], Fraction(1, 2), Fraction(1), "kl-prior", 1)
    assert np.allclose(again.P, first.P, atol=2e-3)
    assert again.phi == pytest.approx(first.phi, abs=2e-3)
    assert again.r == pytest.approx(first.r, rel=1e-2, abs=0.1 * np.abs(first.r).max())


# --- ratios ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("left", "bound", "outcome", "ratio"),
    [
        (fmpq(1), fmpq(3), Outcome.HOLDS, 1 / 3),
        (fmpq(3), fmpq(1), Outcome.VIOLATED, 3.0),
        (fmpq(1), fmpq(0), Outcome.VIOLATED, math.inf),
        (fmpq(1), fmpq(-1), Outcome.VIOLATED, math.inf),
        (fmpq(-2), fmpq(-1), Outcome.HOLDS, 0.5),
        (fmpq(-1), fmpq(0), Outcome.HOLDS, 0.0),
        (fmpq(0), fmpq(0), Outcome.HOLDS, None),
        (fmpq(1), fmpq(3), Outcome.UNDECIDED, None),
    ],
)
def test_ratio_of_any_signs(left: fmpq, bound: fmpq, outcome: Outcome, ratio: float | None) -> None:
    """Positive, zero and negative bounds; the double is never above the exact ratio."""
    found = certified_ratio(Verdict("x-v1", outcome, 0, (left, bound)))
    assert found == (None if ratio is None else pytest.approx(ratio, abs=1e-15))
    if found is not None and math.isfinite(found) and bound > 0:
        assert Fraction(found) <= Fraction(int(left.p), int(left.q)) / Fraction(int(bound.p), int(bound.q))
    if outcome is not Outcome.UNDECIDED and ratio is not None:
        sides = np.array([float(left.p) / float(left.q)]), np.array([float(bound.p) / float(bound.q)])
        assert (float_ratio(*sides, np.array([1e-12]))[0] > 1) == (outcome is Outcome.VIOLATED)


def test_float_verdict_has_no_certified_ratio() -> None:
    """What was only compared in floats is never reported as a ratio."""
    assert certified_ratio(Verdict("x-v1", Outcome.HOLDS, 0, (1.0, 2.0), certified=False)) is None


def test_sides_in_the_noise_do_not_look_tight() -> None:
    """A gap and a bound that are both rounding errors have a ratio near 0, not near 1."""
    tiny = np.array([1e-17])
    assert float_ratio(tiny, tiny, np.array([1e-9]))[0] < 1e-6


def test_rounding_errors_of_equal_returns_are_noise() -> None:
    """Where all rewards are the same the gap in floats is not quite zero, and no reason to search there."""
    theorem = theorem_named("no_adaptation")
    theorem = replace(theorem, bound=R.symbol * over_states(nu_phi.symbol), constants=(gap_phi, R, nu_phi))
    flat = replace(population(theorem, size=200, tasks=1), r=np.full((200, 1, 2, 3), 0.1))
    sides = Screen(theorem)(flat)
    assert np.any(sides.left > 0)
    assert np.all(scores(theorem, sides) < 1e-2)


# --- searches ----------------------------------------------------------------------------------------

SHORT = Settings(starts=2, generations=150, seed=1)


@pytest.mark.parametrize(
    "name", ["contraction_kl_prior", "contraction_kl_posterior", "contraction_euclidean", "no_adaptation"]
)
def test_tight_bounds_are_found_tight(name: str) -> None:
    """From random starts; the ratio that is reported is one of the certified verdict on the very case."""
    theorem = theorem_named(name)
    settings = replace(SHORT, states=1) if name == "contraction_euclidean" else SHORT
    found = Search(theorem, settings).run()
    assert found.ratio is not None
    assert found.case is not None
    assert found.simple is not None
    assert found.simple_ratio is not None
    assert 0.999 <= found.ratio <= 1
    assert 0.999 <= found.simple_ratio <= 1
    verdicts = judge(theorem, found.case, precise=True)
    assert found.ratio == max(r for v in verdicts if (r := certified_ratio(v)) is not None)
    assert {verdict.outcome for verdict in verdicts} == {Outcome.HOLDS}
    assert (found.exit_code, found.violated) == (0, False)


def test_published_bound_is_violated_and_its_counterexample_small() -> None:
    """A refuted theorem: violated by far, and the case that is shown is small and certified."""
    theorem = theorem_named("published_bound")
    found = Search(theorem, replace(SHORT, starts=1, tasks=2, gamma=Fraction(4, 5))).run()
    assert found.violated
    assert found.exit_code == 0
    assert found.simple is not None
    assert (found.simple.family.tasks, found.simple.family.states, found.simple.family.actions) == (1, 2, 2)
    assert {verdict.outcome for verdict in judge(theorem, found.simple)} == {Outcome.VIOLATED}


def test_wrong_bound_of_a_user_is_broken() -> None:
    """The contraction bound without its discounted term is violated, and that is no expected outcome."""
    theorem = theorem_named("contraction_kl_posterior")
    wrong = replace(theorem, bound=theorem.bound - over_states(rho.symbol * gamma.symbol * D.symbol))
    found = Search(wrong, SHORT).run()
    assert found.violated
    assert found.exit_code == 1
    assert "BROKEN" in found.headline()


def test_conditions_are_kept() -> None:
    """A theorem with a condition on lambda: the best case meets it, and the known supremum is not exceeded."""
    theorem = theorem_named("published_bound_conditional")
    found = Search(theorem, replace(SHORT, starts=2, tasks=1, gamma=Fraction(99, 100))).run()
    assert found.ratio is not None
    assert 0.7 <= found.ratio < 1
    assert found.verdict is not None
    assert found.verdict.outcome is Outcome.HOLDS


def test_claim_that_divides_by_zero_somewhere() -> None:
    """Where a quantity below the line is zero nothing is claimed, and nothing breaks."""
    theorem = theorem_named("no_adaptation")
    inverse = replace(theorem, left=gap_phi.symbol / theorem.bound, bound=sp.Integer(1))
    found = Search(inverse, replace(SHORT, starts=1, generations=20)).run()
    assert found.ratio is not None


def test_identity_holds_on_its_worst_candidates() -> None:
    """An identity has no ratio to maximise: its largest deviation is a rounding error, and exactly none."""
    found = Search(theorem_named("performance_difference"), replace(SHORT, starts=2)).run()
    assert (found.ratio, found.exit_code) == (1.0, 0)
    assert "equal" in found.headline()


def test_theorem_about_families_with_mixing_constants() -> None:
    """Var and M mix tasks: slower, but searched like any other."""
    found = Search(theorem_named("task_variance"), replace(SHORT, starts=1, generations=6, variants=50)).run()
    assert found.ratio is not None
    assert 0.3 < found.ratio < 1


def test_bound_that_is_zero() -> None:
    """A bound of zero that is violated has no finite ratio; the search says so and JSON can hold it."""
    theorem = replace(theorem_named("contraction_kl_posterior"), bound=0 * over_tasks(w.symbol) * gap.symbol)
    found = Search(theorem, replace(SHORT, starts=1)).run()
    assert found.ratio == math.inf
    assert "not positive" in found.headline()
    assert json.loads(json.dumps(found.as_json(), allow_nan=False))["ratio"] is None


def test_same_seed_same_case() -> None:
    """Without a time limit nothing depends on the machine's speed."""
    theorem = theorem_named("coverage")
    first, again = (Search(theorem, replace(SHORT, starts=1)).run() for _ in range(2))
    assert first.as_json() == again.as_json()


def test_interrupt_keeps_the_best() -> None:
    """Ctrl-C in the middle of a start certifies what that start had found."""

    def stop(progress: Progress) -> None:
        if progress.candidates > 2000:
            raise KeyboardInterrupt

    found = Search(theorem_named("no_adaptation"), SHORT, on_progress=stop).run()
    assert (found.finished, found.interrupted, found.exit_code) == (False, True, 130)
    assert found.ratio is not None
    assert found.ratio > 0.5


def test_resumes_from_a_saved_case(tmp_path: Path) -> None:
    """What was saved is never lost, however short the next search."""
    theorem = theorem_named("contraction_kl_posterior")
    case = theorem.witness()
    write_case(case, judge(theorem, case)[0], tmp_path / "best.json")
    _, saved = load_case(tmp_path / "best.json")
    known = max(r for v in judge(theorem, case, precise=True) if (r := certified_ratio(v)) is not None)
    found = Search(theorem, replace(SHORT, starts=1, seconds=0.2), resume=saved).run()
    assert found.ratio is not None
    assert found.ratio >= known


def test_float_candidates_are_never_reported_uncertified(monkeypatch: pytest.MonkeyPatch) -> None:
    """Should no verdict be certified, there is no ratio at all."""
    original = search_module.verdicts_on
    monkeypatch.setattr(
        search_module,
        "verdicts_on",
        lambda *arguments, **options: [replace(v, certified=False) for v in original(*arguments, **options)],
    )
    found = Search(theorem_named("no_adaptation"), replace(SHORT, starts=1)).run()
    assert (found.ratio, found.case, found.exit_code) == (None, None, 3)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"states": 0}, "--states 0"),
        ({"starts": 0}, "--starts 0"),
        ({"seconds": 0.0}, "--seconds 0"),
        ({"seconds": math.nan}, "--seconds nan"),
        ({"seed": -1}, "--seed -1"),
        ({"gamma": Fraction(1)}, "outside"),
        ({"lambdas": (Fraction(2), Fraction(1))}, "2..1"),
        ({"lambdas": (Fraction(0), Fraction(1))}, "0..1"),
    ],
)
def test_bad_settings(changes: dict, message: str) -> None:
    """Each is an error of the input that names the value."""
    with pytest.raises(InvalidTask, match=message):
        replace(SHORT, **changes)


def test_what_the_theorem_does_not_speak_about() -> None:
    """Algorithm, steps, sizes and a case to resume from must fit the theorem."""
    theorem = theorem_named("coverage")
    for settings, message in (
        (replace(SHORT, algorithm="euclidean"), "not about 'euclidean'"),
        (replace(SHORT, steps=3), "speaks about 1 steps, not 3"),
        (replace(SHORT, states=40), "lower a size"),
    ):
        with pytest.raises(InvalidTask, match=message):
            Search(theorem, settings)
    with pytest.raises(InvalidTask, match="does not speak about the case"):
        Search(theorem, SHORT, resume=Case.new(two_arms(), [[1, 1]], "none"))


def test_lambda_range() -> None:
    """One number or two, exact."""
    assert lambda_range("1/10") == (Fraction(1, 10), Fraction(1, 10))
    assert lambda_range("0.1..10") == (Fraction(1, 10), Fraction(10))
    with pytest.raises(InvalidTask, match="--lambda = 'x'"):
        lambda_range("1..x")


def test_larger_case_to_resume_from_is_kept_as_it_is() -> None:
    """A case of another size cannot be moved in, but stays the best until it is beaten."""
    theorem = theorem_named("contraction_kl_prior")
    case = Case.new(corridor(), [[1, 1], [1, 1]], "kl-prior", 2**20)
    found = Search(theorem, replace(SHORT, states=1, starts=1, seconds=0.1), resume=case).run()
    assert found.ratio is not None
    assert found.ratio >= 0.999999
