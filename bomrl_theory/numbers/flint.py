"""Arb balls and exact rationals, from python-flint, in NumPy object arrays."""

from __future__ import annotations

import copyreg
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from typing import Any

import flint
import numpy as np
from flint import arb, arb_mat, fmpq, fmpq_mat, fmpz
from flint.utils.flint_exceptions import DomainError
from jaxtyping import Shaped

from bomrl_theory.numbers.system import Array, SingularSystem

_ONE = fmpq(1)
_ZERO = fmpq(0)


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


RADIUS_BITS = 30
"""Arb's radii are whole numbers of so many bits times a power of 2."""

Dyadic = tuple[int, int]
"""``m 2^e``, m odd or zero."""


def exact_parts(x: arb) -> tuple[Dyadic, Dyadic] | None:
    """Mid-point and radius of a ball, exactly; None where it is not finite."""
    if not x.is_finite():
        return None
    (mid, exponent), (rad, rad_exponent) = x.mid().man_exp(), x.rad().man_exp()
    return (int(mid), int(exponent)), (int(rad), int(rad_exponent))


def exact_ball(mid: Dyadic, rad: Dyadic) -> arb:
    """The ball with exactly these parts, whatever the working precision is.

    A number that is given as a radius is made larger by one unit in its last place, so it is given one unit too small.
    For a power of 2 that would change the place; it comes from a rounding, whose error is charged as one.
    """
    mantissa, exponent = rad
    if not mantissa:
        return arb(mid)
    if mantissa == 1:
        with flint.ctx.workprec(RADIUS_BITS):
            error = +arb((2**RADIUS_BITS + 1, exponent - 1)) - arb((2**RADIUS_BITS, exponent - 1))
        return arb(mid, error)
    shift = RADIUS_BITS - mantissa.bit_length()
    return arb(mid, arb(((mantissa << shift) - 1, exponent - shift)))


def _pickled(x: arb) -> tuple[Any, tuple[Any, ...]]:
    """python-flint cannot pickle balls by itself."""
    parts = exact_parts(x)
    return (arb, (float(x.mid()), float("inf"))) if parts is None else (exact_ball, parts)


copyreg.pickle(arb, _pickled)


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

    def load(self, values: Array) -> Array:
        raise NotImplementedError

    def normalised(self, weights: Array) -> Array:
        loaded = self.load(weights)
        return loaded / loaded.sum(axis=-1, keepdims=True)

    def solve_discounted(
        self, P: Shaped[Array, "T S S"], gamma: Any, rhs: Shaped[Array, "T S"], *, transposed: bool = False
    ) -> Shaped[Array, "T S"]:
        return self._solve(self._discounted(P, gamma, transposed=transposed), rhs)

    @staticmethod
    def _discounted(P: Shaped[Array, "T S S"], gamma: Any, *, transposed: bool) -> Shaped[Array, "T S S"]:
        identity = np.array([_ZERO, _ONE])[np.eye(P.shape[-1], dtype=int)]
        return identity - gamma * (np.swapaxes(P, -1, -2) if transposed else P)

    def _solve(self, matrix: Shaped[Array, "T S S"], rhs: Shaped[Array, "T S"]) -> Shaped[Array, "T S"]:
        return np.stack([self._solve_one(one, right) for one, right in zip(matrix, rhs, strict=True)])

    def _solve_one(self, matrix: Shaped[Array, "S S"], rhs: Shaped[Array, " S"]) -> Shaped[Array, " S"]:
        raise NotImplementedError

    def full(self, shape: tuple[int, ...], value: Any) -> Array:
        return np.full(shape, value, dtype=object)

    def dot(self, x: Array, y: Array) -> Array:
        return (x * y).sum(axis=-1)

    def largest(self, x: Array, axis: int, keepdims: bool = False) -> Array:
        moved = np.moveaxis(x, axis, 0)
        result = moved[0]
        for row in moved[1:]:
            result = self.maximum(result, row)
        return np.expand_dims(result, axis) if keepdims else result


_numerator = _elementwise(lambda x: x.p, 1)
_denominator = _elementwise(lambda x: x.q, 1)
_least_common_multiple = np.frompyfunc(fmpz.lcm, 2, 1)


