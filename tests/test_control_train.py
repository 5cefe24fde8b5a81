"""Training on sampled tasks: runs that are killed, interrupted or broken, and the commands around them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="continuous control needs the extra torch")

import torch
from helpers import Bomrl
from point_mass import PointMass, register

from bomrl_theory import cli
from bomrl_theory.control.command import described
from bomrl_theory.control.config import Config
from bomrl_theory.control.evaluate import Trained, interquartile_mean, interval, measure, summarised
from bomrl_theory.control.learner import learners
from bomrl_theory.control.record import Record
from bomrl_theory.control.train import PATIENCE, TIMING, ControlRun, Trainer
from bomrl_theory.errors import InvalidFile
from bomrl_theory.meta.resumable import CHECKPOINT, LOG, read_log
from bomrl_theory.tasks.lock import LOCK

TINY = Config(tasks=3, trajectories=4, hidden=(4,), iterations=4)
SHORT = ("train", "--control", "point-mass", "--tasks", "3", "--trajectories", "4", "--iterations", "3", "-o", "run")
TESTS = Path(__file__).parent


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """What only a power cut could undo is not waited for, except in other processes; the point mass has a name."""
    monkeypatch.setattr(os, "fsync", lambda file: None)
    register(monkeypatch)
    monkeypatch.setattr(cli, "_can_draw", lambda: False)


def written(directory: Path) -> dict[str, bytes]:
    """Every file with its bytes, but for what tells the time."""
    return {path.name: path.read_bytes() for path in sorted(directory.iterdir()) if path.name not in (TIMING, LOCK)}


def trainer(**changes: Any) -> Trainer:
    return Trainer(PointMass(5), replace(TINY, **changes))


# --- killed and resumed -------------------------------------------------------------------------


def test_kill_9_and_resume_gives_the_same_bytes(tmp_path: Path) -> None:
    """Killed while it runs, then resumed: log, checkpoint and picture as of a run left alone."""
    program = (
        f"import sys; sys.path.insert(0, {str(TESTS)!r}); import point_mass; point_mass.register(); "
        "from bomrl_theory.cli import main; main()"
    )
    arguments = ["train", "--control", "point-mass", "--learner", "promp", "--tasks", "4", "--trajectories", "5"]
    arguments += ["--iterations", "40", "--seed", "3"]

    def start(directory: str, *more: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", program, *arguments, "-o", directory, *more]
        return subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

    start("whole").communicate()
    process, log = start("killed"), tmp_path / "killed" / LOG
    while process.poll() is None and not (log.exists() and log.read_bytes().count(b"\n") > 10):
        time.sleep(0.002)
    process.kill()
    _, errors = process.communicate()
    assert process.returncode == -signal.SIGKILL, errors
    assert 10 < log.read_bytes().count(b"\n") < 41
    process = start("killed", "--resume")
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    assert written(tmp_path / "killed") == written(tmp_path / "whole")
    assert set(written(tmp_path / "whole")) == {LOG, CHECKPOINT, "learning_curve.png"}
    timing = (tmp_path / "killed" / TIMING).read_text().splitlines()
    assert [line.split(",")[0] for line in timing[1:]] == [str(i) for i in range(40)]


@pytest.mark.parametrize("name", learners())
def test_interrupted_and_resumed(tmp_path: Path, name: str) -> None:
    """Every learner goes on to the same bytes, with a fresh trainer, and a finished run stays as it is."""
    made = trainer(learner=name)
    ControlRun(tmp_path / "whole", made, seed=4).go_on()

    def stop(record: Record) -> None:
        if record.iteration == 1:
            raise KeyboardInterrupt

    if made.learner.trained:
        interrupted = ControlRun(tmp_path / "cut", made, seed=4)
        with pytest.raises(KeyboardInterrupt):
            interrupted.go_on(stop)
        assert interrupted.state.iteration == 2
    with (tmp_path / "whole" / LOG).open("ab") as file:
        file.write(b"4,0.25,")
    for directory in ("cut", "whole"):
        run = ControlRun(tmp_path / directory, trainer(learner=name), seed=4, resume=True)
        run.go_on()
        assert run.state.status == "finished"
        assert [record.iteration for record in run.log()] == list(range(4 if made.learner.trained else 1))
    assert written(tmp_path / "cut") == written(tmp_path / "whole")


def test_log_on_disk_is_the_log(tmp_path: Path) -> None:
    """Read back digit by digit, and the same as in memory."""
    run = ControlRun(tmp_path / "run", trainer(learner="maml"), seed=1)
    kept: list[Record] = []
    run.go_on(kept.append)
    assert run.log() == kept == read_log(tmp_path / "run", Record)
    assert [record.steps for record in kept] == [120, 240, 360, 480]
    assert kept[-1].status.startswith("stepped")


# --- runs that break ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["maml", "promp", "bo-mrl", "per-task"])
def test_not_a_number_stops_the_run(tmp_path: Path, name: str) -> None:
    """A simulator that breaks: a clear status, and the checkpoint has the parameters from before."""
    fine = 4 if name != "per-task" else 2
    broken = Trainer(PointMass(5, broken=fine), replace(TINY, learner=name))
    run = ControlRun(tmp_path / "run", broken, seed=2)
    state = run.go_on()
    assert state.status == run.log()[-1].status == "stopped: a return is not a number"
    assert (state.iteration, len(run.log())) == (2, 3)
    good = ControlRun(tmp_path / "good", trainer(learner=name, iterations=2), seed=2).go_on()
    with np.load(tmp_path / "run" / CHECKPOINT) as saved:
        assert np.array_equal(saved["phi"], good.phi.numpy())
        assert np.isfinite(saved["phi"]).all()
    again = ControlRun(tmp_path / "run", broken, seed=2, resume=True)
    before = written(tmp_path / "run")
    assert again.go_on().status == state.status
    assert written(tmp_path / "run") == before


def test_adapted_parameters_that_are_no_numbers_stop_the_run(tmp_path: Path) -> None:
    """A step size beyond float32."""
    made = trainer(learner="maml", alpha=1e300)
    state = ControlRun(tmp_path / "run", made).go_on()
    assert (state.status, state.iteration) == ("stopped: adapted parameters are not numbers", 0)
    assert read_log(tmp_path / "run", Record)[-1].status == state.status
    with np.load(tmp_path / "run" / CHECKPOINT) as saved:
        assert np.array_equal(saved["phi"], state.phi.numpy())
        assert np.isfinite(saved["phi"]).all()


def test_a_step_that_is_not_a_number_stops_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever goes wrong inside a learner."""
    made = trainer(learner="promp")
    learner: Any = type(made.learner)
    original = learner.gradient
    count = []

    def spoilt(self: Any, *arguments: Any) -> torch.Tensor:
        count.append(1)
        return original(self, *arguments) * (torch.nan if len(count) > 7 else 1)

    monkeypatch.setattr(learner, "gradient", spoilt)
    state = ControlRun(tmp_path / "run", made).go_on()
    assert (state.status, state.iteration) == ("stopped: the step is not a number", 1)
    assert bool(state.phi.isfinite().all())


