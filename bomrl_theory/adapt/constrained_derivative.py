"""The constrained step's derivative with respect to the logits of phi, through its KKT system (docs/constrained.md).

At a maximiser ``dpi = N dR + E dlog phi - N C dkappa`` state by state, with a symmetric ``N``, and differentiating the
active constraint gives ``dkappa``. The pullback uses the transposes, so that one costs a few linear solves a task:
R depends on phi through Q^phi and Qc^phi, and the constraint is weighted by nu^phi.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float64

from bomrl_theory.adapt.constrained import Activity, ConstrainedStep
from bomrl_theory.adapt.convex_program import BudgetProgram, RegionProgram
from bomrl_theory.errors import InvalidTask, UnknownName
from bomrl_theory.exact.derivatives import action_value_pullback, log_policy_pullback, visitation_pullback
from bomrl_theory.numbers import FLOATS, Array

Smoothness = Literal["differentiable", "weakly active", "tied"]


@dataclass(frozen=True, eq=False)
class Adjoint:
    """The adjoint solution of the KKT system, as cotangents of what the lower level is given.

    Attributes:
        by_reward: of R [T, S, A].
        by_log_phi: of ``log phi`` in the stationarity condition [T, S, A].
        price: of the constraint's limit, with the other sign [T]; zero where it is not active.
    """

    by_reward: Float64[Array, "T S A"]
    by_log_phi: Float64[Array, "T S A"]
    price: Float64[Array, " T"]


@dataclass(frozen=True, eq=False)
class Pullback:
    """A vector-Jacobian product of the constrained step.

    Attributes:
        gradient: with respect to the logits of the meta-policy, task by task [T, S, A]; a shared
            meta-policy's gradient is the sum over tasks. It sums to zero over actions.
        smoothness: task by task. "weakly active": the policy has a kink here, and the gradient is that of the side
            where the constraint does not bind. "tied": a trust region that does not bind leaves
            several best actions, whose tie another phi breaks; the gradient is that of an unbroken tie.
    """

    gradient: Float64[Array, "T S A"]
    smoothness: tuple[Smoothness, ...]


def pullback(step: ConstrainedStep, cotangent: Float64[Array, "T S A"], *, of: str = "policy") -> Pullback:
    """``(d pi+ / d logits)^T cotangent``, the total derivative: through Q^phi, Qc^phi, nu^phi and the multiplier.

    Args:
        step: a solved step, preferably by the method "dual": the formulas hold at the maximiser.
        cotangent: of the adapted policy's probabilities [T, S, A], such as the gradient of the return with respect
            to them. Task weights belong into it.
        of: "policy", or "log-policy" if the cotangent is one of ``log pi+``, which serves where ``pi+`` underflows.

    Raises:
        InvalidTask: a cotangent of another shape, or not finite.
        UnknownName: ``of`` is neither.
    """
    if of not in ("policy", "log-policy"):
        raise UnknownName("argument of the pullback", of, ("policy", "log-policy"))
    program, kappa = step.program, step.multiplier
    phi = program.phi
    if cotangent.shape != phi.pi.shape or not np.all(np.isfinite(cotangent)):
        raise InvalidTask(f"the cotangent must be finite with shape {list(phi.pi.shape)}, not {list(cotangent.shape)}")
    with FLOATS.activated():
        x = step.log_policy - np.log(phi.pi)
        pi = program.policy(x)
        lam = program.lam(kappa)
        # At a kink rounding alone would decide the side; take the one where the constraint does not bind.
        active = np.array([activity == "active" for activity in step.activity])
        u = pi * cotangent if of == "policy" else cotangent

        # u is completed by a multiple of the constraint's gradient nu C, such that <u, N C> = 0: the multiplier
        # adjusts itself, and what is left is the derivative at a fixed multiplier.
        C = program.direction(kappa)
        curvature = program.curvature(kappa, x)
        along = (C * program.response(x, lam, u)).sum(axis=(-2, -1))
        price = np.where(active & (curvature > 0), -along / np.where(curvature > 0, curvature, 1), 0)
        weight = (price[:, None] * phi.nu)[..., None]
        u = u + weight * pi * C
        adjoint = Adjoint(program.response(x, lam, u), program.centred(x, u), price)
        return Pullback(to_logits(step, adjoint), smoothness_of(step))


def to_logits(
    step: ConstrainedStep, adjoint: Adjoint, *, indirect: bool = True, terms: int | None = None
) -> Float64[Array, "T S A"]:
    """Pull an adjoint solution back to the logits of phi; use it inside ``FLOATS.activated()``.

    Args:
        indirect: also through Q^phi, Qc^phi and nu^phi.
        terms: of the series for the linear systems of policy evaluation; None solves them.
    """
    program, kappa = step.program, step.multiplier
    phi, divergence = program.phi, program.divergence
    x = step.log_policy - np.log(phi.pi)
    pi = program.policy(x)
    weight = (adjoint.price[:, None] * phi.nu)[..., None]
    active = adjoint.price != 0
    by_log_phi = adjoint.by_log_phi
    if isinstance(program, RegionProgram):
        # Where the region does not bind x may be infinite, and the divergence plays no part.
        by_log_phi = by_log_phi + np.where(active[:, None, None], weight * divergence.by_log_phi(phi.pi, x), 0)
        by_visitation = np.where(active[:, None], adjoint.price[:, None] * divergence.value(phi.pi, x), 0)
    else:
        by_visitation = adjoint.price[:, None] * (pi * program.Qc).sum(axis=-1)
    gradient = log_policy_pullback(phi, by_log_phi)
    if not indirect:
        return gradient
    if isinstance(program, BudgetProgram):
        by_cost = weight * pi - kappa[:, None, None] * adjoint.by_reward
        gradient = gradient + action_value_pullback(phi, by_cost, Q=program.Qc, terms=terms)
    gradient = gradient + action_value_pullback(phi, adjoint.by_reward, terms=terms)
    return gradient + visitation_pullback(phi, by_visitation, terms=terms)


def smoothness_of(step: ConstrainedStep) -> tuple[Smoothness, ...]:
    """Where the step is differentiable, task by task; use it inside ``FLOATS.activated()``."""
    program = step.program
    broken = np.zeros(len(step.multiplier), dtype=bool)
    if isinstance(program, RegionProgram):
        broken = (step.multiplier == 0) & _broken_ties(program)
    return tuple(_smoothness(*task) for task in zip(step.activity, broken.tolist(), strict=True))


def _smoothness(activity: Activity, broken: bool) -> Smoothness:
    if activity == "weakly active":
        return "weakly active"
    return "tied" if broken else "differentiable"


def _broken_ties(program: RegionProgram) -> Array:
    """Whether some state has best actions that differ in reward or transitions, so that another phi parts them."""
    model = program.phi.model
    first = program.best.argmax(axis=-1)[..., None]
    same_reward = model.r == np.take_along_axis(model.r, first, axis=-1)
    same_moves = np.all(np.take_along_axis(model.P, first[..., None], axis=2) == model.P, axis=-1)
    return np.any(program.best & ~(same_reward & same_moves), axis=(-2, -1))
