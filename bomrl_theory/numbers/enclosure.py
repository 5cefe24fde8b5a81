"""Enclosures: whole arrays of float64 mid-points with rigorous radii, as fast as NumPy.

An :class:`Enclosure` of shape [...] states for every entry ``|exact - mid| <= rad``. Only properties of
IEEE 754 binary64 that hold in every environment are used: each of ``+ - * / sqrt`` is the exact result
rounded to nearest, and comparisons are exact. Rounding modes, fused operations and the order of a sum
are never relied on: a sum of n terms is charged ``n u sum|terms|``, which bounds every order.
Logarithm and exponential are evaluated here with a proved error, because NumPy's come with none.
docs/rounding.md has the proofs.

Overflow, division by an enclosure of zero and invalid operations give an infinite or NaN radius, which
no comparison ever decides.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np

from bomrl_theory.numbers.device_array import DeviceArray

Array = Any
"""float64: an array, one of NumPy's scalars, or an array on a device."""

U = 2.0**-53
"""Unit roundoff of binary64, rounding to nearest."""
TINY = 2.0**-1020
"""Covers every underflow in one operation and in the computation of its radius."""
SMALLEST_SUBNORMAL = 2.0**-1074
"""At least twice what one underflowing operation can lose."""
LONG = 4096
"""Longer sums are made in halves, so that their error grows with the logarithm of their length."""
LARGEST_WHOLE = 2**53
"""Whole numbers up to this size are doubles."""
LN2_HIGH = float.fromhex("0x1.62e42fefa3800p-1")
"""log 2 cut to 42 bits: its product with an exponent of a double is exact."""
LN2_LOW = float.fromhex("0x1.ef35793c76730p-45")
"""``log 2 - LN2_HIGH`` to 53 bits."""


def rounded_up(radius: Array, operations: int = 8) -> Array:
    """At least the exact value of a radius that was computed with at most ``operations`` roundings."""
    return radius * (1.0 + (operations + 4) * U)


def total(x: Array, axis: int = -1, keepdims: bool = False) -> Array:
    """The sum of doubles along an axis; no term takes part in more than :func:`additions` roundings."""
    if x.shape[axis] <= LONG:
        return x.sum(axis=axis, keepdims=keepdims)
    x = np.moveaxis(x, axis, -1)
    while x.shape[-1] > 1:
        half = x.shape[-1] // 2
        left_over = x[..., 2 * half :]
        x = x[..., :half] + x[..., half : 2 * half]
        x[..., : left_over.shape[-1]] += left_over
    return np.moveaxis(x, -1, axis) if keepdims else x[..., 0]


def additions(terms: int) -> int:
    """How many roundings a term of such a sum can meet, in whatever order NumPy adds: see :func:`total`."""
    return terms if terms <= LONG else 2 * terms.bit_length()


