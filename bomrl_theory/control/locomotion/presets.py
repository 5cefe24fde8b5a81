"""What two code bases of the literature take for the same task, so that returns are compared with the right ones.

``finn2017`` is the code of Finn, Abbeel and Levine (2017), https://github.com/cbfinn/maml_rl:
``rllab/envs/mujoco/{half_cheetah,ant}_env_rand{,_direc}.py`` for goals, costs, bonus and end, ``mujoco_env.py`` for the
start (normal, 0.01 and 0.1), ``normalized_env.py`` for actions (cut off at the actuators' range before they cost
anything), ``maml_examples/cluster_maml_trpo_*.py`` for the horizon.

``promp`` is the code of Rothfuss et al. (2019), https://github.com/jonasrothfuss/ProMP:
``meta_policy_search/envs/mujoco_envs/{half_cheetah,ant}_rand_*.py``, ``normalized_env.py`` (its scale 10 means that a
tenth of the action reaches the actuators), ``run_scripts/pro-mp_run_mujoco.py`` for the horizon. It has no Ant that is
to reach a velocity: here that task takes its Ant's costs and finn2017's goals.

What neither decides here: models, observations and the measurement of velocity (displacement in a step of control
divided by 0.05 s) are Gymnasium's v5, where finn2017 appends the centre of mass, rotation and contact forces to
observations and measures velocity at an instant.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from bomrl_theory.errors import UnknownName


@dataclass(frozen=True)
class Preset:
    """A distribution over tasks for one robot.

    Attributes:
        aim: reward of motion, ``-|v - g|`` for a velocity and ``g v`` for a direction.
        goals: g in m/s, uniform between these; for a direction one of these with equal probability.
        control_cost: c in ``-c |u|^2``, with u in [-1, 1] what reaches the actuators.
        contact_cost: c in ``-c |clip(cfrc_ext, -1, 1)|^2``, the external forces and torques on all bodies.
        alive_bonus: earned in every step that is taken, also in the last one.
        action_scale: u = clip(scale * a, -1, 1) for an action a of the policy.
        horizon: steps.
        healthy: heights of the torso in m outside of which a trajectory ends; None: it never ends.
        start: law of the positions' noise at the start, velocities' being normal.
        start_position, start_velocity: half width of a uniform, standard deviation of a normal law.
        gamma: discount.
    """

    aim: Literal["velocity", "direction"]
    goals: tuple[float, float]
    control_cost: float
    horizon: int
    action_scale: float
    contact_cost: float = 0.0
    alive_bonus: float = 0.0
    healthy: tuple[float, float] | None = None
    start: Literal["uniform", "normal"] = "uniform"
    start_position: float = 0.1
    start_velocity: float = 0.1
    gamma: float = 0.99


_FINN_CHEETAH = Preset(
    "velocity", (0.0, 2.0), control_cost=0.05, horizon=200, action_scale=1.0, start="normal", start_position=0.01
)
_FINN_ANT = replace(
    _FINN_CHEETAH,
    goals=(0.0, 3.0),
    control_cost=0.005,
    contact_cost=5e-4,
    alive_bonus=1.05,  # 1 "to make it happy, not suicidal", 0.05 for survival
    healthy=(0.2, 1.0),
)
_PROMP_CHEETAH = Preset("velocity", (0.0, 3.0), control_cost=0.05, horizon=100, action_scale=0.1)
_PROMP_ANT = replace(_PROMP_CHEETAH, control_cost=0.5, contact_cost=5e-4, alive_bonus=1.0, healthy=(0.0, 1.0))
BACK_AND_FORTH = (-1.0, 1.0)

PRESETS: dict[str, dict[str, Preset]] = {
    "finn2017": {
        "half-cheetah-vel": _FINN_CHEETAH,
        "half-cheetah-dir": replace(_FINN_CHEETAH, aim="direction", goals=BACK_AND_FORTH),
        "ant-vel": _FINN_ANT,
        "ant-dir": replace(_FINN_ANT, aim="direction", goals=BACK_AND_FORTH, alive_bonus=0.05),
    },
    "promp": {
        "half-cheetah-vel": _PROMP_CHEETAH,
        "half-cheetah-dir": replace(_PROMP_CHEETAH, aim="direction", goals=BACK_AND_FORTH),
        "ant-vel": _PROMP_ANT,
        "ant-dir": replace(_PROMP_ANT, aim="direction", goals=BACK_AND_FORTH),
    },
}


def preset_named(name: str, task: str) -> Preset:
    """The preset's numbers for one task.

    Raises:
        UnknownName: no such preset or no such task.
    """
    if name not in PRESETS:
        raise UnknownName("preset", name, PRESETS)
    if task not in PRESETS[name]:
        raise UnknownName("locomotion task", task, PRESETS[name])
    return PRESETS[name][task]
