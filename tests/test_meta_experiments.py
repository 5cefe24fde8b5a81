"""The experiments on trained meta-policies, at a small size: every table, figure and page, and their sense."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest
from click.testing import CliRunner

EXPERIMENTS = Path(__file__).resolve().parent.parent / "experiments"


@pytest.fixture(scope="module", params=["frozen_lake", "sweeps"])
def experiment(request: pytest.FixtureRequest) -> Iterator[ModuleType]:
    name = f"experiment_{request.param}"
    spec = importlib.util.spec_from_file_location(name, EXPERIMENTS / f"{request.param}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    yield module
    del sys.modules[name]


@pytest.fixture(scope="module")
def folder(experiment: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the smallest run writes, made in this process: workers could not import a module under another name."""
    patch = pytest.MonkeyPatch()
    patch.setattr(
        experiment, "run_parts", lambda file, run, parts, work, **options: (file.touch(), [work(p) for p in parts])[1]
    )
    if experiment.__name__.endswith("sweeps"):
        patch.setattr(experiment, "LAMBDAS", experiment.LAMBDAS[4:6])
        patch.setattr(experiment, "GAMMAS", experiment.GAMMAS[:2])
        patch.setattr(experiment, "SHARES", (0.0, 1.0))
        patch.setattr(experiment, "COUNTS", (1, 3))
        patch.setattr(experiment, "TEST_TASKS", 12)
    output = tmp_path_factory.mktemp("results") / "out"
    options = ["-o", str(output), "--draws", "2", "--tasks", "2", "--iterations", "3"]
    done = CliRunner().invoke(experiment.main, options, catch_exceptions=False)
    patch.undo()
    assert done.exit_code == 0, done.output
    return output


def test_the_folder_is_complete(experiment: ModuleType, folder: Path) -> None:
    page = (folder / "README.md").read_text()
    assert f"python experiments/{experiment.__name__.removeprefix('experiment_')}.py --draws 2" in page
    assert "nan" not in page
    for picture in folder.glob("*.png"):
        assert picture.name in page
        assert picture.stat().st_size > 10_000
    assert len(list(folder.glob("*.png"))) >= 2
    assert list(folder.parent.glob("*.jsonl")) == []


def test_the_numbers_make_sense(experiment: ModuleType, folder: Path) -> None:
    """Gaps are no smaller than nothing, valid bounds no smaller than gaps."""
    if experiment.__name__.endswith("sweeps"):
        table = pd.read_csv(folder / "lambda.csv").set_index(["variance", "x", "algorithm", "quantity"])["mean"]
        for (variance, x, algorithm, quantity), bound in table.items():
            if quantity in ("contraction_task_average", "lookahead_5"):
                assert bound >= table[(variance, x, algorithm, "bo-mrl")] - 1e-12
        unseen = pd.read_csv(folder / "tasks.csv").set_index(["variance", "x", "learner", "quantity"])["mean"]
        for variance in ("high", "low"):
            keys = [(variance, 3, "bo-mrl", name) for name in (experiment.UNSEEN_GAP, experiment.UNSEEN_BOUND)]
            assert 0 <= unseen[keys[0]] < unseen[keys[1]]
        return
    gaps = pd.read_csv(folder / "gaps.csv")
    assert (gaps["mean"] >= -1e-12).all()
    bounds = pd.read_csv(folder / "bounds.csv")
    valid = bounds[(bounds["status_of_theorem"] == "proved")]
    assert (valid["violated"] == 0).all()
    assert valid["certified"].all()
    gap = gaps[gaps["kind"] == "gap"].set_index(["variance", "learner", "algorithm", "setting"])["mean"]
    here = valid[~valid["without_adaptation"]]
    assert len(here) > 20
    for row in here.itertuples():
        assert row.mean >= gap[(row.variance, row.learner, row.algorithm, row.setting)] - 1e-12
    seeds = pd.read_csv(folder / "seeds.csv")
    assert set(seeds["draw"]) == {0, 1}
    assert seeds["certified"].all()
