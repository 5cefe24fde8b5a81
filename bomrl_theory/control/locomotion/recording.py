"""What a rollout writes down, step by step, and the batch that it becomes."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from bomrl_theory.control.batch import Batch
from bomrl_theory.control.locomotion.robot import Robot
from bomrl_theory.control.policy import Policy
from bomrl_theory.numbers import Array


class Recording:
    """Buffers for H steps of N = T R simulations; time comes first, so that a step writes one block.

    Attributes:
        observations, actions: [H + 1, T, R, O] and [H, T, R, A], in the dtype and on the device of the policy.
        controls: [H, N, A], what reached the actuators.
        positions: [H + 1, N], in m.
        contact: [H, N], squared contact forces.
        alive: [H + 1, N], whether the step is taken.
        unstable: [N].
    """

    def __init__(self, robot: Robot, theta: Float[Tensor, "T P"], horizon: int, trajectories: int, actions: int):
        T, R, H, N = len(theta), trajectories, horizon, len(theta) * trajectories
        self.robot, self.sizes = robot, (T, R, H)
        self.observations = theta.new_empty((H + 1, T, R, robot.observations))
        self.actions = theta.new_empty((H, T, R, actions))
        self.controls = np.empty((H, N, actions))
        self.positions = np.empty((H + 1, N))
        self.contact = np.zeros((H, N))
        self.alive = np.zeros((H + 1, N), dtype=bool)
        self.unstable = np.zeros(N, dtype=bool)
        self._observed, self._seen = np.empty((2, N, robot.observations))
        self.alive[0] = True
        self.positions[0] = robot.position()
        robot.observe(self._observed)
        self._observations(0)

    def step(self, t: int, failed: Bool[Array, " N"], position: Float[Array, " N"], healthy: Bool[Array, " N"]) -> None:
        """Enter the state that step t led to; what is over keeps the place and the observation of its end."""
        self.unstable |= failed
        taken = self.alive[t]
        taken &= ~failed
        np.logical_and(taken, healthy, out=self.alive[t + 1])
        np.copyto(self.positions[t + 1], self.positions[t])
        np.copyto(self.positions[t + 1], position, where=taken)
        self.robot.observe(self._seen)
        np.copyto(self._observed, self._seen, where=taken[:, None])
        self._observations(t + 1)

    def _observations(self, t: int) -> None:
        self.observations[t] = torch.from_numpy(self._observed).view(self.observations.shape[1:])

    @torch.no_grad()
    def batch(self, policy: Policy, theta: Float[Tensor, "T P"], rewards: Float[Array, "H N"]) -> Batch:
        """Everything by task and trajectory, with the density of the actions that were drawn."""
        T, R, H = self.sizes
        observations, actions = (x.movedim(0, 2).contiguous() for x in (self.observations, self.actions))

        def by_task(recorded: Array) -> Tensor:
            return torch.from_numpy(np.ascontiguousarray(recorded.T)).view(T, R, H).to(theta.device)

        density = policy.distribution(theta, observations[:, :, :-1].flatten(1, 2)).log_prob(actions.flatten(1, 2))
        taken = self.alive[:H]
        return Batch(
            observations=observations,
            actions=actions,
            rewards=by_task(np.where(taken, rewards, 0.0)).to(theta.dtype),
            alive=by_task(taken),
            log_density=density.view(T, R, H),
            unstable=torch.from_numpy(self.unstable).view(T, R).to(theta.device),
        )
