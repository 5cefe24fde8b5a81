"""What ``bomrl train --control`` and ``bomrl adapt`` do, apart from the terminal."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bomrl_theory.control.adaptation import LOWER_LEVELS
from bomrl_theory.control.catalogue import SIMULATORS, simulator_named
from bomrl_theory.control.config import Config
from bomrl_theory.control.evaluate import Line, Measured, Trained
from bomrl_theory.control.simulator import Simulator
from bomrl_theory.control.train import ControlRun, Trainer
from bomrl_theory.errors import InvalidFile, InvalidTask
from bomrl_theory.meta.resumable import CHECKPOINT, LOG

SMOKE: dict[str, Any] = {"iterations": 20, "tasks": 10, "trajectories": 10}
"""A size that learns measurably in about a minute on two cores."""
RETURNS = ("return_before", "return_after")
OF_THE_SIMULATOR = ("preset", "horizon")
"""Options that are handed on to it where they are given."""


def trainer_of(name: str, options: Mapping[str, Any], *, smoke: bool = False) -> Trainer:
    """What the options say.

    Args:
        name: of the simulator.
        options: of the simulator and of :class:`~bomrl_theory.control.config.Config`, None where not given.
        smoke: take the small size for what is not given.

    Raises:
        UnknownName, InvalidTask: as the simulator and the trainer; or an option says nothing about this learner.
    """
    given = {name: value for name, value in options.items() if value is not None}
    simulated = {name: given.pop(name) for name in OF_THE_SIMULATOR if name in given}
    # Trajectories do not depend on the simulator's threads, so that by default it takes all there are.
    if "threads" in given and "threads" in _settings(name):
        simulated["threads"] = given["threads"]
    trainer = Trainer(simulator_named(name, **simulated), Config(**((SMOKE if smoke else {}) | given)))
    algorithm = trainer.config.algorithm
    for option, wanted in (("alpha", ("policy-gradient",)), ("lam", LOWER_LEVELS), ("divergence", LOWER_LEVELS)):
        if option in given and algorithm not in wanted:
            told = {"lam": "lambda"}.get(option, option)
            raise InvalidTask(
                f"{told} says nothing about '{trainer.config.learner}', which adapts by {algorithm}; leave it out"
            )
    if "lam" in given and "divergence" in given:
        raise InvalidTask("lambda and divergence both say how far tasks adapt; give one of them")
    return trainer


def _settings(name: str) -> Mapping[str, Any]:
    """What a simulator can be told; nothing for one that is not known."""
    return inspect.signature(SIMULATORS[name].build).parameters if name in SIMULATORS else {}


def described(description: Mapping[str, Any]) -> Simulator:
    """The simulator that a checkpoint's description speaks of, as far as this installation has it.

    Raises:
        InvalidFile: it has none of that name.
    """
    name, _, rest = str(description["name"]).partition(":")
    if name not in SIMULATORS:
        raise InvalidFile(f"the checkpoint is of the tasks '{name}', which are not known here; train anew")
    known = _settings(name)
    settings = {setting: value for setting, value in description.items() if setting in known and setting != "name"}
    return simulator_named(name, **(settings | dict(part.split("=", 1) for part in rest.split(",") if part)))


def training_json(run: ControlRun, picture: Path | None) -> dict[str, Any]:
    """The stable JSON contract of ``bomrl train --control --json``."""
    log, status = run.log(), run.state.status
    first, last = (
        {name: value if math.isfinite(value := getattr(record, name)) else None for name in RETURNS}
        for record in (log[0], log[-1])
    )
    return {
        "simulator": run.settings["simulator"]["name"],
        "config": run.trainer.config.as_json(),
        "seed": run.settings["seed"],
        "status": status,
        "iterations": run.state.iteration,
        "environment_steps": run.state.steps,
        "first": first,
        "last": last,
        "files": {
            "log": str(run.path / LOG),
            "checkpoint": str(run.path / CHECKPOINT),
            "learning_curve": None if picture is None else str(picture),
        },
        "exit_code": 1 if status.startswith("stopped") else 0,
    }


def adapted_json(measured: Sequence[Measured], lines: Sequence[Line], seed: int) -> dict[str, Any]:
    """The stable JSON contract of ``bomrl adapt --json``."""
    return {
        "seed": seed,
        "runs": [
            {
                "path": str(one.run.path),
                "learner": one.run.problem.config.learner,
                "seed": one.run.settings["seed"],
                "simulator": one.run.problem.simulator.name,
                "environment_steps": one.run.steps,
                "returns": one.returns.mean(1).tolist(),
            }
            for one in measured
        ],
        "lines": [asdict(line) for line in lines],
    }


def load_runs(paths: Sequence[Path]) -> list[Trained]:
    """Meta-policies of several runs.

    Raises:
        InvalidFile, InvalidTask: as :meth:`~bomrl_theory.control.evaluate.Trained.load`.
    """
    return [Trained.load(path, described) for path in paths]
