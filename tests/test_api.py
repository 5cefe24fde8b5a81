"""The surface for notebooks: its examples run, its tables say what the command line says, objects show themselves."""

from __future__ import annotations

import doctest
import json
from fractions import Fraction
from pathlib import Path

import pytest
from helpers import Bomrl

from bomrl_theory import api
from bomrl_theory.errors import InvalidTask, UnknownName
from bomrl_theory.tasks.family import TaskFamily
from bomrl_theory.tasks.files import save_family
from bomrl_theory.theory.small import two_arms

ROOT = Path(__file__).resolve().parent.parent


def test_the_examples_run() -> None:
    attempted = doctest.testmod(api)
    page = doctest.testfile(str(ROOT / "docs" / "api.md"), module_relative=False)
    assert attempted.attempted >= 15
    assert page.attempted >= 6
    assert attempted.failed == page.failed == 0


def test_returns_and_bounds_are_those_of_the_command_line(bomrl: Bomrl) -> None:
    code, out, _ = bomrl("evaluate", "frozen-lake-low", "--algorithm", "euclidean", "--lambda", "1/10", "--json")
    told = json.loads(out)
    case = api.adapt(api.family("frozen-lake-low"), algorithm="euclidean", lam="1/10")
    returns, bounds = api.returns(case), api.bounds(case)
    assert code == 0
    assert returns.loc["expected"].to_dict() == told["expected"]
    assert returns.loc[3].to_dict() == {k: v for k, v in told["tasks"][3].items() if k != "bounds"}
    verdicts = dict(zip(bounds["theorem"], bounds["outcome"], strict=True))
    assert verdicts == {bound["id"]: bound["verdict"] for bound in told["bounds"]}
    assert bounds["bound"].dropna().is_monotonic_increasing


def test_a_violation_is_told() -> None:
    """The refuted form breaks on its counterexample, and a bound that was cut breaks on its witness."""
    refuted = api.theorem("published_bound")
    assert api.verify(refuted, refuted.witness())["outcome"].tolist() == ["VIOLATED"]
    sharp = api.theorem("contraction_kl_posterior")
    cut = api.verify([sharp, sharp.scaled(Fraction(9, 10))], [sharp.witness()])
    assert cut["outcome"].tolist() == ["HOLDS", "VIOLATED"]


def test_families_by_object_name_and_file_agree(tmp_path: Path) -> None:
    drawn = api.family("garnet:states=4,actions=2,tasks=2", seed=5)
    assert isinstance(drawn, TaskFamily)
    save_family(drawn, tmp_path / "drawn.json")
    columns = ["theorem", "algorithm", "lambda", "task", "outcome", "exact_left", "exact_bound"]
    tables = [api.verify("no_adaptation", on, cases=2)[columns] for on in (drawn, api.solve(drawn))]
    tables.append(api.verify("no_adaptation", str(tmp_path / "drawn.json"), cases=2)[columns])
    assert tables[0].equals(tables[1])
    assert len(tables[0]) == len(tables[2])
    assert set(tables[2]["outcome"]) == {"HOLDS"}


def test_without_cases_the_common_ones_are_judged() -> None:
    """Also those that are drawn for a theorem whose scope random cases seldom meet."""
    table = api.verify("published_bound_conditional", cases=1)
    assert {"frozen-lake-high, barycentre", "random family 0"} <= {
        origin.split(", policy")[0] for origin in table["origin"]
    }


@pytest.mark.parametrize(
    ("call", "error", "told"),
    [
        (lambda: api.family("garnett"), UnknownName, "did you mean garnet"),
        (lambda: api.family("garnet", seed=-1), InvalidTask, "whole numbers from 0"),
        (lambda: api.theorem("contraction_kl"), UnknownName, "did you mean"),
        (lambda: api.adapt(two_arms(), "barycenter"), InvalidTask, "barycentre, uniform"),
        (lambda: api.adapt(two_arms(), [[1.0, 0.0]]), InvalidTask, "full support"),
        (lambda: api.adapt(two_arms(), lam=0), InvalidTask, "must be positive"),
        (lambda: api.verify("no_adaptation", "garnett"), UnknownName, "did you mean garnet"),
    ],
)
def test_bad_input_is_told(call: object, error: type[Exception], told: str) -> None:
    assert callable(call)
    with pytest.raises(error, match=told):
        call()


def test_objects_show_themselves() -> None:
    """With their names escaped: a family's name comes from outside."""
    family = api.family("frozen-lake-high:tasks=25")
    assert "<td" in family._repr_html_()
    assert "&lt;b&gt;" in api.TaskFamily.new(family.P, family.r, "1/2", family.rho, name="<b>")._repr_html_()
    solved = api.solve(family)._repr_html_()
    assert solved.count("<tr>") == 22
    assert "5 more" in solved
    assert "kl-prior" in api.adapt(family, algorithm="kl-prior")._repr_html_()
    shown = api.theorem("published_bound_conditional")._repr_markdown_()
    assert shown.startswith("**published_bound_conditional-v1**")
    assert "$$" in shown


def test_theorems_of_another_setting_get_cases_of_theirs() -> None:
    """Random linear-quadratic families besides the witness, and one case by itself."""
    table = api.verify("contraction_linear_quadratic", cases=4)
    assert table["case"].str.startswith("linear-quadratic").sum() >= 2
    assert set(table["outcome"]) == {"HOLDS"}
    theorem = api.theorem("contraction_linear_quadratic")
    assert set(api.verify(theorem, theorem.witness())["outcome"]) == {"HOLDS"}
