"""What a robot adds to N simulations: what is observed of them and what rewards are made of."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from jaxtyping import Float
from mujoco.batch import Batch as Simulations

from bomrl_theory.numbers import Array


class Robot:
    """N simulations of one robot, seen through arrays that follow them.

    Attributes:
        file: the model's name among Gymnasium's assets.
        hidden: leading coordinates of ``qpos``, the place on the plane, that are not observed.
        view_distance, view_elevation: from where pictures are taken, in m and degrees.
    """

    file: ClassVar[str]
    hidden: ClassVar[int]
    view_distance: ClassVar[float] = 3.0
    view_elevation: ClassVar[float] = -10.0

    def __init__(self, simulations: Simulations):
        self.qpos: Array = simulations.bind("qpos")
        self.qvel: Array = simulations.bind("qvel")
        self.observations = self.qpos.shape[1] - self.hidden + self.qvel.shape[1]

    def observe(self, into: Float[Array, "N O"]) -> None:
        """Write positions, but for the place on the plane, then velocities."""
        positions = self.qpos.shape[1] - self.hidden
        into[:, :positions] = self.qpos[:, self.hidden :]
        into[:, positions:] = self.qvel

    def position(self) -> Float[Array, " N"]:
        """Where Gymnasium measures forward velocity, in m; as the last call to the simulator left it."""
        raise NotImplementedError

    def height(self) -> Float[Array, " N"]:
        """Of the torso, in m."""
        raise NotImplementedError

    def contact(self) -> Float[Array, " N"]:
        """Squared norm of the external forces and torques on all bodies, each cut off at 1 N or 1 N m."""
        raise NotImplementedError


def squared_contact(forces: Float[Array, "N bodies 6"]) -> Float[Array, " N"]:
    """``|clip(forces, -1, 1)|^2``."""
    cut = np.clip(forces, -1.0, 1.0)
    return np.einsum("nbf,nbf->n", cut, cut)
