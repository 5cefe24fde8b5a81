"""Gaussian action distributions by their moments: the mean depends on the observation, the covariance does not."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Gaussian:
    """``N(mean, factor factor')`` at every observation.

    Attributes:
        mean: [T, N, A].
        factor: [T, A, A], lower triangular with a positive diagonal, the same for all observations of a task.
    """

    mean: Float[Tensor, "T N A"]
    factor: Float[Tensor, "T A A"]

    @property
    def covariance(self) -> Float[Tensor, "T A A"]:
        return self.factor @ self.factor.mT

    def detach(self) -> Gaussian:
        """The same numbers as constants."""
        return Gaussian(self.mean.detach(), self.factor.detach())

    def whitened(self, actions: Float[Tensor, "T N A"]) -> Float[Tensor, "T N A"]:
        """The standard normal noise that actions stand for."""
        return _whitened(self.factor, actions - self.mean)

    def log_density(self, actions: Float[Tensor, "T N A"]) -> Float[Tensor, "T N"]:
        """Logarithm of the density of actions."""
        size = actions.shape[-1]
        constant = _log_determinant(self.factor) + size / 2 * math.log(2 * math.pi)
        return -self.whitened(actions).square().sum(-1) / 2 - constant[:, None]

    def kl(self, other: Gaussian) -> Float[Tensor, "T N"]:
        """``KL(self || other)`` at every observation, in nats."""
        size = self.mean.shape[-1]
        shift = _whitened(other.factor, self.mean - other.mean).square().sum(-1)
        spread = torch.linalg.solve_triangular(other.factor, self.factor, upper=False).square().sum((-2, -1))
        ratio = _log_determinant(other.factor) - _log_determinant(self.factor)
        return shift / 2 + (spread / 2 - size / 2 + ratio)[:, None]


def _whitened(factor: Float[Tensor, "T A A"], x: Float[Tensor, "T N A"]) -> Float[Tensor, "T N A"]:
    """``factor^-1 x``; the inverse of a small matrix is multiplied faster than N systems are solved."""
    identity = torch.eye(factor.shape[-1], dtype=factor.dtype, device=factor.device).expand_as(factor)
    return x @ torch.linalg.solve_triangular(factor, identity, upper=False).mT


def _log_determinant(factor: Float[Tensor, "T A A"]) -> Float[Tensor, " T"]:
    return factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
