"""The theory's regression test: every planted change is told for what it is, and nothing else is."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import sympy as sp
from helpers import Bomrl

from bomrl_theory.adapt.adapt import Adaptation
from bomrl_theory.errors import InvalidFile, InvalidTheorem, UnknownName
from bomrl_theory.linear_quadratic import closed_form
from bomrl_theory.linear_quadratic.model import Model
from bomrl_theory.linear_quadratic.random import Varying
from bomrl_theory.regress import compare as compare_module
from bomrl_theory.regress import corpus as corpus_module
from bomrl_theory.regress.baseline import Baseline, apart, read_baselines, rounded, tightness_of, wording_of
from bomrl_theory.regress.claim import Claim, expression, normal
from bomrl_theory.regress.compare import Change, Comparison, Kind, compare
from bomrl_theory.regress.corpus import case_of, mapping_of, pinned_corpus
from bomrl_theory.regress.difference import difference
from bomrl_theory.regress.judged import judged
from bomrl_theory.regress.run import Chosen, Regression, accept, chosen_theorems, regression
from bomrl_theory.regress.text import lines_of
from bomrl_theory.tasks.family import TaskFamily
from bomrl_theory.theory import case as case_module
from bomrl_theory.theory.case import Case
from bomrl_theory.theory.constants import Constant, gamma, gap_phi
from bomrl_theory.theory.linear_quadratic import LinearQuadraticCase
from bomrl_theory.theory.registry import registry, theorem_named
from bomrl_theory.theory.small import two_arms
from bomrl_theory.theory.small_quadratic import scalar_policy, scalar_task, task_policy
from bomrl_theory.theory.theorem import Assumption, Source, Theorem
from bomrl_theory.verify.casefile import load_case, save_case
from bomrl_theory.verify.check.tree import Malformed
from bomrl_theory.verify.run import ExitCode
from bomrl_theory.verify.verdict import Outcome, judge

BASELINES = Path(__file__).resolve().parent.parent / "results" / "baselines"
NAMES = ("coverage", "surrogate_bound", "published_bound", "performance_difference")
"""A bound, one with an assumption that is needed, a refuted one, and an identity."""
SMALL = pinned_corpus().part(2, every=3)
COVERAGE, SURROGATE, REFUTED, IDENTITY = map(theorem_named, NAMES)


@cache
def baseline_of(theorem: Theorem) -> Baseline:
    return Baseline.of(judged([theorem], SMALL)[0])


def found(former: Theorem, theorem: Theorem, *, shrink: bool = False) -> Comparison:
    """A theorem against the baseline of another one."""
    baseline = baseline_of(former)
    return compare(baseline, judged([theorem], SMALL, {baseline.name: baseline.own})[0], shrink=shrink)


def change(comparison: Comparison, kind: Kind) -> Change:
    return next(change for change in comparison.changes if change.kind is kind)


def kinds(former: Theorem, theorem: Theorem) -> list[Kind]:
    return list(found(former, theorem).kinds)


# --- planted changes ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_same_theorem_is_unchanged(name: str) -> None:
    comparison = found(theorem_named(name), theorem_named(name))
    assert comparison.changes == ()
    assert comparison.exit_code is ExitCode.EXPECTED
    assert list(lines_of(comparison)) == []


def test_a_constant_that_is_too_small_is_tighter_and_violated() -> None:
    """5 %: by how much, where it breaks, and that the id may not stay."""
    planted = COVERAGE.scaled(Fraction(19, 20))
    comparison = found(COVERAGE, planted, shrink=True)
    assert list(comparison.kinds) == [Kind.TIGHTER, Kind.VERSION, Kind.VIOLATED]
    tighter = change(comparison, Kind.TIGHTER)
    assert tighter.data["factor"] == "19/20"
    assert tighter.data["new_over_old"] == {"smallest": "0.95", "median": "0.95", "largest": "0.95"}
    assert tighter.data["tighter"] > 8
    assert tighter.data["looser"] == 0
    assert tighter.data["certified"]
    assert r"\frac" in tighter.data["latex"]
    assert comparison.counterexample is not None
    case, verdict = comparison.counterexample
    assert verdict.certified
    assert Outcome.VIOLATED in [v.outcome for v in judge(planted, case)]
    assert Outcome.VIOLATED not in [v.outcome for v in judge(COVERAGE, case)]
    violated = change(comparison, Kind.VIOLATED)
    assert "witness" in violated.data["newly"]
    text = "\n".join(lines_of(comparison, "replay: it"))
    for part in ("tighter by 0.95", "newly violated", "coverage-v2", "new - old = ", "as LaTeX: ", "left - bound = "):
        assert part in text


def test_a_looser_bound_is_looser() -> None:
    comparison = found(COVERAGE, COVERAGE.scaled(Fraction(21, 20)))
    assert list(comparison.kinds) == [Kind.LOOSER, Kind.VERSION]
    looser = change(comparison, Kind.LOOSER)
    assert looser.data["factor"] == "21/20"
    assert looser.data["new_over_old"]["median"] == "1.05"
    assert looser.data["tighter"] == 0
    assert looser.data["looser"] > 8
    assert not comparison.acceptable


def test_under_a_new_version_a_changed_bound_may_stay() -> None:
    comparison = found(COVERAGE, replace(COVERAGE.scaled(Fraction(21, 20)), id="coverage-v2"))
    assert list(comparison.kinds) == [Kind.LOOSER]
    assert comparison.acceptable
    assert comparison.exit_code is ExitCode.VIOLATED
    assert next(lines_of(comparison)) == "coverage-v1 -> coverage-v2: looser by 1.05"


def test_one_term_that_is_too_small_is_named_in_the_difference() -> None:
    """Only the first of three terms: the difference shows that term alone."""
    bound = sp.sympify(COVERAGE.bound)
    first = (1 - 1 / C_of_coverage()) * gap_phi.symbol
    comparison = found(COVERAGE, replace(COVERAGE, bound=bound - first / 20))
    data = change(comparison, Kind.TIGHTER).data
    assert sp.simplify(difference(bound - first / 20, bound).difference + first / 20) == 0
    assert "factor" not in data
    assert r"\lambda" not in data["latex"]


def test_tighter_here_and_looser_there_is_neither() -> None:
    """Its square instead of the gap: which is larger depends on whether it is above 1."""
    one = own(bound=gap_phi.symbol)
    comparison = found(one, replace(one, bound=gap_phi.symbol**2))
    data = change(comparison, Kind.BOUND).data
    assert data["tighter"] > 0
    assert data["looser"] > 0


def test_a_dropped_assumption_moves_cases_into_scope_and_breaks_the_claim() -> None:
    """Also where the case that shows it leaves together with the assumption: the baseline has kept it."""
    comparison = found(SURROGATE, replace(SURROGATE, assumptions=()))
    assert list(comparison.kinds) == [Kind.SCOPE, Kind.VERSION, Kind.CASES, Kind.VIOLATED]
    scope = change(comparison, Kind.SCOPE)
    (line,) = scope.data["differences"]
    assert line.startswith("assumption 'lambda above kappa' dropped: ")
    assert "where 'lambda above kappa' fails" in scope.data["entered"]
    assert scope.data["left"] == []
    newly = change(comparison, Kind.VIOLATED).data["newly"]
    assert "where 'lambda above kappa' fails (as in the baseline)" in newly


def test_an_added_assumption_moves_cases_out_of_scope() -> None:
    large = Assumption("large discount", "", gamma.symbol - sp.Rational(3, 5))
    comparison = found(COVERAGE, replace(COVERAGE, assumptions=(large,)))
    assert list(comparison.kinds) == [Kind.SCOPE, Kind.VERSION]
    scope = change(comparison, Kind.SCOPE)
    assert scope.data["entered"] == []
    assert scope.data["left"]
    assert all(name.startswith("bandit") for name in scope.data["left"])  # gamma = 1/2; the chain has 9/10
    assert "assumption 'large discount' added" in scope.lines[0]


def test_a_changed_assumption_is_told_with_both_margins() -> None:
    (assumption,) = SURROGATE.assumptions
    moved = replace(assumption, margin=assumption.margin - gamma.symbol)
    comparison = found(SURROGATE, replace(SURROGATE, assumptions=(moved,)))
    assert Kind.SCOPE in comparison.kinds
    assert "assumption 'lambda above kappa' changed" in change(comparison, Kind.SCOPE).lines[0]


def test_fewer_algorithms_are_another_scope() -> None:
    one = theorem_named("surrogate_error")
    comparison = found(one, replace(one, algorithms=("kl-prior",)))
    assert list(comparison.kinds)[:2] == [Kind.SCOPE, Kind.VERSION]
    assert change(comparison, Kind.SCOPE).data["left"]


def test_words_alone_are_reworded() -> None:
    other = replace(COVERAGE, title="Coverage", notes="", statement=COVERAGE.statement + ".")
    comparison = found(COVERAGE, other)
    assert list(comparison.kinds) == [Kind.REWORDED]
    assert change(comparison, Kind.REWORDED).data == {"changed": ["title", "statement", "notes"]}
    assert "title was 'Mirror descent with coverage, one step'" in "\n".join(lines_of(comparison))


def test_a_renamed_assumption_is_reworded() -> None:
    (assumption,) = SURROGATE.assumptions
    other = replace(SURROGATE, assumptions=(replace(assumption, name="lambda large"),))
    assert kinds(SURROGATE, other) == [Kind.REWORDED, Kind.CASES]  # the case where it fails is called otherwise


def test_the_same_bound_in_another_form_is_rewritten() -> None:
    """With one product expanded it is another tree and the same bound: no new version is asked for."""
    bound, C = sp.sympify(COVERAGE.bound), C_of_coverage()
    expanded = replace(COVERAGE, bound=bound - (1 - 1 / C) * gap_phi.symbol + gap_phi.symbol - gap_phi.symbol / C)
    assert Claim.of(expanded) != Claim.of(COVERAGE)
    assert kinds(COVERAGE, expanded) == [Kind.REWRITTEN]


def test_the_same_claim_under_another_version_is_renumbered() -> None:
    assert kinds(COVERAGE, replace(COVERAGE, id="coverage-v2")) == [Kind.RENUMBERED]


def test_a_constant_that_is_measured_otherwise_changes_values() -> None:
    """The expressions are the same to the letter; what they say of the cases is not."""
    level = sp.Symbol("level", real=True)
    once, twice = (Constant(level, "a number", "1", lambda m, k=k: m.numbers.constant(k)) for k in (100, 200))
    one = own(bound=level + gap_phi.symbol, constants=(gap_phi, once))
    comparison = found(one, replace(one, constants=(gap_phi, twice)))
    assert list(comparison.kinds) == [Kind.VALUES]
    moved = change(comparison, Kind.VALUES).data["verdicts"]
    assert len(moved) == sum(map(len, baseline_of(one).verdicts.values())) > 3


def test_a_refuted_claim_must_be_violated() -> None:
    comparison = found(REFUTED, replace(REFUTED.scaled(10**6), id="published_bound-v2"))
    assert list(comparison.kinds) == [Kind.LOOSER, Kind.NOT_VIOLATED]


def test_an_irrational_tie_is_undecided_and_no_drift() -> None:
    tie = own(left=sp.log(gamma.symbol**2 + 2 * gamma.symbol + 1), bound=2 * sp.log(1 + gamma.symbol))
    comparison = found(tie, tie)
    assert list(comparison.kinds) == [Kind.UNDECIDED]
    assert comparison.exit_code is ExitCode.UNDECIDED


def test_a_bound_that_divides_by_zero_is_undecided_there() -> None:
    """On a case whose gap is zero; elsewhere it holds."""
    inverse = own(bound=gap_phi.symbol + 1 / gap_phi.symbol)
    assert kinds(inverse, inverse) == []
    same = bandit_without_choice()
    comparison = found(inverse, replace(inverse, probes=(lambda: Case.new(same, [[1, 1]], "none"),)))
    assert list(comparison.kinds) == [Kind.CASES, Kind.UNDECIDED]
    assert comparison.exit_code is ExitCode.VIOLATED  # the new case is a difference
    (verdict,) = judge(inverse, Case.new(same, [[1, 1]], "none"))
    assert verdict.reason == "a side or an assumption divides by zero"


def test_a_witness_that_cannot_be_made_is_told() -> None:
    with pytest.raises(InvalidTheorem, match=r"own-v1, witness: ZeroDivisionError: "):
        judged([own(witness=lambda: 1 / 0)], SMALL)
    with pytest.raises(InvalidTheorem, match=r"own-v1, probe 0: a TaskFamily where Case.new\(...\) is expected"):
        judged([own(probes=(two_arms,))], SMALL)


def test_nothing_in_scope_is_told() -> None:
    never = own(assumptions=(Assumption("never", "", gamma.symbol - 2),))
    comparison = found(never, never)
    assert list(comparison.kinds) == [Kind.VACUOUS]
    assert comparison.exit_code is ExitCode.UNDECIDED


def test_a_quantity_that_nobody_measures_any_more_is_compared_by_the_numbers_of_the_baseline() -> None:
    twice = Constant(sp.Symbol("twice", real=True), "no other theorem has it", "1", lambda m: 2 * m.model.gamma)
    one = own(bound=gap_phi.symbol + twice.symbol, constants=(gap_phi, twice))
    other = replace(one, bound=gap_phi.symbol + 3 * gamma.symbol, constants=(gap_phi, gamma))
    comparison = found(one, other)
    assert list(comparison.kinds) == [Kind.LOOSER, Kind.VERSION]
    looser = change(comparison, Kind.LOOSER)
    assert not looser.data["certified"]
    assert looser.data["looser"] == looser.data["verdicts"] > 4
    assert "from the rounded numbers of the baseline" in "\n".join(looser.lines)


def test_the_last_digits_of_another_machine_are_no_drift(monkeypatch: pytest.MonkeyPatch) -> None:
    """Adapted policies that differ from the thirteenth digit on."""
    theorems = [theorem_named(name) for name in (*NAMES, "contraction_euclidean_posteriori", "npg_steps")]
    before = [Baseline.of(result) for result in judged(theorems, SMALL)]
    original = case_module.adapt
    rng = np.random.default_rng(0)

    def elsewhere(*arguments: Any, **settings: Any) -> Adaptation:
        adaptation = original(*arguments, **settings)
        noise = 1 + 1e-13 * rng.uniform(-1, 1, adaptation.policies.shape)
        noise[0] = 1  # the meta-policy is data
        return replace(adaptation, policies=adaptation.policies * noise)

    monkeypatch.setattr(case_module, "adapt", elsewhere)
    after = judged(theorems, SMALL)
    assert any(x.verdicts[0].exact != y.verdicts[0].exact for x, y in zip(after, judged(theorems, SMALL), strict=True))
    assert [compare(x, y).changes for x, y in zip(before, after, strict=True)] == [()] * len(theorems)


# --- linear-quadratic control ---------------------------------------------------------------------

PINNED = replace(pinned_corpus(), entries=tuple(x for x in pinned_corpus().entries if "setting" in x))
QUADRATIC = [theorem for theorem in registry().values() if theorem.setting == "linear-quadratic"]
each_quadratic = pytest.mark.parametrize("theorem", QUADRATIC, ids=lambda theorem: theorem.id)


def on_pinned(former: Theorem, theorem: Theorem, *, shrink: bool = False) -> Comparison:
    """A theorem against the baseline of another one, both on all that is pinned of linear-quadratic control."""
    baseline = Baseline.of(judged([former], PINNED)[0])
    now = judged([theorem], PINNED, {baseline.name: baseline.own})[0]
    return compare(baseline, now, shrink=shrink)


def without_tight_cases(theorem: Theorem) -> Theorem:
    """The same claim, whose only own case is far from tight: what is noticed about it the corpus has shown."""
    case = theorem.witness()
    assert isinstance(case, LinearQuadraticCase)
    adapted = None if case.adapted is None else task_policy(0.5, 0.5)
    loose = LinearQuadraticCase.new(scalar_task(gamma=0, x=2**20), scalar_policy(1, 1), 2, adapted=adapted)
    return replace(theorem, witness=lambda: loose, probes=())


@each_quadratic
def test_the_corpus_shows_a_constant_in_linear_quadratic_control_that_is_too_small(
    theorem: Theorem, tmp_path: Path
) -> None:
    """5 %, seen on pinned cases alone, by tasks in one and several dimensions; the counterexample replays."""
    former = without_tight_cases(theorem)
    comparison = on_pinned(former, former.scaled(Fraction(19, 20)), shrink=True)
    assert list(comparison.kinds) == [Kind.TIGHTER, Kind.VERSION, Kind.VIOLATED]
    tighter = change(comparison, Kind.TIGHTER)
    assert tighter.data["factor"] == "19/20"
    assert tighter.data["tighter"] >= 20
    assert tighter.data["certified"]
    newly = change(comparison, Kind.VIOLATED).data["newly"]
    assert set(newly) <= set(PINNED.names)
    assert len({name.partition("; ")[0] for name in newly}) >= 3
    text = "\n".join(lines_of(comparison, "replay: it"))
    for part in ("tighter by 0.95, same version, newly violated", "left - bound = ", "meta-policy: K = ", "R_u = "):
        assert part in text
    assert comparison.counterexample is not None
    name, again = load_case(save_case(*comparison.counterexample, tmp_path))
    assert name == theorem.id
    assert Outcome.VIOLATED in [verdict.outcome for verdict in judge(former.scaled(Fraction(19, 20)), again)]
    assert {verdict.outcome for verdict in judge(former, again)} == {Outcome.HOLDS}


@each_quadratic
def test_a_looser_bound_in_linear_quadratic_control_is_looser(theorem: Theorem) -> None:
    comparison = on_pinned(theorem, theorem.scaled(Fraction(21, 20)))
    assert list(comparison.kinds) == [Kind.LOOSER, Kind.VERSION]
    looser = change(comparison, Kind.LOOSER)
    assert looser.data["factor"] == "21/20"
    assert looser.data["looser"] >= 20
    assert looser.data["tighter"] == 0
    assert not comparison.acceptable


def test_a_dropped_assumption_in_linear_quadratic_control_is_another_scope() -> None:
    """What lies ahead may be left out of the bound where gamma = 0 alone; the case that shows it is kept as data."""
    ahead = LinearQuadraticCase.new(scalar_task(gamma="1/2"), scalar_policy(0, 1), 2**30)
    now_only = Assumption("no future", "", -gamma.symbol, broken=lambda: ahead)
    whole = theorem_named("contraction_linear_quadratic")
    bound = sp.sympify(whole.bound).subs(gamma.symbol, 0)
    former = replace(without_tight_cases(whole), bound=bound, assumptions=(now_only,))
    assert on_pinned(former, former).changes == ()
    comparison = on_pinned(former, replace(former, assumptions=()))
    assert list(comparison.kinds) == [Kind.SCOPE, Kind.VERSION, Kind.CASES, Kind.VIOLATED]
    scope = change(comparison, Kind.SCOPE)
    assert scope.data["differences"] == ["assumption 'no future' dropped: - γ ≥ 0"]
    assert scope.data["left"] == []
    pinned = set(PINNED.names)
    assert len(pinned.intersection(scope.data["entered"])) >= 5
    newly = change(comparison, Kind.VIOLATED).data["newly"]
    assert "where 'no future' fails (as in the baseline)" in newly
    assert len(pinned.intersection(newly)) >= 3


def test_another_guess_of_the_riccati_solution_is_no_drift(monkeypatch: pytest.MonkeyPatch) -> None:
    """The optimum is enclosed from floats; those that differ from the sixth digit on lead to the same verdicts."""
    before = judged(QUADRATIC, PINNED)
    original = closed_form.optimum
    rng = np.random.default_rng(0)
    moved: list[float] = []

    def elsewhere(model: Model) -> closed_form.Optimum:
        optimum = original(model)
        K = optimum.K * (1 + 1e-6 * rng.uniform(-1, 1, optimum.K.shape))
        moved.append(float(np.abs(K - optimum.K).max()))
        return replace(optimum, K=K)

    monkeypatch.setattr(closed_form, "optimum", elsewhere)
    after = judged(QUADRATIC, PINNED)
    assert sum(x > 1e-9 for x in moved) > 20  # of 33; own cases have an optimal gain of 0
    assert [compare(Baseline.of(x), y).changes for x, y in zip(before, after, strict=True)] == [()] * len(QUADRATIC)


def test_the_pinned_corpus_has_cases_of_every_setting() -> None:
    """Of linear-quadratic control with every difference between tasks, and for each theorem near its bound."""
    cases = [case for _, case in pinned_corpus().cases()]
    assert {case.setting for case in cases} == {theorem.setting for theorem in registry().values()}
    quadratic = [case for _, case in PINNED.cases()]
    names = {case.family.name.partition(",")[0] for case in quadratic}
    assert names > {f"linear-quadratic {kind}" for kind in get_args(Varying)}
    for theorem in QUADRATIC:
        covered = [case for case in quadratic if theorem.covers(case)]
        assert len(covered) >= 10
        verdicts = [verdict for case in covered for verdict in judge(theorem, case)]
        assert {verdict.outcome for verdict in verdicts} == {Outcome.HOLDS}
        assert max(verdict.ratio or 0 for verdict in verdicts) > 0.99
        assert min(verdict.ratio or 0 for verdict in verdicts) < 0.1


# --- helpers --------------------------------------------------------------------------------------


def C_of_coverage() -> Any:
    return next(constant.symbol for constant in COVERAGE.constants if constant.name == "C")


def bandit_without_choice() -> TaskFamily:
    """Two arms of the same worth."""
    return TaskFamily.new([[[[1.0], [1.0]]]], [[[1.0, 1.0]]], Fraction(1, 2), [1.0])


def own(**changes: Any) -> Theorem:
    """A small theorem of nobody's."""
    settings: dict[str, Any] = {
        "id": "own-v1",
        "title": "for tests",
        "statement": "",
        "source": Source("me", "here", "derived here"),
        "status": "conjectured",
        "algorithms": ("none",),
        "left": gap_phi.symbol,
        "bound": 1 / (1 - gamma.symbol),
        "constants": (gap_phi, gamma),
        "witness": lambda: Case.new(two_arms(), [[1, 3]], "none"),
        "tightness": 0.1,
    }
    return Theorem(**(settings | changes))