@pytest.mark.parametrize(
    ("name", "change"), [("maml", {"radius": 1e-44}), ("per-task", {"radius": 1e-44}), ("bo-mrl", {"lam": 1e-9})]
)
def test_line_searches_that_fail_stop_the_run(tmp_path: Path, name: str, change: dict[str, float]) -> None:
    """No step gains, or no task is adapted to: one failure is told, so many in a row end the run."""
    made = trainer(learner=name, iterations=20, **change)
    state = ControlRun(tmp_path / "run", made).go_on()
    log = read_log(tmp_path / "run", Record)
    assert state.status == f"stopped: the line search found no step on {PATIENCE} batches in a row"
    assert len(log) == PATIENCE
    assert all(record.status.startswith("line search failed") for record in log[:-1])
    start = made.begin(np.random.default_rng(np.random.SeedSequence(0, spawn_key=(3,))))
    assert torch.equal(state.phi, start.phi)


# --- the command --------------------------------------------------------------------------------


def test_contract(bomrl: Bomrl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "_can_draw", lambda: True)
    code, out, err = bomrl(*SHORT, "--json")
    summary = json.loads(out)
    assert (code, err) == (0, "")
    keys = "simulator config seed status iterations environment_steps first last files exit_code"
    assert set(summary) == set(keys.split())
    assert (summary["status"], summary["iterations"], summary["environment_steps"]) == ("finished", 3, 720)
    assert (summary["config"]["learner"], summary["config"]["algorithm"]) == ("bo-mrl", "kl-posterior")
    assert (tmp_path / summary["files"]["learning_curve"]).read_bytes().startswith(b"\x89PNG")


