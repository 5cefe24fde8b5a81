"""How far policies are apart on data, and the curvature of that distance."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import kl_divergence

from bomrl_theory.control.policy import Policy
from bomrl_theory.control.samples import Samples


def mean_kl(
    policy: Policy, old: Float[Tensor, "T P"], new: Float[Tensor, "T P"], samples: Samples
) -> Float[Tensor, " T"]:
    """``KL(pi_old || pi_new)``, mean over each task's samples; differentiable in ``new``."""
    with torch.no_grad():
        before = policy.distribution(old, samples.observations)
    return samples.mean(kl_divergence(before, policy.distribution(new, samples.observations)))


class Fisher:
    """Fisher information of each task's policy on its samples: the second derivative of :func:`mean_kl` at equality.

    Args:
        policy: the policy.
        theta: its parameters of each task [T, P].
        samples: of each task.
        every: use every so many samples only, evenly spaced.
    """

    def __init__(self, policy: Policy, theta: Float[Tensor, "T P"], samples: Samples, every: int = 1):
        self._theta = theta.detach().requires_grad_()
        kl = mean_kl(policy, self._theta, self._theta, samples.thinned(every)).sum()
        (self._gradient,) = torch.autograd.grad(kl, self._theta, create_graph=True)

    def product(self, v: Float[Tensor, "T P"]) -> Float[Tensor, "T P"]:
        """The matrix of each task times a vector of it."""
        (product,) = torch.autograd.grad(self._gradient, self._theta, v, retain_graph=True)
        return product
