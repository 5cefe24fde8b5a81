"""Campaigns: every case once, with the verdict that it gets alone; violations that replay; the file read strictly."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("pyarrow", reason="campaigns are written as Parquet: pip install 'bomrl-theory[campaign]'")

from campaign_helpers import SMALL, content, rows_of, run, write
from helpers import Bomrl

from bomrl_theory.campaign.cells import cells_of
from bomrl_theory.campaign.chunk import _Batch
from bomrl_theory.campaign.command import Campaign
from bomrl_theory.campaign.redraw import save_row
from bomrl_theory.campaign.spec import EXAMPLE, read_spec
from bomrl_theory.errors import InvalidFile, InvalidTask, UnknownName
from bomrl_theory.tasks.catalogue import family_named
from bomrl_theory.tasks.family import TaskFamily
from bomrl_theory.tasks.files import save_family
from bomrl_theory.tasks.garnet import garnet
from bomrl_theory.theory.case import Case
from bomrl_theory.theory.registry import registry, theorem_named
from bomrl_theory.theory.theorem import Theorem
from bomrl_theory.verify.casefile import load_case
from bomrl_theory.verify.columns import judge_columns
from bomrl_theory.verify.verdict import Outcome, judge

PAGE = Path(__file__).resolve().parent.parent / "docs" / "campaigns.md"
BLOCK = re.compile(r"```python\n(.*?)```", re.DOTALL)
TIGHTENED = """
from dataclasses import replace
from bomrl_theory.theory.registry import theorem_named

THEOREM = replace(theorem_named("contraction_euclidean").scaled("9/10"), id="tightened-v1")
"""
NINE_TENTHS = """
theorems = ["tightened.py", "contraction_euclidean"]
cases = 40
chunk = 20
batch = 10
saved = 3

[adaptation]
algorithms = "euclidean"

[[families]]
kind = "garnet"
states = 4
actions = 3
branching = 2
"""


@pytest.fixture(scope="module")
def serial(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Campaign]:
    """The small campaign done in this process: its file's folder, and itself."""
    folder = tmp_path_factory.mktemp("serial")
    return folder, run(write(folder), folder / "out")


# --- the file -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("seed = 3", "sede = 3", "unknown key 'sede', did you mean seed or saved?"),
        ("seed = 3", "seed = -3", "seed = -3 is not a whole number from 0"),
        ("cases = 4", "cases = true", "cases = True is not a whole number from 1"),
        ("cases = 4", "", "key 'cases' is missing; give a whole number from 1"),
        ("chunk = 3", "chunk = 0", "chunk = 0 is not a whole number from 1"),
        ('"no_adaptation"', '"no_adaptatoin"', "unknown theorem 'no_adaptatoin'; did you mean no_adaptation"),
        ('"no_adaptation"', '"gone.py"', "gone.py"),
        ('"no_adaptation"', '"task_variance_sharp-v1"', "theorems names 'task_variance_sharp-v1' twice"),
        ('["contraction_kl_posterior", ', '"tabula" #', "theorems = 'tabula' is no setting, did you mean tabular?"),
        ("algorithms", "algorithm", "unknown key 'adaptation.algorithm', did you mean algorithms?"),
        ('"wrong-task"', '"kl-posterio"', "adaptation.algorithms = 'kl-posterio' is not known, did you mean kl-post"),
        ('"random"', '"1/0"', "adaptation.lambdas = '1/0' is not a finite number"),
        ('"random"', "-1", "adaptation.lambdas: lambda = -1 must be positive"),
        ('"random"', "inf", "adaptation.lambdas = Infinity is not a finite number"),
        ('"uniform"', '"unifrom"', "adaptation.meta_policies = 'unifrom' is not known, did you mean uniform?"),
        ("[adaptation]", "[adaption]", "unknown key 'adaption', did you mean adaptation?"),
        (
            'kind = "garnet"',
            'kind = "garnte"',
            "families[0].kind = 'garnte' is not known, did you mean garnet or sparse-garnet?",
        ),
        ('kind = "garnet"', "", "families[0] needs one of kind"),
        ("branching = 2", "branchings = 2", "unknown key 'families[0].branchings', did you mean branching or actions?"),
        ("branching = 2", "branching = 4", "families garnet: branching = 4 exceeds states = 3; lower it"),
        ("branching = 2", "gamma = 1.5", "families[0].gamma: gamma = 3/2 is outside [0, 1)"),
        ("tasks = [1, 3]", "tasks = [1, 1]", "families[0].tasks holds 1 twice; leave one out"),
        ("tasks = [1, 3]", "tasks = []", "families[0].tasks is empty; give at least one value"),
        ('kind = "corners"', 'kind = "box"', "families[1].states is missing; kind 'box' draws no states by itself"),
        ('kind = "corners"', 'named = "gone.npz"', "families[1].named: cannot read"),
        ('"none", ', "", "what no_adaptation-v1 speaks about: tabular tasks, none; add it to the grid"),
        ("[adaptation]", "[adaptation", "is not valid TOML"),
    ],
)
def test_a_wrong_file_is_refused_with_key_and_remedy(tmp_path: Path, old: str, new: str, message: str) -> None:
    """The message names the file, the key and the value."""
    assert old in SMALL
    path = write(tmp_path, SMALL.replace(old, new, 1))
    with pytest.raises(InvalidFile) as refused:
        cells_of(read_spec(path))
    assert message in str(refused.value)
    assert str(path) in str(refused.value)


