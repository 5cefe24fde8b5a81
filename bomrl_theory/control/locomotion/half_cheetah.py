"""The half-cheetah: 17 observations, 6 actions."""

from __future__ import annotations

from jaxtyping import Float

from bomrl_theory.control.locomotion.robot import Robot
from bomrl_theory.numbers import Array


class HalfCheetah(Robot):
    """HalfCheetah-v5 of Gymnasium: its default observation (qpos without x, qvel), its velocity from ``qpos[0]``."""

    file = "half_cheetah.xml"
    hidden = 1

    def position(self) -> Float[Array, " N"]:
        return self.qpos[:, 0]
