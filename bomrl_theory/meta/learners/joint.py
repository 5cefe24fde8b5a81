"""Joint training: one policy for all tasks, by the policy gradient of ``E_tau J_tau(softmax(theta))``."""

from __future__ import annotations

from jaxtyping import Float64

from bomrl_theory.meta.hypergradient import hypergradient
from bomrl_theory.meta.learner import Data, Learner, Move, everywhere
from bomrl_theory.numbers import Array


def move(data: Data, theta: Float64[Array, "S A"]) -> Move:
    """The gradient without adaptation; how tasks adapt afterwards plays no part."""
    found = hypergradient(data.solved, theta, "none", data.lam)
    return Move(found.gradient, found.value)


LEARNER = Learner(
    name="joint",
    label="joint",
    summary="one policy for all tasks: the return before adaptation",
    collect=everywhere(move),
)
