"""What meta-policies are worth: returns on fresh tasks after 0, 1, 2, ... adaptations."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, fields
from itertools import count, islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from bomrl_theory.control.adaptation import adapted
from bomrl_theory.control.batch import Batch
from bomrl_theory.control.bilevel_learner import LAM, valid_lam
from bomrl_theory.control.config import Config
from bomrl_theory.control.learner import learner_named
from bomrl_theory.control.problem import NotFinite, Problem
from bomrl_theory.control.simulator import Simulator
from bomrl_theory.control.train import FORMAT, MEMORY, PHI
from bomrl_theory.errors import InvalidFile, InvalidTask
from bomrl_theory.meta.resumable import CHECKPOINT, Checkpoint
from bomrl_theory.numbers import Array
from bomrl_theory.tasks.files import replacing

CONFIDENCE, RESAMPLES = 0.95, 2000
"""Of bootstrap intervals."""
NOT_A_GROUP = ("seed", "threads", "device")
"""Settings in which runs of one group may differ."""


@dataclass(frozen=True, eq=False)
class Trained:
    """A run's meta-policy, read from its checkpoint.

    Attributes:
        path: of the run.
        settings: of the run, as JSON.
        problem: what it was trained on.
        phi: parameters [1, P].
        lam: of BO-MRL's lower level, as training left it; 1 for other learners.
        steps: environment steps of its training.
        iterations: of its training.
    """

    path: Path
    settings: dict[str, Any]
    problem: Problem
    phi: Float[Tensor, "1 P"]
    lam: float
    steps: int
    iterations: int

    @classmethod
    def load(cls, path: Path, simulator: Callable[[dict[str, Any]], Simulator]) -> Trained:
        """Read a run.

        Args:
            path: of its directory.
            simulator: makes the simulator that a description speaks of.

        Raises:
            InvalidFile: no run, a damaged one, or one whose tasks this installation has not.
            InvalidTask: it holds no meta-policy.
        """
        saved = Checkpoint.read(path, FORMAT)
        names = Config().as_json()
        try:
            config = Config.from_json({name: saved.settings[name] for name in names})
            description = saved.settings["simulator"]
            phi, steps = torch.from_numpy(saved.arrays[PHI]), int(saved.arrays["steps"])
            lam = float(saved.arrays.get(MEMORY + LAM, 1.0))
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise InvalidFile(
                f"{path / CHECKPOINT} is no checkpoint of bomrl train ({error}); name another directory"
            ) from None
        if not learner_named(config.learner).meta:
            raise InvalidTask(f"{path} holds one policy for each task, no meta-policy; leave it out")
        problem = Problem.new(_same(path, simulator(description), description), config)
        expected = (1, problem.policy.parameters), getattr(torch, config.precision)
        if (phi.shape, phi.dtype) != expected or not bool(phi.isfinite().all()):
            raise InvalidFile(f"{path / CHECKPOINT} holds no valid parameters; it is damaged, train anew")
        if not valid_lam(lam, config.precision):
            raise InvalidFile(f"{path / CHECKPOINT} holds lambda = {lam}; it is damaged, train anew")
        return cls(path, saved.settings, problem, phi, lam, steps, saved.iteration)

    @property
    def group(self) -> str:
        """The same for runs that differ in their seed only."""
        kept = {name: value for name, value in self.settings.items() if name not in NOT_A_GROUP}
        return json.dumps(kept | {"steps": self.steps}, sort_keys=True)


def _same(path: Path, made: Simulator, description: dict[str, Any]) -> Simulator:
    """The simulator, if it is the one described."""
    here = json.loads(json.dumps(made.describe()))
    different = [name for name in {**here, **description} if here.get(name) != description.get(name)]
    if different:
        told = ", ".join(f"{name} {description.get(name)} instead of {here.get(name)}" for name in different)
        raise InvalidFile(f"{path} was trained on other tasks ({told}); install what it was trained with")
    return made


@dataclass(frozen=True, eq=False)
class Measured:
    """Returns of one run's meta-policy.

    Attributes:
        run: whose.
        returns: undiscounted means over trajectories, after 0, 1, ... adaptations [steps, T].
    """

    run: Trained
    returns: Float64[Array, "steps T"]


def measure(
    run: Trained, *, tasks: int, steps: int, seed: int, on_step: Callable[[int], None] = lambda step: None
) -> Measured:
    """Adapt a meta-policy to fresh tasks again and again, with as many trajectories each time as in training.

    Every return is of trajectories that only later adaptations are fitted to. Runs that are measured with one seed
    meet the same tasks.

    Args:
        run: whose meta-policy.
        tasks: T.
        steps: K, adaptations.
        seed: of tasks and trajectories; no task of training is met again.
        on_step: told after each collection.

    Raises:
        InvalidTask: parameters or returns are not numbers after some adaptations.
    """
    streams = np.random.SeedSequence(seed, spawn_key=(4,)).spawn(2)
    goals = run.problem.simulator.draw_tasks(tasks, np.random.default_rng(streams[0]))
    returns = []
    for step, (_, batch) in enumerate(islice(adaptations(run, goals, np.random.default_rng(streams[1])), steps + 1)):
        returns.append(batch.returns.mean(1).double().cpu().numpy())
        on_step(step)
    return Measured(run, np.stack(returns))


def adaptations(run: Trained, goals: Array, rng: np.random.Generator) -> Iterator[tuple[Float[Tensor, "T P"], Batch]]:
    """Parameters for each task after 0, 1, 2, ... adaptations, each with trajectories that it was not fitted to.

    Args:
        run: whose meta-policy.
        goals: [T, k], tasks as the simulator draws them.
        rng: of trajectories.

    Raises:
        InvalidTask: parameters or returns are not numbers after some adaptations.
    """
    torch.set_num_threads(run.problem.config.threads)
    theta = run.phi.to(run.problem.config.device).expand(len(goals), -1).contiguous()
    for step in count():
        try:
            batch = run.problem.rollout(theta, goals, rng)
        except NotFinite as error:
            raise InvalidTask(f"{run.path}: after {step} adaptations {error}; ask for fewer steps") from None
        yield theta, batch
        theta = adapted(run.problem, theta, batch, run.lam)


@dataclass(frozen=True)
class Line:
    """One group of runs after one number of adaptations.

    Attributes:
        learner: by name.
        algorithm: of adaptation.
        simulator: name of the family.
        environment_steps: of each run's training.
        runs: how many.
        adaptations: K.
        value: mean return over tasks; interquartile mean over runs.
        low, high: 95 % percentile bootstrap interval, over ``resampled``.
        resampled: "runs", or "tasks" where there is one run only.
    """

    learner: str
    algorithm: str
    simulator: str
    environment_steps: int
    runs: int
    adaptations: int
    value: float
    low: float
    high: float
    resampled: str


def summarised(measured: Iterable[Measured], rng: np.random.Generator) -> list[Line]:
    """Lines for each group of runs, in the order of first appearance.

    Args:
        measured: runs that were measured alike.
        rng: of the bootstrap.
    """
    groups: dict[str, list[Measured]] = {}
    for one in measured:
        groups.setdefault(one.run.group, []).append(one)
    lines = []
    for members in groups.values():
        run, config = members[0].run, members[0].run.problem.config
        assert config.algorithm is not None
        for step in range(len(members[0].returns)):
            several = len(members) > 1
            values = (
                np.array([member.returns[step].mean() for member in members]) if several else members[0].returns[step]
            )
            value = interquartile_mean(values) if several else float(values.mean())
            low, high = interval(values, interquartile_mean if several else np.mean, rng)
            lines.append(
                Line(
                    config.learner,
                    config.algorithm,
                    run.problem.simulator.name,
                    run.steps,
                    len(members),
                    step,
                    value,
                    low,
                    high,
                    "runs" if several else "tasks",
                )
            )
    return lines


def interquartile_mean(values: Float64[Array, "... n"], axis: int = -1) -> Any:
    """Mean of the middle half (Agarwal et al. 2021); of fewer than four values their mean."""
    from scipy.stats import trim_mean

    return trim_mean(values, 0.25, axis=axis)


def interval(
    values: Float64[Array, " n"], statistic: Callable[..., Any], rng: np.random.Generator
) -> tuple[float, float]:
    """Percentile bootstrap interval; the value itself where all are equal or there is one only."""
    from scipy.stats import bootstrap

    if np.ptp(values) == 0:
        return float(values[0]), float(values[0])
    found = bootstrap(
        (values,),
        statistic,
        confidence_level=CONFIDENCE,
        n_resamples=RESAMPLES,
        method="percentile",
        random_state=rng,  # pyright: ignore[reportCallIssue]  (named rng from SciPy 1.15 on; both work)
    ).confidence_interval
    return float(found.low), float(found.high)


def write_lines(path: Path, lines: list[Line]) -> None:
    """CSV, floats with six digits; a former file is replaced at once.

    Raises:
        InvalidFile: the place cannot be written.
    """
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([field.name for field in fields(Line)])
        for line in lines:
            writer.writerow([f"{x:.6g}" if isinstance(x, float) else x for x in asdict(line).values()])
