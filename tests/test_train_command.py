"""``bomrl train``: runs that are killed, interrupted or handed something foreign, and what they leave behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import Bomrl, drawn

from bomrl_theory.errors import InvalidFile
from bomrl_theory.exact.solved import Solved
from bomrl_theory.meta import resumable
from bomrl_theory.meta.run_directory import CHECKPOINT, ITERATES, LOG, POLICY, RunDirectory
from bomrl_theory.meta.train import COLUMNS, Config, Record, Trainer, train
from bomrl_theory.tasks.family import TaskFamily
from bomrl_theory.tasks.lock import LOCK

FAMILY = "garnet:states=4,actions=2,tasks=3"
SHORT = ("train", FAMILY, "--lambda", "1/2", "--iterations", "12", "-o", "run")


@pytest.fixture(autouse=True)
def quick_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """What only a power cut could undo is not waited for, except in other processes."""
    monkeypatch.setattr(os, "fsync", lambda file: None)


def written(directory: Path) -> dict[str, bytes]:
    """Every file with its bytes."""
    return {path.name: path.read_bytes() for path in sorted(directory.iterdir()) if path.name != LOCK}


# --- killed and resumed -------------------------------------------------------------------------


def test_kill_9_and_resume_gives_the_same_bytes(tmp_path: Path) -> None:
    """Killed twice while it runs, then resumed: log, checkpoint, meta-policy and picture as of a run left alone."""
    arguments = ["train", "frozen-lake-high:tasks=4", "--lambda", "1/5", "--iterations", "150", "--batch", "3"]
    arguments += ["--trajectories", "400", "--seed", "3"]

    def start(directory: str, *more: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "bomrl_theory", *arguments, "-o", directory, *more]
        return subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

    start("whole").communicate()
    lines = 0
    for more in ((), ("--resume",)):
        process = start("killed", *more)
        log = tmp_path / "killed" / LOG
        lines += 30
        while process.poll() is None and not (log.exists() and log.read_bytes().count(b"\n") > lines):
            time.sleep(0.002)
        process.kill()
        _, errors = process.communicate()
        assert process.returncode == -signal.SIGKILL, errors
        assert lines < log.read_bytes().count(b"\n") < 152
        assert not (tmp_path / "killed" / POLICY).exists()
    process = start("killed", "--resume")
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    assert written(tmp_path / "killed") == written(tmp_path / "whole")
    assert set(written(tmp_path / "whole")) == {LOG, CHECKPOINT, ITERATES, POLICY, "learning_curve.png"}


CONFIGS = {
    "adam": Config(lam=Fraction(1, 2), iterations=23),
    "certified": Config(lam=Fraction(1, 2), iterations=23, rule="ascent"),
    "line search": Config(lam=Fraction(1, 2), iterations=23, rule="line-search"),
    "sampled": Config(lam=Fraction(1, 2), iterations=23, batch=2, trajectories=5, outer_steps=2),
    "promp": Config("promp", iterations=23),
}


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
@pytest.mark.parametrize("after", [1, 10, 11, 23])
def test_interrupted_anywhere_and_resumed(tmp_path: Path, config: Config, after: int) -> None:
    """The same bytes and the same training as without the interruption, and as in memory."""
    trainer = Trainer(Solved(drawn(FAMILY)), config)
    whole = RunDirectory(tmp_path / "whole", trainer, seed=4).run()

    def stop(record: Record) -> None:
        if record.iteration == after:
            raise KeyboardInterrupt

    interrupted = RunDirectory(tmp_path / "cut", trainer, seed=4)
    with pytest.raises(KeyboardInterrupt):
        interrupted.run(stop)
    assert interrupted.state.iteration in (after, after + 1)
    resumed = RunDirectory(tmp_path / "cut", trainer, seed=4, resume=True)
    training = resumed.run()
    assert training.log == whole.log
    assert np.array_equal(training.theta, whole.theta)
    assert written(tmp_path / "cut") == written(tmp_path / "whole")
    assert len(resumed.iterates()) == (23 if trainer.certified else 0)
    again = RunDirectory(tmp_path / "cut", trainer, seed=4, resume=True).run()
    assert again.log == whole.log
    assert written(tmp_path / "cut") == written(tmp_path / "whole")


def test_killed_between_append_and_checkpoint(tmp_path: Path) -> None:
    """Whatever was appended after the last checkpoint, even half a line, is made again."""
    trainer = Trainer(Solved(drawn(FAMILY)), CONFIGS["certified"])
    RunDirectory(tmp_path / "whole", trainer).run()

    def stop(record: Record) -> None:
        if record.iteration == 12:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        RunDirectory(tmp_path / "cut", trainer).run(stop)
    for name in (LOG, ITERATES):
        with (tmp_path / "cut" / name).open("ab") as file:
            file.write(b"13,0.25,")
    (tmp_path / "cut" / f".{CHECKPOINT}.abc.npz").write_bytes(b"half a checkpoint")
    RunDirectory(tmp_path / "cut", trainer, resume=True).run()
    assert written(tmp_path / "cut") == written(tmp_path / "whole")


def test_killed_before_the_first_checkpoint(tmp_path: Path) -> None:
    trainer = Trainer(Solved(drawn(FAMILY)), CONFIGS["adam"])
    RunDirectory(tmp_path / "whole", trainer).run()
    (tmp_path / "cut").mkdir()
    (tmp_path / "cut" / LOG).write_bytes(b"")
    RunDirectory(tmp_path / "cut", trainer, resume=True).run()
    assert written(tmp_path / "cut") == written(tmp_path / "whole")


def test_log_on_disk_is_the_log(tmp_path: Path) -> None:
    """Read back digit by digit; the run on disk is the run in memory."""
    problem = Solved(drawn(FAMILY))
    run = RunDirectory(tmp_path / "run", Trainer(problem, CONFIGS["adam"]), seed=1)
    training = run.run()
    assert (tmp_path / "run" / LOG).read_text().splitlines()[0] == ",".join(COLUMNS)
    assert run.log() == training.log == train(problem, lam=Fraction(1, 2), iterations=23).log
    assert np.array_equal(np.load(tmp_path / "run" / POLICY), training.policy)


def test_a_stopped_run_keeps_its_last_good_checkpoint(tmp_path: Path) -> None:
    """A step size that throws the logits out of range."""
    trainer = Trainer(Solved(drawn(FAMILY)), Config("reptile", lam=Fraction(1, 99), rule="ascent", step=1.7e308))
    run = RunDirectory(tmp_path / "run", trainer)
    training = run.run()
    assert training.status.startswith("stopped: ")
    assert np.all(np.isfinite(training.theta))
    assert np.array_equal(np.load(tmp_path / "run" / CHECKPOINT)["theta"], training.theta)


# --- the command --------------------------------------------------------------------------------


def test_contract(bomrl: Bomrl, tmp_path: Path) -> None:
    """``train --json`` has the promised keys, and the meta-policy that it saves can be evaluated."""
    code, out, err = bomrl(*SHORT, "--json")
    summary = json.loads(out)
    assert (code, err) == (0, "")
    keys = "family config seed status iterations first last certified_step stationarity files exit_code"
    assert set(summary) == set(keys.split())
    assert (summary["status"], summary["iterations"], summary["config"]["lam"]) == ("finished", 12, "1/2")
    assert summary["last"]["gap_after"] < summary["first"]["gap_after"]
    assert summary["stationarity"] is None
    assert (tmp_path / summary["files"]["learning_curve"]).read_bytes().startswith(b"\x89PNG")
    code, out, _ = bomrl(
        "evaluate", FAMILY, "--meta-policy", "run/meta_policy.npy", "--algorithm", "kl-posterior", "--lambda", "1/2",
        "--json",
    )  # fmt: skip
    assert code == 0
    assert json.loads(out)["expected"]["gap"] == pytest.approx(summary["last"]["gap_after"], rel=1e-9)


def test_for_people(bomrl: Bomrl) -> None:
    """The certified rule prints the theorem's verdict, and the command that evaluates the meta-policy runs."""
    code, out, _ = bomrl("train", FAMILY, "--lambda", "5", "--rule", "ascent", "--iterations", "8", "-o", "run")
    assert code == 0
    assert "meta_stationarity-v1 along the run's 8 steps: HOLDS, certified" in out
    assert "certified step 1/L" in out
    (command,) = [line.removeprefix("evaluate: bomrl ") for line in out.splitlines() if line.startswith("evaluate: ")]
    assert bomrl(*command.split())[0] == 0


