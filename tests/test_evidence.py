"""The evidence kept with the package: it is about today's registry, and what it says can be made again."""

from __future__ import annotations

import json
import tomllib
from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest
import sympy as sp
from click.testing import CliRunner
from helpers import experiment

from bomrl_theory.theory.registry import registry, theorem_named
from bomrl_theory.theory.theorem import Theorem
from bomrl_theory.verify.evidence import CASES, KINDS, Evidence, claim_of, evidence_of, recorded
from bomrl_theory.verify.verdict import Outcome, judge

ROOT = Path(__file__).resolve().parent.parent
REASONS: dict[str, str] = {}
"""Theorems with fewer cases or kinds of families, and why; none at present."""
every_theorem = pytest.mark.parametrize("theorem", [pytest.param(t, id=t.id) for t in registry().values()])


@pytest.fixture
def script() -> ModuleType:
    """experiments/evidence.py, which makes the table."""
    return experiment("evidence")


def test_there_is_a_row_for_every_theorem_and_for_nothing_else() -> None:
    assert set(recorded()) == set(registry()), "run: python experiments/evidence.py"


@every_theorem
def test_row_is_current_and_large_enough(theorem: Theorem) -> None:
    """The claim as it stands, judged with certainty, on a thousand cases of four kinds of families."""
    row = evidence_of(theorem)
    assert row is not None, f"the claim has changed; run: python experiments/evidence.py {theorem.name}"
    assert (row.cases >= CASES and len(row.families) >= KINDS) or theorem.name in REASONS
    assert sum(row.families.values()) == row.cases <= sum(row.verdicts.values())
    assert row.uncertified == 0
    assert row.verdicts["UNDECIDED"] == 0
    assert (row.verdicts["VIOLATED"] > 0) == (theorem.status == "refuted")
    assert row.max_ratio is not None
    assert (row.max_ratio > 1) == (theorem.status == "refuted")


def test_counterexamples_are_small() -> None:
    """Decided anew: every refuted theorem is violated with at most 3 states, 2 actions and 2 tasks."""
    refuted = [theorem for theorem in registry().values() if recorded()[theorem.id].verdicts["VIOLATED"]]
    assert refuted
    for theorem in refuted:
        case = theorem.witness()
        assert case.family.states <= 3
        assert case.family.actions <= 2
        assert case.family.tasks <= 2
        verdicts = judge(theorem, case)
        assert {verdict.outcome for verdict in verdicts} == {Outcome.VIOLATED}
        assert all(verdict.certified for verdict in verdicts)


def test_a_changed_claim_has_no_evidence() -> None:
    theorem = theorem_named("no_adaptation")
    assert evidence_of(theorem) is not None
    assert evidence_of(theorem.scaled(sp.Rational(99, 100))) is None
    assert evidence_of(replace(theorem, id="no_adaptation-v2")) is None


@pytest.mark.parametrize(
    ("part", "names"),
    [
        (("bandit", 120), ("no_adaptation-v1", "task_variance_sharp-v1")),
        (("gymnasium:CliffWalking-v1", 3), ("coverage-v1", "barycentre_optimal-v1")),
    ],
)
def test_a_part_judged_again_gives_the_recorded_count(
    script: ModuleType, part: tuple[str, int], names: tuple[str, ...]
) -> None:
    assert part in script.NAMED.items()
    rows = {name: Evidence.about(theorem_named(name)) for name in names}
    script.judge_part(part, 0, rows)
    for name, row in rows.items():
        assert row.cases == recorded()[name].families[part[0]]
        assert set(row.verdicts) == {"HOLDS"}


def test_a_run_that_was_cut_goes_on_where_it_was(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same table, and the parts that were done are not judged again; another seed starts anew."""
    monkeypatch.setattr(script, "NAMED", {"bandit": 2, "chain": 2})
    monkeypatch.setattr(script, "CHUNK", 2)
    monkeypatch.setattr(script, "draws_of", lambda theorems: ())
    judged: list[tuple[str, int]] = []
    original = script.judge_part

    def run(name: str, *, seed: int = 0, cut_after: int | None = None) -> Path:
        judged.clear()

        def judge_part(part: tuple[str, int], seed: int, rows: dict[str, Evidence]) -> None:
            if cut_after is not None and len(judged) == cut_after:
                raise KeyboardInterrupt
            judged.append(part)
            original(part, seed, rows)

        monkeypatch.setattr(script, "judge_part", judge_part)
        path = tmp_path / name
        arguments = ["no_adaptation", "coverage", "--chunks", "2", "--seed", str(seed), "-o", str(path)]
        CliRunner().invoke(script.main, arguments)
        return path

    whole = run("whole.json").read_text(encoding="utf-8")
    parts = list(judged)
    assert parts == [("bandit", 2), ("chain", 2), ("random", 0), ("random", 1)]
    assert not run("cut.json", cut_after=3).exists()
    assert run("cut.json").read_text(encoding="utf-8") == whole
    assert judged == parts[3:]
    run("cut.json", cut_after=3)
    run("cut.json", seed=1)
    assert judged == parts
    rows = json.loads(whole)["theorems"]
    assert set(rows) == {"no_adaptation-v1", "coverage-v1"}
    assert rows["coverage-v1"]["claim"] == claim_of(theorem_named("coverage"))
    assert not list(tmp_path.glob("whole.partial"))


def test_counts_add_up() -> None:
    """A case counts once, by its kind, and its verdicts each; where nothing is in scope nothing counts."""
    theorem = theorem_named("published_bound")
    row = Evidence.about(theorem)
    row.add("bandit", judge(theorem, theorem.witness()))
    assert (row.cases, row.families, row.verdicts) == (1, Counter(bandit=1), Counter(VIOLATED=1))
    conditional = theorem_named("gradient_domination_start")
    (assumption,) = conditional.assumptions
    assert assumption.broken is not None
    row.add("chain", judge(conditional, assumption.broken()))
    assert row.cases == 1


def test_every_data_file_goes_into_the_wheel() -> None:
    package = ROOT / "bomrl_theory"
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = settings["tool"]["setuptools"]["package-data"]["bomrl_theory"]
    packed = {path for pattern in patterns for path in package.glob(pattern)}
    data = {path for path in package.rglob("*") if path.suffix in (".json", ".jinja", ".css", ".mplstyle")}
    assert data
    assert data <= packed
