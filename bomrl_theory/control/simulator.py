"""What a distribution of continuous-control tasks offers to the learners."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float
from torch import Tensor

from bomrl_theory.control.batch import Batch
from bomrl_theory.control.policy import Policy
from bomrl_theory.numbers import Array


@runtime_checkable
class Simulator(Protocol):
    """A distribution over tasks with the means to run policies on them.

    Attributes:
        name: of the family, with its preset.
        observations, actions: sizes O and A.
        horizon: H, steps of a trajectory.
        gamma: discount of the objective.
    """

    name: str
    observations: int
    actions: int
    horizon: int
    gamma: float

    def draw_tasks(self, count: int, rng: np.random.Generator) -> Array:
        """Parameters [count, k] of tasks drawn from the distribution; goal velocities, for example."""
        ...

    def rollout(
        self,
        policy: Policy,
        theta: Float[Tensor, "T P"],
        tasks: Array,
        trajectories: int,
        rng: np.random.Generator,
    ) -> Batch:
        """Run a policy's parameters of each task on that task.

        Args:
            policy: what turns parameters and observations into actions.
            theta: parameters for each task.
            tasks: as :meth:`draw_tasks` returns them.
            trajectories: R, for each task.
            rng: of start states and of the noise of actions and of the task.
        """
        ...

    def describe(self) -> dict[str, Any]:
        """Everything that decides what the tasks are, as JSON; two simulators of equal descriptions are the same."""
        ...
