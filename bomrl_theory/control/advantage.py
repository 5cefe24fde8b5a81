"""Advantages from trajectories: a linear baseline for each task, and generalised advantage estimation."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from bomrl_theory.control.batch import Batch

LARGEST_OBSERVATION = 10.0
"""Observations are clipped there in the baseline's features, as in the literature's code."""
RIDGE = 1e-5
"""Weight of the squared coefficients, relative to the mean square of the features."""


def discounted_sums(x: Float[Tensor, "T R H"], gamma: float) -> Float[Tensor, "T R H"]:
    """``y_t = x_t + gamma y_{t+1}``."""
    total, sums = torch.zeros_like(x[..., 0]), []
    for step in reversed(x.unbind(-1)):
        total = step + gamma * total
        sums.append(total)
    return torch.stack(sums[::-1], dim=-1)


def past_sums(x: Float[Tensor, "T R H"], gamma: float) -> Float[Tensor, "T R H"]:
    """``y_t = gamma (x_{t-1} + y_{t-1})``: the discounted sum of what came strictly before."""
    return discounted_sums(x.flip(-1), gamma).flip(-1) - x


def discounted_returns(batch: Batch, gamma: float) -> Float[Tensor, "T R H"]:
    """Discounted return from every step to the end of its trajectory; 0 after the end."""
    return discounted_sums(batch.rewards * batch.alive, gamma)


def features(batch: Batch) -> Float[Tensor, "T R H F"]:
    """Observations, their squares, and powers of time up to the cube (Duan et al. 2016, as in MAML and ProMP).

    Time runs from 0 to 1 over the horizon.
    """
    x = batch.observations[..., :-1, :].clamp(-LARGEST_OBSERVATION, LARGEST_OBSERVATION)
    time = torch.arange(x.shape[-2], dtype=x.dtype, device=x.device) / x.shape[-2]
    powers = torch.stack([torch.ones_like(time), time, time**2, time**3], dim=-1)
    return torch.cat([x, x**2, powers.expand(*x.shape[:-1], 4)], dim=-1)


def least_squares(
    design: Float[Tensor, "T N F"], target: Float[Tensor, "T N"], weights: Float[Tensor, "T N"], ridge: float
) -> Float[Tensor, "T F"]:
    """Coefficients of weighted ridge regression, task by task, solved in float64.

    Args:
        ridge: weight of the squared coefficients, relative to the mean over features of their sum of squares.
    """
    kept = design.double()
    weighted = (kept * weights[..., None]).mT
    gram = weighted @ kept
    gram.diagonal(dim1=-2, dim2=-1).add_(ridge * gram.diagonal(dim1=-2, dim2=-1).mean(-1, keepdim=True) + 1e-300)
    return torch.linalg.solve(gram, weighted @ target.double()[..., None]).squeeze(-1).to(design.dtype)


def baseline(batch: Batch, returns: Float[Tensor, "T R H"]) -> Float[Tensor, "T R H"]:
    """Values that a linear function of :func:`features` predicts, fitted on each task's steps; 0 after the end."""
    design = features(batch).flatten(1, 2)
    weights = batch.alive.flatten(1).to(design.dtype)
    fitted = least_squares(design, returns.flatten(1), weights, RIDGE)
    return torch.einsum("tnf,tf->tn", design, fitted).unflatten(1, batch.alive.shape[1:]) * batch.alive


def advantages(batch: Batch, gamma: float, gae: float = 1.0) -> Float[Tensor, "T R H"]:
    """Generalised advantage estimates (Schulman et al. 2016) with a fitted linear baseline; 0 after the end.

    The value after the last step is 0: the objective ends with the horizon, as in the meta-RL literature.

    Args:
        gamma: discount.
        gae: the lambda of the estimator; 1 is the return minus the baseline.
    """
    values = baseline(batch, discounted_returns(batch, gamma))
    after = torch.cat([values[..., 1:], torch.zeros_like(values[..., :1])], dim=-1)
    differences = (batch.rewards + gamma * after - values) * batch.alive
    return discounted_sums(differences, gamma * gae) * batch.alive


def standard_scale(advantage: Float[Tensor, "T R H"], alive: Bool[Tensor, "T R H"]) -> Float[Tensor, " T"]:
    """Standard deviation over a task's steps; at least the smallest normal number."""
    count = alive.sum((1, 2)).clamp(min=1)
    mean = (advantage * alive).sum((1, 2)) / count
    variance = ((advantage - mean[:, None, None]).square() * alive).sum((1, 2)) / count
    return variance.sqrt().clamp(min=torch.finfo(advantage.dtype).tiny)


def standardised(advantage: Float[Tensor, "T R H"], alive: Bool[Tensor, "T R H"]) -> Float[Tensor, "T R H"]:
    """Mean 0 and standard deviation 1 over each task's steps; 0 after the end, and everywhere if all are equal."""
    mean = (advantage * alive).sum((1, 2)) / alive.sum((1, 2)).clamp(min=1)
    centred = (advantage - mean[:, None, None]) * alive
    return centred / standard_scale(advantage, alive)[:, None, None]
