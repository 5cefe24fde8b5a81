"""Meta-training on sampled tasks, iteration by iteration, and its runs on disk.

| file | content |
|---|---|
| ``log.csv`` | one :class:`Record` a line |
| ``checkpoint.npz`` | parameters, the learner's memory, generator, configuration, description of the simulator |
| ``timing.csv`` | seconds of each iteration; depends on the machine, so it is no part of what a resumed run repeats |

A killed run goes on to the same bytes; see :mod:`bomrl_theory.meta.resumable`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from bomrl_theory.control.adaptation import ALGORITHMS
from bomrl_theory.control.bilevel_learner import LAM, valid_lam
from bomrl_theory.control.config import Config
from bomrl_theory.control.learner import NO_STEP, Iteration, Memory, learner_named
from bomrl_theory.control.problem import NotFinite, Problem
from bomrl_theory.control.record import Record
from bomrl_theory.control.simulator import Simulator
from bomrl_theory.errors import InvalidFile, InvalidTask, UnknownName
from bomrl_theory.meta.resumable import CHECKPOINT, ResumableRun
from bomrl_theory.numbers import Array

FORMAT, TIMING = "bomrl-control-1", "timing.csv"
LEARNER_SETTINGS = "settings of the learner"
PHI, MEMORY = "phi", "memory."
"""Name of the parameters, and what stands before the names of the learner's memory."""
PATIENCE = 5
"""So many failed line searches in a row, each on new data, end a run."""


@dataclass(frozen=True, eq=False)
class State:
    """A run between two iterations.

    Attributes:
        iteration: the next one.
        phi: parameters [B, P]; B = 1 for a meta-policy.
        memory: the learner's.
        steps: environment steps so far.
        failures: line searches that failed in a row.
        status: "running", or how the run ended.
    """

    iteration: int
    phi: Float[Tensor, "B P"]
    memory: Memory
    steps: int = 0
    failures: int = 0
    status: str = "running"


class Trainer:
    """Runs a configuration on a simulator.

    Args:
        simulator: the tasks.
        config: what to run.

    Raises:
        UnknownName: no such learner.
        InvalidTask: the configuration contradicts itself; the message names the value and the remedy.
    """

    def __init__(self, simulator: Simulator, config: Config):
        self.learner = learner_named(config.learner)
        algorithm = config.algorithm or self.learner.algorithms[0]
        if algorithm not in (*ALGORITHMS, "none"):
            raise UnknownName("algorithm", algorithm, ALGORITHMS)
        if algorithm not in self.learner.algorithms:
            raise InvalidTask(
                f"'{config.learner}' adapts by {' or '.join(self.learner.algorithms)}, not by {algorithm}; "
                "leave the algorithm out, or choose another learner"
            )
        _check(config)
        self.config = replace(config, algorithm=algorithm)
        self.problem = Problem.new(simulator, self.config)

    @property
    def iterations(self) -> int:
        """How many there are: one, to measure, for a learner without training."""
        return self.config.iterations if self.learner.trained else 1

    def begin(self, rng: np.random.Generator) -> State:
        """The state before the first iteration."""
        phi, memory = self.learner.begin(self.problem, rng)
        return State(0, phi, memory)

    def run(self, state: State, rng: np.random.Generator) -> Iterator[tuple[Record, State]]:
        """Every iteration's record with the state after it; the generator is moved on as the state is."""
        torch.set_num_threads(self.config.threads)
        while state.status == "running":
            try:
                made = self.learner.iterate(self.problem, state.phi, state.memory, rng)
            except NotFinite as error:
                status = f"stopped: {error}"
                nothing = Record(state.iteration, state.steps, np.nan, np.nan, None, None, None, status)
                yield nothing, replace(state, status=status)
                return
            record, state = self._after(state, made, last=state.iteration + 1 == self.iterations)
            yield record, state

    def _after(self, state: State, made: Iteration, *, last: bool) -> tuple[Record, State]:
        failures = state.failures + 1 if made.status.startswith(NO_STEP) else 0
        status = made.status
        if not all(bool(array.isfinite().all()) for array in (made.phi, *made.memory.values())):
            status = "stopped: the step is not a number"
        elif failures >= PATIENCE:
            status = f"stopped: the line search found no step on {PATIENCE} batches in a row"
        steps = state.steps + made.steps
        record = Record(state.iteration, steps, made.before, made.after, made.kl, made.moved, made.gradient, status)
        if status.startswith("stopped"):
            return record, replace(state, status=status, steps=steps, failures=failures)
        how = "finished" if last else "running"
        return record, State(state.iteration + 1, made.phi, made.memory, steps, failures, how)


