"""Certified optima of many small tasks on any device that torch knows, in float64.

The same policy iteration and the same certificate as :mod:`enclose`: its error bound assumes IEEE doubles, rounding to
nearest and gradual underflow, but no order of sums and nothing about fused operations, so it holds on a GPU as it does
on the host. What is certified is computed by element-wise operations and sums only: a library's matrix product may
come from another arithmetic, and here it only proposes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from bomrl_theory.exact import kernels
from bomrl_theory.exact.enclose import Bounds, CertifiedOptimum, backup_error
from bomrl_theory.exact.solve import MAXIMUM_ITERATIONS
from bomrl_theory.numbers import ENCLOSURES, device_named
from bomrl_theory.numbers.enclosure import TINY, U, rounded_up
from bomrl_theory.tasks.family import TaskFamily

if TYPE_CHECKING:  # an extra, imported where it is used
    from torch import Tensor

ENTRIES = 2**27
"""Entries of W taken to the device at a time: a gigabyte, and a few times as much for what is made of them."""


@dataclass(frozen=True, eq=False)
class DeviceOptimum:
    """Optima and certified bounds of V*, where they were computed.

    Attributes:
        actions: greedy policy [T, S], the lowest index among numerical ties.
        V: its value [T, S].
        low, high: bounds of V* [T, S]; infinite where nothing is known.
        converged: whether policy iteration ended before its cap [T].
        iterations: policy evaluations, the most that a task needed.
    """

    actions: Tensor
    V: Tensor
    low: Tensor
    high: Tensor
    converged: Tensor
    iterations: int


def certified_optimum_on(
    device: str, family: TaskFamily, *, maximum_iterations: int = MAXIMUM_ITERATIONS
) -> CertifiedOptimum:
    """:func:`bomrl_theory.exact.enclose.certified_optimum` on a device: "cpu", "cuda", "cuda:1".

    Raises:
        MissingExtra, InvalidTask, ArithmeticError: as :func:`device_named`.
    """
    place = device_named(device)
    parts = [
        _on_host(optimum(W, r, family.gamma, maximum_iterations=maximum_iterations)) for W, r in _pieces(family, place)
    ]
    actions, V, low, high, converged = (
        np.concatenate(column) for column in zip(*(part[:5] for part in parts), strict=True)
    )
    status = "converged" if converged.all() else "stopped"
    return CertifiedOptimum(actions, V, Bounds(low, high), status, max(part[5] for part in parts), "torch")


def _pieces(family: TaskFamily, place: Any) -> Iterator[tuple[Tensor, Tensor]]:
    import torch

    count = max(1, ENTRIES // (family.states**2 * family.actions))
    for first in range(0, family.tasks, count):
        here = slice(first, first + count)
        yield torch.tensor(family.P[here], device=place), torch.tensor(family.r[here], device=place)


def _on_host(found: DeviceOptimum) -> tuple[Any, ...]:
    arrays = (found.actions, found.V, found.low, found.high, found.converged)
    return (*(x.numpy(force=True) for x in arrays), found.iterations)


def optimum(W: Tensor, r: Tensor, gamma: Fraction, *, maximum_iterations: int = MAXIMUM_ITERATIONS) -> DeviceOptimum:
    """Policy iteration on every task, and bounds of V* around what it found.

    Args:
        W: non-negative weights of successors [T, S, A, S] in float64; probabilities are weights over their exact sum.
        r: rewards [T, S, A] in float64, on the same device.
        gamma: the discount.
        maximum_iterations: most policy evaluations of a task.
    """
    actions, V, converged, iterations = _policy_iteration(W, r, float(gamma), maximum_iterations)
    low, high = bounds(W, r, gamma, V)
    return DeviceOptimum(actions, V, low, high, converged, iterations)


def _policy_iteration(W: Tensor, r: Tensor, gamma: float, most: int) -> tuple[Tensor, Tensor, Tensor, int]:
    """As :func:`bomrl_theory.exact.solve.policy_iteration`; tasks that are done are left out of later rounds."""
    import torch

    tasks, states, count = r.shape
    actions, V = r.argmax(-1), torch.zeros_like(r[..., 0])
    ordered, converged = actions.clone(), torch.zeros(tasks, dtype=torch.bool, device=r.device)
    left = torch.arange(tasks, device=r.device)
    identity, places = torch.eye(states, dtype=r.dtype, device=r.device), torch.arange(count, device=r.device)
    discounted = gamma / W.sum(-1)
    iterations = 0
    while len(left) and iterations < most:
        iterations += 1
        whole = len(left) == tasks
        weights, rewards, scale = (x if whole else x[left] for x in (W, r, discounted))
        chosen = actions[left, :, None]
        rows = weights.gather(2, chosen[..., None].expand(-1, -1, -1, states)).squeeze(2) * scale.gather(2, chosen)
        own = rewards.gather(2, chosen)
        value = torch.linalg.solve_ex(identity - rows, own)[0].squeeze(-1)
        Q = rewards + scale * (weights.flatten(1, 2) @ value[..., None]).view_as(rewards)
        best = Q.amax(-1)
        size = value.abs().amax(-1, keepdim=True) + rewards.abs().amax((-2, -1))[:, None]
        tolerance = 64 * 2.0**-52 * size / (1 - gamma)
        better = best > Q.gather(2, chosen).squeeze(-1) + tolerance
        V[left] = value
        tied = best[..., None] - Q <= tolerance[..., None]
        ordered[left] = torch.where(tied, places, count).amin(-1).clamp(max=count - 1)
        actions[left] = torch.where(better, Q.argmax(-1), actions[left])
        improved = better.any(-1)
        converged[left] = ~improved
        left = left[improved]
    return ordered, V, converged, iterations


def bounds(W: Tensor, r: Tensor, gamma: Fraction, V: Tensor) -> tuple[Tensor, Tensor]:
    """Bounds of V* [T, S] around any guess V: :func:`bomrl_theory.exact.enclose.enclose_optimum` on the device.

    Theorem (MacQueen 1966). ``V + min(T V - V)/(1-gamma) <= V* <= V + max(T V - V)/(1-gamma)``; the residual is off by
    at most :func:`backup_error` and one rounding. Each later operation rounds to nearest, so the neighbour of its
    result lies beyond the exact one.
    """
    import torch

    total = W.sum(-1)
    products = torch.stack([(W[:, :, a] * V[:, None]).sum(-1) for a in range(r.shape[-1])], dim=-1)
    residual = (r + float(gamma) * (products / total)).amax(-1) - V
    terms = (W != 0).sum(-1).amax((-2, -1)).to(r.dtype)
    rad = backup_error(terms, float(gamma), V.abs().amax(-1), r.abs().amax((-2, -1)))
    least, most = total.amin((-2, -1)), total.amax((-2, -1))
    sane = (least >= kernels.SANE_SUMS[0]) & (most <= kernels.SANE_SUMS[1])
    rad = torch.where(sane, rad, torch.inf)
    lowest, highest = residual.amin(-1), residual.amax(-1)
    below = _down(lowest - (rounded_up(rad + U * lowest.abs()) + TINY))
    above = _up(highest + (rounded_up(rad + U * highest.abs()) + TINY))
    with ENCLOSURES.activated():
        horizon = 1 / (1 - ENCLOSURES.constant(gamma))
        near, far = float(horizon.low), float(horizon.high)
    below = _down(below * torch.where(below < 0, far, near))
    above = _up(above * torch.where(above > 0, far, near))
    low, high = _down(V + below[:, None]), _up(V + above[:, None])
    known = torch.isfinite(low) & torch.isfinite(high)
    return torch.where(known, low, -torch.inf), torch.where(known, high, torch.inf)


def _down(x: Tensor) -> Tensor:
    """At most the exact value that x was rounded from."""
    return x.nextafter(x.new_full((), -np.inf))


def _up(x: Tensor) -> Tensor:
    """At least the exact value that x was rounded from."""
    return x.nextafter(x.new_full((), np.inf))