def test_for_people(bomrl: Bomrl) -> None:
    """The command that it offers runs."""
    code, out, _ = bomrl(*SHORT, "--learner", "maml", "--horizon", "6", "--alpha", "1/5")
    assert code == 0
    assert "maml on point-mass, policy-gradient\nfinished after 3 iterations, 432 environment steps" in out
    (command,) = [line.removeprefix("evaluate: bomrl ") for line in out.splitlines() if line.startswith("evaluate: ")]
    code, out, _ = bomrl(*command.split(), "--tasks", "5")
    assert code == 0
    assert "after 3" in out


def test_smoke(bomrl: Bomrl) -> None:
    """Fills in what is not given."""
    code, out, _ = bomrl(
        "train", "--control", "point-mass", "--learner", "random", "--smoke", "--tasks", "2", "-o", "run", "--json"
    )
    config = json.loads(out)["config"]
    assert code == 0
    assert (config["iterations"], config["tasks"], config["trajectories"]) == (20, 2, 10)


def test_a_stopped_run_exits_with_1(bomrl: Bomrl, monkeypatch: pytest.MonkeyPatch) -> None:
    """And its summary is JSON, though the returns are no numbers."""
    original = PointMass.__init__
    monkeypatch.setattr(PointMass, "__init__", lambda self, horizon=10: original(self, horizon, broken=2))
    code, out, _ = bomrl(*SHORT, "--json")
    summary = json.loads(out)
    assert (code, summary["exit_code"]) == (1, 1)
    assert summary["status"] == "stopped: a return is not a number"
    assert summary["last"] == {"return_before": None, "return_after": None}


