"""Policies: float64 arrays [.., S, A] whose exact meaning is the exactly normalised row.

Every verdict is about such a policy, never about what a solver was supposed to return: how far the
adapted policy is from the argmax it approximates is measured separately (THEORY section 6).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float64

from bomrl_theory.errors import InvalidTask
from bomrl_theory.numbers import Array
from bomrl_theory.tasks.mdp import as_doubles, at, check_distributions

SMALLEST = 2.0**-900
"""Adapted policies are kept at or above this (about 1e-271), so that support is never lost to underflow and
products stay clear of it; the effect on the adaptation's objective is part of its measured inner error."""


def check_policy(policy: Any, states: int, actions: int, *, name: str = "the meta-policy") -> Array:
    """A full-support policy [S, A], validated.

    Raises:
        InvalidTask: wrong shape, not a distribution, or a zero probability (the Kullback-Leibler
            divergence to the policy would be infinite).
    """
    array = as_doubles(name, policy, ("s", "a"))
    if array.shape != (states, actions):
        raise InvalidTask(f"{name} has shape {list(array.shape)}; the family asks for {[states, actions]}")
    check_distributions(name, array, ("s", "a"))
    zeros = np.argwhere(array == 0)
    if len(zeros):
        place = tuple(int(i) for i in zeros[0])
        raise InvalidTask(
            f"{at(name, place, ('s', 'a'))} is 0, but adaptation needs full support; "
            "mix in a little of the uniform policy"
        )
    return array


def uniform_policy(states: int, actions: int) -> Float64[Array, "S A"]:
    """Every action equally likely in every state."""
    return np.full((states, actions), 1.0 / actions)


def mix_uniform(policy: Float64[Array, "... S A"], share: float) -> Float64[Array, "... S A"]:
    """``(1 - share) policy + share uniform``."""
    return (1 - share) * policy + share / policy.shape[-1]


def from_log_weights(log_weights: Float64[Array, "... S A"]) -> Float64[Array, "... S A"]:
    """Softmax of each row, kept at or above :data:`SMALLEST`."""
    with np.errstate(over="ignore"):  # a difference beyond all doubles is a weight of zero, too
        shifted = np.exp(log_weights - log_weights.max(axis=-1, keepdims=True))
    return np.maximum(shifted / shifted.sum(axis=-1, keepdims=True), SMALLEST)


def deterministic(actions_taken: Array, actions: int) -> Float64[Array, "... A"]:
    """One-hot rows for the given action indices [...]."""
    return np.eye(actions)[actions_taken]
