"""A batch, or what stands for it: where a policy is compared with the one that collected."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from bomrl_theory.control.batch import Batch
from bomrl_theory.control.gaussian import Gaussian
from bomrl_theory.control.policy import Policy


@dataclass(frozen=True, eq=False)
class Observed:
    """Weighted observations that an inner problem averages over.

    Attributes:
        policy, phi: the policy and the parameters [T, P] that drew each task's steps.
    """

    policy: Policy
    phi: Float[Tensor, "T P"]

    @property
    def observations(self) -> Float[Tensor, "T N O"]:
        raise NotImplementedError

    @property
    def weights(self) -> Tensor:
        """[T, ...], one for each observation."""
        raise NotImplementedError

    @cached_property
    def gaussian(self) -> Gaussian:
        """phi's actions at every observation, as constants."""
        return self.of_parameters(self.phi).detach()

    def of_parameters(self, theta: Float[Tensor, "T P"]) -> Gaussian:
        """What a policy would do at every observation."""
        return self.policy.gaussian(theta, self.observations)


@dataclass(frozen=True, eq=False)
class Collected(Observed):
    """A batch with what is known of the policy that drew it.

    Attributes:
        batch: the trajectories.
        gamma, gae: discount, and the lambda of advantage estimates.
        discount: of the visitation, 1 if every step counts alike.
    """

    batch: Batch
    gamma: float
    gae: float
    discount: float

    @cached_property
    def _flat(self) -> tuple[Float[Tensor, "T N O"], Float[Tensor, "T N A"]]:
        return self.batch.observations[..., :-1, :].flatten(1, 2), self.batch.actions.flatten(1, 2)

    @property
    def observations(self) -> Float[Tensor, "T N O"]:
        """Where steps were taken from."""
        return self._flat[0]

    @property
    def actions(self) -> Float[Tensor, "T N A"]:
        return self._flat[1]

    @cached_property
    def _weights(self) -> Float[Tensor, "T R H"]:
        _, trajectories, horizon = self.batch.alive.shape
        time = torch.arange(horizon, dtype=self.phi.dtype, device=self.phi.device)
        decay = self.discount**time
        return (decay / (decay.sum() * trajectories)) * self.batch.alive

    @property
    def weights(self) -> Float[Tensor, "T R H"]:
        """The normalised visitation ``nu^phi`` as weights of steps.

        ``discount^t`` on steps that were taken, divided by its sum over the horizon: 1 in total for each task unless
        trajectories end early.
        """
        return self._weights
