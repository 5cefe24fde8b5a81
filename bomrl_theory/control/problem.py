"""Tasks, policy and configuration that a learner works with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from bomrl_theory.control.batch import Batch
from bomrl_theory.control.config import Config
from bomrl_theory.control.policy import GaussianNetwork, Policy
from bomrl_theory.control.samples import Samples
from bomrl_theory.control.simulator import Simulator
from bomrl_theory.errors import BomrlError
from bomrl_theory.numbers import Array


class NotFinite(BomrlError):
    """A run cannot go on: the message says what is not a number."""


@dataclass(frozen=True, eq=False)
class Problem:
    """Tasks, policy and configuration.

    Attributes:
        simulator: the distribution of tasks.
        config: with ``algorithm`` set.
        policy: what is trained.
    """

    simulator: Simulator
    config: Config
    policy: Policy

    @classmethod
    def new(cls, simulator: Simulator, config: Config) -> Problem:
        """With the Gaussian network of the configuration as policy."""
        return cls(simulator, config, GaussianNetwork(simulator.observations, simulator.actions, config.hidden))

    @property
    def dtype(self) -> torch.dtype:
        return {"float32": torch.float32, "float64": torch.float64}[self.config.precision]

    def start(self, rng: np.random.Generator) -> Float[Tensor, " P"]:
        """Parameters of a new policy."""
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        return self.policy.start(generator, self.dtype).to(self.config.device)

    def draw_tasks(self, rng: np.random.Generator) -> Array:
        """As many tasks as an iteration takes."""
        return self.simulator.draw_tasks(self.config.tasks, rng)

    def rollout(self, theta: Float[Tensor, "T P"], tasks: Array, rng: np.random.Generator) -> Batch:
        """As many trajectories of each task as the configuration says.

        Raises:
            NotFinite: parameters or returns are not numbers.
        """
        if not bool(theta.isfinite().all()):
            raise NotFinite("adapted parameters are not numbers")
        batch = self.simulator.rollout(self.policy, theta, tasks, self.config.trajectories, rng)
        if not bool(batch.returns.isfinite().all()):
            raise NotFinite("a return is not a number")
        return batch

    def samples(self, batch: Batch) -> Samples:
        """The batch as learners use it."""
        return Samples.of(batch, self.simulator.gamma, self.config.gae)
