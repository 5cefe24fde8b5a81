"""Closed-loop rollouts of all tasks and trajectories together, on ``mujoco.batch``.

One call of the policy gives the actions of all simulations, one call of the simulator takes its five steps in all of
them on a pool of threads. Trajectories are those of Gymnasium's environments to the last bit, whatever the number of
threads.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from bomrl_theory.control.batch import Batch
from bomrl_theory.control.locomotion.ant import Ant
from bomrl_theory.control.locomotion.half_cheetah import HalfCheetah
from bomrl_theory.control.locomotion.models import (
    FRAME_SKIP,
    NO_STAGE,
    integrator_of,
    model_named,
    simulations_of,
    unheard_warnings,
    versions,
)
from bomrl_theory.control.locomotion.presets import Preset, preset_named
from bomrl_theory.control.locomotion.recording import Recording
from bomrl_theory.control.locomotion.rewards import rewards
from bomrl_theory.control.locomotion.robot import Robot
from bomrl_theory.control.policy import Policy
from bomrl_theory.errors import InvalidTask
from bomrl_theory.numbers import Array

ROBOTS: dict[str, type[Robot]] = {"half-cheetah": HalfCheetah, "ant": Ant}


class Locomotion:
    """A robot that is to run at a velocity or in a direction, which is the task.

    Args:
        task: ``half-cheetah-vel``, ``half-cheetah-dir``, ``ant-vel`` or ``ant-dir``.
        preset: ``finn2017`` or ``promp``.
        horizon: H; the preset's when left out.
        gamma: discount; the preset's when left out.
        integrator: in place of the model's own: ``implicitfast`` moves the ant in a third of the computing time,
            but not the same way.
        threads: of the simulator; by default one for each processor. Results do not depend on it.

    Raises:
        UnknownName: no such task or preset.
        InvalidTask: a number is out of range.
    """

    def __init__(
        self,
        task: str,
        preset: str = "promp",
        *,
        horizon: int | None = None,
        gamma: float | None = None,
        integrator: str | None = None,
        threads: int | None = None,
    ):
        self.preset: Preset = preset_named(preset, task)
        self.name = f"{task}:preset={preset}"
        self.horizon = self.preset.horizon if horizon is None else _at_least_one("horizon", horizon)
        self.gamma = self.preset.gamma if gamma is None else float(gamma)
        if not 0 <= self.gamma <= 1:
            raise InvalidTask(f"gamma is {gamma!r}; a discount lies between 0 and 1")
        self.threads = _processors() if threads is None else _at_least_one("threads", threads)
        self.robot = ROBOTS[task.rpartition("-")[0]]
        self.model = model_named(self.robot.file, contact_forces=self.preset.contact_cost != 0, integrator=integrator)
        self.integrator = integrator_of(self.model)
        self.observations: int = self.model.nq + self.model.nv - self.robot.hidden
        self.actions: int = self.model.nu
        self.dt: float = self.model.opt.timestep * FRAME_SKIP
        self._pool = simulations_of(self.model, 1, self.threads)

    def draw_tasks(self, count: int, rng: np.random.Generator) -> Float[Array, "T 1"]:
        """Goals, in m/s or as the sign of the direction."""
        if self.preset.aim == "velocity":
            return rng.uniform(*self.preset.goals, size=(count, 1))
        return rng.choice(self.preset.goals, size=(count, 1))

    def start_states(self, count: int, rng: np.random.Generator) -> tuple[Float[Array, "N nq"], Float[Array, "N nv"]]:
        """Noisy copies of the model's own position at rest; all positions are drawn before all velocities."""
        preset, model = self.preset, self.model
        if preset.start == "uniform":
            noise = rng.uniform(-preset.start_position, preset.start_position, (count, model.nq))
        else:
            noise = preset.start_position * rng.standard_normal((count, model.nq))
        return model.qpos0 + noise, preset.start_velocity * rng.standard_normal((count, model.nv))

    def rollout(
        self,
        policy: Policy,
        theta: Float[Tensor, "T P"],
        tasks: Float[Array, "goals 1"],
        trajectories: int,
        rng: np.random.Generator,
        watch: Callable[[Float[Array, "N nq"]], object] | None = None,
    ) -> Batch:
        """Run a policy's parameters of each task on that task, R times each.

        What the generator draws, in this order: start states, then the noise of all actions [H, T, R, A]. A trajectory
        that MuJoCo calls unstable, or whose state is not finite, is dead from that step on and marked as unstable.

        Args:
            policy: what turns parameters and observations into actions.
            theta: parameters for each task; their dtype and device are those of the result.
            tasks: goals, as :meth:`draw_tasks` returns them.
            trajectories: R.
            rng: NumPy's.
            watch: is shown the positions of all simulations at the start and after every step; the array changes.

        Raises:
            InvalidTask: sizes do not fit, or parameters or actions are not finite (names the task).
        """
        T, R, H, A = len(theta), _at_least_one("trajectories", trajectories), self.horizon, self.actions
        goals = self._checked(policy, theta, tasks)
        if self._pool.nsim != T * R:
            self._pool = simulations_of(self.model, T * R, self.threads)
        pool, robot = self._pool, self.robot(self._pool)
        low, high = self.model.actuator_ctrlrange.T

        with _one_torch_thread(), unheard_warnings():  # which are read from the pool
            pool.reset(stage=NO_STAGE)
            robot.qpos[:], robot.qvel[:] = self.start_states(T * R, rng)
            noise = torch.from_numpy(rng.standard_normal((H, T, R, A), dtype=_numpy_dtype(theta))).to(theta)
            pool.forward()
            record = Recording(robot, theta, H, R, A)
            if watch:
                watch(robot.qpos)
            for t in range(H):
                with torch.no_grad():
                    record.actions[t] = policy.act(theta, record.observations[t], noise[t])
                controls = record.controls[t]
                drawn = record.actions[t].reshape(T * R, A).numpy(force=True)
                np.multiply(drawn, self.preset.action_scale, out=controls)
                self._check_actions(controls, R, t)
                np.clip(controls, low, high, out=controls)
                pool.ctrl = controls
                living = record.alive[t].copy()
                if living.any():
                    pool.step(living, nstep=FRAME_SKIP)
                failed = self._failed(robot, living)
                # Dynamics at the new state move the place where Gymnasium measures.
                record.step(t, failed, robot.position(), self._healthy(robot))
                if self.preset.contact_cost and record.alive[t].any():
                    pool.forward(record.alive[t])
                    record.contact[t] = robot.contact()
                if watch:
                    watch(robot.qpos)
        velocity = np.diff(record.positions, axis=0) / self.dt
        earned = rewards(self.preset, velocity, record.controls, record.contact, np.repeat(goals, R))
        return record.batch(policy, theta, earned)

    def describe(self) -> dict[str, Any]:
        """The preset's numbers, the versions of the simulator and everything else that decides trajectories."""
        return {
            "name": self.name,
            **asdict(self.preset),
            "horizon": self.horizon,
            "gamma": self.gamma,
            "model": self.robot.file,
            "integrator": self.integrator,
            "frame_skip": FRAME_SKIP,
            "dt": self.dt,
            **versions(),
        }

    def _failed(self, robot: Robot, living: Bool[Array, " N"]) -> Bool[Array, " N"]:
        """Simulations that MuJoCo has warned of (it resets them without a word otherwise) or that are not finite."""
        warned = self._pool.warning[:, :, 1].any(axis=1)
        finite = np.isfinite(robot.qpos).all(axis=1) & np.isfinite(robot.qvel).all(axis=1)
        return living & (warned | ~finite)

    def _healthy(self, robot: Robot) -> Bool[Array, " N"]:
        if self.preset.healthy is None:
            return np.ones(self._pool.nsim, dtype=bool)
        low, high = self.preset.healthy
        height = robot.height()
        return (low <= height) & (height <= high)

    def _checked(self, policy: Policy, theta: Tensor, tasks: Array) -> Float[Array, " T"]:
        """The goals, once everything fits."""
        if (policy.observations, policy.actions) != (self.observations, self.actions):
            raise InvalidTask(
                f"the policy maps {policy.observations} observations to {policy.actions} actions; "
                f"{self.name} has {self.observations} and {self.actions}"
            )
        if theta.shape != (len(tasks), policy.parameters):
            raise InvalidTask(
                f"theta has shape {list(theta.shape)}; {len(tasks)} tasks and {policy.parameters} parameters need "
                f"[{len(tasks)}, {policy.parameters}]"
            )
        if tasks.shape[1:] != (1,) or not len(tasks) or not np.isfinite(tasks).all():
            raise InvalidTask(f"tasks of {self.name} are finite goals of shape [T, 1], not {tasks!r:.80}")
        bad = (~torch.isfinite(theta).all(-1)).nonzero()
        if len(bad):
            raise InvalidTask(f"theta of task {int(bad[0])} is not finite; use a smaller step in adaptation")
        return tasks[:, 0]

    def _check_actions(self, controls: Float[Array, "N A"], trajectories: int, step: int) -> None:
        finite = np.isfinite(controls).all(axis=1)
        if not finite.all():
            task, trajectory = divmod(int(np.flatnonzero(~finite)[0]), trajectories)
            raise InvalidTask(
                f"the policy's action is not finite on task {task}, trajectory {trajectory}, step {step}; "
                "its parameters or scale are too large"
            )


@contextmanager
def _one_torch_thread() -> Iterator[None]:
    """Between two products torch's threads spin, on the processors that the simulator's threads need."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _at_least_one(name: str, value: int) -> int:
    if isinstance(value, bool) or int(value) != value or value < 1:
        raise InvalidTask(f"{name} is {value!r}; it must be a whole number of at least 1")
    return int(value)


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _numpy_dtype(theta: Tensor) -> Any:
    return np.float32 if theta.dtype == torch.float32 else np.float64
