"""Adaptation on one-time data: each task's inner problem, solved by as many optimisation steps as it takes."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from bomrl_theory.control.ascent import maximise
from bomrl_theory.control.batch import Batch
from bomrl_theory.control.collected import Collected
from bomrl_theory.control.conjugate_gradient import conjugate_gradient
from bomrl_theory.control.critic import CRITICS
from bomrl_theory.control.inner_problem import SampledProblem
from bomrl_theory.control.policy import Policy
from bomrl_theory.control.quadrature import condensed
from bomrl_theory.errors import InvalidTask, UnknownName

ALGORITHMS = ("kl-prior", "kl-posterior", "euclidean")
"""Alg^(1), Alg^(2), Alg^(3) by the names of :mod:`bomrl_theory.adapt`."""
VISITATIONS = ("discounted", "uniform")
SOLVED, TRUNCATED, INDEFINITE, NOT_FINITE = "solved", "truncated", "indefinite", "not finite"
"""Of a task: solved to the tolerance; stopped before; not at a maximum; with NaN or infinity in the data or result."""
SEARCHES = 25
"""How many values of lambda are tried at most."""


@dataclass(frozen=True)
class LowerLevel:
    """How tasks are adapted to.

    Attributes:
        algorithm: the divergence: "kl-prior" is ``KL(phi || pi)``, "kl-posterior" ``KL(pi || phi)``, "euclidean"
            ``|theta - theta_phi|^2``.
        lam: lambda > 0, in the unit of return; of standardised advantages where the critic standardises.
        mu: weight of a further ``|theta - theta_phi|^2``; 0.1 makes networks well posed.
        critic: "quadratic-values", "quadratic-advantage", "linear-advantage" or "importance".
        gamma: discount. gae: lambda of the advantage estimator.
        visitation: "discounted" weighs step t with ``gamma^t``; "uniform" counts all steps alike, as is common.
        tolerance: on the norm of the gradient, relative to that at phi.
        steps: of the optimiser, at most.
        radius: if given, lambda is raised task by task until ``E_nu`` of the divergence (of ``KL(pi || phi)`` for
            "euclidean") is at most that.
        radius_tolerance: how far from the radius counts as on it, relatively.
        lanczos: products with the Hessian spent on the least curvature; 0 takes that along the last step.
    """

    algorithm: str = "kl-posterior"
    lam: float = 1.0
    mu: float = 0.0
    critic: str = "quadratic-values"
    gamma: float = 0.99
    gae: float = 1.0
    visitation: str = "discounted"
    tolerance: float = 1e-3
    steps: int = 200
    radius: float | None = None
    radius_tolerance: float = 1e-2
    lanczos: int = 0

    def __post_init__(self) -> None:
        for kind, name, known in (
            ("algorithm", self.algorithm, ALGORITHMS),
            ("critic", self.critic, CRITICS),
            ("visitation", self.visitation, VISITATIONS),
        ):
            if name not in known:
                raise UnknownName(kind, name, known)
        positive = {"lambda": self.lam, "tolerance": self.tolerance, "radius_tolerance": self.radius_tolerance}
        if self.radius is not None:
            positive["radius"] = self.radius
        for name, value in positive.items():
            if not (value > 0 and math.isfinite(value)):
                raise InvalidTask(f"{name} = {value} of the lower level must be positive and finite")
        if not (self.mu >= 0 and math.isfinite(self.mu)):
            raise InvalidTask(f"mu = {self.mu} of the lower level must be finite and not negative")
        if not 0 <= self.gamma <= 1 or not 0 <= self.gae <= 1:
            raise InvalidTask(f"gamma = {self.gamma} and gae = {self.gae} of the lower level must be between 0 and 1")
        if self.steps < 1 or self.lanczos < 0:
            raise InvalidTask(f"steps = {self.steps} must be positive and lanczos = {self.lanczos} not negative")


@dataclass(frozen=True, eq=False)
class Adapted:
    """The adapted policies of T tasks.

    Attributes:
        theta: [T, P].
        gradient_norm: [T], of the inner objective at theta; start_norm: [T], at phi.
        kl: [T], ``E_nu`` of the divergence; of ``KL(pi || phi)`` for "euclidean".
        curvature: [T], an estimate from above of the least eigenvalue of minus the Hessian of the inner objective;
            NaN if no step was taken.
        lam: [T], lambda in force. on_radius: [T], whether the trust region decided it.
        steps: [T], of the optimiser.
        status: for each task "solved", "truncated", "indefinite" or "not finite".
        batch: the one batch.
        problem: what was solved; of a task that is "not finite" from the start, with zeros for data.
    """

    theta: Float[Tensor, "T P"]
    gradient_norm: Float[Tensor, " T"]
    start_norm: Float[Tensor, " T"]
    kl: Float[Tensor, " T"]
    curvature: Float[Tensor, " T"]
    lam: Float[Tensor, " T"]
    on_radius: Bool[Tensor, " T"]
    steps: Int[Tensor, " T"]
    status: tuple[str, ...]
    batch: Batch
    problem: SampledProblem

    @property
    def solved(self) -> Bool[Tensor, " T"]:
        """Which tasks were."""
        return torch.tensor([status == SOLVED for status in self.status], device=self.theta.device)


def collected(policy: Policy, phi: Float[Tensor, "*T P"], batch: Batch, lower: LowerLevel) -> Collected:
    """A batch with what drew it, and the discounts of the lower level; zeros for tasks that are not finite."""
    discount = lower.gamma if lower.visitation == "discounted" else 1.0
    phi = phi.detach().expand(batch.tasks, -1)
    wrong = ~usable(phi, batch)
    if bool(wrong.any()):
        phi, batch = phi.masked_fill(wrong[:, None], 0), batch.without(wrong)
    return Collected(policy, phi, batch, lower.gamma, lower.gae, discount)


def usable(phi: Float[Tensor, "T P"], batch: Batch) -> Bool[Tensor, " T"]:
    """Tasks whose data and parameters are finite."""
    return batch.finite & phi.isfinite().all(-1)


def inner_problem(policy: Policy, phi: Float[Tensor, "*T P"], batch: Batch, lower: LowerLevel) -> SampledProblem:
    """The inner problem that a batch of phi poses."""
    data = collected(policy, phi, batch, lower)
    lam = torch.full((batch.tasks,), lower.lam, dtype=phi.dtype, device=phi.device)
    return SampledProblem(data, CRITICS[lower.critic](data), lower.algorithm, lam, lower.mu)


def adapt(policy: Policy, phi: Float[Tensor, "*T P"], batch: Batch, lower: LowerLevel) -> Adapted:
    """Adapt to every task of a batch.

    Args:
        phi: [P], the meta-policy that drew the batch; or [T, P] where every task has its own, as after a first step.

    Nothing is raised where a task fails: its status says why, and its theta is the best point that was found; NaN
    where the data are not finite.

    Raises:
        InvalidTask: phi is the meta-policy and not finite.
    """
    if phi.ndim == 1 and not bool(phi.isfinite().all()):
        raise InvalidTask("the meta-policy's parameters are not all finite; go back to the last ones that were")
    problem = inner_problem(policy, phi, batch, lower)
    adapted = _within_radius(problem, _solve(problem, problem.collected.phi, lower), lower)
    wrong = ~usable(phi.expand(batch.tasks, -1), batch)
    return replace(
        adapted,
        batch=batch,
        theta=adapted.theta.masked_fill(wrong[:, None], torch.nan),
        status=tuple(NOT_FINITE if bad else s for s, bad in zip(adapted.status, wrong.tolist(), strict=True)),
    )


def _within_radius(problem: SampledProblem, adapted: Adapted, lower: LowerLevel) -> Adapted:
    """With lambda raised where the trust region asks for it."""
    if lower.radius is None:
        return adapted
    radius = torch.full_like(adapted.kl, lower.radius)
    outside = adapted.kl > radius
    if not bool(outside.any()):
        return adapted
    tries = _matched(
        lambda lam, theta: _solve(replace(problem, lam=torch.where(outside, lam, adapted.lam)), theta, lower),
        adapted,
        radius,
        outside,
        lower.radius_tolerance,
    )
    off = outside & ~((tries.kl / radius - 1).abs() <= lower.radius_tolerance)
    status = tuple(
        TRUNCATED if missed and status == SOLVED else status
        for status, missed in zip(tries.status, off.tolist(), strict=True)
    )
    return replace(tries, on_radius=outside, status=status)


def lambda_for(kl_target: float, policy: Policy, phi: Float[Tensor, "*T P"], batch: Batch, lower: LowerLevel) -> float:
    """The lambda, one for all tasks, whose adapted policies are on average at that divergence from phi.

    Raises:
        InvalidTask: the target is not positive, or no lambda reaches it.
    """
    if not (kl_target > 0 and math.isfinite(kl_target)):
        raise InvalidTask(f"the target {kl_target} of the divergence must be positive and finite")
    problem = inner_problem(policy, phi, batch, lower)

    def solve(lam: Tensor, theta: Tensor) -> Adapted:
        solved = _solve(replace(problem, lam=lam), theta, lower)
        return replace(solved, kl=solved.kl.mean().expand_as(solved.kl))

    first = solve(problem.lam, problem.collected.phi)
    found = _matched(solve, first, torch.full_like(first.kl, kl_target), ~first.on_radius, lower.radius_tolerance)
    if not abs(float(found.kl[0]) / kl_target - 1) <= lower.radius_tolerance:
        raise InvalidTask(
            f"no lambda with divergence {kl_target:g} was found (closest: {float(found.kl[0]):g} at lambda = "
            f"{float(found.lam[0]):g}); lower the target, or mu = {lower.mu:g}"
        )
    return float(found.lam[0])


def _matched(
    solve: Callable[[Float[Tensor, " T"], Float[Tensor, "T P"]], Adapted],
    first: Adapted,
    target: Float[Tensor, " T"],
    moving: Bool[Tensor, " T"],
    tolerance: float,
) -> Adapted:
    """Move lambda until the divergence is the target: the secant method in logarithms, within the bracket so far."""
    lam, now = first.lam, first
    low, high = torch.zeros_like(lam), torch.full_like(lam, torch.inf)
    # At first as if the divergence fell as 1 / lambda^2.
    slope = torch.full_like(lam, -2.0)
    before: tuple[Tensor, Tensor] | None = None
    for _ in range(SEARCHES):
        ratio = torch.where(now.kl.isfinite(), now.kl / target, torch.inf)
        near = ~moving | ((ratio - 1).abs() <= tolerance)
        if bool(near.all()):
            break
        excess = ratio.clamp(1e-6, 1e6).log()
        if before is not None:
            run = lam.log() - before[0]
            secant = (excess - before[1]) / torch.where(run == 0, 1, run)
            slope = torch.where(run == 0, slope, secant.clamp(-6, -0.2))
        before = (lam.log(), excess)
        low, high = torch.where(ratio > 1, lam, low), torch.where(ratio > 1, high, lam)
        wanted = lam * (-excess / slope).exp()
        inside = (wanted > low) & (wanted < high)
        halfway = torch.where(high.isfinite(), (low.clamp(min=1e-12) * high).sqrt(), 2 * low)
        lam = torch.where(near, lam, torch.where(inside, wanted, halfway))
        good = now.theta.isfinite().all(-1) & (ratio < 100)
        now = solve(lam, torch.where(good[:, None], now.theta, first.problem.collected.phi))
    return now


def _solve(whole: SampledProblem, start: Float[Tensor, "T P"], lower: LowerLevel) -> Adapted:
    """At given lambda."""
    problem = condensed(whole)
    start_norm = problem.value_and_gradient(problem.collected.phi)[1].norm(dim=-1)
    floor = torch.finfo(start.dtype).eps * (1 + problem.pull)
    found = maximise(
        problem.value_and_gradient,
        start,
        target=lambda _: lower.tolerance * start_norm + floor,
        product=problem.curvature(start),
        steps=lower.steps,
    )
    curvature = found.curvature
    if lower.lanczos:
        probe = torch.randn(start.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64).to(start)
        ritz = conjugate_gradient(problem.curvature(found.theta), probe, tolerance=1e-12, steps=lower.lanczos)
        curvature = torch.where(ritz.definite, ritz.least, -torch.inf)
    with torch.no_grad():
        kl = problem.mean_divergence(found.theta)
    finite = found.theta.isfinite().all(-1) & found.gradient.isfinite().all(-1) & found.value.isfinite() & kl.isfinite()
    status = tuple(
        NOT_FINITE if not fine else INDEFINITE if bends <= 0 else SOLVED if done else TRUNCATED
        for fine, bends, done in zip(finite.tolist(), curvature.tolist(), found.converged.tolist(), strict=True)
    )
    return Adapted(
        theta=found.theta,
        gradient_norm=found.gradient.norm(dim=-1),
        start_norm=start_norm,
        kl=kl,
        curvature=curvature,
        lam=problem.lam,
        on_radius=torch.zeros_like(finite),
        steps=found.steps,
        status=status,
        batch=whole.collected.batch,
        problem=whole,
    )
