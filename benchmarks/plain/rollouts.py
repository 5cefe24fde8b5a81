"""Gymnasium's ``SyncVectorEnv`` of HalfCheetah-v5 or Ant-v5 under a wrapper that gives the goal's reward."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np

ENVIRONMENTS: dict[str, tuple[str, dict[str, Any]]] = {
    "half-cheetah-vel": ("HalfCheetah-v5", {"ctrl_cost_weight": 0.05}),
    "ant-vel": (
        "Ant-v5",
        {"ctrl_cost_weight": 0.5, "healthy_z_range": (0.0, 1.0), "include_cfrc_ext_in_observation": False},
    ),
}


class Goal(gymnasium.Wrapper):
    """A robot that is to run at a velocity, with actions in tenths as in ProMP's code."""

    def __init__(self, env: Any, goal: float):
        super().__init__(env)
        self.goal = goal

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        action = np.clip(0.1 * action, -1, 1)
        observation, _, terminated, truncated, info = self.env.step(action)
        reward = -abs(info["x_velocity"] - self.goal) + info["reward_ctrl"]
        reward += info.get("reward_contact", 0.0) + info.get("reward_survive", 0.0)
        return observation, reward, terminated, truncated, info


def environments_of(task: str, goals: Any) -> gymnasium.vector.SyncVectorEnv:
    """One environment for each goal."""
    name, settings = ENVIRONMENTS[task]
    environments = gymnasium.vector.SyncVectorEnv(
        [lambda goal=goal: Goal(gymnasium.make(name, **settings), goal) for goal in goals]
    )
    environments.reset(seed=0)
    return environments
