"""One-time data: the tasks as a meta-learner sees them that only watched its own policy for N trajectories each.

The trajectories give the maximum-likelihood model of each task, with the rewards that were seen. Adaptation and
hypergradient on these models use the same data, and with growing N both tend to the exact ones, at the rate
``N^-1/2`` of the frequencies that they are smooth functions of.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from jaxtyping import Float64, Int

from bomrl_theory.adapt.sampled import horizon
from bomrl_theory.exact.solved import Solved
from bomrl_theory.numbers import FLOATS, Array
from bomrl_theory.tasks.family import TaskFamily
from bomrl_theory.tasks.policy import from_log_weights


def sampled_family(
    solved: Solved, theta: Float64[Array, "S A"], trajectories: int, rng: np.random.Generator
) -> TaskFamily:
    """The models estimated from N trajectories of ``softmax(theta)`` on every task.

    A trajectory is cut after :func:`~bomrl_theory.adapt.sampled.horizon` steps. An action that was never tried in a
    state that was counts as the mean of those that were, so that it has no advantage; a state that no action was
    tried in keeps still without reward.

    Args:
        theta: logits of the policy that collects.
        trajectories: N for each task.
        rng: draws them.
    """
    with FLOATS.activated():
        model = solved.model(FLOATS)
        tasks, states, actions = model.r.shape
        weights = from_log_weights(theta)
        policy = weights / weights.sum(axis=-1, keepdims=True)
        choice, towards = np.cumsum(policy, axis=-1), np.cumsum(model.P, axis=-1)
        task = np.repeat(np.arange(tasks), trajectories)
        state = _drawn(rng, np.cumsum(model.rho, axis=-1)[task])
        starts = np.bincount(task * states + state, minlength=tasks * states).reshape(tasks, states)
        counts = np.zeros(tasks * states * actions * states)
        for _ in range(horizon(solved.family.gamma)):
            action = _drawn(rng, choice[state])
            after = _drawn(rng, towards[task, state, action])
            place = ((task * states + state) * actions + action) * states + after
            counts += np.bincount(place, minlength=counts.size)
            state = after
        P = counts.reshape(tasks, states, actions, states)
        return _completed(solved.family, policy, P, starts.astype(np.float64))


def _completed(
    family: TaskFamily, policy: Float64[Array, "S A"], counts: Float64[Array, "T S A S"], starts: Float64[Array, "T S"]
) -> TaskFamily:
    """A model for every state and action from what was seen of some."""
    total = counts.sum(axis=-1)
    tried = total > 0
    rows = counts / np.where(tried, total, 1)[..., None]
    share = np.where(tried, policy, 0)
    known = share.sum(axis=-1)
    share = share / np.where(known > 0, known, 1)[..., None]
    mean = np.einsum("tsa,tsaz->tsz", share, rows)
    reward = (share * family.r).sum(axis=-1)
    mean = np.where((known > 0)[..., None], mean, np.eye(family.states))
    P = np.where(tried[..., None], rows, mean[:, :, None])
    r = np.where(tried, family.r, reward[..., None])
    return replace(family, P=P, r=r, rho=starts, name=f"{family.name}, sampled")


def _drawn(rng: np.random.Generator, cumulative: Float64[Array, "N n"]) -> Int[Array, " N"]:
    """One index for each row of cumulative probabilities."""
    uniform = rng.random(len(cumulative)) * cumulative[:, -1]
    return np.minimum((cumulative <= uniform[:, None]).sum(axis=-1), cumulative.shape[-1] - 1)
