"""What a number system offers, and what callers ask of numbers of any system."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from flint import arb, fmpq
from jaxtyping import Float64

from bomrl_theory.numbers.enclosure import Enclosure

Array = np.ndarray
"""An array of doubles."""
if TYPE_CHECKING:  # NumPy's annotations do not know that its functions accept enclosures
    Numeric = Any
else:
    Numeric = np.ndarray | Enclosure
"""An array of numbers of any system: doubles, enclosures, or an object array of balls or rationals."""


class SingularSystem(ArithmeticError):
    """A linear system that could not be solved with a guarantee at this precision."""


class Numbers(Protocol):
    """What a number system offers. ``certified`` tells whether its results are rigorous."""

    @property
    def name(self) -> str: ...

    @property
    def certified(self) -> bool: ...

    def activated(self) -> Any:
        """Context manager inside which values of this number system may be computed."""
        ...

    def constant(self, value: Fraction | int) -> Any:
        """A rational number in this number system."""
        ...

    def load(self, values: Float64[Numeric, "..."]) -> Numeric:
        """Doubles, read as the exact rationals they are."""
        ...

    def normalised(self, weights: Float64[Array, "... n"]) -> Numeric:
        """Rows of non-negative weights divided by their exact sums."""
        ...

    def solve_discounted(self, P: Numeric, gamma: Any, rhs: Numeric, *, transposed: bool = False) -> Numeric:
        """x with ``(I - gamma P) x = rhs``, or with the transposed matrix; P [T,S,S] is row-stochastic.

        Raises:
            SingularSystem: no solution could be guaranteed.
        """
        ...

    def full(self, shape: tuple[int, ...], value: Any) -> Numeric:
        """An array filled with one number of this system."""
        ...

    def dot(self, x: Numeric, y: Numeric) -> Numeric:
        """Sum of products over the last axis; the others broadcast."""
        ...

    def multiply(self, x: Numeric, y: Numeric) -> Numeric:
        """``x * y``; an exact zero times a finite ball stays an exact zero."""
        ...

    def log(self, x: Numeric) -> Numeric: ...

    def exp(self, x: Numeric) -> Numeric: ...

    def sqrt(self, x: Numeric) -> Numeric: ...

    def maximum(self, x: Numeric, y: Numeric) -> Numeric: ...

    def largest(self, x: Numeric, axis: int, keepdims: bool = False) -> Numeric: ...


def certainly_nonnegative(x: Any) -> bool | None:
    """True: x >= 0 is proved. False: x < 0 is proved. None: the number system cannot tell.

    A NaN is never decided, so an invalid computation cannot pass as a proof.
    """
    if x >= 0:
        return True
    if x < 0:
        return False
    return None


def to_float(x: Any) -> float:
    """Nearest float of a number of any system (the mid-point of a ball), for display only."""
    if isinstance(x, fmpq):
        try:
            return int(x.p) / int(x.q)
        except OverflowError:
            x = arb(x)
    return float(x.mid()) if isinstance(x, arb) else float(x)


def on_host(x: Numeric) -> Numeric:
    """Numbers of any system where Python reads them one by one: enclosures on a device are copied."""
    return Enclosure(np.asarray(x.mid), np.asarray(x.rad)) if isinstance(x, Enclosure) else x


def to_floats(x: Any) -> Float64[Array, "..."]:
    """Elementwise :func:`to_float`."""
    if isinstance(x, Enclosure):
        return np.asarray(x.mid)
    if x.dtype != object:
        return np.asarray(x, dtype=np.float64)
    return np.asarray(np.frompyfunc(to_float, 1, 1)(x), dtype=np.float64)
