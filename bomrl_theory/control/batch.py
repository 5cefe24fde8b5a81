"""The data that adaptation works on: trajectories of every task, collected once."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Batch:
    """Trajectories of T tasks, R of each, of at most H steps.

    Attributes:
        observations: [T, R, H + 1, O], finite, also after the end; the last one is where the trajectory ended.
        actions: [T, R, H, A], as the policy drew them, before any clipping by the task.
        rewards: [T, R, H]; 0 after the end.
        alive: [T, R, H], whether the step was taken; a trajectory that ends in failure is followed by False.
        log_density: [T, R, H], of the action under the policy that drew it.
        unstable: [T, R], whether the simulator gave the trajectory up; it is dead from that step on. None where that
            cannot happen.
    """

    observations: Float[Tensor, "T R _ O"]
    actions: Float[Tensor, "T R H A"]
    rewards: Float[Tensor, "T R H"]
    alive: Bool[Tensor, "T R H"]
    log_density: Float[Tensor, "T R H"]
    unstable: Bool[Tensor, "T R"] | None = None

    @property
    def tasks(self) -> int:
        return self.rewards.shape[0]

    @property
    def steps(self) -> int:
        """Steps that were taken in all tasks together."""
        return int(self.alive.sum())

    @property
    def failed(self) -> Bool[Tensor, "T R H"]:
        """Whether the trajectory ended with this step, by failure and not by the horizon."""
        ended = ~self.alive[..., 1:] & self.alive[..., :-1]
        return torch.cat([ended, torch.zeros_like(self.alive[..., :1])], dim=-1)

    @property
    def finite(self) -> Bool[Tensor, " T"]:
        """Whether everything of a task is finite."""
        return torch.stack(
            [x.flatten(1).isfinite().all(-1) for x in (self.observations, self.actions, self.rewards)]
        ).all(0)

    def without(self, tasks: Bool[Tensor, " T"]) -> Batch:
        """The same with zeros in place of some tasks' data."""
        mask = tasks[:, None, None]
        return replace(
            self,
            observations=self.observations.masked_fill(mask[..., None], 0),
            actions=self.actions.masked_fill(mask[..., None], 0),
            rewards=self.rewards.masked_fill(mask, 0),
        )

    @property
    def returns(self) -> Float[Tensor, "T R"]:
        """Undiscounted return of every trajectory."""
        return (self.rewards * self.alive).sum(-1)
