"""The experiments on trained meta-policies, at a small size: every table, figure and page, and their sense."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import helpers
import pandas as pd
import pytest
from click.testing import CliRunner

EXPERIMENTS = Path(__file__).resolve().parent.parent / "experiments"


@pytest.fixture(scope="module", params=["frozen_lake", "sweeps"])
def experiment(request: pytest.FixtureRequest) -> ModuleType:
    return helpers.experiment(request.param)


@pytest.fixture(scope="module")
def folder(experiment: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the smallest run writes, made in this process: workers could not import a module under another name."""
    patch = pytest.MonkeyPatch()
    patch.setattr(
        experiment, "run_parts", lambda file, run, parts, work, **options: (file.touch(), [work(p) for p in parts])[1]
    )
    options = ["--draws", "2", "--tasks", "2", "--iterations", "3"]
    if experiment.__name__.endswith("frozen_lake"):
        patch.setattr(experiment, "ALPHAS", (1, 10))
        patch.setattr(experiment, "LONGEST", 6)
        options += ["--size", "3"]
    else:
        patch.setattr(experiment, "LAMBDAS", experiment.LAMBDAS[4:6])
        patch.setattr(experiment, "GAMMAS", experiment.GAMMAS[:2])
        patch.setattr(experiment, "SHARES", (0.0, 1.0))
        patch.setattr(experiment, "COUNTS", (1, 3))
        patch.setattr(experiment, "TEST_TASKS", 12)
    output = tmp_path_factory.mktemp("results") / "out"
    done = CliRunner().invoke(experiment.main, [*options, "-o", str(output)], catch_exceptions=False)
    patch.undo()
    assert done.exit_code == 0, done.output
    return output


def rows(path: Path) -> list[dict[str, Any]]:
    """A table's rows."""
    return pd.read_csv(path).to_dict("records")  # pyright: ignore[reportReturnType]


def means(path: Path, keys: list[str]) -> dict[tuple[Any, ...], float]:
    """A table's means by some of its columns."""
    return {tuple(row[key] for key in keys): row["mean"] for row in rows(path)}


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
        table = means(folder / "lambda.csv", ["variance", "x", "algorithm", "quantity"])
        bounds = {key: value for key, value in table.items() if key[3] in ("contraction_task_average", "lookahead_5")}
        assert len(bounds) > 4
        assert all(value >= table[(*key[:3], "bo-mrl")] - 1e-12 for key, value in bounds.items())
        unseen = means(folder / "tasks.csv", ["variance", "x", "learner", "quantity"])
        for variance in ("high", "low"):
            at = (variance, 3, "bo-mrl")
            assert 0 <= unseen[(*at, experiment.UNSEEN_GAP)] < unseen[(*at, experiment.UNSEEN_BOUND)]
        return
    gaps = means(folder / "gaps.csv", ["kind", "variance", "learner", "algorithm", "setting"])
    assert min(gaps.values()) >= -1e-12
    valid = [row for row in rows(folder / "bounds.csv") if row["status_of_theorem"] == "proved"]
    assert len(valid) > 20
    for row in valid:
        assert row["certified"]
        assert row["violated"] == 0
        kind = "gap without adaptation" if row["without_adaptation"] else "gap"
        assert row["mean"] >= gaps[(kind, *(row[name] for name in experiment.KEYS))] - 1e-12
    seeds = rows(folder / "seeds.csv")
    assert {row["draw"] for row in seeds} == {0, 1}
    assert all(row["certified"] for row in seeds)
