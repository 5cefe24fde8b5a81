"""The experiment on locomotion at the smallest size, on a point mass: what it writes, and that it resumes."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import helpers
import pandas as pd
import pytest

pytest.importorskip("torch", reason="continuous control needs the extra torch")
pytest.importorskip("mujoco", reason="locomotion needs the extra mujoco")

from click.testing import CliRunner
from point_mass import PointMass, register

from bomrl_theory.control.catalogue import SIMULATORS, Entry
from bomrl_theory.report.table import Table

FILE = Path(__file__).resolve().parent.parent / "experiments" / "locomotion.py"
LEARNERS = ("bo-mrl", "maml", "random", "per-task")
OPTIONS = ["--family", "point-mass", "--seeds", "2", "--iterations", "6", "--tasks", "4", "--trajectories", "5"]
OPTIONS += [word for learner in LEARNERS for word in ("--learner", learner)]


@pytest.fixture(scope="module")
def experiment() -> ModuleType:
    return helpers.experiment("locomotion")


def in_this_process(file: Path, run: dict[str, Any], parts: list[str], work: Any, **options: Any) -> list[Any]:
    """Workers could not import a module under another name."""
    file.touch()
    return [work(part) for part in parts]


@pytest.fixture(scope="module")
def folder(experiment: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    patch = pytest.MonkeyPatch()
    register(patch)
    patch.setitem(SIMULATORS, PointMass.name, Entry(make, "a point"))
    patch.setattr(experiment, "run_parts", in_this_process)
    output = tmp_path_factory.mktemp("results") / "out"
    done = CliRunner().invoke(experiment.main, [*OPTIONS, "-o", str(output)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    first = contents(output)
    # Again: finished runs are only measured.
    CliRunner().invoke(experiment.main, [*OPTIONS, "-o", str(output)], catch_exceptions=False)
    assert contents(output) == first
    patch.undo()
    return output


def make(horizon: int | None = None, preset: str = "promp", threads: int = 1) -> PointMass:
    """A point mass that takes the settings of locomotion."""
    return PointMass(5)


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def test_folder(folder: Path) -> None:
    assert set(contents(folder)) == {"README.md", "curves.png", "curves.svg", "logs.csv", "returns.csv"}
    runs = {path.name for path in folder.with_name("out.runs").iterdir()}
    assert runs == {f"point-mass_{learner}_{seed}" for learner in LEARNERS for seed in range(2)}


def test_logs(folder: Path) -> None:
    """Every iteration of every run; per-task training has as many environment steps in twice the iterations."""
    logs: Table = pd.read_csv(folder / "logs.csv")
    counts = logs.groupby("learner").size().to_dict()
    assert counts == {"bo-mrl": 12, "maml": 12, "random": 2, "per-task": 24}
    ends = logs.groupby("learner")["steps"].max()
    assert ends["bo-mrl"] == ends["maml"] == ends["per-task"] == 6 * 4 * 5 * 5 * 2


def test_returns(folder: Path) -> None:
    """Four numbers of adaptations for meta-policies, the end of training for the reference."""
    table: Table = pd.read_csv(folder / "returns.csv")
    assert len(table) == 3 * 4 + 1
    assert (table["low"] <= table["value"]).all()
    assert (table["value"] <= table["high"]).all()
    assert (table["seeds"] == 2).all()


def test_page(folder: Path) -> None:
    """The command is the one that was run, and every learner has its line."""
    page = (folder / "README.md").read_text()
    assert "`python experiments/locomotion.py --size " in page
    assert " -o results/out` regenerates this folder" in page
    assert all(f"--learner {learner}" in page for learner in LEARNERS)
    for label in ("BO-MRL", "MAML", "Random initialisation", "Each task by itself"):
        assert f"| {label} |" in page
    assert "Runs that did not finish: none." in page
    assert "reported:" not in page


def test_bad_input_is_told_before_training(experiment: ModuleType, tmp_path: Path) -> None:
    for options, message in (
        (["--family", "half-cheetah-vle"], "did you mean half-cheetah-vel"),
        (["--learner", "mamll"], "did you mean maml"),
        (["--learner", "maml:kl-prior"], "adapts by policy-gradient"),
    ):
        done = CliRunner().invoke(experiment.main, [*options, "-o", str(tmp_path / "out")])
        assert message in str(done.exception)
        assert not list(tmp_path.iterdir())


def test_reported_returns_stand_beside_equal_settings_only(experiment: ModuleType) -> None:
    settings = experiment.Settings(families=("half-cheetah-dir",), learners=("maml",), seeds=1)
    found = [
        {"family": "half-cheetah-dir", "learner": "maml", "steps": 1, "status": "finished", "returns": [[1.0]] * 4}
    ]
    rng = experiment.np.random.default_rng(0)
    page = experiment.readme(found, experiment.returns_table(found, settings, rng), settings, {}, "", experiment.OUTPUT)
    assert "| reported: ProMP-style code, 211M steps |  | -14 | 260 |  |  |" in page
    other = experiment.replace(settings, horizon=200)
    assert "reported" not in experiment.readme(
        found, experiment.returns_table(found, other, rng), other, {}, "", experiment.OUTPUT
    )
