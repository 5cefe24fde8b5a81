"""The hypergradient of sampled adaptation: the implicit function theorem with all that depends on phi.

The adapted parameters solve ``dg/dtheta(theta+, phi) = 0``, so with ``H = -d2g/dtheta2`` and ``H v = outer``,

    dF/dphi = d/dphi < v, dg/dtheta(theta+, phi) >.

phi enters g three times: in the divergence ("direct"), in the action values ("values") and in the visitation that
weighs the observations ("visitation"). Holding the data still gives only the first. The second and third are
expectations under phi, whose derivative the critic estimates from the same batch by the likelihood of what phi did.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from bomrl_theory.control.batch import Batch
from bomrl_theory.control.conjugate_gradient import Solved, conjugate_gradient
from bomrl_theory.control.inner_problem import InnerProblem, SampledProblem
from bomrl_theory.control.lower_level import INDEFINITE, NOT_FINITE, SOLVED, TRUNCATED, Adapted, usable
from bomrl_theory.control.policy import Policy
from bomrl_theory.control.quadrature import condensed
from bomrl_theory.errors import InvalidTask, UnknownName

METHODS = ("implicit", "first-order")
PARTS = ("direct", "values", "visitation")
"""What the full hypergradient consists of."""
PROJECTION = "projection"
"""How the fit of the critic feels what phi draws; zero in expectation if the critic can represent the values."""


@dataclass(frozen=True, eq=False)
class Hypergradient:
    """The gradient of the weighted mean of ``J_tau(theta+_tau)`` in phi.

    Attributes:
        gradient: [P], over the tasks that are not "not finite" or "indefinite", with their weights.
        per_task: [T, P], in the parameters that drew each task's batch; zero where left out.
        residual: [T], of the linear system, relative. curvature: [T], its least Ritz value.
        steps: [T], of conjugate gradients.
        status: for each task "solved", "truncated" (the adapted policy or the linear system is not solved, so the
            gradient is off), "indefinite" or "not finite" (left out).
    """

    gradient: Float[Tensor, " P"]
    per_task: Float[Tensor, "T P"]
    residual: Float[Tensor, " T"]
    curvature: Float[Tensor, " T"]
    steps: Float[Tensor, " T"]
    status: tuple[str, ...]


def hypergradient(
    policy: Policy,
    phi: Float[Tensor, "*T P"],
    batch: Batch,
    adapted: Adapted,
    outer: Float[Tensor, "T P"],
    weights: Float[Tensor, " T"] | None = None,
    *,
    method: str = "implicit",
    parts: Collection[str] = PARTS,
    tolerance: float = 1e-3,
    steps: int = 100,
) -> Hypergradient:
    """Differentiate the return after adaptation in the meta-policy's parameters.

    Args:
        policy, phi, batch, adapted: as given to and returned by :func:`~bomrl_theory.control.lower_level.adapt`.
        outer: gradient of each task's return at its adapted parameters, estimated on data of their own.
        weights: of tasks; default: equal, adding up to 1.
        method: "implicit", or "first-order", which takes ``dtheta+/dphi`` for the identity.
        parts: of :data:`PARTS`, and :data:`PROJECTION`.
        tolerance, steps: of conjugate gradients, the tolerance relative.

    Raises:
        UnknownName: a method or a part.
        InvalidTask: the adapted policies stem from another batch or another phi.
    """
    if method not in METHODS:
        raise UnknownName("method", method, METHODS)
    for part in parts:
        if part not in (*PARTS, PROJECTION):
            raise UnknownName("part of the hypergradient", part, (*PARTS, PROJECTION))
    problem = adapted.problem
    start = phi.detach().expand(batch.tasks, -1)
    known = usable(start, batch)
    if adapted.batch is not batch or not torch.equal(problem.collected.phi[known], start[known]):
        raise InvalidTask("the adapted policies stem from another batch or meta-policy; adapt to this one first")
    if weights is None:
        weights = torch.full_like(adapted.lam, 1 / len(adapted.lam))
    finite = outer.isfinite().all(-1) & adapted.theta.isfinite().all(-1)
    outer = torch.where(finite[:, None], outer, 0)
    if method == "first-order":
        nothing = torch.zeros_like(adapted.lam)
        status = tuple(s if f else NOT_FINITE for s, f in zip(adapted.status, finite.tolist(), strict=True))
        kept = _kept(status, outer)
        per_task = torch.where(kept[:, None], outer, 0)
        return Hypergradient(weights @ per_task, per_task, nothing, adapted.curvature, nothing, status)
    adapted = replace(adapted, theta=torch.where(finite[:, None], adapted.theta, problem.collected.phi))
    solution, price = _adjoint(adapted, outer, tolerance, steps)
    per_task = _pulled_back(problem, adapted, solution.x, price, parts)
    status = tuple(
        NOT_FINITE
        if not fine or state == NOT_FINITE
        else INDEFINITE
        if not definite or state == INDEFINITE
        else TRUNCATED
        if off > tolerance or state == TRUNCATED
        else SOLVED
        for fine, definite, off, state in zip(
            (finite & per_task.isfinite().all(-1)).tolist(),
            solution.definite.tolist(),
            solution.residual.tolist(),
            adapted.status,
            strict=True,
        )
    )
    per_task = torch.where(_kept(status, outer)[:, None], per_task, 0)
    return Hypergradient(
        weights @ per_task, per_task, solution.residual, solution.least, solution.steps.to(outer.dtype), status
    )


def _kept(status: tuple[str, ...], like: Tensor) -> Tensor:
    """Tasks whose gradient means something."""
    return torch.tensor([s in (SOLVED, TRUNCATED) for s in status], device=like.device)


def _adjoint(
    adapted: Adapted, outer: Float[Tensor, "T P"], tolerance: float, steps: int
) -> tuple[Solved, Float[Tensor, " T"]]:
    """v and, on the trust region's boundary, the price p of the radius: ``H v + p c = outer, c.v = 0``."""
    problem = condensed(adapted.problem)
    product = problem.curvature(adapted.theta)
    solution = conjugate_gradient(product, outer, tolerance=tolerance, steps=steps)
    price = torch.zeros_like(adapted.lam)
    if not bool(adapted.on_radius.any()):
        return solution, price
    normal = _normal(problem, adapted.theta) * adapted.on_radius[:, None]
    across = conjugate_gradient(product, normal, tolerance=tolerance, steps=steps)
    width = (normal * across.x).sum(-1)
    price = torch.where(width > 0, (normal * solution.x).sum(-1) / torch.where(width > 0, width, 1), 0)
    return Solved(
        x=solution.x - price[:, None] * across.x,
        residual=torch.maximum(solution.residual, across.residual),
        least=torch.fmin(solution.least, across.least),
        largest=torch.fmax(solution.largest, across.largest),
        steps=solution.steps + across.steps,
        definite=solution.definite & across.definite,
    ), price


