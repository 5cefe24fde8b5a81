"""The gradient of the return in a policy's parameters, from a batch that the policy drew."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from bomrl_theory.control.advantage import advantages
from bomrl_theory.control.batch import Batch
from bomrl_theory.control.critic import QuadraticValues
from bomrl_theory.control.lower_level import LowerLevel, collected
from bomrl_theory.control.policy import Policy


def policy_gradient(
    policy: Policy, theta: Float[Tensor, "*T P"], batch: Batch, lower: LowerLevel
) -> Float[Tensor, "T P"]:
    """Estimate the gradient of each task's return at the parameters that drew its trajectories.

    With the critic "quadratic-values" it is ``E_nu d/dtheta E_{a ~ pi} Q^pi / (1-gamma)`` with the expectation over
    actions in closed form; otherwise the mean over trajectories of scores times advantages (not standardised). With
    the visitation "uniform" the factor ``gamma^t`` of step t is left out, as is common.
    """
    data = collected(policy, theta, batch, lower)
    critic = QuadraticValues(data) if lower.critic == "quadratic-values" else None
    horizon = batch.alive.shape[-1]
    time = torch.arange(horizon, dtype=theta.dtype, device=theta.device)
    steps = (data.discount**time).sum()
    parameters = data.phi.clone().requires_grad_()
    with torch.enable_grad():
        pi = data.of_parameters(parameters)
        if critic is not None:
            at_steps = critic.expected(pi, critic.coefficients)
        else:
            at_steps = pi.log_density(data.actions) * advantages(batch, lower.gamma, lower.gae).flatten(1)
        total = (at_steps * data.weights.flatten(1)).sum() * steps
        return torch.autograd.grad(total, parameters)[0]