def _check(config: Config) -> None:
    """Refuse values that mean nothing.

    Raises:
        InvalidTask: names the value and the remedy.
    """
    for name, least in (("iterations", 1), ("tasks", 1), ("trajectories", 1), ("threads", 1)):
        if getattr(config, name) < least:
            raise InvalidTask(f"{name} = {getattr(config, name)}; it must be at least {least}")
    if config.precision not in ("float32", "float64"):
        raise InvalidTask(f"precision is '{config.precision}'; it must be float32 or float64")
    for name in ("alpha", "lam", "divergence", "radius"):
        value = getattr(config, name)
        if value is not None and not (value > 0 and np.isfinite(value)):
            shown = {"lam": "lambda"}.get(name, name)
            raise InvalidTask(f"{shown} = {value} must be positive and finite")
    if config.lam is not None and not valid_lam(config.lam, config.precision):
        raise InvalidTask(f"lambda = {config.lam} is no number in {config.precision}; give a smaller one")
    if not 0 <= config.gae <= 1:
        raise InvalidTask(f"gae = {config.gae} must lie between 0 and 1")
    if config.device.partition(":")[0] not in ("cpu", "cuda"):
        raise InvalidTask(f"device is '{config.device}'; it must be cpu or cuda")
    if config.device.startswith("cuda") and not torch.cuda.is_available():
        raise InvalidTask("device is 'cuda', and torch finds no GPU here; leave the device out")


class ControlRun(ResumableRun[State, Record]):
    """A run in its directory.

    Args:
        path: of the directory.
        trainer: what is run.
        seed: of the generator that the run draws from.
        resume: take up what the directory holds; otherwise it must not exist or be empty.

    Raises:
        InvalidFile: as :class:`~bomrl_theory.meta.resumable.ResumableRun`.
    """

    format = FORMAT
    record = Record
    every = 1

    def __init__(self, path: Path, trainer: Trainer, *, seed: int = 0, resume: bool = False):
        self.trainer = trainer
        rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(3,)))
        settings: dict[str, Any] = {
            **trainer.config.as_json(),
            LEARNER_SETTINGS: trainer.learner.settings(),
            "seed": seed,
            "simulator": trainer.problem.simulator.describe(),
        }
        as_saved = json.loads(json.dumps(settings))
        super().__init__(path, trainer.begin(rng), rng, as_saved, resume=resume)

    def arrays(self, state: State) -> dict[str, Array]:
        counts = {"steps": np.array(state.steps), "failures": np.array(state.failures)}
        memory = {f"{MEMORY}{name}": tensor.cpu().numpy() for name, tensor in state.memory.items()}
        return {PHI: state.phi.cpu().numpy()} | counts | memory

    def restored(self, iteration: int, status: str, arrays: dict[str, Array]) -> State:
        device = self.trainer.config.device
        tensors = {name: torch.from_numpy(np.array(array)) for name, array in arrays.items()}
        lam = tensors.get(MEMORY + LAM)
        if lam is not None and not valid_lam(float(lam), self.trainer.config.precision):
            raise InvalidFile(f"{self.path / CHECKPOINT} holds lambda = {float(lam)}; it is damaged, train anew")
        return State(
            iteration,
            tensors[PHI].to(device),
            {
                name.removeprefix(MEMORY): tensor.to(device) if tensor.ndim else tensor
                for name, tensor in tensors.items()
                if name.startswith(MEMORY)
            },
            int(tensors["steps"]),
            int(tensors["failures"]),
            status,
        )

    def iterations(self, state: State) -> Iterator[tuple[Record, State]]:
        """Every record with the state after it; how long each took is noted besides."""
        timing = Timing(self.path / TIMING, state.iteration)
        for record, following in self.trainer.run(state, self.rng):
            timing.note(record.iteration)
            yield record, following


class Timing:
    """Seconds of each iteration in a file that is no part of what is repeated.

    Args:
        path: of the file.
        iteration: the next one; lines of this one and later ones are dropped.
    """

    def __init__(self, path: Path, iteration: int):
        self.path, self._wall, self._cpu = path, time.perf_counter(), time.process_time()
        lines = path.read_text(encoding="utf-8").splitlines()[1:] if path.exists() else []
        kept = [line for line in lines if line.count(",") == 2 and line.split(",")[0].isdigit()]
        kept = [line for line in kept if int(line.split(",")[0]) < iteration]
        path.write_text("\n".join(["iteration,seconds,cpu_seconds", *kept]) + "\n", encoding="utf-8")

    def note(self, iteration: int) -> None:
        """Append the time since the last call."""
        wall, cpu = time.perf_counter(), time.process_time()
        with self.path.open("a", encoding="utf-8") as file:
            file.write(f"{iteration},{wall - self._wall:.3f},{cpu - self._cpu:.3f}\n")
        self._wall, self._cpu = wall, cpu
