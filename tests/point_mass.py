"""A cheap family of control tasks: a point in the plane is pushed towards a goal, or along a direction."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from bomrl_theory.control.batch import Batch
from bomrl_theory.control.policy import Policy
from bomrl_theory.numbers import Array


class PointMass:
    """``x' = x + 0.2 clip(a)``, reward ``-|x' - goal|``; goals on a circle of radius 1, observed is only x.

    Args:
        horizon: steps.
        broken: from this rollout on rewards are not a number; None for never.
    """

    name = "point-mass"
    observations = actions = 2
    gamma = 0.95

    def __init__(self, horizon: int = 10, broken: int | None = None):
        self.horizon, self.broken, self.rollouts = horizon, broken, 0

    def draw_tasks(self, count: int, rng: np.random.Generator) -> Array:
        angle = rng.uniform(0, np.pi, count)
        return np.stack([np.cos(angle), np.sin(angle)], axis=1)

    def rollout(
        self, policy: Policy, theta: Float[Tensor, "T P"], tasks: Array, trajectories: int, rng: np.random.Generator
    ) -> Batch:
        T, R, H = len(tasks), trajectories, self.horizon
        goal = torch.as_tensor(tasks[:, None], dtype=theta.dtype)
        draws = rng.standard_normal((H + 1, T, R, 2))
        noise = torch.as_tensor(draws, dtype=theta.dtype)
        x = [0.1 * noise[H]]
        actions, rewards, density = [], [], []
        with torch.no_grad():
            for h in range(H):
                action = policy.act(theta, x[-1], noise[h])
                density.append(policy.distribution(theta, x[-1]).log_prob(action))
                actions.append(action)
                x.append(x[-1] + 0.2 * action.clamp(-1, 1))
                rewards.append(-(x[-1] - goal).norm(dim=-1))
        self.rollouts += 1
        if self.broken is not None and self.rollouts > self.broken:
            rewards[-1] = rewards[-1] * float("nan")
        alive = torch.ones(T, R, H, dtype=torch.bool)
        return Batch(
            torch.stack(x, 2), torch.stack(actions, 2), torch.stack(rewards, 2), alive, torch.stack(density, 2)
        )

    def describe(self) -> dict[str, Any]:
        return {"name": self.name, "horizon": self.horizon}
