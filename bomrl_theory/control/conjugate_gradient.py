"""Conjugate gradients for many systems at once, each stopped by itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Solved:
    """Approximate solutions of ``H x = b``.

    Attributes:
        x: [T, P].
        residual: [T], ``|b - H x| / |b|`` as the recursion has it.
        least, largest: [T], extreme Ritz values: the least is no less than H's least eigenvalue, the largest no more.
        steps: [T], products that each system took.
        definite: [T], whether no direction of non-positive curvature was met; x is from before it.
    """

    x: Float[Tensor, "T P"]
    residual: Float[Tensor, " T"]
    least: Float[Tensor, " T"]
    largest: Float[Tensor, " T"]
    steps: Int[Tensor, " T"]
    definite: Bool[Tensor, " T"]


def conjugate_gradient(
    product: Callable[[Float[Tensor, "T P"]], Float[Tensor, "T P"]],
    right: Float[Tensor, "T P"],
    *,
    tolerance: float,
    steps: int,
) -> Solved:
    """Solve symmetric systems (Hestenes & Stiefel 1952).

    A system is left alone when its relative residual is at most the tolerance, when a direction of non-positive or
    no finite curvature is met, or after so many steps. The Ritz values are those of the Lanczos process that
    conjugate gradients run along.
    """
    x, r = torch.zeros_like(right), right.clone()
    p, size = r.clone(), right.norm(dim=-1)
    squared = r.square().sum(-1)
    running = (size > 0) & size.isfinite()
    definite, taken = torch.ones_like(running), torch.zeros_like(running, dtype=torch.int64)
    lengths, ratios = [], []
    for _ in range(steps):
        if not bool(running.any()):
            break
        image = product(torch.where(running[:, None], p, 0))
        curvature = (p * image).sum(-1)
        positive = curvature.isfinite() & (curvature > 0)
        definite &= positive | ~running
        running = running & positive
        length = torch.where(running, squared / torch.where(running, curvature, 1), 0)
        x = x + length[:, None] * p
        r = torch.where(running[:, None], r - length[:, None] * image, r)
        after = r.square().sum(-1)
        ratio = torch.where(running, after / torch.where(squared > 0, squared, 1), 0)
        p = torch.where(running[:, None], r + ratio[:, None] * p, p)
        taken = taken + running
        lengths.append(length)
        ratios.append(ratio)
        squared = torch.where(running, after, squared)
        running = running & (after.sqrt() > tolerance * size)
    least, largest = _ritz(lengths, ratios, taken, right)
    residual = torch.where(size > 0, r.norm(dim=-1) / torch.where(size > 0, size, 1), 0)
    return Solved(x, residual, least, largest, taken, definite)


def _ritz(
    lengths: list[Tensor], ratios: list[Tensor], taken: Int[Tensor, " T"], right: Float[Tensor, "T P"]
) -> tuple[Float[Tensor, " T"], Float[Tensor, " T"]]:
    """Extreme eigenvalues of the tridiagonal matrix that the coefficients stand for; NaN where no step was taken."""
    nothing = right.new_full((len(right),), torch.nan)
    if not lengths or not bool((taken > 0).any()):
        return nothing, nothing
    length, ratio = torch.stack(lengths, dim=-1).double(), torch.stack(ratios, dim=-1).double()
    used = length > 0
    inverse = torch.where(used, 1 / torch.where(used, length, 1), 0)
    before = torch.where(used[:, 1:], inverse[:, :-1] * ratio[:, :-1], 0)
    diagonal = inverse + torch.nn.functional.pad(before, (1, 0))
    beside = torch.where(used[:, 1:], inverse[:, :-1] * ratio[:, :-1].sqrt(), 0)
    # Steps that a system did not take repeat its first entry, which is a Rayleigh quotient of it.
    diagonal = torch.where(used, diagonal, diagonal[:, :1])
    matrix = torch.diag_embed(diagonal) + torch.diag_embed(beside, 1) + torch.diag_embed(beside, -1)
    values = torch.linalg.eigvalsh(matrix).to(right.dtype)
    return torch.where(taken > 0, values[:, 0], nothing), torch.where(taken > 0, values[:, -1], nothing)