def test_interrupt_says_how_to_go_on(bomrl: Bomrl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C: exit code 130 and a command that, pasted, ends as if nothing had happened."""
    bomrl(*SHORT[:-1], "whole")
    original = Trainer.run

    def some(self: Trainer, *arguments: Any) -> Any:
        for record, state in original(self, *arguments):
            if record.iteration == 2:
                raise KeyboardInterrupt
            yield record, state

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "run", some)
        code, out, err = bomrl(*SHORT)
    assert (code, out) == (130, "")
    first, command = err.splitlines()
    assert first == "interrupted at iteration 2; go on with:"
    assert command == (
        "  bomrl train --control point-mass --iterations 3 --trajectories 4 --tasks 3 --output run --resume"
    )
    assert bomrl(*command.split()[1:])[0] == 0
    assert written(tmp_path / "run") == written(tmp_path / "whole")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--iterations", "4"), "iterations 3 instead of 4"),
        (("--learner", "promp"), "learner bo-mrl instead of promp, algorithm kl-posterior instead of policy-gradient"),
        (("--seed", "1"), "seed 0 instead of 1"),
        (("--lambda", "2"), "lam None instead of 2.0"),
        (("--threads", "2"), "threads 1 instead of 2"),
        (("--horizon", "7"), "simulator "),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_resume_asks_for_the_same_run(bomrl: Bomrl, tmp_path: Path, arguments: tuple[str, str], message: str) -> None:
    bomrl(*SHORT)
    before = written(tmp_path / "run")
    code, _, err = bomrl(*SHORT, *arguments, "--resume")
    assert code == 2
    assert message in err
    assert "belongs to another run" in err
    assert written(tmp_path / "run") == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "name what to train on: either a FAMILY, or --control NAME"),
        (("garnet", "--control", "point-mass"), "leave one of the two out"),
        (("garnet", "--tasks", "3"), "--tasks is an option of training with --control"),
        (("garnet", "--smoke"), "--smoke is an option of training with --control"),
        (("--control", "point-mass", "--rule", "adam"), "--rule is an option of training with a FAMILY"),
        (("--control", "point-mass", "--start", "uniform"), "--start is an option of training with a FAMILY"),
        (("--control", "pointmass"), "did you mean point-mass"),
        (("--control", "point-mass", "--preset", "promp"), "unknown setting of point-mass 'preset'"),
        (("--control", "point-mass", "--learner", "mamll"), "did you mean maml"),
        (("--control", "point-mass", "--algorithm", "kl-priors"), "did you mean kl-prior"),
        (("--control", "point-mass", "--learner", "maml", "--algorithm", "kl-prior"), "adapts by policy-gradient"),
        (("--control", "point-mass", "--alpha", "1"), "alpha says nothing about 'bo-mrl'"),
        (("--control", "point-mass", "--learner", "maml", "--lambda", "1"), "lambda says nothing about 'maml'"),
        (("--control", "point-mass", "--learner", "maml", "--divergence", "1"), "divergence says nothing"),
        (("--control", "point-mass", "--lambda", "1", "--divergence", "1"), "give one of them"),
        (("--control", "point-mass", "--lambda", "0"), "lambda = 0.0 must be positive"),
        (("--control", "point-mass", "--tasks", "0"), "tasks = 0; it must be at least 1"),
        (("--control", "point-mass", "--iterations", "0"), "iterations = 0; it must be at least 1"),
        (("--control", "point-mass", "--seed", "-1"), "seeds are whole numbers"),
        (("--control", "point-mass", "--device", "abacus"), "device is 'abacus'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_bad_input_is_told(bomrl: Bomrl, tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    """Exit code 2, and nothing on disk."""
    code, out, err = bomrl("train", *arguments, "-o", "run")
    assert (code, out) == (2, "")
    assert message in " ".join(err.split())
    assert not (tmp_path / "run").exists()


# --- what runs are worth ------------------------------------------------------------------------


def test_adapt_groups_runs(bomrl: Bomrl, tmp_path: Path) -> None:
    """Three seeds of one learner are one line a step, another learner is another; all met the same tasks."""
    for seed in ("0", "1", "2"):
        bomrl(*SHORT[:-1], f"bo-{seed}", "--seed", seed)
    bomrl(*SHORT[:-1], "maml", "--learner", "maml")
    paths = ("bo-0", "bo-1", "bo-2", "maml")
    code, out, err = bomrl("adapt", *paths, "--tasks", "6", "--steps", "2", "--json", "--csv", "table.csv")
    found = json.loads(out)
    assert (code, err) == (0, "")
    assert [(line["learner"], line["runs"], line["adaptations"], line["resampled"]) for line in found["lines"]] == [
        *(("bo-mrl", 3, k, "runs") for k in range(3)),
        *(("maml", 1, k, "tasks") for k in range(3)),
    ]
    assert all(line["low"] <= line["value"] <= line["high"] for line in found["lines"])
    assert found["lines"][0]["value"] == pytest.approx(np.mean([run["returns"][0] for run in found["runs"][:3]]))
    assert len((tmp_path / "table.csv").read_text().splitlines()) == 7
    again = json.loads(bomrl("adapt", "bo-1", "--tasks", "6", "--steps", "2", "--json")[1])
    assert again["runs"][0]["returns"] == found["runs"][1]["returns"]


def test_returns_belong_to_the_parameters_before_each_adaptation(tmp_path: Path) -> None:
    """Step 0 is the meta-policy itself; later ones do better; the tasks follow from the seed alone."""
    made = trainer(tasks=10, trajectories=10, iterations=15, hidden=(16,))
    ControlRun(tmp_path / "run", made).go_on()
    run = Trained.load(tmp_path / "run", described)
    found = measure(run, tasks=30, steps=2, seed=1)
    means = found.returns.mean(1)
    assert found.returns.shape == (3, 30)
    assert means[1] > means[0] + 0.3
    assert means[2] > means[0] + 0.3
    assert not np.array_equal(measure(run, tasks=30, steps=0, seed=2).returns[0], found.returns[0])
    assert np.array_equal(measure(run, tasks=30, steps=0, seed=1).returns[0], found.returns[0])


def test_adaptation_that_goes_wrong_is_told(bomrl: Bomrl, monkeypatch: pytest.MonkeyPatch) -> None:
    bomrl(*SHORT)
    original = PointMass.__init__
    monkeypatch.setattr(PointMass, "__init__", lambda self, horizon=10: original(self, horizon, broken=2))
    code, out, err = bomrl("adapt", "run", "--tasks", "2")
    assert (code, out) == (2, "")
    assert "run: after 2 adaptations a return is not a number; ask for fewer steps" in err


def test_a_reference_cannot_be_adapted(bomrl: Bomrl) -> None:
    bomrl(*SHORT, "--learner", "per-task")
    code, _, err = bomrl("adapt", "run")
    assert code == 2
    assert "one policy for each task, no meta-policy" in err


SPOILERS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no run": (lambda d: (d / CHECKPOINT).unlink(), "cannot read"),
    "truncated": (lambda d: os.truncate(d / CHECKPOINT, 300), "is not a readable npz archive"),
    "another archive": (lambda d: np.savez(d / CHECKPOINT, P=np.eye(2)), "is no checkpoint of bomrl train"),
}


@pytest.mark.parametrize(("spoil", "message"), SPOILERS.values(), ids=SPOILERS)
def test_damaged_runs_are_told(bomrl: Bomrl, tmp_path: Path, spoil: Callable[[Path], Any], message: str) -> None:
    bomrl(*SHORT)
    spoil(tmp_path / "run")
    code, out, err = bomrl("adapt", "run")
    assert (code, out) == (2, "")
    assert message in err
    assert len(err.splitlines()) == 1


def test_other_tasks_than_in_training_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A simulator of another version must not pass for the one that was trained on."""
    ControlRun(tmp_path / "run", trainer(iterations=1)).go_on()
    original = PointMass.describe
    monkeypatch.setattr(PointMass, "describe", lambda self: original(self) | {"version": 2})
    with pytest.raises(InvalidFile, match=r"trained on other tasks \(version None instead of 2\)"):
        Trained.load(tmp_path / "run", described)


def test_summary_statistics() -> None:
    """Interquartile mean of eight values by hand; the interval covers a normal mean about as often as it says."""
    assert interquartile_mean(np.array([9.0, 1, 2, 3, 4, -50, 5, 100])) == pytest.approx((2 + 3 + 4 + 5) / 4)
    assert interquartile_mean(np.array([1.0, 2, 6])) == pytest.approx(3)
    assert interval(np.array([2.0]), np.mean, np.random.default_rng(0)) == (2.0, 2.0)
    rng = np.random.default_rng(1)
    bounds = [interval(rng.standard_normal(40), np.mean, rng) for _ in range(100)]
    assert 85 <= sum(low <= 0 <= high for low, high in bounds) <= 99
    assert summarised([], rng) == []