# --- a run ----------------------------------------------------------------------------------------


@dataclass
class House:
    """A directory of baselines and the theorems that it knows."""

    directory: Path

    def run(self, *theorems: Theorem) -> Regression:
        chosen = Chosen(theorems, tuple(t.id for t in theorems), read_baselines(self.directory))
        return regression(chosen, SMALL)

    def told(self, *theorems: Theorem) -> dict[str, list[Kind]]:
        return {c.id: list(c.kinds) for c in self.run(*theorems).comparisons if c.changes}

    def bytes(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in self.directory.iterdir()}


@pytest.fixture
def house(tmp_path: Path) -> House:
    """With the baselines of two theorems."""
    found = House(tmp_path / "baselines")
    accept(found.run(COVERAGE, IDENTITY), found.directory)
    return found


def test_new_and_gone(house: House) -> None:
    assert house.told(COVERAGE, SURROGATE) == {
        "surrogate_bound-v1": [Kind.NEW],
        "performance_difference-v1": [Kind.GONE],
    }
    accepted = accept(house.run(COVERAGE, SURROGATE), house.directory)
    assert accepted.updated == ["surrogate_bound-v1", "performance_difference-v1"]
    assert sorted(house.bytes()) == ["coverage.json", "surrogate_bound.json"]
    assert house.told(COVERAGE, SURROGATE) == {}


