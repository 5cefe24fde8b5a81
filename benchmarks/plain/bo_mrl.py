"""BO-MRL: each task's lower level solved by L-BFGS, and its hypergradient by the implicit function theorem.

The lower level is ``E_x [E_{a ~ pi} A(x, a) - lambda KL(pi || phi)] - mu |theta - phi|^2``, with advantages A that are
linear in the action's noise under phi and in the standardised observation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor

from plain.network import Network, kl
from plain.samples import Samples, Trajectories, baseline, discounted_sums, samples_of
from plain.trust_region import TrustRegion, conjugate_gradient


class LowerLevel:
    """Of one task.

    Args:
        network: the policy.
        phi: parameters that drew the trajectories.
        data: the trajectories.
        numbers: of the method.
    """

    def __init__(self, network: Network, phi: Tensor, data: Trajectories, numbers: BOMRL):
        self.network, self.phi, self.data, self.numbers = network, phi, data, numbers
        samples = samples_of(data, numbers.gamma, numbers.ridge)
        x = self.observations = samples.observations
        self.actions = samples.actions
        with torch.no_grad():
            self.prior = network(phi, x)
            standard = (x - x.mean(0)) / x.std(0, correction=0).clamp(min=1e-6)
            self.context = torch.cat([standard.clamp(-10, 10), torch.ones_like(x[:, :1])], dim=1)
            noise = (samples.actions - self.prior[0]) / self.prior[1]
            self.design = (noise[:, :, None] * self.context[:, None, :]).flatten(1)
            gram = self.design.double().T @ self.design.double() / len(x)
            gram = gram + numbers.prior_steps / len(x) * gram.diagonal().mean() * torch.eye(len(gram))
            self.factor = torch.linalg.cholesky(gram).to(x.dtype)
            self.coefficients = self.fitted(self.design.T @ samples.advantages / len(x))

    def fitted(self, right: Tensor) -> Tensor:
        """Coefficients of the ridge regression of the advantages."""
        return torch.cholesky_solve(right[:, None], self.factor)[:, 0]

    def expected(self, mean: Tensor, coefficients: Tensor) -> Tensor:
        """``E_{a ~ pi} A`` at every step [N]."""
        slope = self.context @ coefficients.view(mean.shape[1], -1).T
        return (slope * (mean - self.prior[0]) / self.prior[1]).sum(-1)

    def terms(self, theta: Tensor, prior: tuple[Tensor, Tensor], coefficients: Tensor) -> Tensor:
        """What the objective averages over steps [N]."""
        pi = self.network(theta, self.observations)
        return self.expected(pi[0], coefficients) - self.numbers.lam * kl(pi, prior)

    def objective(self, theta: Tensor) -> Tensor:
        average = self.terms(theta, self.prior, self.coefficients).mean()
        return average - self.numbers.mu * (theta - self.phi).square().sum()

    def solved(self) -> tuple[Tensor, bool]:
        """Adapted parameters, and whether they are near enough to be used."""
        goal, last = np.inf, np.zeros(0)

        def loss(theta: Any) -> tuple[float, Any]:
            nonlocal last
            at = torch.from_numpy(theta).to(self.phi.dtype).requires_grad_()
            value = -self.objective(at)
            (gradient,) = torch.autograd.grad(value, at)
            last = gradient.double().numpy()
            return float(value.detach()), last

        def callback(intermediate_result: Any) -> None:
            if np.linalg.norm(last) <= goal:
                raise StopIteration

        start = self.phi.double().numpy()
        rounding = torch.finfo(self.phi.dtype).eps * (1 + self.numbers.mu)
        goal = self.numbers.tolerance * np.linalg.norm(loss(start)[1]) + rounding
        settings = {"maxiter": self.numbers.steps, "ftol": 0.0, "gtol": 0.0, "maxfun": 20 * self.numbers.steps}
        found = minimize(loss, start, jac=True, method="L-BFGS-B", callback=callback, options=settings)
        theta = torch.from_numpy(found.x).to(self.phi.dtype)
        with torch.no_grad():
            moved = kl(self.network(theta, self.observations), self.prior).mean()
        return theta, bool(moved <= self.numbers.furthest)

    def pulled_back(self, theta: Tensor, outer: Tensor) -> Tensor | None:
        """``(dtheta+/dphi)^T outer``: through the prior, the advantages and the visitation; None if indefinite."""
        theta = theta.clone().requires_grad_()
        (slope,) = torch.autograd.grad(-self.objective(theta), theta, create_graph=True)
        v, definite = conjugate_gradient(
            lambda p: torch.autograd.grad(slope, theta, p, retain_graph=True)[0],
            outer,
            self.numbers.products,
            self.numbers.residual,
        )
        if not definite:
            return None
        phi = self.phi.clone().requires_grad_()
        w = self.coefficients.clone().requires_grad_()
        ones = torch.ones(len(self.observations), dtype=phi.dtype, requires_grad=True)
        terms = self.terms(theta, self.network(phi, self.observations), w)
        (slope,) = torch.autograd.grad((terms * ones).sum(), theta, create_graph=True)
        (along,) = torch.autograd.grad(slope @ v, ones, create_graph=True)
        pull = -2 * self.numbers.mu * (theta.detach() - phi) @ v
        direct, q = torch.autograd.grad(along.mean() + pull, (phi, w))
        mean, scale = self.network(phi, self.observations)
        return direct + torch.autograd.grad(self._values(mean, q) + self._visits(mean, scale, along.detach()), phi)[0]

    def _values(self, mean: Tensor, q: Tensor) -> Tensor:
        """Advantages feel phi through the actions after them."""
        trajectories, horizon = self.data.rewards.shape
        share = (self.design @ self.fitted(q) / len(self.design)).view(trajectories, horizon)
        past = discounted_sums(share.flip(-1), self.numbers.gamma).flip(-1) - share
        return (past.flatten() * self.expected(mean, self.coefficients)).sum()

    def _visits(self, mean: Tensor, scale: Tensor, along: Tensor) -> Tensor:
        """What is visited feels phi through the actions before it."""
        along = along.view(self.data.rewards.shape)
        after = discounted_sums(along, 1.0) - along
        weight = (after - baseline(self.data.observations, after, self.numbers.ridge)).flatten() / along.numel()
        density = -((self.actions - mean) / scale).square().sum(-1) / 2 - scale.log().sum()
        return (weight * density).sum()


@dataclass(frozen=True)
class BOMRL:
    """The method.

    Attributes:
        network: the policy.
        lam, mu: weights of the KL and of the squared distance.
        gamma: discount. ridge: of the baseline. prior_steps: of the fit of the advantages.
        tolerance, steps: of L-BFGS: gradient relative to that at phi, and iterations.
        residual, products: of the implicit gradient's conjugate gradients.
        furthest: a task that moves further, in nats, is left out.
        region: of the outer step.
        implicit: whether the lower level is differentiated, or the gradient at the adapted parameters taken as it is.
    """

    network: Network
    lam: float
    mu: float
    gamma: float
    ridge: float
    prior_steps: float
    tolerance: float
    steps: int
    residual: float
    products: int
    furthest: float
    region: TrustRegion
    implicit: bool = True

    def outer(self, theta: Tensor, samples: Samples) -> Tensor:
        """The policy gradient of one task at its adapted parameters."""
        start = theta.clone().requires_grad_()
        log_density = self.network.log_density(start, samples.observations, samples.actions)
        gain = ((log_density - log_density.detach()).exp() * samples.advantages).mean()
        return torch.autograd.grad(gain, start)[0]

    def gradient(
        self, levels: Sequence[LowerLevel], theta: Sequence[Tensor], near: Sequence[bool], outer: Sequence[Samples]
    ) -> Tensor:
        """The mean over tasks; those left out count as zero."""
        total = torch.zeros_like(theta[0])
        for level, plus, used, samples in zip(levels, theta, near, outer, strict=True):
            if not used:
                continue
            ascent = self.outer(plus, samples)
            pulled = level.pulled_back(plus, ascent) if self.implicit else ascent
            if pulled is not None:
                total = total + pulled
        return total / len(levels)

    def step(self, phi: Tensor, gradient: Tensor, levels: Sequence[LowerLevel]) -> Tensor:
        """Along the natural gradient on what phi visited."""
        seen = torch.cat([level.observations for level in levels])
        with torch.no_grad():
            mean, scale = self.network(phi, seen)

        def divergence(new: Tensor, every: int) -> Tensor:
            return kl((mean[::every], scale), self.network(new, seen[::every])).mean()

        return self.region.step(phi, gradient, divergence, lambda new: (new - phi) @ gradient)