def _normal(problem: InnerProblem, theta: Float[Tensor, "T P"]) -> Float[Tensor, "T P"]:
    """The gradient of the divergence at the adapted parameters."""
    theta = theta.detach().requires_grad_()
    with torch.enable_grad():
        return torch.autograd.grad(problem.mean_divergence(theta).sum(), theta)[0]


def _pulled_back(
    problem: SampledProblem,
    adapted: Adapted,
    v: Float[Tensor, "T P"],
    price: Float[Tensor, " T"],
    parts: Collection[str],
) -> Float[Tensor, "T P"]:
    """``d/dphi < v, dL/dtheta > - p dh/dphi``, L the Lagrangian and h the divergence."""
    collected, critic = problem.collected, problem.critic
    theta = adapted.theta.detach()
    phi = collected.phi.detach().clone().requires_grad_()
    w = critic.coefficients.detach().clone().requires_grad_()
    weight = collected.weights.flatten(1)
    with torch.enable_grad():
        prior = collected.of_parameters(phi)
        # The derivative of every step's term along v, by differentiating twice: forward mode of this version of torch
        # warns when it is first used.
        theta.requires_grad_()
        unit = torch.ones_like(weight).requires_grad_()
        terms = (problem.at_steps(theta, prior, w) * unit).sum()
        (slope,) = torch.autograd.grad(terms, theta, create_graph=True)
        (h,) = torch.autograd.grad((slope * v).sum(), unit, create_graph=True)
        if bool(adapted.on_radius.any()):
            h = h - price[:, None] * problem.divergence(collected.of_parameters(theta), prior)
        pull = -2 * problem.pull[:, None] * (theta - phi) * v
        direct, q = torch.autograd.grad((weight * h).sum() + pull.sum(), (phi, w), retain_graph=True)
        total = direct if "direct" in parts else torch.zeros_like(direct)
        surrogates = []
        if "values" in parts:
            surrogates.append(critic.values_surrogate(phi, q))
        at_steps = h.detach().unflatten(1, collected.batch.alive.shape[1:])
        if "visitation" in parts:
            surrogates.append(critic.visitation_surrogate(phi, at_steps))
        if PROJECTION in parts:
            surrogates.append(critic.projection_surrogate(phi, q))
        if surrogates:
            total = total + torch.autograd.grad(torch.stack(surrogates).sum(), phi)[0]
    return total.detach()