def test_the_same_bytes_again(house: House) -> None:
    """What is written a second time, from a fresh reading, is what was there."""
    first = house.bytes()
    for path in house.directory.iterdir():
        baseline = Baseline.read(path)
        path.unlink()
        baseline.write(house.directory)
    assert house.bytes() == first
    again = House(house.directory.parent / "again")
    accept(again.run(COVERAGE, IDENTITY), again.directory)
    assert again.bytes() == first


def test_a_changed_claim_under_its_id_is_never_accepted(house: House) -> None:
    before = house.bytes()
    found = house.run(COVERAGE.scaled(2), replace(IDENTITY, title="another"))
    accepted = accept(found, house.directory)
    assert accepted.refused == ["coverage-v1"]
    assert accepted.updated == ["performance_difference-v1"]
    assert "not updated: coverage-v1" in accepted.told(house.directory)
    assert house.bytes()["coverage.json"] == before["coverage.json"]
    assert house.told(COVERAGE.scaled(2), IDENTITY)["coverage-v1"] == [Kind.LOOSER, Kind.VERSION]


def test_an_accepted_violation_is_told_again_and_again(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is no longer new, and still wrong."""
    monkeypatch.setattr(compare_module, "smallest_counterexample", lambda theorem, *record, timed: record)
    broken = replace(COVERAGE.scaled(Fraction(1, 2)), id="coverage-v2")
    accept(house.run(broken, IDENTITY), house.directory)
    found = house.run(broken, IDENTITY)
    assert found.exit_code is ExitCode.VIOLATED
    (comparison,) = (c for c in found.comparisons if c.changes)
    assert list(comparison.kinds) == [Kind.VIOLATED]
    assert change(comparison, Kind.VIOLATED).data["newly"] == []
    assert next(lines_of(comparison)) == "coverage-v2: violated"


def test_another_corpus_is_told(house: House) -> None:
    chosen = Chosen((COVERAGE,), (COVERAGE.id,), {"coverage": read_baselines(house.directory)["coverage"]})
    larger = replace(pinned_corpus().part(3), sha256="another")
    (comparison,) = regression(chosen, larger).comparisons
    assert list(comparison.kinds) == [Kind.CORPUS]
    assert change(comparison, Kind.CORPUS).data["added"]


# --- the command line -----------------------------------------------------------------------------


@pytest.fixture
def bounds(bomrl: Bomrl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str, str]]:
    """``bomrl regress`` on two files of the user, whose baseline is made, on a small corpus."""
    monkeypatch.setattr(corpus_module, "pinned_corpus", lambda: SMALL)
    monkeypatch.setattr(compare_module, "smallest_counterexample", lambda theorem, *record, timed: record)
    for name in ("coverage", "no_adaptation_kl"):
        source = Path(corpus_module.__file__).parent.parent / "theorems" / f"{name}.py"
        (tmp_path / f"{name}.py").write_text(source.read_text())

    def run(*options: str) -> tuple[int, str, str]:
        return bomrl("regress", "coverage.py", "no_adaptation_kl.py", "--workers", "1", *options)

    code, out, _ = run("--update")
    assert code == 1  # new is a difference
    assert out.splitlines()[-1] == "updated 2 in baselines; review the difference and commit it"
    return run


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))


def test_command_line_says_what_changed(bounds: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    """Unchanged, then a term of half its size in a file: exit codes, a saved counterexample, the same in JSON."""
    assert bounds() == (0, "2 unchanged, 0 different from baselines\n", "")
    edit(tmp_path / "coverage.py", "bound=(1 - 1 / C.symbol)", "bound=(1 - 1 / C.symbol) / 2")
    code, out, err = bounds()
    assert (code, err) == (1, "")
    assert out.startswith("coverage-v1: tighter by ")
    assert out.endswith("1 unchanged, 1 different from baselines\n")
    replay = next(line for line in out.splitlines() if line.startswith("  replay: "))
    assert replay.startswith("  replay: bomrl verify coverage.py --replay counterexamples/coverage-v1-")
    assert (tmp_path / replay.split()[-1]).is_file()
    code, again, _ = bounds("--json")
    data = json.loads(again)
    assert (code, data["exit_code"]) == (1, 1)
    told = [line for row in data["theorems"][0]["changes"] for line in row["lines"]]
    assert out.splitlines()[1 : len(told) + 1] == [f"  {line}" for line in told]
    assert sum(name.startswith("coverage-v1-") for name in map(str, os.listdir("counterexamples"))) == 1
    assert [row["kind"] for row in data["theorems"][0]["changes"]] == ["tighter", "same version", "violated"]
    assert data["theorems"][0]["counterexample"]["replay"] == replay.strip()
    assert data["theorems"][1]["changes"] == []


def test_update_exits_with_1_and_shows_the_difference(
    bounds: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    edit(tmp_path / "coverage.py", 'title="', 'title="About ')
    code, out, _ = bounds("--update")
    assert code == 1
    assert "title is  'About Mirror descent" in out
    assert out.splitlines()[-1].startswith("updated 1 in baselines")
    assert bounds()[0] == 0
    edit(tmp_path / "coverage.py", "bound=(1 - 1 / C.symbol)", "bound=(2 - 2 / C.symbol)")
    code, out, _ = bounds("--update")
    assert code == 1
    assert out.splitlines()[-1].endswith("; not updated: coverage-v1")
    edit(tmp_path / "coverage.py", 'id="coverage-v1"', 'id="coverage-v2"')
    code, out, _ = bounds("--update")
    assert code == 1
    assert out.startswith("coverage-v1 -> coverage-v2: looser by ")
    assert bounds()[0] == 0


def test_only_compares_one(bounds: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    edit(tmp_path / "coverage.py", 'title="', 'title="About ')
    assert bounds("--only", "no_adaptation_kl")[:2] == (0, "1 unchanged, 0 different from baselines\n")
    assert bounds("--only", "coverage-v1")[0] == 1
    code, _, err = bounds("--only", "coverag")
    assert code == 2
    assert "did you mean coverage" in err


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda text: text[: len(text) // 2], "perhaps truncated"),
        (lambda text: "[]", "not an object"),
        (lambda text: '{"a": 1}', "is no baseline (schema None"),
        (lambda text: text.replace('"id": "coverage-v1"', '"id": "other-v1"'), "it holds 'other-v1'"),
        (lambda text: text.replace('["q", "gap"]', '["q", "nothing"]'), "nothing not among the quantities"),
        (lambda text: text.replace('["q", "gap"]', '["__import__", "os"]'), "not in the language of bounds"),
        (lambda text: text.replace('["q", "gap"]', '["^", ["rational", "9"], 99]'), "would be computed without a case"),
        (lambda text: text.replace('"HOLDS', '"FINE'), "are not texts like 'HOLDS 0.5 1'"),
        (lambda text: text.replace('"tightness": {', '"tightness": {"more": 1, '), "tightness"),
        (lambda text: text.replace('"own_cases": {', '"own_cases": {"more": 1, '), "case 'more"),
    ],
)
def test_damaged_baselines_are_refused(
    bounds: Callable[..., tuple[int, str, str]], tmp_path: Path, damage: Callable[[str], str], told: str
) -> None:
    """One line with the file and what to do, exit code 2, and the file stays as it is."""
    path = tmp_path / "baselines" / "coverage.json"
    text = damage(path.read_text())
    path.write_text(text)
    for options in ((), ("--update",)):
        code, out, err = bounds(*options)
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert told in err
        assert "move it away" in err or "case 'more" in err
        assert path.read_text() == text


def test_bad_usage(bomrl: Bomrl, tmp_path: Path) -> None:
    code, _, err = bomrl("regress", "--baseline", "nowhere")
    assert (code, err.count("\n")) == (2, 1)
    assert "no baseline in nowhere; name another with --baseline, or make one with --update" in err
    code, _, err = bomrl("regress", "coverage")
    assert code == 2
    assert "--only coverage" in err
    (tmp_path / "file").write_text("")
    code, _, err = bomrl("regress", "--baseline", "file", "--update")
    assert code == 2
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


def test_two_files_with_one_name(bomrl: Bomrl, tmp_path: Path) -> None:
    source = (Path(corpus_module.__file__).parent.parent / "theorems" / "coverage.py").read_text()
    for name in ("a.py", "b.py"):
        (tmp_path / name).write_text(source)
    code, _, err = bomrl("regress", "a.py", "b.py", "--update")
    assert code == 2
    assert "b.py and a.py both define 'coverage'" in err


# --- parts ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("theorem", registry().values(), ids=lambda theorem: theorem.id)
def test_claims_read_back(theorem: Theorem) -> None:
    """Every expression of the registry comes back from its text as the same SymPy tree."""
    claim = Claim.from_json(json.loads(json.dumps(Claim.of(theorem).as_json())))
    assert claim == Claim.of(theorem)
    again = claim.claimed_by(theorem)
    assert again is not None
    for side, expected in ((again.left, theorem.left), (again.bound, theorem.bound)):
        assert sp.sympify(side) == sp.sympify(expected)
    assert [a.margin for a in again.assumptions] == [sp.sympify(a.margin) for a in theorem.assumptions]
    scaled = difference(sp.Rational(19, 20) * theorem.bound, again.bound)
    assert scaled.factor == Fraction(19, 20)
    assert not scaled.equal


def test_the_order_of_arguments_does_not_matter() -> None:
    one = ["+", ["q", "b"], ["*", ["q", "y"], ["q", "x"]]]
    other = ["+", ["*", ["q", "x"], ["q", "y"]], ["q", "b"]]
    assert normal(one) == normal(other)
    assert normal(["^", ["q", "x"], -1]) == ["^", ["q", "x"], -1]


@pytest.mark.parametrize(
    "tree",
    [
        ["exp", ["exp", ["rational", "900"]]],
        ["^", ["^", ["rational", "9"], 99], 99],
        ["rational", "9" * 500],
        ["max", ["rational", "1"], ["rational", "2"]],
        ["exp", ["rational", "1" + "0" * 30]],
    ],
)
def test_numbers_of_unknown_size_are_not_computed(tree: Any) -> None:
    data = Claim.of(COVERAGE).as_json() | {"bound": ["+", ["q", "gap"], tree]}
    with pytest.raises(Malformed):
        Claim.from_json(data)


@pytest.mark.parametrize("theorem", [COVERAGE, *QUADRATIC], ids=lambda theorem: theorem.id)
def test_case_data_read_back(theorem: Theorem) -> None:
    case = theorem.witness()
    again = case_of(json.loads(json.dumps(mapping_of(case))), "witness")
    assert mapping_of(again) == mapping_of(case)
    for changed in ({"lambda": "-1"}, {"steps": 10**9}, {"setting": "chess"}, {"meta_policy": [["x"]]}, {"family": 1}):
        with pytest.raises(InvalidFile, match="case 'x'"):
            case_of({**mapping_of(case), **changed}, "x")


@pytest.mark.parametrize(
    ("x", "y", "differ"),
    [
        (1.0, 1.00001, False),
        (1.0, 1.0002, True),
        (0.0, 9e-10, False),
        (0.0, 1e-6, True),
        (float("nan"), float("nan"), False),
        (float("inf"), float("inf"), False),
        (float("inf"), 1.0, True),
        (float("nan"), 1.0, True),
    ],
)
def test_what_counts_as_moved(x: float, y: float, differ: bool) -> None:
    assert apart(x, y) is apart(y, x) is differ


def test_sides_are_rounded() -> None:
    assert [rounded(x) for x in (1 / 3, 123456789.0, 3e-11, -3e-11, 1.23456789e-7)] == [
        "0.333333",
        "1.23457e+08",
        "0",
        "0",
        "1.23e-07",
    ]


def test_tightness_is_rounded_down() -> None:
    """The witness's ratio is just below 1, and so is what is written."""
    theorem = theorem_named("no_adaptation_kl")
    verdicts = judge(theorem, theorem.witness())
    assert verdicts[0].ratio is not None
    assert 0.999999 < verdicts[0].ratio < 1
    assert tightness_of(verdicts)["largest"] == "0.999999"


# --- the committed baseline -----------------------------------------------------------------------


def test_committed_baseline_has_the_claims_of_today() -> None:
    """Words, expressions and the corpus, for every theorem; a changed theorem needs ``bomrl regress --update``."""
    baselines = read_baselines(BASELINES)
    assert set(baselines) == {theorem.name for theorem in registry().values()}
    for theorem in registry().values():
        baseline = baselines[theorem.name]
        assert baseline.id == theorem.id
        assert baseline.wording == wording_of(theorem)
        assert baseline.claim == Claim.of(theorem)
        assert baseline.corpus == pinned_corpus().sha256


def test_committed_baseline_has_the_verdicts_of_today() -> None:
    """A sample; all of them: ``bomrl regress``."""
    names = sorted(registry())[::12]
    chosen = chosen_theorems((), names, BASELINES, update=False)
    assert len(chosen.theorems) == len(names)
    assert [c.changes for c in regression(chosen, SMALL).comparisons] == [()] * len(names)


def test_committed_baseline_has_the_verdicts_of_today_on_linear_quadratic_control() -> None:
    chosen = chosen_theorems((), [theorem.id for theorem in QUADRATIC], BASELINES, update=False)
    assert [c.changes for c in regression(chosen, PINNED).comparisons] == [()] * len(QUADRATIC)


def test_committed_baseline_is_certified_and_says_something_of_every_theorem() -> None:
    for baseline in read_baselines(BASELINES).values():
        outcomes = [text.split()[0] for rows in baseline.verdicts.values() for text in rows]
        assert set(outcomes) <= {"HOLDS", "VIOLATED", "OUT_OF_SCOPE"}
        assert ("VIOLATED" in outcomes) == (baseline.wording["status"] == "refuted")
        assert outcomes.count("HOLDS") >= 8, baseline.id
        assert int(baseline.tightness["verdicts"]) > 0


def test_unknown_theorem() -> None:
    with pytest.raises(UnknownName, match="did you mean coverage"):
        chosen_theorems((), ["coverge"], BASELINES, update=False)


def test_expressions_are_built_by_the_language_alone() -> None:
    assert expression(["sqrt", ["rational", "1/4"]], {}) == sp.Rational(1, 2)
    assert expression(["min", ["q", "x"], ["rational", "1"]], {"x": sp.Integer(3)}) == 1
