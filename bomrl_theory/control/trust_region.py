"""The step of trust region policy optimisation (Schulman et al. 2015), for several independent problems at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from bomrl_theory.control.conjugate_gradient import conjugate_gradient

Product: TypeAlias = Callable[[Float[Tensor, "B P"]], Float[Tensor, "B P"]]
"""A symmetric positive semi-definite matrix of each problem, times a vector of it."""
Measure: TypeAlias = Callable[[Float[Tensor, "B P"]], tuple[Float[Tensor, " B"], Float[Tensor, " B"]]]
"""At other parameters: by how much the objective is larger than at the old ones, and the divergence from them."""

ITERATIONS, TOLERANCE, DAMPING = 10, 1e-5, 1e-5
"""Of conjugate gradients, as in the code of MAML and ProMP."""
SHRINK, TRIALS = 0.8, 15
"""Of the backtracking, as there."""


@dataclass(frozen=True, eq=False)
class TrustRegionStep:
    """What came of a step.

    Attributes:
        parameters: new ones [B, P]; the old ones where no trial was accepted.
        fraction: share of the full step that was taken [B]; 0 where none was.
        kl: divergence of the new parameters from the old ones [B].
    """

    parameters: Float[Tensor, "B P"]
    fraction: Float[Tensor, " B"]
    kl: Float[Tensor, " B"]


def full_step(product: Product, gradient: Float[Tensor, "B P"], radius: float) -> Float[Tensor, "B P"]:
    """The natural gradient, scaled so that the quadratic model of the divergence is ``radius``.

    Args:
        product: with the second derivative of the divergence.
        gradient: of the objective.
        radius: of the trust region.
    """

    def damped(v: Float[Tensor, "B P"]) -> Float[Tensor, "B P"]:
        return product(v) + DAMPING * v

    direction = conjugate_gradient(damped, gradient, tolerance=TOLERANCE, steps=ITERATIONS).x
    curvature = (direction * damped(direction)).sum(-1, keepdim=True)
    return direction * (2 * radius / curvature.clamp(min=torch.finfo(gradient.dtype).tiny)).sqrt()


def trust_region_step(
    parameters: Float[Tensor, "B P"],
    gradient: Float[Tensor, "B P"],
    product: Product,
    measure: Measure,
    radius: float,
) -> TrustRegionStep:
    """Backtrack along the natural gradient until the objective gains and the divergence is within the radius.

    Args:
        parameters: old ones.
        gradient: of the objective there.
        product: with the second derivative of the divergence there.
        measure: of other parameters.
        radius: of the trust region.
    """
    step = full_step(product, gradient, radius)
    zero = torch.zeros_like(step[:, 0])
    taken, fraction, kl = parameters, zero, zero
    share = 1.0
    missing: Bool[Tensor, " B"] = step.isfinite().all(-1)
    for _ in range(TRIALS):
        if not bool(missing.any()):
            break
        trial = torch.where(missing.unsqueeze(-1), parameters + share * step, taken)
        gain, divergence = measure(trial)
        accepted = missing & (gain > 0) & (divergence <= radius)  # False where either is not a number
        taken = torch.where(accepted.unsqueeze(-1), trial, taken)
        fraction, kl = torch.where(accepted, share, fraction), torch.where(accepted, divergence, kl)
        missing = missing & ~accepted
        share *= SHRINK
    return TrustRegionStep(taken, fraction, kl)
