"""A batch as learners use it: one axis of samples for each task, with weights."""

from __future__ import annotations

from dataclasses import dataclass, fields

from jaxtyping import Float
from torch import Tensor

from bomrl_theory.control.advantage import advantages, standardised
from bomrl_theory.control.batch import Batch


@dataclass(frozen=True, eq=False)
class Samples:
    """N = R H samples of each of T tasks.

    Attributes:
        observations: [T, N, O].
        actions: [T, N, A].
        log_density: [T, N], of the actions under the policy that drew them.
        advantages: [T, N], of mean zero and variance one in each task.
        weights: [T, N], of sum one in each task; zero after a trajectory's end.
    """

    observations: Float[Tensor, "T N O"]
    actions: Float[Tensor, "T N A"]
    log_density: Float[Tensor, "T N"]
    advantages: Float[Tensor, "T N"]
    weights: Float[Tensor, "T N"]

    @classmethod
    def of(cls, batch: Batch, gamma: float, gae: float) -> Samples:
        """The samples of a batch, with advantages standardised in each task as in the meta-RL literature's code.

        Args:
            batch: collected by a policy of each task.
            gamma: discount.
            gae: lambda of generalised advantage estimation.
        """
        weights = batch.alive.flatten(1).to(batch.rewards.dtype)
        weights = weights / weights.sum(1, keepdim=True).clamp(min=1)
        return cls(
            observations=batch.observations[:, :, :-1].flatten(1, 2),
            actions=batch.actions.flatten(1, 2),
            log_density=batch.log_density.flatten(1),
            advantages=standardised(advantages(batch, gamma, gae), batch.alive).flatten(1),
            weights=weights,
        )

    def mean(self, values: Float[Tensor, "T N"]) -> Float[Tensor, " T"]:
        """Mean over each task's samples."""
        return (self.weights * values).sum(1)

    def thinned(self, every: int) -> Samples:
        """Every so many of the samples, evenly spaced, with weights of sum one again."""
        if every == 1:
            return self
        parts = {field.name: getattr(self, field.name)[:, ::every] for field in fields(self)}
        parts["weights"] = parts["weights"] / parts["weights"].sum(1, keepdim=True)
        return Samples(**parts)
