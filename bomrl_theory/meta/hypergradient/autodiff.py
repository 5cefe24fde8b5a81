"""Reverse-mode automatic differentiation of the whole meta-objective, by PyTorch in float64.

Independent of every formula in this package but the inner solutions. V, Q and nu are made by ``torch.linalg.solve`` and
differentiated through. Alg^(2) and MAML's step are closed forms. Where the inner problem has a solver, its solution
enters as a constant, followed by one exact Newton step whose value is (nearly) zero and whose Jacobian is constant:

    y = y_n - J^-1 F(y_n, theta),    so dy/dtheta = -J^-1 dF/dtheta.

F is the normalisation ``sum lambda phi / (mu - R) - 1`` for Alg^(1), the first-order condition for Alg^(3), and the
constraint for the multiplier of the constrained forms.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from bomrl_theory.adapt.constrained import ConstrainedStep
from bomrl_theory.adapt.convex_program import BudgetProgram
from bomrl_theory.errors import MissingExtra
from bomrl_theory.meta.hypergradient.method import Answer, Method
from bomrl_theory.meta.lower_level import LowerLevel
from bomrl_theory.meta.lower_level.euclidean import Euclidean
from bomrl_theory.meta.objective import Adapted

Tensor = Any
"""A ``torch.Tensor``; PyTorch is optional."""


@dataclass(frozen=True)
class Autodiff(Method):
    """Needs the extra ``torch``.

    Raises:
        MissingExtra: PyTorch is not installed.
    """

    name: ClassVar[str] = "autodiff"
    summary: ClassVar[str] = "reverse-mode automatic differentiation through everything (PyTorch)"

    def gradient(self, level: LowerLevel) -> Answer:
        try:
            import torch
        except ImportError:
            raise MissingExtra("torch", "torch") from None
        tape = _Tape(torch, level)
        # The policy in doubles stands for its logits; theta itself is not kept with an adaptation.
        theta = torch.log(tape.constant(level.adapted.phi.pi[0])).requires_grad_()
        (gradient,) = torch.autograd.grad(tape.objective(theta), theta)
        return Answer(gradient.numpy(), "solved" if level.definite else "indefinite")


class _Tape:
    """F as a function of the logits, in tensors.

    Args:
        torch: the module.
        level: the inner problem with its solution.
    """

    def __init__(self, torch: Any, level: LowerLevel):
        self.torch = torch
        self.level = level
        self.adapted: Adapted = level.adapted
        model = self.adapted.phi.model
        self.P, self.r, self.rho, self.w = (self.constant(x) for x in (model.P, model.r, model.rho, model.w))
        self.gamma = float(model.gamma)
        self.on_simplex = _simplex_function(torch)

    def constant(self, x: Any) -> Tensor:
        return self.torch.tensor(np.asarray(x, dtype=np.float64))

    def system(self, pi: Tensor) -> Tensor:
        """``I - gamma P_pi``."""
        P = self.torch.einsum("tsa,tsaz->tsz", pi, self.P)
        return self.torch.eye(P.shape[-1], dtype=P.dtype) - self.gamma * P

    def value(self, pi: Tensor, signal: Tensor) -> Tensor:
        """V of a reward or cost."""
        return self.torch.linalg.solve(self.system(pi), (pi * signal).sum(-1))

    def action_value(self, pi: Tensor, signal: Tensor) -> Tensor:
        """Q of a reward or cost."""
        return signal + self.gamma * self.torch.einsum("tsaz,tz->tsa", self.P, self.value(pi, signal))

    def visitation(self, pi: Tensor) -> Tensor:
        """nu."""
        return self.torch.linalg.solve(self.system(pi).transpose(1, 2), (1 - self.gamma) * self.rho)

    def objective(self, theta: Tensor) -> Tensor:
        """F."""
        log_phi = self.torch.log_softmax(theta, -1).expand(self.r.shape)
        phi = self.on_simplex(self.torch.softmax(theta, -1).expand(self.r.shape))
        plus = self.on_simplex(self.adapt(phi, log_phi))
        return self.w @ (self.rho * self.value(plus, self.r)).sum(-1)

    def adapt(self, phi: Tensor, log_phi: Tensor) -> Tensor:
        """The adapted policy."""
        Q, lam = self.action_value(phi, self.r), self.adapted.lam
        if isinstance(self.adapted.step, ConstrainedStep):
            return self.constrained(self.adapted.step, phi, log_phi, Q)
        match self.adapted.algorithm.name:
            case "none":
                return phi
            case "kl-posterior":
                return self.torch.softmax(log_phi + Q / lam, -1)
            case "kl-prior":
                return self.prior(phi, Q, lam, self.constant(self.adapted.plus.pi))
            case "policy-gradient":
                A = Q - (phi * Q).sum(-1, keepdim=True)
                return self.torch.softmax(log_phi + self.visitation(phi)[..., None] * phi * A / (2 * lam), -1)
        return self.euclidean(phi, log_phi, Q)

    def prior(self, phi: Tensor, R: Tensor, lam: Tensor | float, solution: Tensor) -> Tensor:
        """Alg^(1): ``lambda phi / (mu - R)``, relative to the best action so that nothing cancels."""
        best = R.detach().argmax(-1, keepdim=True)
        below = R.gather(-1, best) - R
        above = (lam * (phi / solution).gather(-1, best)).detach()  # mu - max R
        terms = lam * phi / (above + below)
        slope = (terms / (above + below)).sum(-1, keepdim=True).detach()
        above = above + (terms.sum(-1, keepdim=True) - 1) / slope
        return lam * phi / (above + below)

    def euclidean(self, phi: Tensor, log_phi: Tensor, Q: Tensor) -> Tensor:
        """Alg^(3)."""
        assert isinstance(self.level, Euclidean)
        softmax, nu = self.torch.softmax, self.visitation(phi)[..., None]
        change = np.log(self.adapted.plus.pi / self.adapted.phi.pi)
        y = (log_phi + self.constant(change - change.mean(axis=-1, keepdims=True))).detach()
        pi = softmax(y, -1)
        gain = pi * (Q - (pi * Q).sum(-1, keepdim=True))
        off = nu * gain / (2 * self.adapted.lam) - (y - log_phi)
        return softmax(y + self.torch.linalg.solve(self.constant(self.level.blocks), off), -1)

    def constrained(self, step: ConstrainedStep, phi: Tensor, log_phi: Tensor, Q: Tensor) -> Tensor:
        """Alg^(1) and Alg^(2) with the multiplier as a function of the logits, on the tasks that have one."""
        program, nu = step.program, self.visitation(phi)
        active = self.torch.tensor([activity == "active" for activity in step.activity])
        curvature = program.curvature(step.multiplier, step.log_policy - np.log(program.phi.pi))
        slope = self.constant(np.where(curvature > 0, curvature, 1))
        fixed = self.constant(step.multiplier)
        solution = self.constant(np.maximum(np.exp(step.log_policy), step.policy))
        prior = program.divergence.algorithm.name == "kl-prior"

        def unconstrained(R: Tensor, lam: Tensor | float) -> tuple[Tensor, Tensor]:
            """The policy, and its logarithm."""
            if prior:
                pi = self.prior(phi, R, lam, solution)
                return pi, self.torch.log(pi)
            log_pi = self.torch.log_softmax(log_phi + R / lam, -1)
            return self.torch.exp(log_pi), log_pi

        def newton(policy: Callable[[Tensor], Tuple2], left_side: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
            excess = left_side(*policy(fixed)) - self.constant(program.limit)
            kappa = self.torch.where(active, fixed + excess / slope, fixed)
            return policy(kappa)[0]

        if isinstance(program, BudgetProgram):
            Qc = self.action_value(phi, self.constant(program.cost))
            return newton(
                lambda kappa: unconstrained(Q - kappa[:, None, None] * Qc, program.regularisation),
                lambda pi, log_pi: (nu * (pi * Qc).sum(-1)).sum(-1),
            )
        # A region that does not bind: phi restricted to the best actions.
        outside = self.constant(np.where(program.best, 0.0, -np.inf))
        best = self.torch.softmax(log_phi + outside, -1)
        fixed = self.torch.where(fixed > 0, fixed, self.torch.ones_like(fixed))

        def divergence(pi: Tensor, log_pi: Tensor) -> Tensor:
            d = phi * (log_phi - log_pi) if prior else pi * (log_pi - log_phi)
            return (nu * d.sum(-1)).sum(-1)

        inside = newton(lambda kappa: unconstrained(Q, kappa[:, None, None]), divergence)
        return self.torch.where(self.constant(step.multiplier)[:, None, None] > 0, inside, best)


Tuple2 = tuple[Tensor, Tensor]


def _simplex_function(torch: Any) -> Callable[[Tensor], Tensor]:
    """The identity on policies, whose cotangents lose their component along pi.

    Every policy here sums to 1 whatever theta is, so the component has no effect; left in, it would drown
    the digits that matter where a policy is all but deterministic.
    """

    class OnSimplex(torch.autograd.Function):
        @staticmethod
        def forward(context: Any, pi: Tensor) -> Tensor:
            context.save_for_backward(pi)
            return pi.clone()

        @staticmethod
        def backward(context: Any, *cotangents: Tensor) -> Tensor:
            (pi,), (x,) = context.saved_tensors, cotangents
            return (pi[..., None, :] * (x[..., :, None] - x[..., None, :])).sum(-1)

    return OnSimplex.apply