class Enclosure:
    """An array of numbers known up to a radius.

    Attributes:
        mid: float64 [...].
        rad: float64, the same shape, non-negative; infinite or NaN where nothing is known.
    """

    __slots__ = ("mid", "rad")
    __array_ufunc__ = None  # arrays leave arithmetic with an enclosure to it

    def __init__(self, mid: Array, rad: Array):
        self.mid = mid
        self.rad = rad

    @classmethod
    def exact(cls, values: Any) -> Enclosure:
        """Finite doubles, read as the exact numbers they are."""
        mid = values if isinstance(values, DeviceArray) else np.asarray(values, dtype=np.float64)
        return cls(mid, np.zeros_like(mid))

    @classmethod
    def between(cls, low: Array, high: Array) -> Enclosure:
        """Everything from ``low`` to ``high``, two doubles that are bounds already."""
        mid = low / 2 + high / 2
        return cls(mid, rounded_up(np.maximum(high - mid, mid - low)) + TINY)

    # --- what an array has ---

    @property
    def shape(self) -> tuple[int, ...]:
        return self.mid.shape

    @property
    def ndim(self) -> int:
        return self.mid.ndim

    @property
    def dtype(self) -> np.dtype:
        return self.mid.dtype

    def __len__(self) -> int:
        return len(self.mid)

    def __getitem__(self, index: Any) -> Enclosure:
        return Enclosure(self.mid[index], self.rad[index])

    def reshape(self, *shape: Any) -> Enclosure:
        return Enclosure(self.mid.reshape(*shape), self.rad.reshape(*shape))

    def swapaxes(self, one: int, other: int) -> Enclosure:
        return Enclosure(self.mid.swapaxes(one, other), self.rad.swapaxes(one, other))

    def broadcast_to(self, shape: tuple[int, ...]) -> Enclosure:
        if shape == self.shape:
            return self
        return Enclosure(np.broadcast_to(self.mid, shape), np.broadcast_to(self.rad, shape))

    def sum(self, axis: int | None = None, keepdims: bool = False) -> Enclosure:
        """Sum; charged for any order of summation, and a long one along an axis for that of :func:`total`."""
        terms = self.mid.size if axis is None else self.mid.shape[axis]
        roundings = terms if axis is None else additions(terms)
        mid = self.mid.sum(keepdims=keepdims) if axis is None else total(self.mid, axis, keepdims)
        size = np.abs(self.mid).sum(axis=axis, keepdims=keepdims)
        rad = self.rad.sum(axis=axis, keepdims=keepdims)
        return Enclosure(mid, rounded_up(rad + roundings * U * size, 2 * terms) + TINY)

    @property
    def low(self) -> Array:
        """A lower bound, rounded downward."""
        return np.nextafter(self.mid - self.rad, -np.inf)

    @property
    def high(self) -> Array:
        """An upper bound, rounded upward."""
        return np.nextafter(self.mid + self.rad, np.inf)

    # --- arithmetic ---

    def __neg__(self) -> Enclosure:
        return Enclosure(-self.mid, self.rad)

    def __add__(self, other: Any) -> Enclosure:
        other = as_enclosure(other)
        mid = self.mid + other.mid
        return Enclosure(mid, rounded_up(self.rad + other.rad + U * np.abs(mid)) + TINY)

    __radd__ = __add__

    def __sub__(self, other: Any) -> Enclosure:
        return self + (-as_enclosure(other))

    def __rsub__(self, other: Any) -> Enclosure:
        return as_enclosure(other) + (-self)

    def __mul__(self, other: Any) -> Enclosure:
        other = as_enclosure(other)
        mid = self.mid * other.mid
        spread = np.abs(self.mid) * other.rad + self.rad * (np.abs(other.mid) + other.rad)
        return Enclosure(mid, rounded_up(spread + U * np.abs(mid)) + TINY)

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> Enclosure:
        other = as_enclosure(other)
        nearest_zero = (np.abs(other.mid) - other.rad) * (1.0 - 4 * U)
        mid = self.mid / other.mid
        spread = (self.rad + np.abs(mid) * other.rad) / nearest_zero
        rad = rounded_up(spread + U * np.abs(mid)) + TINY / np.minimum(nearest_zero, 1.0)
        return Enclosure(mid, np.where(nearest_zero > 0, rad, np.inf))

    def __rtruediv__(self, other: Any) -> Enclosure:
        return as_enclosure(other) / self

    # --- comparisons: True only where certain ---

    def __ge__(self, other: Any) -> Array:
        difference = self - other
        # An overflow leaves mid = rad = inf, which tells nothing about the exact difference.
        return (difference.mid >= difference.rad) & (difference.rad < np.inf)

    def __gt__(self, other: Any) -> Array:
        difference = self - other
        return difference.mid > difference.rad

    def __le__(self, other: Any) -> Array:
        return as_enclosure(other) >= self

    def __lt__(self, other: Any) -> Array:
        return as_enclosure(other) > self

    def __float__(self) -> float:
        return float(self.mid)

    def str(self, digits: int) -> str:
        """Text like a ball's, for a zero-dimensional enclosure."""
        return f"[{float(self.mid):.{min(digits, 17)}g} +/- {float(self.rad):.3g}]"

    def __repr__(self) -> str:
        return f"Enclosure({self.mid!r}, {self.rad!r})"

    # --- NumPy functions that only move entries ---

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if function is np.where:
            condition, yes, no = args
            yes, no = as_enclosure(yes), as_enclosure(no)
            return Enclosure(np.where(condition, yes.mid, no.mid), np.where(condition, yes.rad, no.rad))
        if function is np.broadcast_arrays:
            shape = np.broadcast_shapes(*(as_enclosure(x).shape for x in args))
            return [as_enclosure(x).broadcast_to(shape) for x in args]
        if function is np.broadcast_to:
            return args[0].broadcast_to(args[1])
        if function in _MOVING:
            first, *rest = args
            return Enclosure(function(first.mid, *rest, **kwargs), function(first.rad, *rest, **kwargs))
        return NotImplemented


