"""What is logged of one iteration on sampled tasks."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Record:
    """One iteration; returns are undiscounted means over all trajectories.

    Attributes:
        iteration: 0, 1, ...
        steps: environment steps from the beginning to the end of this iteration.
        return_before: of the meta-policy on the iteration's tasks.
        return_after: of the adapted policies, on trajectories that nothing was fitted to.
        kl: mean KL that the upper level's step moved the policies by, in nats.
        adaptation_kl: mean KL from the meta-policy to the adapted policies, in nats.
        inner_gradient: mean length of the inner objective's gradient, see
            :class:`~bomrl_theory.control.learner.Iteration`.
        status: "stepped" or "line search failed", with how many tasks' inner problems were not solved and why; or why
            the run stopped here.
    """

    iteration: int
    steps: int
    return_before: float
    return_after: float
    kl: float | None
    adaptation_kl: float | None
    inner_gradient: float | None
    status: str
