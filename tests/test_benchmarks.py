"""What the benchmarks compute from times, what an interrupted run keeps, the plain C program; no time is judged."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import measure
import run
from goals import GOALS, Goal, faster, summary
from growth import GROWTH, exponent
from limits import LIMITS, Limits
from machine import machine
from measure import Record, Results, Row, Work, measured, written
from plain import compiled
from small import SMALL

from bomrl_theory.exact.enclose import certified_optimum
from bomrl_theory.tasks.garnet import garnet

needs_cc = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler named cc")


def record(cpu: list[float], **others: Any) -> Record:
    """As a row leaves it."""
    return {"size": 10, "units": 1, "wall": cpu, "cpu": cpu, "peak_mb": 100.0, "outcome": {}} | others


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """The rows that would have been measured; none is, and that of NumPy alone fails."""
    asked: list[tuple[str, str]] = []

    def in_a_process(table: str, row: str, *, quick: bool) -> Record:
        asked.append((table, row))
        size = run.TABLES[table].rows(quick=quick)[row].size
        return (
            {"error": "broken"} if row == "ours, float, NumPy only" else record([1.0], size=size, flops=1.0, bytes=1.0)
        )

    monkeypatch.setattr(run, "in_a_process", in_a_process)
    return asked


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., None]:
    """``benchmarks/run.py`` with these arguments, which writes into ``tmp_path``."""
    monkeypatch.setattr(run, "HERE", tmp_path)

    def called(*arguments: str) -> None:
        monkeypatch.setattr(sys, "argv", ["run.py", *arguments])
        run.main()

    return called


def test_exponent_of_a_power_law() -> None:
    """Recovered whatever the smallest size costs; a bend shows in the standard error."""
    sizes = [10, 100, 1000, 10_000, 100_000]
    times = [1.0, *(3e-6 * size**1.5 for size in sizes[1:])]
    slope, error = exponent(sizes, times)
    assert slope == pytest.approx(1.5)
    assert error == pytest.approx(0, abs=1e-9)
    times[2] *= 2
    assert exponent(sizes, times)[1] > 0.05


def test_a_goal_is_judged_by_its_figure() -> None:
    """Medians are compared, the fastest of a peer's rows counts, and nothing is met that was not measured."""
    results: Results = {"t": {"ours": record([1.0, 1.0, 9.0]), "a": record([30.0]), "b": record([20.0])}}
    times_as_fast = faster("t", "ours", "a", "b")
    assert Goal("g", 20, times_as_fast, " s").line(results) == "| g | at least 20 s | 20 s | met |"
    assert Goal("g", 21, times_as_fast).line(results).endswith("| 20 | **missed** |")
    assert Goal("g", 19, times_as_fast, at_least=False).line(results).endswith("| **missed** |")
    assert Goal("g", 20, times_as_fast, at_least=False).line(results).endswith("| met |")
    results["t"]["b"] = {"error": "not installed: b"}
    assert Goal("g", 20, times_as_fast).line(results).endswith("| | not measured |")


def test_every_goal_names_rows_of_the_full_run() -> None:
    figures = {"radius": 1e-9, "certified to hold": 1, "cases": 10**6, "undecided": 0}
    results = {
        name: {row: record([1.0], outcome=figures) for row in table.rows(quick=False)}
        for name, table in run.TABLES.items()
    }
    lines = summary(results).splitlines()
    assert len([line for line in lines if "met |" in line or "missed" in line]) == len(GOALS)


def test_the_limit_is_the_larger_of_two_times() -> None:
    """The fastest call gives the speed; what bounds a record is named."""
    results: Results = {
        LIMITS.name: {
            "matrix product": record([2.0, 1.0], flops=100.0, bytes=0),
            "dot product": record([4.0, 5.0], flops=0, bytes=40.0),
        }
    }
    limits = Limits.found(results)
    assert limits == (100.0, 10.0)
    assert limits
    assert limits.of(record([1.0], flops=200.0, bytes=10.0)) == (2.0, "arithmetic")
    assert limits.of(record([1.0], flops=200.0, bytes=30.0)) == (3.0, "memory")
    assert Limits.found({}) is None


def test_tables_show_medians_spans_and_what_failed() -> None:
    results: Results = {
        SMALL.name: {
            "ours, certified": record([1e-6, 2e-6, 9e-6], outcome={"status": "converged", "backups": 4}),
            "plain C": record([3e-3, 4e-3, 5e-3]),
            "mdpsolver PI": {"error": "not installed: mdpsolver"},
        }
    }
    text = SMALL.markdown(results)
    assert "## 10 Garnet MDPs" in text
    assert "| 2 µs | 1 µs to 9 µs | 1.00 | 100 | 3 | converged, 4 backups |" in text
    assert "| 4 ms | 3 ms to 5 ms | 2000.00 | 100 | 3 |" in text
    assert "| mdpsolver PI | | | | | | | | not installed: mdpsolver |" in text


def test_growth_shows_the_exponent_and_the_distance_to_the_limit() -> None:
    """Times of a call, not of a task, over a limit of 1 flop a second."""
    series = GROWTH[0]
    results: Results = {
        LIMITS.name: {
            "matrix product": record([1.0], flops=1.0, bytes=0),
            "dot product": record([1.0], flops=0, bytes=1.0),
        },
        series.name: {
            f"{size:,}": record([0.05], size=size, units=size, flops=0.01 * size, bytes=0.0)
            for size in (100, 1000, 10_000)
        },
    }
    text = series.markdown(results)
    assert "CPU time grows as tasks^1.00" in text
    assert "| 100 | 5 s | 5 s to 5 s | 100 | 1 s | arithmetic | 5.0 |" in text