def test_decimals_are_exact(tmp_path: Path) -> None:
    """A gamma of 0.9 in the file is 9/10, not the double next to it."""
    path = write(tmp_path, SMALL.replace("branching = 2", "branching = 2\ngamma = 0.9").replace('"random"', "0.3"))
    (cell, *_) = cells_of(read_spec(path))
    assert dict(cell.parameters)["gamma"] == "9/10"
    assert {cell.lam for cell in cells_of(read_spec(path))} == {"1", "3/10"}


def test_the_printed_example_runs(bomrl: Bomrl, tmp_path: Path) -> None:
    """What the help tells to paste works; here with fewer cases."""
    code, text, _ = bomrl("campaign", "--example")
    assert (code, text) == (0, EXAMPLE)
    assert "cases = 400 " in text
    write(tmp_path, text.replace("cases = 400 ", "cases = 2 "), "campaign.toml")
    code, out, _ = bomrl("campaign", "campaign.toml", "-o", "first", "--workers", "1")
    assert code == 0, out
    assert "all certified" in out
    assert json.loads((tmp_path / "first" / "summary.json").read_text())["finished"]


def test_all_theorems_of_a_setting(tmp_path: Path) -> None:
    """Those that speak about nothing in the grid do not stop it; linear-quadratic tasks have cells of their own."""
    text = """
theorems = "linear-quadratic"
cases = 2
[adaptation]
algorithms = ["kl-posterior", "kl-posterior-sampled", "euclidean"]
steps = [1, 2]
meta_policies = ["uniform", "random"]
[[families]]
kind = "linear-quadratic"
states = 1
actions = 1
"""
    campaign = run(write(tmp_path, text), tmp_path / "out")
    assert {(cell.algorithm, cell.steps, cell.meta_policy) for cell in campaign.cells} == {
        ("kl-posterior", 1, "random"),
        ("kl-posterior", 2, "random"),
        ("kl-posterior-sampled", 1, "random"),
    }
    assert {row["outcome"] for row in rows_of(tmp_path / "out")} == {"HOLDS"}


def test_a_fixed_case_is_judged_once(tmp_path: Path) -> None:
    """Where neither family nor meta-policy nor lambda is drawn, one case is all there is."""
    pytest.importorskip("gymnasium")
    text = SMALL.replace('kind = "corners"', 'named = "gymnasium:FrozenLake-v1"').replace(
        '"random"', '"1/10", "random"'
    )
    named = [cell for cell in cells_of(read_spec(write(tmp_path, text))) if cell.named]
    assert {(cell.lam, cell.cases) for cell in named} == {("1", 1), ("1/10", 1), ("random", 4)}


# --- what is judged -------------------------------------------------------------------------------


def test_every_case_is_there_once(serial: tuple[Path, Campaign]) -> None:
    """Each theorem has a verdict on every task, or every family, of every cell that it covers."""
    folder, campaign = serial
    rows = rows_of(folder / "out")
    places = [(row["cell"], row["case"], row["task"], row["theorem"]) for row in rows]
    assert len(set(places)) == len(places)
    wanted = set()
    for cell in campaign.cells:
        tasks = dict(cell.parameters)["tasks"]
        for theorem in campaign.spec.theorems:
            if cell.algorithm in theorem.algorithms:
                units = range(tasks) if theorem.scope == "task" else (None,)
                wanted |= {(cell.index, case, task, theorem.id) for case in range(4) for task in units}
    assert set(places) == wanted
    assert {row["outcome"] for row in rows} <= {"HOLDS", "OUT_OF_SCOPE"}
    assert all(row["certified"] for row in rows)


