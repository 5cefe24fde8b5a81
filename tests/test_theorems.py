"""Every registered theorem against random cases, its witness, and mutations of its own bound.

A theorem file added to the package is tested here without a further line of test code.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import sympy as sp
from hypothesis import given, note
from hypothesis import strategies as st
from strategies import cases_of

from bomrl_theory.adapt.adapt import algorithms
from bomrl_theory.errors import InvalidTheorem, UnknownName
from bomrl_theory.tasks.family import TaskFamily
from bomrl_theory.theory.case import AnyCase, Case
from bomrl_theory.theory.constants import gamma, gap, per_state
from bomrl_theory.theory.linear_quadratic import LinearQuadraticCase
from bomrl_theory.theory.registry import registry, theorem_named
from bomrl_theory.theory.small import two_arms
from bomrl_theory.theory.theorem import ADAPTING, TOPICS, Assumption, Derivation, Source, Theorem
from bomrl_theory.verify.verdict import Outcome, judge

THEOREMS = [pytest.param(theorem, id=theorem.id) for theorem in registry().values()]
INEQUALITIES = [pytest.param(t, id=t.id) for t in registry().values() if t.relation == "<="]
IDENTITIES = [pytest.param(t, id=t.id) for t in registry().values() if t.relation == "=="]

every_theorem = pytest.mark.parametrize("theorem", THEOREMS)


@every_theorem
@given(data=st.data())
def test_decided_and_not_violated_on_random_cases(theorem: Theorem, data: st.DataObject) -> None:
    """Small cases are always decided with certainty, and only refuted theorems are violated."""
    case = data.draw(cases_of(theorem, steps=3))
    verdicts = judge(theorem, case)
    assert len(verdicts) == (case.family.tasks if theorem.scope == "task" else 1)
    for verdict in verdicts:
        note(f"{case.describe()}: {verdict}")
        assert verdict.outcome is not Outcome.UNDECIDED
        assert verdict.certified
        assert verdict.outcome is not Outcome.VIOLATED or theorem.status == "refuted"
        if not theorem.assumptions:
            assert verdict.outcome is not Outcome.OUT_OF_SCOPE


@every_theorem
def test_witness_is_as_tight_as_declared(theorem: Theorem) -> None:
    """The witness settles a proved theorem from above and a refuted one for good."""
    expected = Outcome.VIOLATED if theorem.status == "refuted" else Outcome.HOLDS
    for verdict in judge(theorem, theorem.witness()):
        assert verdict.outcome is expected
        assert verdict.certified
        assert verdict.ratio is not None
        assert verdict.ratio >= theorem.tightness * (1 - 1e-12)


@pytest.mark.parametrize("algorithm", ADAPTING)
def test_visitation_near_the_smallest_double(algorithm: str) -> None:
    """lambda / nu^phi beyond the range of doubles is no reason to warn or to leave a theorem undecided."""
    stay = [[[1, 0], [1, 0]], [[0, 1], [0, 1]]]
    family = TaskFamily.new([stay], [[[0, 1], [1, 0]]], 0, [1, 1e-310], row_weights=True)
    case = Case.new(family, [[1, 1], [1, 1]], algorithm, 1000)
    for theorem in registry().values():
        if theorem.covers(case) and theorem.status == "proved" and not theorem.assumptions:
            assert {verdict.outcome for verdict in judge(theorem, case)} == {Outcome.HOLDS}


@pytest.mark.parametrize("theorem", INEQUALITIES)
def test_bound_cut_below_its_witness_is_caught(theorem: Theorem) -> None:
    """The verdict notices one part in a million: less than the witness's ratio fails, more holds."""
    case = theorem.witness()
    ratio = max(verdict.ratio for verdict in judge(theorem, case) if verdict.ratio is not None)
    outcomes = {
        side: {verdict.outcome for verdict in judge(theorem.scaled(ratio * (1 + side)), case)} for side in (-1e-6, 1e-6)
    }
    assert Outcome.VIOLATED in outcomes[-1e-6]
    assert outcomes[1e-6] == {Outcome.HOLDS}


