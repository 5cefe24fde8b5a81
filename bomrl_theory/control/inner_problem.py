"""The inner problem of every task on its one batch, as a function of the adapted policy's parameters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from bomrl_theory.control.collected import Collected, Observed
from bomrl_theory.control.critic import Critic, ExpectedValues
from bomrl_theory.control.gaussian import Gaussian


@dataclass(frozen=True, eq=False)
class InnerProblem:
    """``E_nu [E_{a ~ pi} Q^phi - lambda d_i(phi, pi)] - mu |theta - theta_phi|^2`` for T tasks, to be maximised.

    Attributes:
        collected, critic: the batch and the action values estimated from it.
        algorithm: "kl-prior", "kl-posterior" or "euclidean".
        lam: lambda [T], in the critic's unit.
        mu: proximal weight.
    """

    collected: Observed
    critic: ExpectedValues
    algorithm: str
    lam: Float[Tensor, " T"]
    mu: float

    def divergence(self, pi: Gaussian, phi: Gaussian) -> Float[Tensor, "T N"]:
        """``KL(phi || pi)`` for "kl-prior", else ``KL(pi || phi)``, at every observation."""
        return phi.kl(pi) if self.algorithm == "kl-prior" else pi.kl(phi)

    def at_steps(
        self, theta: Float[Tensor, "T P"], phi: Gaussian | None = None, w: Tensor | None = None
    ) -> Float[Tensor, "T N"]:
        """The term of every step, without its weight and without what depends on parameters alone.

        Args:
            phi: the prior's actions, where they are not to be constants.
            w: the critic's coefficients, likewise.
        """
        pi = self.collected.of_parameters(theta)
        values = self.critic.expected(pi, self.critic.coefficients if w is None else w)
        if self.algorithm == "euclidean":
            return values
        return values - self.lam[:, None] * self.divergence(pi, self.collected.gaussian if phi is None else phi)

    @property
    def pull(self) -> Float[Tensor, " T"]:
        """Weight of ``|theta - theta_phi|^2``."""
        return self.lam + self.mu if self.algorithm == "euclidean" else torch.full_like(self.lam, self.mu)

    def objective(self, theta: Float[Tensor, "T P"]) -> Float[Tensor, " T"]:
        """What is maximised."""
        expected = (self.at_steps(theta) * self.collected.weights.flatten(1)).sum(-1)
        return expected - self.pull * (theta - self.collected.phi).square().sum(-1)

    def mean_divergence(self, theta: Float[Tensor, "T P"]) -> Float[Tensor, " T"]:
        """``E_nu`` of the divergence; of KL(pi || phi) for "euclidean"."""
        at_steps = self.divergence(self.collected.of_parameters(theta), self.collected.gaussian)
        return (at_steps * self.collected.weights.flatten(1)).sum(-1)

    def value_and_gradient(self, theta: Float[Tensor, "T P"]) -> tuple[Float[Tensor, " T"], Float[Tensor, "T P"]]:
        """The objective and its gradient."""
        theta = theta.detach().requires_grad_()
        with torch.enable_grad():
            value = self.objective(theta)
            (gradient,) = torch.autograd.grad(value.sum(), theta)
        return value.detach(), gradient

    def curvature(self, theta: Float[Tensor, "T P"]) -> Callable[[Float[Tensor, "T P"]], Float[Tensor, "T P"]]:
        """Products with minus the Hessian at theta, for all tasks at once; the graph is built once."""
        theta = theta.detach().requires_grad_()
        with torch.enable_grad():
            (gradient,) = torch.autograd.grad(self.objective(theta).sum(), theta, create_graph=True)

        def product(v: Float[Tensor, "T P"]) -> Float[Tensor, "T P"]:
            return -torch.autograd.grad(gradient, theta, v, retain_graph=True)[0]

        return product


@dataclass(frozen=True, eq=False)
class SampledProblem(InnerProblem):
    """The inner problem on a batch, with all that its dependence on phi needs."""

    collected: Collected
    critic: Critic
