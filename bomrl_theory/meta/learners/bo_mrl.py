"""BO-MRL: ascent on ``F(theta) = E_tau J_tau(Alg(softmax(theta)))`` by its exact hypergradient (THEORY section 8)."""

from __future__ import annotations

from jaxtyping import Float64

from bomrl_theory.meta.hypergradient import hypergradient
from bomrl_theory.meta.learner import Data, Learner, Move, everywhere
from bomrl_theory.numbers import Array


def climb(data: Data, theta: Float64[Array, "S A"], method: str) -> Move:
    """One hypergradient of the data's algorithm by this method; F comes with it."""
    found = hypergradient(data.solved, theta, data.algorithm, data.lam, method=method)
    return Move(found.gradient, found.value, found.value, found.status)


LEARNER = Learner(
    name="bo-mrl",
    label="BO-MRL",
    summary="bilevel optimisation: the hypergradient of the return after Alg",
    collect=everywhere(lambda data, theta: climb(data, theta, data.method)),
    methods=True,
)
