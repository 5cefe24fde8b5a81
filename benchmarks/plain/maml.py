"""MAML with a trust region (Finn et al. 2017): one policy-gradient step a task, differentiated through."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from plain.network import Network, kl
from plain.samples import Samples
from plain.trust_region import TrustRegion


@dataclass(frozen=True)
class MAML:
    """Attributes: network; alpha, the inner step size; region, of the outer step."""

    network: Network
    alpha: float
    region: TrustRegion

    def adapted(self, phi: Tensor, inner: Samples, *, create_graph: bool = False) -> Tensor:
        """One task's parameters after its step."""
        theta = phi if phi.requires_grad else phi.clone().requires_grad_()
        gain = (inner.advantages * self.network.log_density(theta, inner.observations, inner.actions)).mean()
        (gradient,) = torch.autograd.grad(gain, theta, create_graph=create_graph)
        return theta + self.alpha * gradient if create_graph else (theta + self.alpha * gradient).detach()

    def surrogate(self, theta: Tensor, outer: Samples, log_density: Tensor) -> Tensor:
        """The outer objective of one task."""
        ratio = (self.network.log_density(theta, outer.observations, outer.actions) - log_density).exp()
        return (ratio * outer.advantages).mean()

    def gradient(self, phi: Tensor, inner: Sequence[Samples], outer: Sequence[Samples]) -> Tensor:
        """Of the mean over tasks of the return after adaptation."""
        total = torch.zeros_like(phi)
        for before, after in zip(inner, outer, strict=True):
            start = phi.clone().requires_grad_()
            theta = self.adapted(start, before, create_graph=True)
            drawn = self.network.log_density(theta.detach(), after.observations, after.actions)
            total = total + torch.autograd.grad(self.surrogate(theta, after, drawn), start)[0]
        return total / len(inner)

    def step(self, phi: Tensor, gradient: Tensor, inner: Sequence[Samples], outer: Sequence[Samples]) -> Tensor:
        """The outer step."""
        old, drawn = [], []
        with torch.no_grad():
            for before, after in zip(inner, outer, strict=True):
                with torch.enable_grad():
                    theta = self.adapted(phi, before)
                old.append(self.network(theta, after.observations))
                drawn.append(self.network.log_density(theta, after.observations, after.actions))

        def divergence(new: Tensor, every: int) -> Tensor:
            total = torch.zeros(())
            for before, after, (mean, scale) in zip(inner, outer, old, strict=True):
                with torch.enable_grad():
                    theta = self.adapted(new, before, create_graph=new.requires_grad)
                moved = self.network(theta, after.observations[::every])
                total = total + kl((mean[::every], scale), moved).mean()
            return total / len(inner)

        def objective(new: Tensor) -> Tensor:
            total = torch.zeros(())
            for before, after, density in zip(inner, outer, drawn, strict=True):
                theta = self.adapted(new, before)
                with torch.no_grad():
                    total = total + self.surrogate(theta, after, density)
            return total / len(inner)

        start = objective(phi)
        return self.region.step(phi, gradient, divergence, lambda new: objective(new) - start)
