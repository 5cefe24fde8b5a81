"""A Gaussian policy of one task: a tanh network for the mean, one logarithm of a scale for each action."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

LEAST_SCALE = math.log(1e-3)


@dataclass(frozen=True)
class Network:
    """Weights and biases layer by layer in one vector, then the logarithms of the scales.

    Attributes:
        widths: of all layers, from observations to actions.
    """

    widths: tuple[int, ...]

    def __call__(self, theta: Tensor, observations: Tensor) -> tuple[Tensor, Tensor]:
        """Mean [N, A] and scale [A] of the actions."""
        hidden, at = observations, 0
        for layer, (n, m) in enumerate(pairwise(self.widths)):
            weights, bias = theta[at : at + n * m].view(n, m), theta[at + n * m : at + n * m + m]
            hidden, at = torch.addmm(bias, hidden, weights), at + n * m + m
            if layer < len(self.widths) - 2:
                hidden = hidden.tanh()
        return hidden, theta[at:].clamp(min=LEAST_SCALE).exp()

    def log_density(self, theta: Tensor, observations: Tensor, actions: Tensor) -> Tensor:
        """[N]."""
        mean, scale = self(theta, observations)
        constant = scale.log().sum() + len(scale) / 2 * math.log(2 * math.pi)
        return -((actions - mean) / scale).square().sum(-1) / 2 - constant


def kl(old: tuple[Tensor, Tensor], new: tuple[Tensor, Tensor]) -> Tensor:
    """``KL(old || new)`` [N] of two policies by their means and scales."""
    ratio = old[1] / new[1]
    shift = (old[0] - new[0]) / new[1]
    return ((ratio.square() + shift.square() - 1) / 2 - ratio.log()).sum(-1)