_MOVING = {np.swapaxes, np.take_along_axis, np.expand_dims, np.moveaxis}


def as_enclosure(x: Any) -> Enclosure:
    """An enclosure as it is; doubles, whole numbers and fractions as the exact values they are.

    Raises:
        TypeError: an array of anything but doubles and whole numbers up to 2^53.
    """
    if isinstance(x, Enclosure):
        return x
    if isinstance(x, int | Fraction):
        whole = isinstance(x, int) and -LARGEST_WHOLE <= x <= LARGEST_WHOLE
        return Enclosure.exact(x) if whole else enclose_rational(x)
    if isinstance(x, DeviceArray):
        return Enclosure.exact(x)
    x = np.asarray(x)
    if x.dtype.kind in "iu" and np.any((x > LARGEST_WHOLE) | (x < -LARGEST_WHOLE)):
        raise TypeError("whole numbers beyond 2^53 are no doubles; load them as rationals")
    if x.dtype.kind not in "fiub" or x.dtype.itemsize > 8:
        raise TypeError(f"an array of {x.dtype} has no exact enclosure; convert it to float64")
    return Enclosure.exact(x)


def enclose_rational(value: Fraction | int) -> Enclosure:
    """A rational number: the nearest double, and how far it is at most; unknown beyond the range of doubles."""
    value = Fraction(value)
    try:
        mid = float(value)
    except OverflowError:
        return Enclosure(np.asarray(0.0), np.asarray(np.inf))
    error = abs(Fraction(mid) - value)
    return Enclosure(np.asarray(mid), np.asarray(np.nextafter(float(error), np.inf) if error else 0.0))


def log(x: Enclosure) -> Enclosure:
    """Natural logarithm. ``|computed - log mid| <= u (2 |computed| + 4)``; where x may reach 0, unknown."""
    mid, rad = np.abs(x.mid), x.rad
    mantissa, exponent = np.frexp(mid)
    small = mantissa < np.sqrt(0.5)
    mantissa = np.where(small, 2 * mantissa, mantissa)
    exponent = exponent - small
    f = (mantissa - 1) / (mantissa + 1)
    square = f * f
    series = np.full_like(square, 1 / 21)
    for k in range(19, 1, -2):
        series = series * square + 1 / k
    value = exponent * LN2_HIGH + (2 * f + (2 * f * square * series + exponent * LN2_LOW))
    lowest = (mid - rad) * (1 - 2 * U)
    error = rounded_up(U * (2 * np.abs(value) + 4) + rad / lowest)
    return Enclosure(value, np.where((x.mid > rad) & (lowest > 0), error, np.inf))