def test_untrained_learners_run_too(bomrl: Bomrl) -> None:
    code, out, _ = bomrl("train", FAMILY, "--learner", "barycentre", "-o", "run")
    assert code == 0
    assert "finished after 0 iterations" in out


@pytest.mark.parametrize("start", ["uniform", "random", "barycentre", "phi.npy"])
def test_starts(bomrl: Bomrl, tmp_path: Path, start: str) -> None:
    np.save(tmp_path / "phi.npy", np.array([[0.25, 0.75]] * 4))
    code, _, _ = bomrl("train", FAMILY, "--start", start, "--iterations", "0", "-o", "run", "--json")
    policy = np.load(tmp_path / "run" / POLICY)
    assert code == 0
    assert np.allclose(policy, 0.5) == (start == "uniform")
    assert np.allclose(policy, [0.25, 0.75]) == (start == "phi.npy")


def test_interrupt_says_how_to_go_on(bomrl: Bomrl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C: exit code 130 and a command that, pasted, ends as if nothing had happened."""
    bomrl(*SHORT[:-1], "whole")
    original = Trainer.run
    count = []

    def some(self: Trainer, *arguments: Any) -> Any:
        for item in original(self, *arguments):
            count.append(1)
            if len(count) == 6:
                raise KeyboardInterrupt
            yield item

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "run", some)
        code, out, err = bomrl(*SHORT)
    assert (code, out) == (130, "")
    first, command = err.splitlines()
    assert first == "interrupted at iteration 5; go on with:"
    assert command == f"  bomrl train {FAMILY} --lambda 1/2 --iterations 12 --output run --resume"
    assert bomrl(*command.split()[1:])[0] == 0
    assert written(tmp_path / "run") == written(tmp_path / "whole")


def test_an_existing_directory_is_not_overwritten(bomrl: Bomrl, tmp_path: Path) -> None:
    bomrl(*SHORT)
    before = written(tmp_path / "run")
    code, out, err = bomrl(*SHORT)
    assert (code, out) == (2, "")
    assert err == "error: run is not empty; go on with --resume if it is this run, or name another directory\n"
    assert written(tmp_path / "run") == before


def spoil_checkpoint(directory: Path, change: Callable[[dict[str, Any]], None]) -> None:
    with np.load(directory / CHECKPOINT) as archive:
        content = {name: archive[name] for name in archive.files}
    change(content)
    np.savez(directory / CHECKPOINT, **content)


def header(change: Callable[[dict[str, Any]], None]) -> Callable[[Path], None]:
    """A spoiler of the checkpoint's header."""

    def spoil(directory: Path) -> None:
        def rewrite(content: dict[str, Any]) -> None:
            values = json.loads(str(content["header"]))
            change(values)
            content["header"] = np.array(json.dumps(values))

        spoil_checkpoint(directory, rewrite)

    return spoil


SPOILERS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "truncated": (lambda d: os.truncate(d / CHECKPOINT, 300), "is not a readable npz archive, perhaps truncated"),
    "empty": (lambda d: os.truncate(d / CHECKPOINT, 0), "is not a readable npz archive"),
    "text": (lambda d: (d / CHECKPOINT).write_text("hello"), "is not a readable npz archive"),
    "another archive": (lambda d: np.savez(d / CHECKPOINT, P=np.eye(2)), "is no checkpoint of bomrl train"),
    "another format": (header(lambda h: h.update(format="bomrl-train-0")), "is no checkpoint of bomrl train"),
    "wrong shape": (lambda d: spoil_checkpoint(d, lambda c: c.update(theta=np.zeros((2, 2)))), "wrong shape"),
    "no memory": (lambda d: spoil_checkpoint(d, lambda c: c.pop("memory.mean")), "is no checkpoint of bomrl train"),
    "no generator": (header(lambda h: h.update(generator={"state": 1})), "no valid generator state"),
    "no checkpoint": (lambda d: (d / CHECKPOINT).unlink(), "holds no checkpoint.npz to resume from"),
    "changed log": (
        lambda d: (d / LOG).write_bytes((d / LOG).read_bytes().replace(b"stepped", b"skipped")),
        "is not what the checkpoint says",
    ),
    "shorter log": (lambda d: os.truncate(d / LOG, 100), "is not what the checkpoint says"),
    "no log": (lambda d: (d / LOG).unlink(), "No such file"),
}