def test_verdicts_are_those_of_single_cases(serial: tuple[Path, Campaign]) -> None:
    """A family judged beside others gets the verdicts that it gets alone, also where its tasks adapt to each other."""
    folder, campaign = serial
    rows = {(r["cell"], r["case"], r["task"], r["theorem"]): r for r in rows_of(folder / "out")}
    compared = 0
    for cell in campaign.cells:
        rng = cell.generator(campaign.spec.seed, 0)
        whole = cell.draw(2, rng)
        assert isinstance(whole, Case)
        size = whole.family.tasks // 2
        for case in range(2):
            chosen = list(range(case * size, (case + 1) * size))
            own = Case.new(whole.family.only(chosen), whole.phi, cell.algorithm, whole.lam, steps=cell.steps)
            for theorem in campaign.spec.theorems:
                if not theorem.covers(own):
                    continue
                for verdict in judge(theorem, own):
                    row = rows[cell.index, case, verdict.task, theorem.id]
                    assert (row["outcome"], row["grade"]) == (verdict.outcome, verdict.grade)
                    assert row["left"] == pytest.approx(verdict.left, rel=1e-9, abs=1e-12, nan_ok=True)
                    assert row["bound"] == pytest.approx(verdict.bound, rel=1e-9, abs=1e-12)
                    compared += 1
    assert compared > 60


def test_columns_say_what_verdicts_say(serial: tuple[Path, Campaign]) -> None:
    """The fast path and :func:`judge` are the same decisions."""
    _, campaign = serial
    for cell in campaign.cells[-3:]:
        case = cell.draw(4, cell.generator(1, 0))
        for theorem in campaign.spec.theorems:
            if theorem.covers(case):
                columns, verdicts = judge_columns(theorem, case, {}), judge(theorem, case)
                assert columns.outcomes == [verdict.outcome for verdict in verdicts]
                assert columns.grades == [verdict.grade for verdict in verdicts]
                assert columns.numbers == [verdict.numbers for verdict in verdicts]
                assert columns.left.tolist() == [verdict.left for verdict in verdicts]
                assert columns.bound.tolist() == [verdict.bound for verdict in verdicts]


SIDE_BY_SIDE = [t for t in registry().values() if t.scope == "family" and t.measured_by_task]


def families_side_by_side(algorithm: str, families: int = 5, tasks: int = 3) -> Case:
    """Families of tasks with unequal weights in one case, some of them easy to solve exactly."""
    rng = np.random.default_rng(5)
    drawn = garnet(tasks=families * tasks, states=3, actions=2, branching=2, rng=rng)
    weights = rng.integers(1, 9, drawn.tasks).astype(float)
    family = TaskFamily.new(drawn.P, drawn.r, drawn.gamma, drawn.rho, weights, row_weights=True)
    return Case.new(family, rng.random((3, 2)) + 0.1, algorithm, "1/10")


@pytest.mark.parametrize("theorem", SIDE_BY_SIDE, ids=lambda theorem: theorem.name)
def test_families_side_by_side_get_their_own_verdicts(theorem: Theorem) -> None:
    """A claim about families, true or refuted, is decided for many at once as for each alone; so is one that fails."""
    assert len(SIDE_BY_SIDE) >= 6
    for algorithm in theorem.algorithms[:2]:
        whole = families_side_by_side(algorithm)
        if not theorem.covers(whole):
            continue
        for claim in (theorem, theorem.scaled("1/1000")):
            columns = judge_columns(claim, whole, {}, families=5, saved=9)
            for place in range(5):
                (verdict,) = judge(claim, whole.restricted(tuple(range(3 * place, 3 * place + 3))))
                assert (columns.outcomes[place], columns.grades[place]) == (verdict.outcome, verdict.grade)
                assert columns.left[place] == pytest.approx(verdict.left, rel=1e-9, nan_ok=True)
                assert columns.bound[place] == pytest.approx(verdict.bound, rel=1e-9, nan_ok=True)
                assert (place in columns.saved) is (verdict.outcome in ("VIOLATED", "UNDECIDED"))
                if place in columns.saved:
                    assert columns.saved[place].chosen.keys() == verdict.chosen.keys()
        assert "VIOLATED" in columns.outcomes or "OUT_OF_SCOPE" in columns.outcomes


