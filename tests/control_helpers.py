"""What the tests of continuous control share: small plants, their policies, and data without a simulator."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import torch
from torch import Tensor

from bomrl_theory.control.batch import Batch
from bomrl_theory.control.linear_gaussian import LinearGaussian
from bomrl_theory.control.linear_quadratic import LinearQuadratic
from bomrl_theory.control.policy import Policy
from bomrl_theory.linear_quadratic import LinearQuadraticFamily
from bomrl_theory.linear_quadratic.closed_form import optimum

torch.set_num_threads(1)

GAMMA = 0.9


def plants(
    seed: int = 0, *, tasks: int = 2, states: int = 4, actions: int = 2, noise: float = 0.1, horizon: int = 50
) -> LinearQuadratic:
    """Tasks around one stable plant."""
    rng = np.random.default_rng(seed)
    plant = rng.normal(size=(states, states))
    plant *= 0.9 / np.abs(np.linalg.eigvals(plant)).max()
    inputs = rng.normal(size=(states, actions)) / np.sqrt(states)

    def identity(size: int, scale: float) -> np.ndarray:
        return np.tile(scale * np.eye(size), (tasks, 1, 1))

    family = LinearQuadraticFamily.new(
        plant + 0.1 * rng.normal(size=(tasks, states, states)),
        inputs + 0.1 * rng.normal(size=(tasks, states, actions)),
        identity(states, noise**2),
        identity(states, 1.0),
        identity(actions, 0.1),
        Fraction(9, 10),
        np.zeros((tasks, states)),
        identity(states, 1.0),
    )
    return LinearQuadratic.of_family(family, horizon)


def timid(simulator: LinearQuadratic) -> tuple[LinearGaussian, Tensor]:
    """A policy and a meta-policy with three tenths of the tasks' mean optimal gain."""
    policy = LinearGaussian(simulator.observations, simulator.actions)
    gain = 0.3 * optimum(simulator.model).K.mean(0)
    return policy, policy.parameters_of(gain, 0.3 * torch.eye(simulator.actions, dtype=gain.dtype))


def collect(simulator: LinearQuadratic, policy: Policy, theta: Tensor, samples: int, rng: np.random.Generator) -> Batch:
    """About so many steps of each task, with parameters [P] or [T, P]."""
    tasks = simulator.all_tasks
    return simulator.rollout(policy, theta.expand(len(tasks), -1), tasks, max(1, samples // simulator.horizon), rng)


def cosine(a: Tensor, b: Tensor) -> float:
    """Of the angle between two vectors."""
    return float(a.flatten() @ b.flatten() / (a.norm() * b.norm()))


def locomotion_like(
    policy: Policy, phi: Tensor, *, tasks: int = 2, trajectories: int = 4, horizon: int = 50, seed: int = 0
) -> Batch:
    """Data with the sizes and the reward of a cheetah that should run at a speed, from simple smooth dynamics."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*size: int) -> Tensor:
        return torch.randn(*size, generator=generator, dtype=phi.dtype)

    theta = phi.expand(tasks, -1)
    push = 0.3 * normal(policy.actions, policy.observations)
    goal = 2 * torch.rand(tasks, 1, generator=generator, dtype=phi.dtype)
    x = normal(tasks, trajectories, policy.observations)
    observations, actions, rewards = [x], [], []
    for _ in range(horizon):
        u = policy.act(theta, x, normal(tasks, trajectories, policy.actions))
        x = 0.9 * x + 0.3 * torch.tanh(u @ push) + 0.1 * normal(*x.shape)
        observations.append(x)
        actions.append(u)
        rewards.append(-(x[..., 0] - goal).abs() - 0.05 * u.square().sum(-1))
    moves = torch.stack(actions, dim=-2)
    return Batch(
        observations=torch.stack(observations, dim=-2),
        actions=moves,
        rewards=torch.stack(rewards, dim=-1),
        alive=torch.ones(moves.shape[:-1], dtype=torch.bool),
        log_density=policy.gaussian(theta, torch.stack(observations[:-1], dim=-2).flatten(1, 2))
        .log_density(moves.flatten(1, 2))
        .unflatten(1, moves.shape[1:3]),
    )