def test_outcomes_on_one_line() -> None:
    assert written({"bounds": "uncertified", "from ours": 1.234e-9, "backups": 1234}) == (
        "uncertified, from ours 1.2e-09, 1,234 backups"
    )


def counted(calls: list[int]) -> Callable[[int], Work]:
    """Work that says for which size it was called."""
    return lambda size: Work(lambda: calls.append(size), lambda _: {"calls": len(calls)}, units=2)


def test_what_a_row_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    """A small instance, a first call that is not counted and the repeats; one call alone where it takes too long."""
    calls: list[int] = []
    found = measured(Row(10, 1, 3, counted(calls)))
    assert calls == [1, 10, 10, 10, 10]
    assert len(found["cpu"]) == len(found["wall"]) == 3
    assert (found["size"], found["units"], found["outcome"]) == (10, 2, {"calls": 5})
    calls.clear()
    monkeypatch.setattr(measure, "BUDGET_S", 1e-9)
    assert len(measured(Row(10, 10, 3, counted(calls)))["cpu"]) == len(calls) == 1


def test_every_row_has_a_name_of_its_own() -> None:
    assert len(run.TABLES) == sum(map(len, run.PARTS.values()))
    assert not set(run.TABLES) & set(run.PARTS) - {"campaign"}


def test_resuming_measures_only_what_is_missing(
    calls: list[tuple[str, str]], command: Callable[..., None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Finished rows stay, one that failed is tried again, and another table is left as it is."""
    command("--only", "batch", "--only", "dense")
    assert {table for table, _ in calls} == {"batch", "dense"}
    first = json.loads((tmp_path / "results.json").read_text())
    calls.clear()
    command("--only", "batch", "--resume")
    assert calls == [("batch", "ours, float, NumPy only")]
    again = json.loads((tmp_path / "results.json").read_text())
    assert again == first
    assert "broken" in (tmp_path / "results.md").read_text()
    calls.clear()
    command("--only", "dense")
    assert {table for table, _ in calls} == {"dense"}
    assert set(json.loads((tmp_path / "results.json").read_text())["results"]) == {"batch", "dense"}
    assert capsys.readouterr().out.count("## Summary") == 3


def test_an_interrupted_run_keeps_its_rows(
    calls: list[tuple[str, str]],
    command: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    measure_row = run.in_a_process

    def interrupted(table: str, row: str, *, quick: bool) -> Record:
        if len(calls) == 2:
            raise KeyboardInterrupt
        return measure_row(table, row, quick=quick)

    monkeypatch.setattr(run, "in_a_process", interrupted)
    with pytest.raises(SystemExit) as ended:
        command("--only", "dense")
    assert ended.value.code == 130
    assert "--resume" in capsys.readouterr().err
    rows = json.loads((tmp_path / "results.json").read_text())["results"]["dense"]
    assert [("dense", row) for row in rows] == calls


@pytest.mark.parametrize("old", ['{"machine": {"cpu": "another"}, "results": {}}', "damaged"])
def test_rows_of_another_machine_are_not_mixed_in(
    old: str, calls: list[tuple[str, str]], command: Callable[..., None], tmp_path: Path
) -> None:
    (tmp_path / "results.json").write_text(old)
    with pytest.raises(SystemExit) as ended:
        command("--resume")
    assert ended.value.code == 2
    assert not calls
    assert (tmp_path / "results.json").read_text() == old


def test_quick_writes_nothing(
    calls: list[tuple[str, str]], command: Callable[..., None], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And judges no goals, which are about full sizes."""
    command("--quick")
    assert {name for name, _ in calls} == {name for name, table in run.TABLES.items() if table.rows(quick=True)}
    assert not list(tmp_path.iterdir())
    assert "## Summary" not in capsys.readouterr().out


def test_a_package_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "stormpy", None)
    with pytest.raises(SystemExit, match="not installed: stormpy"):
        run.child("sparse", "Storm, value iteration", quick=True)


def test_the_machine_is_described() -> None:
    about = machine(("numpy", "no-such-package"))
    assert about["numpy"] == np.__version__
    assert about["no-such-package"] == "not installed"
    assert all(about[key] for key in ("cpu", "cores", "memory", "system", "python", "BLAS of numpy"))


@needs_cc
@pytest.mark.parametrize(("states", "actions"), [(1, 1), (5, 3), (16, 4), (19, 2)])
def test_the_plain_program_agrees_with_certified_values(states: int, actions: int) -> None:
    """Also where the states fill no whole vector."""
    branching = min(states, 4)
    family = garnet(tasks=40, states=states, actions=actions, branching=branching, rng=np.random.default_rng(states))
    V = compiled.policy_iteration()(family.P, family.r, float(family.gamma))
    found = certified_optimum(family)
    assert np.abs(V - found.V).max() <= found.bounds.radius.max() + 1e-11


@needs_cc
def test_the_plain_program_has_a_row(capsys: pytest.CaptureFixture[str]) -> None:
    run.child("batch", "plain C", quick=True)
    found = json.loads(capsys.readouterr().out)
    assert len(found["cpu"]) == SMALL.repeats
    assert found["outcome"]["from ours"] < 1e-10


def test_without_a_compiler_the_row_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(SystemExit, match="C compiler"):
        compiled.policy_iteration()


@needs_cc
def test_what_the_compiler_says_is_shown() -> None:
    with pytest.raises(SystemExit, match=r"cc fails on policy_iteration\.c: .*no-such-option"):
        compiled.policy_iteration("-fno-such-option")
