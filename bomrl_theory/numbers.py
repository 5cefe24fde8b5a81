"""The number systems that every quantity is computed in.

One source, three number systems: a formula written on NumPy arrays runs unchanged on

- :data:`FLOATS`: float64 arrays, fast, carrying no guarantee;
- :class:`Balls`: object arrays of Arb balls, each guaranteed to contain the exact value;
- :class:`Rationals`: object arrays of exact rationals, where a logarithm or an exponential whose
  value is not rational promotes just that entry to a ball. Ties, which balls never resolve, are
  decided here.

Arrays keep their shapes in all three; only the elements change. Ball arithmetic reads the working
precision from a global of python-flint, so computations run inside ``with numbers.activated():``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from typing import Any, Protocol

import flint
import numpy as np
from flint import arb, arb_mat, fmpq, fmpq_mat
from flint.utils.flint_exceptions import DomainError
from jaxtyping import Float64, Shaped

Array = np.ndarray
_ONE = fmpq(1)
_ZERO = fmpq(0)


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

    def load(self, values: Float64[Array, "..."]) -> Array:
        """Doubles, read as the exact rationals they are."""
        ...

    def solve(self, matrix: Array, rhs: Array) -> Array:
        """x with ``matrix @ x = rhs``; shapes [T,S,S] and [T,S] to [T,S].

        Raises:
            SingularSystem: no solution could be guaranteed.
        """
        ...

    def multiply(self, x: Array, y: Array) -> Array:
        """``x * y``; an exact zero times a finite ball stays an exact zero."""
        ...

    def log(self, x: Array) -> Array: ...

    def exp(self, x: Array) -> Array: ...

    def sqrt(self, x: Array) -> Array: ...

    def maximum(self, x: Array, y: Array) -> Array: ...

    def largest(self, x: Array, axis: int, keepdims: bool = False) -> Array: ...


class Floats:
    """float64: for screening and pictures; a comparison made in it is never called certified."""

    name = "float64"
    certified = False

    @contextmanager
    def activated(self) -> Iterator[None]:
        with np.errstate(over="ignore", under="ignore"):
            yield

    def constant(self, value: Fraction | int) -> float:
        return float(value)

    def load(self, values: Float64[Array, "..."]) -> Array:
        return np.asarray(values, dtype=np.float64)

    def solve(self, matrix: Float64[Array, "T S S"], rhs: Float64[Array, "T S"]) -> Float64[Array, "T S"]:
        return np.linalg.solve(matrix, rhs[..., None])[..., 0]

    def multiply(self, x: Array, y: Array) -> Array:
        return x * y

    def log(self, x: Array) -> Array:
        return np.log(x)

    def exp(self, x: Array) -> Array:
        return np.exp(x)

    def sqrt(self, x: Array) -> Array:
        return np.sqrt(x)

    def maximum(self, x: Array, y: Array) -> Array:
        return np.maximum(x, y)

    def largest(self, x: Array, axis: int, keepdims: bool = False) -> Array:
        return np.max(x, axis=axis, keepdims=keepdims)


def _elementwise(function: Callable[..., Any], inputs: int) -> Callable[..., Array]:
    """``function`` on object arrays; always an array, also for zero dimensions."""
    lifted = np.frompyfunc(function, inputs, 1)
    return lambda *arrays: np.asarray(lifted(*arrays), dtype=object)


def _log(x: fmpq | arb) -> fmpq | arb:
    return _ZERO if isinstance(x, fmpq) and x == _ONE else arb(x).log()


def _exp(x: fmpq | arb) -> fmpq | arb:
    return _ONE if isinstance(x, fmpq) and x == _ZERO else arb(x).exp()


def _sqrt(x: fmpq | arb) -> fmpq | arb:
    if isinstance(x, fmpq):
        try:
            return x.sqrt()
        except DomainError:  # not the square of a rational
            pass
    return arb(x).sqrt()


def _maximum(x: fmpq | arb, y: fmpq | arb) -> fmpq | arb:
    if isinstance(x, fmpq) and isinstance(y, fmpq):
        return x if x >= y else y
    if x is y:
        return x
    # A certain comparison keeps the larger entry as it is: exact entries stay exact.
    if x >= y:
        return x
    if y >= x:
        return y
    return arb(x).max(arb(y))


def _multiply(x: fmpq | arb, y: fmpq | arb) -> fmpq | arb:
    for one, other in ((x, y), (y, x)):
        if isinstance(one, fmpq) and isinstance(other, arb) and one == _ZERO and other.is_finite():
            return _ZERO
    return x * y


def rational(value: float | int | Fraction) -> fmpq:
    """The exact rational that a finite double (or a Fraction) is."""
    return fmpq(*value.as_integer_ratio())


class _Flint:
    """Shared by balls and rationals: elementwise functions on object arrays."""

    certified = True

    def __init__(self, precision: int):
        self.precision = precision

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.precision == getattr(other, "precision", None)

    def __hash__(self) -> int:
        return hash((type(self), self.precision))

    @contextmanager
    def activated(self) -> Iterator[None]:
        with flint.ctx.workprec(self.precision):
            yield

    log = staticmethod(_elementwise(_log, 1))
    exp = staticmethod(_elementwise(_exp, 1))
    sqrt = staticmethod(_elementwise(_sqrt, 1))
    maximum = staticmethod(_elementwise(_maximum, 2))
    multiply = staticmethod(_elementwise(_multiply, 2))

    def largest(self, x: Array, axis: int, keepdims: bool = False) -> Array:
        moved = np.moveaxis(x, axis, 0)
        result = moved[0]
        for row in moved[1:]:
            result = self.maximum(result, row)
        return np.expand_dims(result, axis) if keepdims else result


class Balls(_Flint):
    """Arb balls at a working precision in bits: mid-point and radius, rounded outward."""

    @property
    def name(self) -> str:
        return f"ball({self.precision} bits)"

    def constant(self, value: Fraction | int) -> arb:
        return arb(rational(value))

    load = staticmethod(_elementwise(arb, 1))

    def solve(self, matrix: Shaped[Array, "T S S"], rhs: Shaped[Array, "T S"]) -> Shaped[Array, "T S"]:
        tasks, states = rhs.shape
        out = np.empty((tasks, states), dtype=object)
        for task in range(tasks):
            left = arb_mat(states, states, list(matrix[task].flat))
            right = arb_mat(states, 1, list(rhs[task]))
            try:
                out[task] = left.solve(right, algorithm="lu").entries()
            except ZeroDivisionError as error:
                raise SingularSystem(f"not invertible within {self.name}") from error
        return out


class Rationals(_Flint):
    """Exact rationals; transcendental values become balls at ``precision`` bits, entry by entry."""

    @property
    def name(self) -> str:
        return f"rational({self.precision} bits where irrational)"

    def constant(self, value: Fraction | int) -> fmpq:
        return rational(value)

    load = staticmethod(_elementwise(lambda value: fmpq(*float(value).as_integer_ratio()), 1))

    def solve(self, matrix: Shaped[Array, "T S S"], rhs: Shaped[Array, "T S"]) -> Shaped[Array, "T S"]:
        tasks, states = rhs.shape
        out = np.empty((tasks, states), dtype=object)
        for task in range(tasks):
            left = fmpq_mat(states, states, list(matrix[task].flat))
            out[task] = left.solve(fmpq_mat(states, 1, list(rhs[task]))).entries()
        return out


FLOATS = Floats()


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


def to_floats(x: Array) -> Float64[Array, "..."]:
    """Elementwise :func:`to_float`."""
    if x.dtype != object:
        return np.asarray(x, dtype=np.float64)
    return np.asarray(np.frompyfunc(to_float, 1, 1)(x), dtype=np.float64)