@pytest.mark.parametrize(
    "mixed", [lambda gap: gap.sum() + 0 * gap, lambda gap: gap - gap[:1], lambda gap: gap - gap[-1:]]
)
def test_a_constant_that_secretly_mixes_tasks_is_noticed(mixed: Callable[[Any], Any]) -> None:
    """What says that it is a task's own and is not: every family is judged by itself."""
    theorem = theorem_named("contraction_task_average")
    gap = next(c for c in theorem.constants if c.name == "gap")
    secret = replace(gap, measure=lambda m: mixed(m.star.J - m.plus.J))
    mixing = replace(theorem, constants=tuple(secret if c is gap else c for c in theorem.constants))
    whole = families_side_by_side("kl-posterior")
    cell: Any = None
    assert _Batch.of(cell, whole, 0, 5)._together(theorem, 0) is not None
    assert _Batch.of(cell, whole, 0, 5)._together(mixing, 0) is None


def test_other_cells_and_chunks_leave_cases_as_they_are(serial: tuple[Path, Campaign], tmp_path: Path) -> None:
    """A cell's cases depend on what it is, not on its place in the grid; other seeds give other cases."""
    _, campaign = serial
    more = cells_of(read_spec(write(tmp_path, SMALL.replace("states = 3", "states = [2, 3]"))))
    assert {cell.key for cell in campaign.cells} < {cell.key for cell in more}
    cell = campaign.cells[0]
    draws = [cell.generator(seed, chunk).random() for seed in (3, 4) for chunk in (0, 1)]
    assert len(set(draws)) == 4
    assert cell.generator(3, 0).random() == replace(cell, index=99).generator(3, 0).random()


def test_a_tightened_bound_is_violated_and_replays(bomrl: Bomrl, tmp_path: Path) -> None:
    """Nine tenths of a bound that is nearly attained: certified counterexamples, no more than asked for."""
    (tmp_path / "tightened.py").write_text(TIGHTENED)
    write(tmp_path, NINE_TENTHS)
    code, out, _ = bomrl("campaign", "spec.toml", "-o", "out", "--backend", "serial")
    assert code == 1
    assert "BROKEN" in out
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    tightened, whole = summary["theorems"]
    assert tightened["verdicts"]["VIOLATED"] > 3
    assert len(tightened["saved_cases"]) == 3
    assert (whole["verdicts"]["VIOLATED"], whole["saved_cases"]) == (0, [])
    for name in tightened["saved_cases"]:
        code, _, _ = bomrl("verify", "tightened.py", "--replay", f"out/{name}")
        assert code == 1
    identifier, case = load_case(tmp_path / "out" / tightened["saved_cases"][0])
    assert identifier == "tightened-v1"
    assert case.family.tasks == 1
    where = tightened["max_ratio_at"]
    rows = [row for row in rows_of(tmp_path / "out") if row["theorem"] == "tightened-v1"]
    largest = max(rows, key=lambda row: row["ratio"] or 0)
    assert [largest[key] for key in ("cell", "case", "task")] == list(where.values())
    assert largest["ratio"] == tightened["max_ratio"]
    ratios = sorted(row["ratio"] for row in rows if row["ratio"] is not None)
    assert tightened["median_ratio"] == pytest.approx(ratios[len(ratios) // 2], rel=0.05)


def test_a_refuted_theorem_is_expected_to_be_violated(tmp_path: Path) -> None:
    """Its witness counts, as in bomrl verify."""
    text = SMALL.replace('"contraction_kl_posterior", ', '"published_bound", ')
    campaign = run(write(tmp_path, text), tmp_path / "out")
    tallies, _ = campaign.summary()
    assert tallies[0].theorem.id == "published_bound-v1"
    assert tallies[0].witness == Outcome.VIOLATED
    assert tallies[0].exit_code == 0


def test_a_row_is_drawn_again(serial: tuple[Path, Campaign], tmp_path: Path) -> None:
    """The case of any row, with the verdict that the table has; what does not exist is refused."""
    folder, _ = serial
    rows = [row for row in rows_of(folder / "out") if row["theorem"] == "task_variance_sharp-v1"]
    for row in rows[::5]:
        file = tmp_path / "row.json"
        where = {"cell": int(row["cell"]), "case": row["case"], "file": file}
        case, verdict = save_row(folder / "spec.toml", "task_variance_sharp", **where)
        assert (verdict.outcome, verdict.left, verdict.bound) == (row["outcome"], row["left"], row["bound"])
        assert load_case(file)[1].describe() == case.describe()
    with pytest.raises(UnknownName, match="unknown theorem of the campaign 'coverage'"):
        save_row(folder / "spec.toml", "coverage", cell=0, case=0, file=tmp_path / "row.json")
    with pytest.raises(InvalidTask, match="no_adaptation-v1 does not speak about cell 2"):
        save_row(folder / "spec.toml", "no_adaptation", cell=2, case=0, file=tmp_path / "row.json")
    with pytest.raises(InvalidTask, match="there is no case 4 of cell 0"):
        save_row(folder / "spec.toml", "cpo_upper", cell=0, case=4, file=tmp_path / "row.json")


@pytest.mark.parametrize("module", ["pandas", "duckdb", "bomrl_theory"])
def test_the_documented_questions_are_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], module: str
) -> None:
    """The Python of docs/campaigns.md, on a small campaign in the folder of its example."""
    pytest.importorskip(module)
    (block,) = [
        text for text in BLOCK.findall(PAGE.read_text()) if f"import {module}" in text or f"from {module}" in text
    ]
    monkeypatch.chdir(tmp_path)
    if module == "bomrl_theory":
        write(tmp_path, EXAMPLE, "campaign.toml")
        exec(block, {})
        assert json.loads(Path("row.json").read_text())["verdict"]["outcome"] == "HOLDS"
        return
    write(tmp_path, SMALL, "campaign.toml")
    run(Path("campaign.toml"), Path("first"))
    exec(block, {})
    out = capsys.readouterr().out
    assert "cpo_upper-v1" in out
    assert "HOLDS" in out or module == "duckdb"
    if module == "duckdb":
        import duckdb

        counted: Any = duckdb.sql("SELECT count(*) FROM read_parquet('first/cases/*/*.parquet')")
        assert counted.fetchall()[0][0] == len(rows_of(Path("first")))


