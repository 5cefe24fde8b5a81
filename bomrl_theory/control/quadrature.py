"""Few observations in place of many, where everything is quadratic in the observation.

With a linear-Gaussian policy and quadratic action values, what the inner problem averages over the visited observations
is quadratic in them, whatever theta is. So it depends on their first two moments alone, and the 2n points of the
unscented transform with the same moments (Julier & Uhlmann 1997) give the same objective to rounding.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from bomrl_theory.control.collected import Collected, Observed
from bomrl_theory.control.critic import QuadraticValues
from bomrl_theory.control.gaussian import Gaussian
from bomrl_theory.control.inner_problem import InnerProblem, SampledProblem


@dataclass(frozen=True, eq=False)
class Nodes(Observed):
    """Observations that stand for a batch.

    Attributes:
        places: [T, 2n, O]. shares: [T, 2n], their weights.
    """

    places: Float[Tensor, "T N O"]
    shares: Float[Tensor, "T N"]

    @property
    def observations(self) -> Float[Tensor, "T N O"]:
        return self.places

    @property
    def weights(self) -> Float[Tensor, "T 1 N"]:
        return self.shares[:, None]

    @classmethod
    def of(cls, collected: Collected) -> Nodes:
        """With the weighted mean and covariance of the batch."""
        x, weights = collected.observations, collected.weights.flatten(1)
        total = weights.sum(-1).clamp(min=torch.finfo(x.dtype).tiny)
        mean = torch.einsum("tn,tno->to", weights, x) / total[:, None]
        centred = x - mean[:, None]
        covariance = (centred * weights[..., None]).mT @ centred / total[:, None, None]
        values, vectors = torch.linalg.eigh(covariance)
        size = x.shape[-1]
        offsets = (vectors * (size * values.clamp(min=0)).sqrt()[:, None, :]).mT
        nodes = mean[:, None] + torch.cat([offsets, -offsets], dim=1)
        return cls(collected.policy, collected.phi, nodes, (total[:, None] / (2 * size)).expand(-1, 2 * size))


@dataclass(frozen=True, eq=False)
class ValuesAtNodes:
    """The critic's expected values there."""

    critic: QuadraticValues
    nodes: Nodes

    @property
    def coefficients(self) -> Tensor:
        return self.critic.coefficients

    def expected(self, pi: Gaussian, w: Tensor) -> Float[Tensor, "T N"]:
        """As the critic's own."""
        return self.critic.expected_at(pi, self.nodes.observations, w)


def condensed(problem: SampledProblem) -> InnerProblem:
    """The same objective from fewer observations where that is exact, else the problem itself."""
    if not (isinstance(problem.critic, QuadraticValues) and problem.collected.policy.linear):
        return problem
    nodes = Nodes.of(problem.collected)
    return InnerProblem(nodes, ValuesAtNodes(problem.critic, nodes), problem.algorithm, problem.lam, problem.mu)
