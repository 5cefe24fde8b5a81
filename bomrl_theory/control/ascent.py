"""Limited-memory BFGS for many maximisations at once, each with its own step lengths and its own end."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

Evaluate = Callable[[Float[Tensor, "T P"]], tuple[Float[Tensor, " T"], Float[Tensor, "T P"]]]

SUFFICIENT = 1e-4
"""Armijo's share of the increase that the slope promises."""
HALVINGS = 20
CAUTIOUS = 5
"""So many halvings are spent on staying where the function is concave."""
LONGEST = 1.0
"""No parameter moves further in one step: logarithms of scales are among them."""


@dataclass(frozen=True, eq=False)
class Maximum:
    """Where the maximisations ended.

    Attributes:
        theta: [T, P], the best point of each.
        value, gradient: there; [T] and [T, P].
        curvature: [T], ``s.y / s.s`` of the last step that changed the gradient by more than rounding; NaN if none did.
        steps: [T], steps taken.
        converged: [T].
        stuck: [T], whether the line search found no better point.
    """

    theta: Float[Tensor, "T P"]
    value: Float[Tensor, " T"]
    gradient: Float[Tensor, "T P"]
    curvature: Float[Tensor, " T"]
    steps: Int[Tensor, " T"]
    converged: Bool[Tensor, " T"]
    stuck: Bool[Tensor, " T"]


def maximise(
    evaluate: Evaluate,
    start: Float[Tensor, "T P"],
    *,
    target: Callable[[Float[Tensor, " T"]], Float[Tensor, " T"]],
    product: Callable[[Float[Tensor, "T P"]], Float[Tensor, "T P"]],
    steps: int,
    memory: int = 10,
) -> Maximum:
    """Maximise (Nocedal & Wright 2006, algorithm 7.4) with backtracking; no step leads downhill.

    Args:
        evaluate: value and gradient of every maximisation.
        target: from the norm of the first gradients, the norms at which to end.
        product: with minus the Hessian at the start, for the length of the first step.
    """
    theta = start
    value, gradient = evaluate(theta)
    goal = target(gradient.norm(dim=-1))
    running = value.isfinite() & gradient.isfinite().all(-1)
    curvature, largest = torch.full_like(value, torch.nan), torch.zeros_like(value)
    taken, stuck = torch.zeros_like(running, dtype=torch.int64), torch.zeros_like(running)
    pairs: deque[tuple[Tensor, Tensor, Tensor]] = deque(maxlen=memory)
    scale = _first_length(product, gradient)
    for _ in range(steps):
        running = running & (gradient.norm(dim=-1) > goal)
        if not bool(running.any()):
            break
        direction = torch.where(running[:, None], _direction(gradient, pairs, scale), 0)
        slope = (direction * gradient).sum(-1)
        ascends = slope > 0
        direction = torch.where(ascends[:, None], direction, scale[:, None] * gradient * running[:, None])
        slope = torch.where(ascends, slope, (direction * gradient).sum(-1))
        length = LONGEST / direction.abs().amax(-1).clamp(min=LONGEST)
        found, best = ~running, (theta, value, gradient)
        for attempt in range(HALVINGS):
            trial = theta + torch.where(found, 0, length)[:, None] * direction
            its_value, its_gradient = evaluate(trial)
            fine = its_value.isfinite() & its_gradient.isfinite().all(-1)
            rises = its_value >= value + SUFFICIENT * length * slope
            # Near the maximum values drown in rounding; slopes do not (Hager & Zhang 2005, approximate Wolfe).
            level = its_value >= value - _rounding(value)
            its_slope = (direction * its_gradient).sum(-1)
            level &= its_slope.abs() <= (1 - 2 * SUFFICIENT) * slope
            fine &= rises | level
            if attempt < CAUTIOUS:
                # A slope that grew tells that the maximum near the start was jumped over.
                fine &= its_slope <= slope
            accept = fine & ~found
            best = (
                torch.where(accept[:, None], trial, best[0]),
                torch.where(accept, its_value, best[1]),
                torch.where(accept[:, None], its_gradient, best[2]),
            )
            found = found | accept
            if bool(found.all()):
                break
            length = torch.where(found, length, length / 2)
        stuck = stuck | ~found
        moved = running & found
        s, y = best[0] - theta, gradient - best[2]
        product_sy, squared = (s * y).sum(-1), s.square().sum(-1)
        largest = torch.maximum(largest, gradient.norm(dim=-1))
        seen = moved & (squared > 0) & (y.norm(dim=-1) > torch.finfo(s.dtype).eps ** 0.5 * largest)
        curvature = torch.where(seen, product_sy / torch.where(seen, squared, 1), curvature)
        useful = moved & (product_sy > 1e-8 * squared.sqrt() * y.norm(dim=-1))
        inverse = torch.where(useful, 1 / torch.where(useful, product_sy, 1), 0)
        pairs.append((s * useful[:, None], y * useful[:, None], inverse))
        scale = torch.where(useful, product_sy / y.square().sum(-1).clamp(min=torch.finfo(s.dtype).tiny), scale)
        theta, value, gradient = best
        taken = taken + moved
        running = running & found
    return Maximum(theta, value, gradient, curvature, taken, gradient.norm(dim=-1) <= goal, stuck)


def _first_length(
    product: Callable[[Float[Tensor, "T P"]], Float[Tensor, "T P"]], gradient: Float[Tensor, "T P"]
) -> Float[Tensor, " T"]:
    """Cauchy's step, or one of length 1 where there is no positive curvature along the gradient."""
    size = gradient.norm(dim=-1).clamp(min=torch.finfo(gradient.dtype).tiny)
    unit = gradient / size[:, None]
    curvature = (unit * product(unit)).sum(-1)
    fine = curvature.isfinite() & (curvature > 0)
    return torch.where(fine, 1 / torch.where(fine, curvature, 1), 1 / size)


def _rounding(value: Float[Tensor, " T"]) -> Float[Tensor, " T"]:
    """By how much a value may seem to fall near the maximum, with room for sums of many terms."""
    return 1e3 * torch.finfo(value.dtype).eps * value.abs()


def _direction(
    gradient: Float[Tensor, "T P"],
    pairs: deque[tuple[Tensor, Tensor, Tensor]],
    scale: Float[Tensor, " T"],
) -> Float[Tensor, "T P"]:
    """The two-loop recursion; a pair that was of no use to a task is zero there."""
    q, weights = gradient, []
    for s, y, inverse in reversed(pairs):
        weights.append(inverse * (s * q).sum(-1))
        q = q - weights[-1][:, None] * y
    q = scale[:, None] * q
    for (s, y, inverse), weight in zip(pairs, reversed(weights), strict=True):
        q = q + (weight - inverse * (y * q).sum(-1))[:, None] * s
    return q
