"""The ant: 27 observations, 8 actions; it may fall, and touching things costs."""

from __future__ import annotations

from jaxtyping import Float
from mujoco.batch import Batch as Simulations

from bomrl_theory.control.locomotion.robot import Robot, squared_contact
from bomrl_theory.numbers import Array


class Ant(Robot):
    """Ant-v5 of Gymnasium with ``include_cfrc_ext_in_observation=False``: qpos without x and y, and qvel.

    Its 78 contact forces are left out: they are zero but for the feet, and not part of the Markov state.

    The velocity is measured on the torso's ``xpos``, which after a Runge-Kutta step is that of its last stage, as
    in Gymnasium. Contact forces are those of the state that is reached (forward dynamics, as finn2017's code calls
    before it reads them); Ant-v5 reads those of the last Runge-Kutta stage, which belong to no state of the trajectory.
    Under an untrained policy the two costs differ by 1e-4 to 7e-4 a step, their means (7e-4 to 2e-3) by a tenth.
    """

    file = "ant.xml"
    hidden = 2
    view_distance = 4.0
    view_elevation = -25.0

    def __init__(self, simulations: Simulations):
        super().__init__(simulations)
        self.xpos: Array = simulations.bind("xpos")
        self.cfrc_ext: Array = simulations.bind("cfrc_ext")

    def position(self) -> Float[Array, " N"]:
        return self.xpos[:, 1, 0]

    def height(self) -> Float[Array, " N"]:
        return self.qpos[:, 2]

    def contact(self) -> Float[Array, " N"]:
        return squared_contact(self.cfrc_ext)
