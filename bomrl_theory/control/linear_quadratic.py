"""Linear-quadratic families as a simulator, batched over tasks on any device."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from bomrl_theory.control.batch import Batch
from bomrl_theory.control.policy import Policy
from bomrl_theory.errors import InvalidTask
from bomrl_theory.linear_quadratic.model import Model
from bomrl_theory.linear_quadratic.task import LinearQuadraticFamily
from bomrl_theory.numbers import Array


@dataclass(frozen=True, eq=False)
class LinearQuadratic:
    """Trajectories of ``x' = A x + B u + w`` with reward ``-(x'R_x x + u'R_u u)``; see :class:`Model`.

    A task is the index of one of the model's. What a trajectory leaves out of the discounted return is of order
    ``gamma^horizon``.

    Attributes:
        model: its matrices, as tensors; their device and dtype are the trajectories'.
        horizon: H.
        name: of the family.
        noise_on_device: draw the noise on the model's device instead of the CPU: faster on a GPU, but other numbers.
    """

    model: Model
    horizon: int
    name: str = "linear-quadratic"
    noise_on_device: bool = False

    @classmethod
    def of_family(
        cls,
        family: LinearQuadraticFamily,
        horizon: int,
        *,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float64,
    ) -> LinearQuadratic:
        """The family's tasks on a device."""
        return cls(family.model(lambda x: torch.tensor(x, dtype=dtype, device=device)), horizon, family.name)

    def to(self, device: torch.device | str, dtype: torch.dtype | None = None) -> LinearQuadratic:
        """The same tasks elsewhere."""
        tensors = {key: x.to(device, dtype) for key, x in vars(self.model).items() if isinstance(x, Tensor)}
        return replace(self, model=replace(self.model, **tensors))

    def __post_init__(self) -> None:
        if self.horizon < 1:
            raise InvalidTask(f"horizon = {self.horizon} of '{self.name}' must be positive")

    @property
    def observations(self) -> int:
        return self.model.A.shape[-1]

    @property
    def actions(self) -> int:
        return self.model.B.shape[-1]

    @property
    def gamma(self) -> float:
        return self.model.gamma

    @property
    def all_tasks(self) -> Array:
        """Every task of the family once, as :meth:`draw_tasks` returns them."""
        return np.arange(len(self.model.A))[:, None]

    def draw_tasks(self, count: int, rng: np.random.Generator) -> Array:
        """Indices [count, 1] of tasks, drawn by the family's weights."""
        weights = self.model.weights.double().cpu().numpy()
        return rng.choice(len(weights), size=(count, 1), p=weights / weights.sum())

    def rollout(
        self,
        policy: Policy,
        theta: Float[Tensor, "T P"],
        tasks: Array,
        trajectories: int,
        rng: np.random.Generator,
    ) -> Batch:
        """Trajectories of each task; see :meth:`~bomrl_theory.control.simulator.Simulator.rollout`.

        A closed loop that is not stable may leave the range of floats: such observations are kept as they are.
        """
        chosen = torch.as_tensor(tasks[:, 0], device=self.model.A.device)
        A, B, W, R_x, R_u, mu0, S0 = (
            getattr(self.model, name)[chosen] for name in ("A", "B", "W", "R_x", "R_u", "mu0", "S0")
        )
        shape = (len(chosen), trajectories)
        place = A.device if self.noise_on_device else torch.device("cpu")
        generator = torch.Generator(place).manual_seed(int(rng.integers(2**63)))

        def normal(*size: int) -> Tensor:
            return torch.randn(*size, generator=generator, dtype=A.dtype, device=place).to(A.device)

        x = mu0[:, None] + normal(*shape, self.observations) @ _root(S0).mT
        disturbance = _root(W).mT
        observations, actions, rewards, density = [x], [], [], []
        with torch.no_grad():
            for _ in range(self.horizon):
                u = policy.act(theta, x, normal(*shape, self.actions))
                density.append(policy.gaussian(theta, x).log_density(u))
                actions.append(u)
                rewards.append(-((x @ R_x) * x).sum(-1) - ((u @ R_u) * u).sum(-1))
                x = x @ A.mT + u @ B.mT + normal(*shape, self.observations) @ disturbance
                observations.append(x)
        return Batch(
            observations=torch.stack(observations, dim=-2),
            actions=torch.stack(actions, dim=-2),
            rewards=torch.stack(rewards, dim=-1),
            alive=torch.ones(*shape, self.horizon, dtype=torch.bool, device=A.device),
            log_density=torch.stack(density, dim=-1),
        )

    def describe(self) -> dict[str, Any]:
        """All matrices, the discount and the horizon."""
        names = ("A", "B", "W", "R_x", "R_u", "mu0", "S0", "weights")
        matrices = {name: getattr(self.model, name).tolist() for name in names}
        return {"name": self.name, "gamma": self.gamma, "horizon": self.horizon, **matrices}


def _root(covariance: Float[Tensor, "T n n"]) -> Float[Tensor, "T n n"]:
    """L with ``L L'`` the covariance, which may be singular."""
    values, vectors = torch.linalg.eigh(covariance)
    return vectors * values.clamp(min=0).sqrt()[..., None, :]
