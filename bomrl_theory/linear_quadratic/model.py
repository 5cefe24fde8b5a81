"""The matrices of a linear-quadratic family as arrays of NumPy or of torch, which the closed forms run on."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any


def namespace(x: Any) -> Any:
    """The package whose array ``x`` is: ``numpy`` or ``torch``; nothing is imported."""
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
    gamma: float
    mu0: Any
    S0: Any
    weights: Any

    @property
    def tasks(self) -> int:
        return self.A.shape[0]

    @property
    def start_moment(self) -> Any:
        """``E x_0 x_0'`` [T, n, n]."""
        return self.S0 + self.mu0[..., :, None] * self.mu0[..., None, :]
