"""The same adaptation on exact expectations, for linear-Gaussian policies on linear-quadratic tasks: the oracle.

``E_nu [E_pi Q^phi - lambda d_i]`` is a function of phi's action values and of the second moment ``E_nu x x'``, both in
closed form and differentiable in phi. For Alg^(2) the maximiser is that of every state, whatever the visitation; for
Alg^(1) and Alg^(3) it is the best policy of the linear-Gaussian class.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from bomrl_theory.control.ascent import maximise
from bomrl_theory.control.hypergradient import PARTS
from bomrl_theory.control.linear_gaussian import LinearGaussian
from bomrl_theory.control.lower_level import LowerLevel
from bomrl_theory.linear_quadratic.closed_form import (
    Evaluation,
    closed_loop,
    divergence,
    evaluate,
    lyapunov,
    trace,
)
from bomrl_theory.linear_quadratic.model import Model

NEWTON_STEPS = 20


def second_moment(model: Model, phi: Evaluation) -> Float[Tensor, "T n n"]:
    """``E_{x ~ nu^phi} x x'``."""
    spread = model.W + model.B @ phi.Sigma @ model.B.mT
    own = (1 - model.gamma) * model.start_moment + model.gamma * spread
    return lyapunov(closed_loop(model, phi.K).mT, own, model.gamma)


def returns(model: Model, policy: LinearGaussian, theta: Float[Tensor, "T P"]) -> Float[Tensor, " T"]:
    """J of every task at its own parameters, differentiable; NaN where the return is minus infinity."""
    return evaluate(model, *policy.gain_and_covariance(theta)).J


def return_gradient(model: Model, policy: LinearGaussian, theta: Float[Tensor, "T P"]) -> Float[Tensor, "T P"]:
    """Gradient of :func:`returns`."""
    theta = theta.detach().requires_grad_()
    with torch.enable_grad():
        return torch.autograd.grad(returns(model, policy, theta).sum(), theta)[0]


@dataclass(frozen=True, eq=False)
class Data:
    """What the inner problem knows of phi: its parameters [T, P], action values, and ``E_nu x x'`` [T, n, n]."""

    phi: Float[Tensor, "T P"]
    known: Evaluation
    moment: Float[Tensor, "T n n"]


@dataclass(frozen=True, eq=False)
class ExactInnerProblem:
    """The inner problem of each task with exact expectations.

    Attributes:
        model: the tasks.
        policy, phi: the class of policies and the parameters [T, P] that collect.
        algorithm, lam, mu: as :class:`~bomrl_theory.control.inner_problem.InnerProblem` has them.
    """

    model: Model
    policy: LinearGaussian
    phi: Float[Tensor, "T P"]
    algorithm: str
    lam: Float[Tensor, " T"]
    mu: float = 0.0

    @classmethod
    def of(
        cls, model: Model, policy: LinearGaussian, phi: Float[Tensor, "*T P"], lower: LowerLevel
    ) -> ExactInnerProblem:
        """The problem that :func:`~bomrl_theory.control.lower_level.adapt` poses from samples."""
        start = phi.expand(model.tasks, -1)
        return cls(model, policy, start, lower.algorithm, torch.full_like(start[:, 0], lower.lam), lower.mu)

    def data(self, phi: Float[Tensor, "T P"], parts: Collection[str] = PARTS) -> Data:
        """What phi gives the objective; what is not among the parts as a constant, from the phi that collects."""
        direct, values, visitation = (phi if part in parts else self.phi for part in PARTS)
        known = evaluate(self.model, *self.policy.gain_and_covariance(values))
        visited = evaluate(self.model, *self.policy.gain_and_covariance(visitation))
        return Data(direct, known, second_moment(self.model, visited))

    def objective(self, theta: Float[Tensor, "T P"], data: Data) -> Float[Tensor, " T"]:
        """What is maximised, [T]."""
        gain, covariance = self.policy.gain_and_covariance(theta)
        prior = self.policy.gain_and_covariance(data.phi)
        known = data.known
        cost = known.H_xx - gain.mT @ known.H_ux - known.H_ux.mT @ gain + gain.mT @ known.H_uu @ gain
        value = -trace(cost, data.moment) - trace(known.H_uu, covariance)
        squares = (theta - data.phi).square().sum(-1)
        value = value - self.mu * squares
        if self.algorithm == "euclidean":
            return value - self.lam * squares
        pair = (*prior, gain, covariance) if self.algorithm == "kl-prior" else (gain, covariance, *prior)
        return value - self.lam * divergence(*pair).mean(data.moment)

    def adapt(self) -> Float[Tensor, "T P"]:
        """The maximiser, to rounding: limited-memory BFGS, then Newton's steps."""
        data = self.data(self.phi)
        hessian = self.minus_hessian(self.phi)

        def value_and_gradient(theta: Float[Tensor, "T P"]) -> tuple[Float[Tensor, " T"], Float[Tensor, "T P"]]:
            theta = theta.detach().requires_grad_()
            with torch.enable_grad():
                value = self.objective(theta, data)
                return value.detach(), torch.autograd.grad(value.sum(), theta)[0]

        theta = maximise(
            value_and_gradient,
            self.phi,
            target=lambda norm: 1e-4 * norm,
            product=lambda v: torch.einsum("tij,tj->ti", hessian, v),
            steps=500,
        ).theta
        for _ in range(NEWTON_STEPS):
            gradient = value_and_gradient(theta)[1]
            step = torch.linalg.solve(self.minus_hessian(theta), gradient[..., None]).squeeze(-1)
            theta = theta + step
            if float(step.norm()) <= 1e-13 * float(theta.norm()):
                break
        return theta

    def hypergradient(
        self, theta: Float[Tensor, "T P"], outer: Float[Tensor, "T P"], parts: Collection[str] = PARTS
    ) -> Float[Tensor, "T P"]:
        """``(dtheta+/dphi)' outer`` task by task, by the implicit function theorem."""
        v = torch.linalg.solve(self.minus_hessian(theta), outer[..., None]).squeeze(-1)
        theta, phi = theta.detach().requires_grad_(), self.phi.detach().clone().requires_grad_()
        with torch.enable_grad():
            value = self.objective(theta, self.data(phi, parts))
            (gradient,) = torch.autograd.grad(value.sum(), theta, create_graph=True)
            return torch.autograd.grad((gradient * v).sum(), phi)[0]

    def minus_hessian(self, theta: Float[Tensor, "T P"]) -> Float[Tensor, "T P P"]:
        """In theta."""
        theta = theta.detach().requires_grad_()
        with torch.enable_grad():
            value = self.objective(theta, self.data(self.phi))
            (gradient,) = torch.autograd.grad(value.sum(), theta, create_graph=True)
            rows = [torch.autograd.grad(g.sum(), theta, retain_graph=True)[0] for g in gradient.unbind(-1)]
        return -torch.stack(rows, dim=-2)


def meta_objective(
    model: Model, policy: LinearGaussian, phi: Float[Tensor, " P"], lower: LowerLevel
) -> Float[Tensor, ""]:
    """``F(phi)``, the weighted mean over the tasks of the return after exact adaptation."""
    return model.weights @ returns(model, policy, ExactInnerProblem.of(model, policy, phi, lower).adapt())