@pytest.mark.parametrize("theorem", IDENTITIES)
@pytest.mark.parametrize("side", [-1, 1])
def test_identity_off_by_one_in_a_billion_is_caught(theorem: Theorem, side: int) -> None:
    """An identity is violated on either side."""
    mutant = theorem.scaled(1 + side * Fraction(1, 10**9))
    assert {verdict.outcome for verdict in judge(mutant, theorem.witness())} == {Outcome.VIOLATED}


ASSUMPTIONS = [
    pytest.param(theorem, assumption, id=f"{theorem.id}: {assumption.name}")
    for theorem in registry().values()
    for assumption in theorem.assumptions
]


@pytest.mark.parametrize(("theorem", "assumption"), ASSUMPTIONS)
def test_broken_assumption_is_out_of_scope(theorem: Theorem, assumption: Assumption) -> None:
    """Where an assumption fails nothing is claimed, and the verdict names the assumption."""
    assert assumption.broken is not None, "declare a case where the assumption fails: Assumption(broken=...)"
    case = assumption.broken()
    assert theorem.covers(case)
    for verdict in judge(theorem, case):
        assert verdict.outcome is Outcome.OUT_OF_SCOPE
        assert verdict.grade is None
        assert assumption.name in verdict.reason


@pytest.mark.parametrize(("theorem", "assumption"), ASSUMPTIONS)
def test_dropped_assumption_is_noticed(theorem: Theorem, assumption: Assumption) -> None:
    """Without an assumption that is needed the claim is false; one registered as not needed breaks nothing known."""
    assert assumption.broken is not None
    rest = tuple(other for other in theorem.assumptions if other is not assumption)
    outcomes = {verdict.outcome for verdict in judge(replace(theorem, assumptions=rest), assumption.broken())}
    assert (Outcome.VIOLATED in outcomes) == assumption.needed


@pytest.mark.parametrize(
    ("theorem", "derivation"),
    [pytest.param(t, d, id=f"{t.id}: {k}") for t in registry().values() for k, d in enumerate(t.derivations)],
)
def test_derivation_is_confirmed(theorem: Theorem, derivation: Derivation) -> None:
    """SymPy reduces the residual to zero, and would not if the step were off by a constant."""
    assert derivation.claim.strip()
    assert derivation.holds()
    assert not replace(derivation, residual=lambda: derivation.residual() + sp.Rational(1, 10**6)).holds()


@every_theorem
def test_other_algorithms_are_out_of_scope(theorem: Theorem) -> None:
    """A theorem never judges an algorithm that it does not speak about."""
    witness = theorem.witness()
    others = [algorithm for name, algorithm in algorithms().items() if name not in theorem.algorithms]
    assert others
    for algorithm in others:
        verdicts = judge(theorem, _changed(witness, algorithm=algorithm))
        assert {verdict.outcome for verdict in verdicts} == {Outcome.OUT_OF_SCOPE}
        assert all(theorem.algorithms[0] in verdict.reason for verdict in verdicts)


@every_theorem
def test_the_other_setting_is_out_of_scope(theorem: Theorem) -> None:
    """A theorem about finite MDPs is silent on continuous control, and the other way round."""
    other = next(t for t in registry().values() if t.setting != theorem.setting and t.algorithms == ("kl-posterior",))
    for verdict in judge(theorem, other.witness()):
        assert verdict.outcome is Outcome.OUT_OF_SCOPE
        assert f"on {theorem.setting} tasks" in verdict.reason


def _changed(case: AnyCase, **changes: Any) -> AnyCase:
    """The case with other fields; both kinds of cases are dataclasses."""
    assert isinstance(case, Case | LinearQuadraticCase)
    return replace(case, **changes)


@pytest.mark.parametrize("theorem", [t for t in registry().values() if t.steps is not None], ids=lambda t: t.id)
def test_other_numbers_of_steps_are_out_of_scope(theorem: Theorem) -> None:
    """A one-step theorem says nothing about two steps."""
    assert theorem.steps is not None
    case = _changed(theorem.witness(), steps=theorem.steps + 1)
    assert {verdict.outcome for verdict in judge(theorem, case)} == {Outcome.OUT_OF_SCOPE}


