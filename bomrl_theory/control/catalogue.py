"""Distributions over continuous-control tasks by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from bomrl_theory.control.simulator import Simulator
from bomrl_theory.errors import UnknownName


def _locomotion(
    task: str,
    *,
    preset: str = "promp",
    horizon: int | None = None,
    gamma: float | None = None,
    integrator: str | None = None,
    threads: int | None = None,
) -> Simulator:
    from bomrl_theory.control.locomotion.rollout import Locomotion

    return Locomotion(task, preset, horizon=horizon, gamma=gamma, integrator=integrator, threads=threads)


@dataclass(frozen=True)
class Entry:
    """One named distribution: how to build it and what it is."""

    build: Callable[..., Simulator]
    summary: str


SIMULATORS: dict[str, Entry] = {
    "half-cheetah-vel": Entry(partial(_locomotion, "half-cheetah-vel"), "half-cheetah, runs at a goal velocity"),
    "half-cheetah-dir": Entry(partial(_locomotion, "half-cheetah-dir"), "half-cheetah, runs forwards or backwards"),
    "ant-vel": Entry(partial(_locomotion, "ant-vel"), "ant, runs at a goal velocity"),
    "ant-dir": Entry(partial(_locomotion, "ant-dir"), "ant, runs forwards or backwards"),
}


def simulator_named(name: str, **settings: Any) -> Simulator:
    """Build the distribution that ``name`` stands for.

    Args:
        name: one of :data:`SIMULATORS`.
        settings: for example ``preset="promp", horizon=100, threads=2``; what is left out has the entry's default.

    Raises:
        UnknownName: no such distribution, setting or preset (offers close names).
        InvalidTask: a setting's value is out of range.
        MissingExtra: a package that it needs is not installed.
    """
    if name not in SIMULATORS:
        raise UnknownName("continuous-control task", name, SIMULATORS)
    build = SIMULATORS[name].build
    known = inspect.signature(build).parameters
    for setting in settings:
        if setting not in known:
            raise UnknownName(f"setting of {name}", setting, known)
    return build(**settings)