def exp(x: Enclosure) -> Enclosure:
    """Exponential. ``|computed - exp mid| <= 16 u computed + 2^-1074``; unknown where the radius exceeds 1."""
    mid = np.clip(x.mid, -800.0, 800.0)  # 0 and inf in double precision: beyond, nothing more can be told
    k = np.rint(mid / LN2_HIGH)
    r = (mid - k * LN2_HIGH) - k * LN2_LOW
    series = np.ones_like(r)
    for n in range(14, 0, -1):
        series = 1 + r * series / n
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        value = np.ldexp(series, np.nan_to_num(k).astype(np.int64))
        spread = value * (1 + 16 * U) * (x.rad + x.rad * x.rad)
        error = rounded_up(spread + 16 * U * value) + TINY
    return Enclosure(value, np.where(x.rad <= 1, error, np.inf))


def sqrt(x: Enclosure) -> Enclosure:
    """Square root; unknown where x may be negative."""
    positive = np.maximum(x.mid, 0.0)
    mid = np.sqrt(positive)
    lowest = np.sqrt(np.maximum((x.mid - x.rad) * (1 - 2 * U), 0.0))
    with np.errstate(divide="ignore", invalid="ignore"):
        # |sqrt(y) - sqrt(m)| = |y - m| / (sqrt(y) + sqrt(m)), and at most sqrt(r) where m is near 0.
        spread = np.minimum(x.rad / (lowest + mid) * (1 + 8 * U), np.sqrt(x.rad) * (1 + 2 * U))
    rad = np.where(x.rad == 0, 0.0, spread)
    return Enclosure(mid, np.where(x.mid >= x.rad, rounded_up(rad + U * mid) + TINY, np.inf))


def maximum(x: Enclosure, y: Enclosure) -> Enclosure:
    """The larger one. Where that is certain it is kept as it is."""
    x, y = as_enclosure(x), as_enclosure(y)
    rad = np.where(x >= y, x.rad, np.where(y >= x, y.rad, np.maximum(x.rad, y.rad)))
    return Enclosure(np.maximum(x.mid, y.mid), rad)


def largest(x: Enclosure, axis: int, keepdims: bool = False) -> Enclosure:
    """Maximum along an axis."""
    return Enclosure.between(x.low.max(axis=axis, keepdims=keepdims), x.high.max(axis=axis, keepdims=keepdims))


def normalised(weights: Array) -> Enclosure:
    """Rows of non-negative weights divided by their exact sums; unknown where a computed sum is 0 or overflows."""
    below = total(weights, keepdims=True)
    # With t the exact and m the computed sum, |t - m| <= n u t for n roundings of a term, so |w/t - w/m| <= (w/m) n u
    # to first order, the same relative error along a row; the division adds one rounding. Sums never underflow.
    relative = (additions(weights.shape[-1]) + 4) * U
    relative = np.where((below > 0) & (below < np.inf), relative, np.inf)
    mid = weights / below
    rad = mid * relative
    rad += TINY
    return Enclosure(mid, rad)


def dot(x: Any, y: Any) -> Enclosure:
    """Sum of products over the last axis; charged for any order of summation, fused or not, but see :func:`total`."""
    x, y = as_enclosure(x), as_enclosure(y)
    terms = max(x.shape[-1], y.shape[-1])
    mid = _contract(x.mid, y.mid) if terms <= LONG else total(x.mid * y.mid)
    x_size, y_size = np.abs(x.mid), np.abs(y.mid)
    # The smallest subnormal pays for an underflow of u |y|, which a large |x| would magnify.
    rounding = (additions(terms) + 1) * U * y_size + SMALLEST_SUBNORMAL
    spread = _contract(x_size, y.rad + rounding) + _contract(x.rad, y_size + y.rad)
    rad = rounded_up(spread, 2 * terms) + 8 * terms * TINY
    return Enclosure(mid, np.where(np.abs(mid) < np.inf, rad, np.inf))


def _contract(x: Array, y: Array) -> Array:
    return np.einsum("...i,...i->...", x, y)