@every_theorem
def test_declaration_is_complete(theorem: Theorem) -> None:
    """What the report shows of a theorem is there: meanings, units, statement, source, proof."""
    names = [constant.name for constant in theorem.constants]
    assert len(names) == len(set(names))
    for constant in theorem.constants:
        assert constant.meaning.strip()
        assert constant.unit.strip()
    assert theorem.topic in TOPICS
    assert theorem.title.strip()
    assert theorem.statement.strip()
    assert theorem.source.work.strip()
    assert theorem.source.place.strip()
    if theorem.own:
        assert theorem.proof is not None
    if theorem.proof is not None:
        assert Path(theorem.proof).parts[0] == "proofs"
        assert Path(theorem.proof).stem == theorem.name


@every_theorem
def test_found_by_id_and_by_name(theorem: Theorem) -> None:
    """Both spellings lead to the registered object."""
    assert theorem_named(theorem.id) is theorem_named(theorem.name) is theorem


def test_unknown_theorem_gets_suggestions() -> None:
    """A typing error is answered with the closest name."""
    with pytest.raises(UnknownName, match=r"unknown theorem 'coverge'; did you mean coverage-v1"):
        theorem_named("coverge")


USER_FILE = """
from bomrl_theory.theory.case import AnyCase, Case
from bomrl_theory.theory.constants import gamma, gap
from bomrl_theory.theory.small import two_arms
from bomrl_theory.theory.theorem import ADAPTING, TOPICS, Assumption, Derivation, Source, Theorem

THEOREM = Theorem(
    id="mine-v1", title="rewards in [0, 1]", statement="", source=Source("me", "here", "derived here"),
    status="conjectured", algorithms=("none",), left=gap.symbol, bound=1 / (1 - gamma.symbol),
    constants=(gap, gamma), witness=lambda: Case.new(two_arms(), [[1, 3]], "none"), tightness=0.5,
)
"""


def test_theorem_from_a_users_file(tmp_path: Path) -> None:
    """A bound outside the package is loaded and judged like any other."""
    path = tmp_path / "mine.py"
    path.write_text(USER_FILE)
    theorem = theorem_named(str(path))
    assert theorem.id == "mine-v1"
    # J* = 2 and J(phi) = 1/4 / (1/2): gap 3/2 against 1/(1-gamma) = 2.
    assert [verdict.ratio for verdict in judge(theorem, theorem.witness())] == [0.75]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1\n", "defines no THEOREM"),
        ("import numpy\nx = 1 / 0\n", r"mine\.py:2: ZeroDivisionError"),
        (USER_FILE.replace("mine-v1", "mine"), "must read name-vN"),
        (USER_FILE.replace("constants=(gap, gamma)", "constants=(gap,)"), "gamma not among its constants"),
        (USER_FILE.replace('("none",)', '("nothing",)'), "unknown algorithm 'nothing'"),
    ],
    ids=["no theorem", "error in the file", "id without version", "undeclared constant", "unknown algorithm"],
)
def test_unusable_users_file(tmp_path: Path, text: str, message: str) -> None:
    """What is wrong with a user's file is told with its place, never as a bare traceback."""
    path = tmp_path / "mine.py"
    path.write_text(text)
    with pytest.raises(InvalidTheorem, match=message):
        theorem_named(str(path))


def test_missing_users_file(tmp_path: Path) -> None:
    """A path that does not exist is an error of the input."""
    with pytest.raises(InvalidTheorem, match="cannot read"):
        theorem_named(str(tmp_path / "absent.py"))


def test_bound_that_depends_on_the_state_is_refused() -> None:
    """A free state index would make the claim ambiguous."""
    x = per_state("x", "anything", "1", lambda m: m.phi.nu)
    with pytest.raises(InvalidTheorem, match="depends on the state"):
        Theorem(
            id="loose-v1",
            title="",
            statement="",
            source=Source("", "", "derived here"),
            status="conjectured",
            algorithms=("none",),
            left=gap.symbol,
            bound=x.symbol / (1 - gamma.symbol),
            constants=(gap, gamma, x),
            witness=lambda: Case.new(two_arms(), [[1, 1]], "none"),
            tightness=0.0,
        )
