"""Rewards of whole rollouts at once."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from bomrl_theory.control.locomotion.presets import Preset
from bomrl_theory.numbers import Array


def motion(preset: Preset, velocity: Float[Array, "*batch N"], goals: Float[Array, " N"]) -> Float[Array, "*batch N"]:
    """``-|v - g|`` where a velocity is the aim, ``g v`` where a direction is; velocities in m/s."""
    if preset.aim == "velocity":
        return -np.abs(velocity - goals)
    return goals * velocity


def rewards(
    preset: Preset,
    velocity: Float[Array, "H N"],
    controls: Float[Array, "H N A"],
    contact: Float[Array, "H N"],
    goals: Float[Array, " N"],
) -> Float[Array, "H N"]:
    """What each step earns: motion, minus the costs of control and contact, plus the bonus for being alive.

    Args:
        preset: weights.
        velocity: along x, in m/s.
        controls: what reached the actuators.
        contact: squared contact forces, each cut off at 1.
        goals: one for each simulation.
    """
    earned = motion(preset, velocity, goals)
    earned -= preset.control_cost * np.einsum("tna,tna->tn", controls, controls)
    earned -= preset.contact_cost * contact
    earned += preset.alive_bonus
    return earned