def test_the_documented_file_is_read(tmp_path: Path) -> None:
    """The one in docs/campaigns.md, with a theorem that exists."""
    pytest.importorskip("gymnasium")
    (text,) = re.findall(r"```toml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    spec = read_spec(write(tmp_path, text.replace("my_bound.py", "cpo_upper")))
    assert {cell.lam for cell in cells_of(spec)} == {"1", "1/10", "3/10", "random"}


SPARSE = """
theorems = ["contraction_kl_posterior", "no_adaptation", "coverage", "published_bound"]
cases = 2
chunk = 1

[adaptation]
algorithms = ["none", "kl-posterior"]
lambdas = ["1/10"]
meta_policies = ["uniform", "random", "barycentre"]

[[families]]
named = "own.npz"

[[families]]
kind = "slippery-grid"
side = 2
"""


def test_sparse_families_of_every_source(tmp_path: Path) -> None:
    """Files and kinds; small cases that are left open or violated have files, which replay."""
    save_family(family_named("sparse-garnet:states=12,tasks=2", np.random.default_rng(0)), tmp_path / "own.npz")
    tallies, summary = run(write(tmp_path, SPARSE), tmp_path / "out").summary()
    assert summary["finished"]
    assert {name for one in tallies for name in one.decided_by} == {"float64 enclosure"}
    kinds = {(row["family"].rpartition("/")[2], row["states"], row["tasks"]) for row in rows_of(tmp_path / "out")}
    assert kinds == {("own.npz", 12, 2), ("slippery-grid", 4, 1)}
    for file in sorted((tmp_path / "out" / "counterexamples").glob("*.json")):
        theorem, case = load_case(file)
        outcome = file.stem.split("-")[2]
        assert outcome in {str(verdict.outcome).lower() for verdict in judge(theorem_named(theorem), case)}


def test_two_campaigns_in_one_folder_are_refused(tmp_path: Path) -> None:
    """While one is under way; its folder stays as it is, and is taken up when it has ended or is gone."""
    spec, out = write(tmp_path), tmp_path / "out"
    under_way = Campaign.begin(spec, out)
    before = content(out)
    with pytest.raises(InvalidFile, match=r"out is in use by another run; wait until that has ended, or name another"):
        Campaign.begin(spec, out, resume=True)
    assert content(out) == before
    del under_way  # as a process that is killed
    run(spec, out, resume=True)
    assert Campaign.begin(spec, out, resume=True).open == []


def test_a_refused_folder_is_left_as_it_is(tmp_path: Path) -> None:
    """Without so much as a lock."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    for resume in (False, True):
        with pytest.raises(InvalidFile, match="name another directory"):
            Campaign.begin(write(tmp_path), tmp_path / "out", resume=resume)
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["mine.txt"]
