"""A cheap family of control tasks: a point in the plane is pushed towards a goal."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from jaxtyping import Float
from torch import Tensor

from bomrl_theory.control.batch import Batch
from bomrl_theory.control.catalogue import SIMULATORS, Entry
from bomrl_theory.control.policy import Policy
from bomrl_theory.numbers import Array


class PointMass:
    """``x' = x + 0.2 clip(a)``, reward ``-|x' - goal|``; goals on a half circle of radius 1, observed is only x.

    Args:
        horizon: steps.
        broken: so many rollouts are fine, later ones have rewards that are not numbers; None: all are fine.
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
        goal = torch.as_tensor(tasks[:, None]).to(theta)
        draws = rng.standard_normal((self.horizon + 1, len(tasks), trajectories, 2))
        noise = torch.as_tensor(draws).to(theta)
        x = [0.1 * noise[-1]]
        actions, rewards, density = [], [], []
        with torch.no_grad():
            for step in noise[:-1]:
                actions.append(policy.act(theta, x[-1], step))
                density.append(policy.distribution(theta, x[-1]).log_prob(actions[-1]))
                x.append(x[-1] + 0.2 * actions[-1].clamp(-1, 1))
                rewards.append(-(x[-1] - goal).norm(dim=-1))
        self.rollouts += 1
        if self.broken is not None and self.rollouts > self.broken:
            rewards[-1] = rewards[-1] * torch.nan
        earned = torch.stack(rewards, 2)
        return Batch(
            observations=torch.stack(x, 2),
            actions=torch.stack(actions, 2),
            rewards=earned,
            alive=torch.ones_like(earned, dtype=torch.bool),
            log_density=torch.stack(density, 2),
        )

    def describe(self) -> dict[str, Any]:
        return {"name": self.name, "horizon": self.horizon}


def register(patch: pytest.MonkeyPatch | None = None) -> None:
    """Make it known by its name; in this process for the length of a test, or for good."""
    entry = Entry(PointMass, "a point in the plane is pushed towards a goal")
    if patch is None:
        SIMULATORS[PointMass.name] = entry
    else:
        patch.setitem(SIMULATORS, PointMass.name, entry)
