"""A rollout of one trajectory of each task, with pictures: what figures and animations are made of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from bomrl_theory.control.locomotion.camera import Camera
from bomrl_theory.control.locomotion.rollout import Locomotion
from bomrl_theory.control.policy import Policy
from bomrl_theory.errors import InvalidTask
from bomrl_theory.numbers import Array


@dataclass(frozen=True, eq=False)
class Film:
    """T trajectories in K pictures each.

    Attributes:
        name: of the task distribution.
        aim: ``velocity`` or ``direction``.
        goals: [T], in m/s or as the sign of the direction.
        pictures: [T, K, height, width, 3].
        steps: [K], after how many steps of control each was taken.
        position: [T, H + 1], of the torso along x, in m.
        steps_taken: [T], before the trajectory ended; H where it did not.
        dt: of a step of control, in s.
    """

    name: str
    aim: str
    goals: Float[Array, " T"]
    pictures: UInt8[Array, "T K height width 3"]
    steps: Int[Array, " K"]
    position: Float[Array, "T moments"]
    steps_taken: Int[Array, " T"]
    dt: float

    def velocity(self, task: int, start: int, stop: int) -> float:
        """Mean velocity between two numbers of steps, in m/s; 0 where they are the same."""
        if start == stop:
            return 0.0
        return float(self.position[task, stop] - self.position[task, start]) / ((stop - start) * self.dt)


def film(
    simulator: Locomotion,
    policy: Policy,
    theta: Float[Tensor, "T P"],
    tasks: Float[Array, "T 1"],
    rng: np.random.Generator,
    *,
    every: int = 2,
    height: int = 300,
    width: int = 400,
) -> Film:
    """Roll out parameters on their tasks, one trajectory each, and take a picture after every few steps.

    Args:
        simulator, policy, theta, tasks, rng: as for :meth:`Locomotion.rollout`; theta is adapted to its task, or not.
        every: steps between pictures.
        height, width: in pixels.

    Raises:
        InvalidTask: a number is out of range.
        MissingLibrary: OpenGL is not there (tells how to install it).
    """
    if every < 1 or every > simulator.horizon:
        raise InvalidTask(f"every is {every}; pictures are taken every 1 to {simulator.horizon} steps")
    seen: list[Array] = []
    with Camera(
        simulator.model, height, width, simulator.robot.view_distance, simulator.robot.view_elevation
    ) as camera:
        batch = simulator.rollout(policy, theta, tasks, 1, rng, watch=lambda qpos: seen.append(qpos.copy()))
        steps = np.arange(0, simulator.horizon + 1, every)
        pictures = np.stack([[camera.picture(seen[step][task]) for step in steps] for task in range(len(tasks))])
    return Film(
        name=simulator.name,
        aim=simulator.preset.aim,
        goals=tasks[:, 0],
        pictures=pictures,
        steps=steps,
        position=np.stack([qpos[:, 0] for qpos in seen], axis=1),
        steps_taken=batch.alive[:, 0].sum(-1).cpu().numpy(),
        dt=simulator.dt,
    )