@pytest.mark.parametrize(("spoil", "message"), SPOILERS.values(), ids=SPOILERS)
def test_damaged_runs_are_told(bomrl: Bomrl, tmp_path: Path, spoil: Callable[[Path], Any], message: str) -> None:
    """One line, exit code 2, and nothing is touched."""
    bomrl(*SHORT)
    spoil(tmp_path / "run")
    before = written(tmp_path / "run")
    code, out, err = bomrl(*SHORT, "--resume")
    assert (code, out) == (2, "")
    assert message in err
    assert len(err.splitlines()) == 1
    assert written(tmp_path / "run") == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--lambda", "1/3"), "another run (lam 1/2 instead of 1/3)"),
        (("--iterations", "13"), "iterations 12 instead of 13"),
        (("--rule", "line-search"), "rule adam instead of line-search"),
        (("--seed", "1"), "seed 0 instead of 1, another family"),
        (("--start", "barycentre"), "another start"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_resume_asks_for_the_same_run(bomrl: Bomrl, arguments: tuple[str, str], message: str) -> None:
    bomrl(*SHORT)
    code, _, err = bomrl(*SHORT, *arguments, "--resume")
    assert code == 2
    assert message in err


def test_another_family_is_noticed() -> None:
    family = drawn(FAMILY)
    assert family.sha256 == drawn(FAMILY).sha256
    changed = TaskFamily.new(family.P, family.r + np.finfo(float).eps, family.gamma, family.rho, row_weights=True)
    assert changed.sha256 != family.sha256


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--learner", "mamml"), "did you mean"),
        (("--learner", "optimum"), "no meta-policy"),
        (("--algorithm", "kl-prior", "--rule", "ascent"), "no smoothness constant is known"),
        (("--algorithm", "wrong-task"), "no derivative of 'wrong-task' is known"),
        (("--method", "firstorder"), "did you mean first-order"),
        (("--lambda", "0"), "lambda = 0 must be positive"),
        (("--lambda", "1", "--alpha", "1"), "the same thing twice"),
        (("--start", "nowhere"), "unknown start 'nowhere'"),
        (("--start", "nowhere.npy"), "cannot read nowhere.npy"),
        (("--batch", "0"), "batch = 0"),
        (("--seed", "-1"), "seeds are whole numbers"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_bad_input_is_one_line(bomrl: Bomrl, tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    """Exit code 2, and no directory is left behind."""
    code, out, err = bomrl("train", FAMILY, *arguments, "-o", "run")
    assert (code, out) == (2, "")
    assert message in err
    assert not (tmp_path / "run").exists()


def test_an_output_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("mine")
    with pytest.raises(InvalidFile, match=r"cannot use .* as a directory"):
        RunDirectory(tmp_path / "run", Trainer(Solved(drawn(FAMILY)), Config()))
    assert (tmp_path / "run").read_text() == "mine"


def test_a_full_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the run can be taken up when there is room again."""
    trainer = Trainer(Solved(drawn(FAMILY)), CONFIGS["adam"])
    RunDirectory(tmp_path / "whole", trainer).run()
    run = RunDirectory(tmp_path / "run", trainer)
    original = resumable.Appended.append

    def full(self: Any, content: bytes) -> None:
        if content.startswith(b"15,"):
            raise InvalidFile("cannot use log.csv: No space left on device; name another directory")
        original(self, content)

    with monkeypatch.context() as patch:
        patch.setattr(resumable.Appended, "append", full)
        with pytest.raises(InvalidFile, match="No space left"):
            run.run()
    assert RunDirectory(tmp_path / "run", trainer, resume=True).run().status == "finished"
    assert written(tmp_path / "run") == written(tmp_path / "whole")


def test_learners_are_listed(bomrl: Bomrl) -> None:
    code, out, _ = bomrl("list", "--learners", "--json")
    assert code == 0
    assert {"bo-mrl", "maml", "promp", "reptile"} <= {row["name"] for row in json.loads(out)}


def test_stopped_runs_exit_with_1(bomrl: Bomrl) -> None:
    code, out, _ = bomrl(
        *SHORT, "--learner", "reptile", "--lambda", "1/99", "--rule", "ascent", "--step", "1.7e308", "--json"
    )
    assert code == 1
    assert json.loads(out)["status"].startswith("stopped: ")


@pytest.mark.parametrize("command", [("train", "--control", "half-cheetah-vel", "-o", "run"), ("adapt", "run")])
def test_without_torch_the_extra_that_brings_the_simulator_too_is_named(
    bomrl: Bomrl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    """One line, one extra: not that of torch first and that of the simulator after it is installed."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    code, out, err = bomrl(*command)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "the package 'torch', which is not installed; run: python -m pip install 'bomrl-theory[mujoco]'" in err
    assert list(tmp_path.iterdir()) == []


def test_two_runs_in_one_directory_are_refused(bomrl: Bomrl) -> None:
    """While one is under way no other may cut its files back; after it has ended, or is gone, one may."""
    family = Solved(drawn(FAMILY))
    trainer = Trainer(family, Config(iterations=2))
    under_way = RunDirectory(Path("run"), trainer)
    before = {name: (Path("run") / name).read_bytes() for name in (LOG, CHECKPOINT)}
    code, out, err = bomrl("train", FAMILY, "--lambda", "1", "--iterations", "2", "-o", "run", "--resume")
    assert (code, out) == (2, "")
    assert err == "error: run is in use by another run; wait until that has ended, or name another directory\n"
    assert {name: (Path("run") / name).read_bytes() for name in (LOG, CHECKPOINT)} == before
    under_way.run()
    again = RunDirectory(Path("run"), trainer, resume=True)
    assert again.state.status == "finished"
    del again  # as a process that is killed
    assert RunDirectory(Path("run"), trainer, resume=True).state.status == "finished"
