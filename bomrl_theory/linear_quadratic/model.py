"""The matrices of a linear-quadratic family as arrays of NumPy, of torch or of balls, which the closed forms run on."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

import numpy as np

from bomrl_theory.linear_quadratic import balls


def namespace(x: Any) -> Any:
    """The package of the array ``x``: NumPy, torch, or :mod:`balls` for an object array; nothing is imported."""
    if isinstance(x, np.ndarray):
        return balls if x.dtype == object else np
    return sys.modules[type(x).__module__.partition(".")[0]]


@dataclass(frozen=True, eq=False)
class Model:
    """``x' = A x + B u + w``, ``w ~ N(0, W)``, ``x_0 ~ N(mu0, S0)``, cost ``x'R_x x + u'R_u u`` a step, T tasks.

    Attributes:
        A, B, W: [T, n, n], [T, n, m], [T, n, n].
        R_x, R_u: [T, n, n] and [T, m, m], cost a step.
        gamma: discount.
        mu0, S0: [T, n] and [T, n, n].
        weights: of the tasks, [T], with sum 1.
    """

    A: Any
    B: Any
    W: Any
    R_x: Any
    R_u: Any
    gamma: Any
    mu0: Any
    S0: Any
    weights: Any

    @property
    def tasks(self) -> int:
        return self.A.shape[0]

    @property
    def w(self) -> Any:
        """The weights, as models of every setting call them."""
        return self.weights

    @property
    def start_moment(self) -> Any:
        """``E x_0 x_0'`` [T, n, n]."""
        return self.S0 + self.mu0[..., :, None] * self.mu0[..., None, :]
