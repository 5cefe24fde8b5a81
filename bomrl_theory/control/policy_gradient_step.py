"""The step of MAML and its kin: ``theta+ = theta + alpha grad L(theta)`` on each task's data, with its derivative.

Two surrogates L have the policy gradient at the policy that collected the data as their gradient:

- ``log-likelihood``: ``mean A log pi_theta(a|x)``. What Finn et al. 2017's code differentiates; its second derivative
  leaves out how theta changes the distribution of the data.
- ``likelihood-ratio``: ``mean A pi_theta(a|x) / pi_old(a|x)``, the low-variance-curvature surrogate of Rothfuss et al.
  2019 (ProMP; reconstructed from memory): its second derivative keeps ``grad log pi grad log pi^T A`` of every step.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

from bomrl_theory.control.policy import Policy
from bomrl_theory.control.samples import Samples

Surrogate: TypeAlias = Literal["log-likelihood", "likelihood-ratio"]


def policy_surrogate(
    policy: Policy, theta: Float[Tensor, "T P"], samples: Samples, kind: Surrogate
) -> Float[Tensor, " T"]:
    """L of each task."""
    log_density = policy.distribution(theta, samples.observations).log_prob(samples.actions)
    if kind == "log-likelihood":
        return samples.mean(samples.advantages * log_density)
    return samples.mean(samples.advantages * (log_density - samples.log_density).exp())


class PolicyGradientStep:
    """One step of each task, from its own parameters.

    Args:
        policy: that collected the samples, perhaps with other parameters.
        theta: where the steps begin [T, P].
        samples: of each task.
        alpha: step size.
        surrogate: see the module.
        differentiable: keep what :meth:`product` needs.

    Attributes:
        adapted: theta+ [T, P], without gradient.
        gradient: grad L(theta) [T, P], without gradient.
    """

    def __init__(
        self,
        policy: Policy,
        theta: Float[Tensor, "T P"],
        samples: Samples,
        alpha: float,
        surrogate: Surrogate = "log-likelihood",
        *,
        differentiable: bool = True,
    ):
        self._theta = theta.detach().requires_grad_()
        self._alpha = alpha
        total = policy_surrogate(policy, self._theta, samples, surrogate).sum()
        (self._gradient,) = torch.autograd.grad(total, self._theta, create_graph=differentiable)
        self.gradient = self._gradient.detach()
        self.adapted = self._theta.detach() + alpha * self.gradient

    def product(self, v: Float[Tensor, "T P"]) -> Float[Tensor, "T P"]:
        """``d theta+ / d theta`` times a vector of each task; the matrix ``I + alpha d2L`` is symmetric."""
        (curvature,) = torch.autograd.grad(self._gradient, self._theta, v, retain_graph=True)
        return v + self._alpha * curvature
