"""Linear-quadratic tasks that a person can check by hand: one state, one action."""

from __future__ import annotations

from typing import Any, TypeAlias

from bomrl_theory.linear_quadratic.policy import GaussianPolicy
from bomrl_theory.linear_quadratic.task import LinearQuadraticFamily

Real: TypeAlias = float | int


def scalar_task(
    A: Real = 0, B: Real = 0, *, W: Real = 0, R_x: Real = 0, R_u: Real = 1, gamma: Any = "1/2", x: Real = 0
) -> LinearQuadraticFamily:
    """``x' = A x + B u + w`` with cost ``R_x x^2 + R_u u^2``, started in the state x."""
    return LinearQuadraticFamily.new(
        [[[A]]], [[[B]]], [[[W]]], [[[R_x]]], [[[R_u]]], gamma, [[x]], [[[0]]], name="one state, one action"
    )


def scalar_policy(K: Real, Sigma: Real) -> GaussianPolicy:
    """``u ~ N(-K x, Sigma)``."""
    return GaussianPolicy.new([[K]], [[Sigma]])


def task_policy(K: Real, Sigma: Real) -> GaussianPolicy:
    """The same as the adapted policy of a single task."""
    return GaussianPolicy.new([[[K]]], [[[Sigma]]])