def _common_denominator(x: Array) -> tuple[Array, Array]:
    """Whole numerators [..., n] and the denominators [...] that rows of rationals have in common."""
    below = _denominator(x)
    common = np.asarray(_least_common_multiple.reduce(below, axis=-1), dtype=object)
    return _numerator(x) * (common[..., None] // below), common


class Balls(_Flint):
    """Arb balls at a working precision in bits: mid-point and radius, rounded outward."""

    @property
    def name(self) -> str:
        return f"ball({self.precision})"

    def constant(self, value: Fraction | int) -> arb:
        return arb(rational(value))

    load = staticmethod(_elementwise(arb, 1))

    def _solve_one(self, matrix: Shaped[Array, "S S"], rhs: Shaped[Array, " S"]) -> Shaped[Array, " S"]:
        return _solve_in_balls(matrix, rhs)


class Rationals(_Flint):
    """Exact rationals; transcendental values become balls at ``precision`` bits, entry by entry."""

    @property
    def name(self) -> str:
        return f"rational({self.precision})"

    def constant(self, value: Fraction | int) -> fmpq:
        return rational(value)

    def load(self, values: Array) -> Array:
        distinct, places = np.unique(values, return_inverse=True)  # tasks repeat a few numbers, above all zero
        loaded = np.array([rational(value) for value in distinct.tolist()], dtype=object)
        return np.asarray(loaded[places], dtype=object)

    def solve_discounted(
        self, P: Shaped[Array, "T S S"], gamma: Any, rhs: Shaped[Array, "T S"], *, transposed: bool = False
    ) -> Shaped[Array, "T S"]:
        if not transposed or any(isinstance(x, arb) for x in P.flat):
            return super().solve_discounted(P, gamma, rhs, transposed=transposed)
        # FLINT clears the denominators of each row. A row of P has few, but a row of its transpose has those
        # of all states together. So clear those of the columns first, x = scale * y: several times as fast.
        numerators, scale = _common_denominator(self._discounted(P, gamma, transposed=False))
        return scale * self._solve(np.swapaxes(numerators, -1, -2), rhs)

    def dot(self, x: Array, y: Array) -> Array:
        shape = np.broadcast_shapes(x.shape, y.shape)
        y = y.reshape((1,) * (len(shape) - y.ndim) + y.shape)
        shared = next((axis + 1 for axis in range(len(shape) - 2, -1, -1) if y.shape[axis] > 1), 0)
        columns = np.broadcast_to(y, shape[:shared] + y.shape[shared:]).reshape(-1, shape[-1])
        rows = np.broadcast_to(x, shape).reshape(len(columns), -1, shape[-1])
        try:  # FLINT's products, of all rows that meet the same column at once
            products = [_product(matrix, column) for matrix, column in zip(rows, columns, strict=True)]
        except TypeError:  # promoted entries promote their sums
            return super().dot(x, y)
        return np.array(products, dtype=object).reshape(shape[:-1])

    def _solve_one(self, matrix: Shaped[Array, "S S"], rhs: Shaped[Array, " S"]) -> Shaped[Array, " S"]:
        if any(isinstance(x, arb) for x in (*matrix.flat, *rhs)):  # promoted entries promote the solution
            return _solve_in_balls(matrix, rhs)
        try:
            left = fmpq_mat(len(rhs), len(rhs), list(matrix.flat))
            return np.array(left.solve(fmpq_mat(len(rhs), 1, list(rhs))).entries(), dtype=object)
        except ZeroDivisionError as error:
            raise SingularSystem("the system is singular") from error


def _product(matrix: Shaped[Array, "m n"], column: Shaped[Array, " n"]) -> list[fmpq]:
    m, n = matrix.shape
    return (fmpq_mat(m, n, matrix.ravel().tolist()) * fmpq_mat(n, 1, column.tolist())).entries()


def _solve_in_balls(matrix: Shaped[Array, "S S"], rhs: Shaped[Array, " S"]) -> Shaped[Array, " S"]:
    left = arb_mat(len(rhs), len(rhs), [arb(x) for x in matrix.flat])
    try:
        return np.array(left.solve(arb_mat(len(rhs), 1, [arb(x) for x in rhs]), algorithm="lu").entries(), dtype=object)
    except ZeroDivisionError as error:
        raise SingularSystem(f"not invertible within {flint.ctx.prec} bits") from error
