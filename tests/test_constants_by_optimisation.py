"""Constants by optimisation: the linear program is right, and what is reported is certified."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import sympy as sp

from bomrl_theory.errors import InvalidTheorem, MissingExtra
from bomrl_theory.theory.optimise import propose
from bomrl_theory.theory.registry import registry
from bomrl_theory.verify.admissible import admissible, with_constants
from bomrl_theory.verify.random_cases import random_cases
from bomrl_theory.verify.verdict import Outcome, judge


def test_linear_program_by_hand() -> None:
    """Two terms, two cases: c1 + c2 >= 1 and c2 >= 1/2; the mean makes c2 the cheaper one beyond that."""
    found = propose(np.array([[1.0, 1.0], [0.0, 1.0], [1.0, 0.0]]), np.array([1.0, 0.5, 0.25]))
    assert found.constants.sum() == pytest.approx(1.0, abs=1e-6)
    assert found.constants[0] >= 0.25 - 1e-6
    assert found.constants[1] >= 0.5 - 1e-6
    assert found.mean == pytest.approx(2 / 3, abs=1e-6)
    assert found.duals[0] > 1e-3


def test_missing_cvxpy_is_told_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "cvxpy", None)
    with pytest.raises(MissingExtra, match=r"bomrl-theory\[lp\]"):
        propose(np.eye(2), np.ones(2))


@pytest.mark.parametrize("name", ["task_variance-v1", "contraction_kl_posterior-v1"])
def test_reported_constants_are_certified_and_cannot_be_lowered(name: str) -> None:
    """Every verdict HOLDS with them; with one per cent less some binding case is VIOLATED."""
    theorem = registry()[name]
    cases = list(random_cases(np.random.SeedSequence(3), 5))
    found = admissible(theorem, cases)
    assert found.attainable <= found.mean <= 1 + 1e-6
    claim = with_constants(theorem, found.terms, found.constants)
    for case in (theorem.witness(), *(probe() for probe in theorem.probes), *cases):
        if theorem.covers(case):
            assert {verdict.outcome for verdict in judge(claim, case)} == {Outcome.HOLDS}
    lower = with_constants(theorem, found.terms, [c * Fraction(99, 100) for c in found.constants])
    outcomes = {verdict.outcome for binding in found.binding for verdict in judge(lower, binding.case)}
    assert Outcome.VIOLATED in outcomes


def test_a_doubled_bound_gets_its_factor_back() -> None:
    """The two arms attain the bound, so of twice the bound exactly one half is needed."""
    theorem = registry()["no_adaptation-v1"]
    double = replace(theorem, bound=2 * theorem.bound)
    found = admissible(double, random_cases(np.random.SeedSequence(3), 3))
    (constant,) = found.constants
    assert Fraction(1, 2) <= constant <= Fraction(1, 2) + Fraction(1, 10**5)
    assert found.binding
    for binding in found.binding:  # everything that binds attains the bound, as far as floats can tell
        assert max(verdict.ratio or 0 for verdict in judge(theorem, binding.case)) == pytest.approx(1, abs=1e-6)


def test_features_of_ones_own() -> None:
    """Other features than the bound's terms may be given."""
    theorem = registry()["no_adaptation-v1"]
    found = admissible(theorem, [], features=(sp.Integer(3) * theorem.bound,))
    assert found.constants[0] == pytest.approx(1 / 3, abs=1e-5)


def test_refusals() -> None:
    theorems = registry()
    with pytest.raises(InvalidTheorem, match="is an identity"):
        admissible(theorems["performance_difference-v1"], [])
    with pytest.raises(InvalidTheorem, match=r"could be certified|no constants are admissible"):
        admissible(theorems["no_adaptation-v1"], [], features=(sp.Integer(0) * theorems["no_adaptation-v1"].bound,))
