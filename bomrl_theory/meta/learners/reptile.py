"""Reptile (Nichol, Achiam and Schulman 2018): ``theta + epsilon E_tau [theta_tau+ - theta]``.

``theta_tau+`` are the logits of the policy that the chosen algorithm adapted to the task, here with the data's inner
problem solved exactly; they are defined up to a constant at each state, and the centred change is taken. The size of
the rule's step is epsilon. Reptile maximises nothing that is known in closed form, so no line search applies.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64

from bomrl_theory.meta.learner import Data, Learner, Move, everywhere
from bomrl_theory.meta.objective import Adapted
from bomrl_theory.numbers import FLOATS, Array


def move(data: Data, theta: Float64[Array, "S A"]) -> Move:
    """The mean change of the logits."""
    with FLOATS.activated():
        adapted = Adapted.of(data.solved, theta, data.algorithm, data.lam)
        change = np.log(adapted.plus.pi) - np.log(adapted.phi.pi)
        change = change - change.mean(axis=-1, keepdims=True)
        direction = np.einsum("t,tsa->sa", adapted.phi.model.w, change)
        return Move(direction, None, adapted.value, adapted.step.status)


LEARNER = Learner(
    name="reptile",
    label="Reptile",
    summary="towards the mean of the adapted logits",
    collect=everywhere(move),
    gradient=False,
)
