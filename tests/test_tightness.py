"""How tight every bound is known to be: each recorded ratio is decided anew on its case."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest
import sympy as sp
from click.testing import CliRunner
from helpers import experiment

from bomrl_theory.cli import cli
from bomrl_theory.theory.case import Case
from bomrl_theory.theory.registry import registry, theorem_named
from bomrl_theory.theory.small import corridor
from bomrl_theory.theory.theorem import Theorem
from bomrl_theory.verify.evidence import claim_of
from bomrl_theory.verify.evidence import recorded as evidence
from bomrl_theory.verify.tightness import Tightness, best_certified, recorded, tightness_of

ROOT = Path(__file__).resolve().parent.parent
REACHED_BY_SEARCH = ("contraction_kl_prior", "contraction_kl_posterior", "contraction_euclidean", "no_adaptation")
"""The universal bound for i = 1, 2, 3 and the bound without adaptation: the search alone finds them tight."""
INEQUALITIES = [pytest.param(t, id=t.id) for t in registry().values() if t.relation == "<="]
every_inequality = pytest.mark.parametrize("theorem", INEQUALITIES)


@every_inequality
def test_recorded_ratio_is_certified_today(theorem: Theorem) -> None:
    """On the search's case, or on the witness or probe; nothing recorded is larger than what is decided now."""
    row = tightness_of(theorem)
    assert row is not None, f"the claim has changed; run: python experiments/search.py {theorem.name}"
    case = row.found()
    if case is not None:
        assert theorem.covers(case)
        ratio = best_certified(theorem, case)
        assert ratio is not None
        assert row.searched is None or ratio == pytest.approx(row.searched, rel=1e-12)
    kind, _, number = row.origin.partition(" ")
    if kind == "search":
        assert row.ratio == row.searched is not None
    else:
        own = theorem.witness() if kind == "witness" else theorem.probes[int(number)]()
        assert best_certified(theorem, own) == pytest.approx(row.ratio, rel=1e-12)
        assert row.searched is None or row.searched <= (row.ratio or 0)
    assert row.ratio is not None
    assert (row.ratio > 1) == (theorem.status == "refuted")


@pytest.mark.parametrize("name", REACHED_BY_SEARCH)
def test_search_alone_reaches_the_bound(name: str) -> None:
    row = tightness_of(theorem_named(name))
    assert row is not None
    assert row.searched is not None
    assert 0.999 <= row.searched <= 1


@every_inequality
def test_no_drawn_case_was_tighter(theorem: Theorem) -> None:
    """What the large run met by chance is no better than what is called the best known."""
    row, drawn = recorded()[theorem.id], evidence()[theorem.id].max_ratio
    assert theorem.status == "refuted" or (row.ratio or 0) >= (drawn or 0) * (1 - 1e-9)


def test_only_inequalities_of_the_registry_have_rows() -> None:
    assert set(recorded()) == {t.id for t in registry().values() if t.relation == "<="}


def test_a_changed_claim_has_no_ratio() -> None:
    theorem = theorem_named("no_adaptation")
    assert tightness_of(theorem) is not None
    assert tightness_of(theorem.scaled(sp.Rational(99, 100))) is None


@pytest.fixture
def script() -> ModuleType:
    """experiments/search.py, which makes the table."""
    return experiment("search")


def test_current_rows_are_not_searched_again(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row whose claim is current is kept, so a run that was cut goes on; --again searches it anew."""
    searched: list[str] = []

    def quick(theorem: Theorem, seconds: float, seed: int) -> Tightness:
        searched.append(theorem.name)
        return Tightness(claim_of(theorem), 0.5, "witness", None, None, seconds, seed)

    monkeypatch.setattr(script, "searched", quick)
    path = tmp_path / "tightness.json"
    run = CliRunner().invoke
    assert run(script.main, ["coverage", "-o", str(path)]).exit_code == 0
    assert run(script.main, ["coverage", "no_adaptation", "-o", str(path)]).exit_code == 0
    assert searched == ["coverage", "no_adaptation"]
    assert run(script.main, ["coverage", "--again", "-o", str(path)]).exit_code == 0
    assert searched == ["coverage", "no_adaptation", "coverage"]


def test_the_better_of_search_and_witness_is_kept(script: ModuleType) -> None:
    """A witness that is far from tight loses to the search, and a search without time loses to a good one."""
    theorem = theorem_named("no_adaptation")
    weak = replace(theorem, witness=lambda: Case.new(corridor(), [[1, 1], [1, 1]], "none"))
    strong = script.searched(weak, 3.0, 0)
    assert strong.origin == "search"
    assert strong.ratio == strong.searched
    found = strong.found()
    assert found is not None
    assert best_certified(theorem, found) == strong.searched
    assert strong.ratio > (best_certified(weak, weak.witness()) or 0)
    loose = theorem_named("surrogate_bound")
    hopeless = script.searched(loose, 1e-9, 0)
    assert hopeless.origin == "witness"
    assert hopeless.ratio == best_certified(loose, loose.witness())
    assert (hopeless.searched or 0) < hopeless.ratio


def test_list_and_show_carry_the_ratio() -> None:
    """Cut off and never rounded up: what is just below 1 does not read 1."""
    row = tightness_of(theorem_named("task_variance_sharp"))
    assert row is not None
    assert row.ratio is not None
    assert 0.999999 < row.ratio < 1
    (line,) = [x for x in CliRunner().invoke(cli, ["list"]).output.splitlines() if "task_variance_sharp-v1" in x]
    assert "0.999999 " in line
    assert str(row.ratio) in CliRunner().invoke(cli, ["show", "task_variance_sharp"]).output.replace("\n", "")
