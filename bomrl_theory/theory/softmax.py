"""Softmax policies: gradient of the return, and the way from phi to pi+ in parameters.

Parameters are logarithms of probabilities up to a constant for each state. The gradient sums to zero in every state,
so nothing here depends on those constants; of all displacements that lead from phi to pi+ the shortest is meant.
"""

from __future__ import annotations

from jaxtyping import Shaped

from bomrl_theory.numbers import Numeric
from bomrl_theory.theory.constants import per_task
from bomrl_theory.theory.measured import Measured


def gradient(m: Measured) -> Shaped[Numeric, "T S A"]:
    """``dJ/dtheta(s,a) = nu^phi(s) phi(a|s) A^phi(s,a) / (1-gamma)``."""
    return m.phi.nu[..., None] * m.phi.pi * m.phi.advantage / (1 - m.model.gamma)


def displacement(m: Measured) -> Shaped[Numeric, "T S A"]:
    """``log pi+ - log phi``, centred in every state."""
    change = m.numbers.log(m.plus.pi / m.phi.pi)
    return change - change.sum(axis=-1, keepdims=True) / m.case.family.actions


def product(x: Shaped[Numeric, "T S A"], y: Shaped[Numeric, "T S A"]) -> Shaped[Numeric, " T"]:
    """Inner product over states and actions."""
    return (x * y).sum(axis=-1).sum(axis=-1)


grad_square = per_task(
    "grad_square",
    "squared norm of the gradient of J in softmax parameters at phi",
    "return^2",
    lambda m: product(gradient(m), gradient(m)),
    nonnegative=True,
)
