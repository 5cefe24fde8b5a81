"""Gaussian policies as functions of a flat parameter vector, so that tasks can be stacked."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Distribution, Independent, Normal

from bomrl_theory.control.gaussian import Gaussian


@runtime_checkable
class Policy(Protocol):
    """A stochastic policy pi_theta(a | x).

    Attributes:
        parameters: P, length of theta.
        observations, actions: sizes O and A.
        linear: whether the mean action is a linear or affine function of the observation.
    """

    parameters: int
    observations: int
    actions: int
    linear: bool

    def start(self, generator: torch.Generator, dtype: torch.dtype = torch.float64) -> Float[Tensor, " P"]:
        """Parameters to start meta-training from."""
        ...

    def distribution(self, theta: Float[Tensor, "T P"], observations: Float[Tensor, "T N O"]) -> Distribution:
        """The action distributions, of batch shape [T, N] and event shape [A]; differentiable in both arguments."""
        ...

    def gaussian(self, theta: Float[Tensor, "T P"], observations: Float[Tensor, "T N O"]) -> Gaussian:
        """The same distributions by their moments."""
        ...

    def act(
        self, theta: Float[Tensor, "T P"], observations: Float[Tensor, "T N O"], noise: Float[Tensor, "T N A"]
    ) -> Float[Tensor, "T N A"]:
        """Actions that standard normal ``noise`` stands for."""
        ...


class GaussianNetwork:
    """A network with tanh layers gives the mean; the scale of each action does not depend on the observation.

    Args:
        observations, actions: sizes O and A.
        hidden: widths of the hidden layers.
        start_scale: standard deviation of every action at the start.
        least_scale: below it the scale is cut off, as in ProMP's code.
    """

    linear = False

    def __init__(
        self,
        observations: int,
        actions: int,
        hidden: tuple[int, ...] = (64, 64),
        *,
        start_scale: float = 1.0,
        least_scale: float = 1e-3,
    ):
        self.observations, self.actions, self.hidden = observations, actions, hidden
        self.start_scale, self.least_scale = start_scale, least_scale
        widths = (observations, *hidden, actions)
        self._shapes = [shape for n, m in pairwise(widths) for shape in ((n, m), (m,))]
        self._sizes = [math.prod(shape) for shape in self._shapes] + [actions]
        self.parameters = sum(self._sizes)

    def start(self, generator: torch.Generator, dtype: torch.dtype = torch.float64) -> Float[Tensor, " P"]:
        """Glorot-uniform weights, zero biases, scale ``start_scale``."""
        parts = []
        for shape in self._shapes:
            weights = torch.zeros(shape, dtype=dtype)
            if len(shape) == 2:
                torch.nn.init.xavier_uniform_(weights, generator=generator)
            parts.append(weights.flatten())
        parts.append(torch.full((self.actions,), math.log(self.start_scale), dtype=dtype))
        return torch.cat(parts)

    def _mean_and_scale(
        self, theta: Float[Tensor, "T P"], observations: Float[Tensor, "T N O"]
    ) -> tuple[Float[Tensor, "T N A"], Float[Tensor, "T 1 A"]]:
        *layers, log_scale = theta.split(self._sizes, dim=-1)
        hidden = observations
        for index in range(0, len(layers), 2):
            weights = layers[index].unflatten(-1, self._shapes[index])
            hidden = torch.baddbmm(layers[index + 1].unsqueeze(-2), hidden, weights)
            if index < len(layers) - 2:
                hidden = hidden.tanh()
        return hidden, log_scale.clamp(min=math.log(self.least_scale)).exp().unsqueeze(-2)

    def distribution(self, theta: Float[Tensor, "T P"], observations: Float[Tensor, "T N O"]) -> Distribution:
        mean, scale = self._mean_and_scale(theta, observations)
        return Independent(Normal(mean, scale.expand_as(mean), validate_args=False), 1, validate_args=False)

    def gaussian(self, theta: Float[Tensor, "T P"], observations: Float[Tensor, "T N O"]) -> Gaussian:
        mean, scale = self._mean_and_scale(theta, observations)
        return Gaussian(mean, torch.diag_embed(scale.squeeze(-2)))

    def act(
        self, theta: Float[Tensor, "T P"], observations: Float[Tensor, "T N O"], noise: Float[Tensor, "T N A"]
    ) -> Float[Tensor, "T N A"]:
        mean, scale = self._mean_and_scale(theta, observations)
        return mean + scale * noise
