"""Locomotion: distributions over tasks for the robots of Gymnasium's MuJoCo environments.

Needs the extra ``mujoco``, which pins the simulator: its versions give different trajectories.
"""

import importlib.util

from bomrl_theory.errors import MissingExtra

for _package in ("mujoco", "gymnasium"):
    if importlib.util.find_spec(_package) is None:
        raise MissingExtra(_package, "mujoco")
