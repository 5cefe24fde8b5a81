"""A trust region step by conjugate gradients and backtracking, as in the literature's code."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class TrustRegion:
    """Numbers of the step.

    Attributes:
        radius: KL in nats. products, tolerance: of conjugate gradients. damping: added to the Fisher information.
        shrink, trials: of the backtracking.
        every: every so many samples enter the Fisher information.
    """

    radius: float
    products: int
    tolerance: float
    damping: float
    shrink: float
    trials: int
    every: int

    def step(
        self,
        phi: Tensor,
        gradient: Tensor,
        divergence: Callable[[Tensor, int], Tensor],
        gain: Callable[[Tensor], Tensor],
    ) -> Tensor:
        """New parameters; the old ones if no trial was accepted.

        Args:
            divergence: mean KL from the old policies at other parameters, on every so many samples.
            gain: of the objective at other parameters.
        """
        start = phi.clone().requires_grad_()
        (slope,) = torch.autograd.grad(divergence(start, self.every), start, create_graph=True)

        def product(v: Tensor) -> Tensor:
            return torch.autograd.grad(slope, start, v, retain_graph=True)[0] + self.damping * v

        direction, _ = conjugate_gradient(product, gradient, self.products, self.tolerance)
        step = direction * (2 * self.radius / (direction @ product(direction))).sqrt()
        for trial in range(self.trials):
            new = phi + self.shrink**trial * step
            with torch.no_grad():
                close = bool(divergence(new, 1) <= self.radius)
            if close and bool(gain(new) > 0):
                return new
        return phi


def conjugate_gradient(
    product: Callable[[Tensor], Tensor], right: Tensor, products: int, tolerance: float
) -> tuple[Tensor, bool]:
    """The solution, and whether no direction of negative curvature was met."""
    x, r = torch.zeros_like(right), right.clone()
    p, squared, size = r, r @ r, right.norm()
    for _ in range(products):
        image = product(p)
        curvature = p @ image
        if not bool(curvature > 0):
            return x, False
        length = squared / curvature
        x, r = x + length * p, r - length * image
        before, squared = squared, r @ r
        if bool(squared.sqrt() <= tolerance * size):
            break
        p = r + squared / before * p
    return x, True
