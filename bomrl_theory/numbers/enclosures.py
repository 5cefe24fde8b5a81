"""The number system of enclosures: certified, and as fast as float64 on whole batches."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from typing import Any

import numpy as np

from bomrl_theory.numbers import enclosure
from bomrl_theory.numbers.enclosure import Enclosure, as_enclosure, enclose_rational
from bomrl_theory.numbers.system import Array, SingularSystem


def discounted_error(residual: Enclosure, gamma: Enclosure) -> Enclosure:
    """All of ``[min residual, max residual] / (1 - gamma)`` over the last axis, which stays with length 1.

    Theorem. Let ``T`` be monotone with ``T(V + c) = T V + gamma c``, such as the Bellman operator of a policy
    or of the optimum, and V^ its fixed point. Then ``V + min(T V - V)/(1-gamma) <= V^ <= V + max(T V - V)/(1-gamma)``
    (MacQueen 1966; the weaker norm form is a lemma of the Isabelle entry AFP MDP-Rewards).
    """
    horizon = 1 / (1 - gamma)
    low = Enclosure.exact(residual.low.min(axis=-1, keepdims=True)) * horizon
    high = Enclosure.exact(residual.high.max(axis=-1, keepdims=True)) * horizon
    return Enclosure.between(low.low, high.high)


def require_gradual_underflow() -> None:
    """Refuse an environment that flushes subnormal numbers to zero.

    Raises:
        ArithmeticError: some library has switched this thread away from IEEE arithmetic.
    """
    if not np.float64(2.0**-1022) * np.float64(0.5) > 0:
        raise ArithmeticError(
            "this thread flushes subnormal numbers to zero, so rounding-error bounds do not hold; "
            "remove the library that was compiled with -ffast-math"
        )


class Enclosures:
    """The number system of enclosures: certified, and as fast as float64 on whole batches."""

    name = "float64 enclosure"
    certified = True

    @contextmanager
    def activated(self) -> Iterator[None]:
        require_gradual_underflow()
        with np.errstate(all="ignore"):  # whatever goes wrong makes a radius infinite or NaN
            yield

    def constant(self, value: Fraction | int) -> Enclosure:
        return enclose_rational(value)

    def load(self, values: Array) -> Enclosure:
        return Enclosure.exact(values)

    def full(self, shape: tuple[int, ...], value: Any) -> Enclosure:
        value = as_enclosure(value)
        return Enclosure(np.full(shape, value.mid), np.full(shape, value.rad))

    def solve_discounted(
        self, P: Enclosure, gamma: Enclosure, rhs: Enclosure, *, transposed: bool = False
    ) -> Enclosure:
        """An untrusted float solve, then an a-posteriori bound on its error.

        With ``M = I - gamma P`` and P row-stochastic, ``M^-1 >= 0`` has row sums ``1/(1-gamma)``, so for the
        residual ``r = rhs - M x`` the exact solution lies in ``x + [min r, max r]/(1-gamma)``; for the transposed
        system ``|error|_1 <= |r|_1/(1-gamma)``.

        Raises:
            SingularSystem: the float solve failed.
        """
        matrix = np.eye(P.shape[-1]) - gamma.mid * P.mid
        if transposed:
            P = P.swapaxes(-1, -2)
            matrix = np.swapaxes(matrix, -1, -2)
        try:
            x = np.linalg.solve(matrix, rhs.mid[..., None])[..., 0]
        except np.linalg.LinAlgError as error:
            raise SingularSystem("float64 solve failed") from error
        residual = rhs - (x - gamma * enclosure.dot(P, x[..., None, :]))
        if transposed:
            size = Enclosure.exact(np.maximum(np.abs(residual.low), np.abs(residual.high))).sum(axis=-1, keepdims=True)
            error = (size / (1 - gamma)).high
            return Enclosure(x, np.broadcast_to(error, x.shape))
        return x + discounted_error(residual, gamma)

    normalised = staticmethod(enclosure.normalised)
    dot = staticmethod(enclosure.dot)
    log = staticmethod(enclosure.log)
    exp = staticmethod(enclosure.exp)
    sqrt = staticmethod(enclosure.sqrt)
    maximum = staticmethod(enclosure.maximum)
    largest = staticmethod(enclosure.largest)

    def multiply(self, x: Any, y: Any) -> Enclosure:
        return as_enclosure(x) * y


ENCLOSURES = Enclosures()
