"""The linear-Gaussian policy ``u ~ N(-K x, Sigma)`` with full covariance."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Distribution, MultivariateNormal

from bomrl_theory.control.gaussian import Gaussian


class LinearGaussian:
    """theta holds K row by row, the logarithms of the diagonal of Sigma's Cholesky factor, and what is below it.

    Args:
        observations, actions: sizes n and m.
        start_scale: standard deviation of every action at the start, where K = 0.
    """

    linear = True

    def __init__(self, observations: int, actions: int, *, start_scale: float = 1.0):
        self.observations, self.actions, self.start_scale = observations, actions, start_scale
        self._below = actions * (actions - 1) // 2
        self._gain = observations * actions
        self.parameters = self._gain + actions + self._below

    def start(self, generator: torch.Generator, dtype: torch.dtype = torch.float64) -> Float[Tensor, " P"]:
        """K = 0 and Sigma = ``start_scale^2 I``; nothing is drawn."""
        factor = self.start_scale * torch.eye(self.actions, dtype=dtype)
        return self.parameters_of(torch.zeros(self.actions, self.observations, dtype=dtype), factor @ factor.mT)

    def parameters_of(
        self, gain: Float[Tensor, "*T m n"], covariance: Float[Tensor, "*T m m"]
    ) -> Float[Tensor, "*T P"]:
        """theta for K and Sigma, differentiable."""
        factor = torch.linalg.cholesky(covariance)
        row, column = torch.tril_indices(self.actions, self.actions, -1, device=factor.device)
        diagonal = factor.diagonal(dim1=-2, dim2=-1).log()
        return torch.cat([gain.flatten(-2), diagonal, factor[..., row, column]], dim=-1)

    def gain_and_factor(self, theta: Float[Tensor, "T P"]) -> tuple[Float[Tensor, "T m n"], Float[Tensor, "T m m"]]:
        """K, and the lower triangular L with ``Sigma = L L'``."""
        gain, diagonal, below = theta.split([self._gain, self.actions, self._below], dim=-1)
        row, column = torch.tril_indices(self.actions, self.actions, -1, device=theta.device)
        task = torch.arange(len(theta), device=theta.device)[:, None]
        zeros = theta.new_zeros(len(theta), self.actions, self.actions)
        factor = torch.diag_embed(diagonal.exp()) + zeros.index_put((task, row, column), below)
        return gain.unflatten(-1, (self.actions, self.observations)), factor

    def gain_and_covariance(self, theta: Float[Tensor, "T P"]) -> tuple[Float[Tensor, "T m n"], Float[Tensor, "T m m"]]:
        """K and Sigma."""
        gain, factor = self.gain_and_factor(theta)
        return gain, factor @ factor.mT

    def gaussian(self, theta: Float[Tensor, "T P"], observations: Float[Tensor, "T N O"]) -> Gaussian:
        gain, factor = self.gain_and_factor(theta)
        return Gaussian(-observations @ gain.mT, factor)

    def distribution(self, theta: Float[Tensor, "T P"], observations: Float[Tensor, "T N O"]) -> Distribution:
        pi = self.gaussian(theta, observations)
        return MultivariateNormal(pi.mean, scale_tril=pi.factor.unsqueeze(-3), validate_args=False)

    def act(
        self, theta: Float[Tensor, "T P"], observations: Float[Tensor, "T N O"], noise: Float[Tensor, "T N A"]
    ) -> Float[Tensor, "T N A"]:
        pi = self.gaussian(theta, observations)
        return pi.mean + noise @ pi.factor.mT
