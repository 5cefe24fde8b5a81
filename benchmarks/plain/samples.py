"""What a task's trajectories are turned into: advantages by a fitted linear baseline, standardised."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Trajectories:
    """Of one task, all of full length.

    Attributes:
        observations: [R, H, O]. actions: [R, H, A]. rewards: [R, H].
    """

    observations: Tensor
    actions: Tensor
    rewards: Tensor


@dataclass(frozen=True, eq=False)
class Samples:
    """The N = R H steps of one task: observations [N, O], actions [N, A], standardised advantages [N]."""

    observations: Tensor
    actions: Tensor
    advantages: Tensor


def discounted_sums(x: Tensor, gamma: float) -> Tensor:
    """``y_t = x_t + gamma y_{t+1}`` along the last axis."""
    total, sums = torch.zeros_like(x[..., 0]), []
    for t in range(x.shape[-1] - 1, -1, -1):
        total = x[..., t] + gamma * total
        sums.append(total)
    return torch.stack(sums[::-1], dim=-1)


def baseline(observations: Tensor, targets: Tensor, ridge: float) -> Tensor:
    """Targets [R, H] as a linear function of observations, their squares and powers of time, by ridge regression."""
    x = observations.clamp(-10, 10)
    time = torch.arange(x.shape[1], dtype=x.dtype) / x.shape[1]
    powers = torch.stack([torch.ones_like(time), time, time**2, time**3], dim=-1)
    design = torch.cat([x, x**2, powers.expand(len(x), -1, -1)], dim=-1).flatten(0, 1)
    kept = design.double()
    gram = kept.T @ kept
    gram = gram + ridge * gram.diagonal().mean() * torch.eye(len(gram), dtype=gram.dtype)
    fitted = torch.linalg.solve(gram, kept.T @ targets.flatten().double())
    return (design @ fitted.to(design.dtype)).view_as(targets)


def samples_of(trajectories: Trajectories, gamma: float, ridge: float) -> Samples:
    """With the return less the baseline as advantage (generalised advantage estimation with lambda 1)."""
    rewards = trajectories.rewards
    values = baseline(trajectories.observations, discounted_sums(rewards, gamma), ridge)
    after = torch.cat([values[:, 1:], torch.zeros_like(values[:, :1])], dim=1)
    advantages = discounted_sums(rewards + gamma * after - values, gamma).flatten()
    advantages = (advantages - advantages.mean()) / advantages.std(correction=0)
    return Samples(trajectories.observations.flatten(0, 1), trajectories.actions.flatten(0, 1), advantages)
