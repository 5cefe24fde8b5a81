"""Double-double arithmetic: a number as the unevaluated sum of two doubles, about 106 bits.

The error-free transformations use only ``+ - *`` rounded to nearest, one operation at a time, so they run
unchanged on scalars, on NumPy arrays and inside compiled kernels. References: Dekker 1971; Knuth, TAOCP 2,
4.2.2; Ogita, Rump and Oishi 2005, "Accurate sum and dot product". docs/rounding.md has the proofs.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
from jaxtyping import Float64

from bomrl_theory.numbers.enclosure import Array, Enclosure, U

SPLITTER = 2.0**27 + 1
LARGEST_FACTOR = 2.0**400
"""Sizes up to this cannot overflow when they are split or multiplied; larger ones get an infinite radius."""
UNDERFLOW_PER_TERM = 2.0**-1070
"""More than ``5 * 2^-1074``, what an underflow in :func:`two_prod` can lose, and the roundings that follow."""


def two_sum(a: Any, b: Any) -> tuple[Any, Any]:
    """``s + e = a + b`` exactly, with ``s = fl(a + b)`` (Knuth); always, unless s overflows."""
    s = a + b
    t = s - a
    return s, (a - (s - t)) + (b - t)


def split(a: Any) -> tuple[Any, Any]:
    """``high + low = a`` exactly, with at most 26 bits each (Dekker), for ``|a| <= 2^990``."""
    c = SPLITTER * a
    high = c - (c - a)
    return high, a - high


def two_prod(a: Any, b: Any) -> tuple[Any, Any]:
    """``p + e = a b`` with ``p = fl(a b)`` (Dekker, Veltkamp), for ``|a|, |b|, |a b| <= 2^990``.

    Exact where nothing underflows, and off by at most ``5 * 2^-1074`` otherwise.
    """
    p = a * b
    a_high, a_low = split(a)
    b_high, b_low = split(b)
    return p, a_low * b_low - (((p - a_high * b_high) - a_low * b_high) - a_high * b_low)


def dot2(
    x: Float64[Array, "... n"], y: Float64[Array, "... n"]
) -> tuple[Float64[Array, "..."], Float64[Array, "..."], Float64[Array, "..."]]:
    """Sum of products over the last axis in twice the working precision.

    Theorem (after Ogita, Rump and Oishi 2005, Prop. 5.5). With ``high, low, radius`` returned,
    ``|high + low - sum x_i y_i| <= radius``, where ``radius <= 3 n (n + 3) u^2 sum |x_i y_i|`` up to rounding and
    underflow. Rounding ``high + low`` to one double costs u times its size more.

    Returns:
        high, low, radius; the radius is infinite where a factor exceeds 2^400 or is not finite.
    """
    n = max(x.shape[-1], y.shape[-1])
    p, q = two_prod(x, y)
    high, low = _cascade(p, q)
    size = np.abs(p).sum(axis=-1)
    radius = 3 * n * (n + 3) * U * (U * size) * (1 + 2.0**-20) + n * UNDERFLOW_PER_TERM
    largest = np.maximum(np.abs(x).max(axis=-1), np.abs(y).max(axis=-1))
    return high, low, np.where(largest <= LARGEST_FACTOR, radius, np.inf)


def _cascade(p: Array, q: Array) -> tuple[Array, Array]:
    """The sum of p over the last axis with its rounding errors, which are added to the sum of q."""
    high, low = p[..., 0], q.sum(axis=-1)
    for i in range(1, p.shape[-1]):
        high, error = two_sum(high, p[..., i])
        low = low + error
    return high, low


def advantage(
    W: Float64[Array, "K n"],
    r: Float64[Array, " K"],
    gamma: tuple[float, float],
    successors: tuple[Float64[Array, "K n"], Float64[Array, "K n"]],
    here: tuple[Float64[Array, " K"], Float64[Array, " K"]],
    size: Float64[Array, " K"],
) -> Enclosure:
    """``r + gamma P V - V(s)`` of K state-action pairs in twice the working precision, P = W / exact row sum.

    Theorem. Let the rows of W >= 0 have at most n non-zero entries, and ``size`` be at least
    ``|r| + |V(s)| + gamma max|V|`` on every row. Then the mid-point is off by at most
    ``(n + 3) u |mid| + (4 n^2 + 16 n + 24) u^2 size`` (docs/rounding.md). Near a fixed point, where the
    advantage is small, that is about 1e-30 of V.

    Args:
        W: transition weights, row sums in [2^-100, 2^100]; otherwise the radius is infinite.
        r: rewards.
        gamma: the discount as a pair that is off by at most ``u^2 gamma``.
        successors: V at the columns of W, a pair high + low with ``|low| <= u |high|``.
        here: V at the row's own state, likewise.
        size: see above.
    """
    n = W.shape[-1]
    factor, factor_low = gamma
    next_high, next_error = two_prod(factor, successors[0])
    next_low = next_error + (factor_low * successors[0] + factor * successors[1])
    own_high, own_error = two_sum(r, -here[0])
    own_low = own_error - here[1]
    gain, error = two_sum(next_high, own_high[:, None])
    gain_low = error + (next_low + own_low[:, None])
    p, q = two_prod(W, gain)
    high, low = _cascade(p, q + W * gain_low)
    total = W.sum(axis=-1)
    mid = (high + low) / total
    return Enclosure(mid, advantage_radius(mid, n, size, total))


def advantage_radius(mid: Any, n: Any, size: Any, total: Any) -> Any:
    """The radius of :func:`advantage`; infinite where it does not apply."""
    radius = ((n + 3) * U * np.abs(mid) + (4 * n * n + 16 * n + 24) * U * (U * size)) * (1 + 2.0**-20) + 2.0**-900
    sane = (total >= 2.0**-100) & (total <= 2.0**100) & (size <= LARGEST_FACTOR)
    return np.where(sane, radius, np.inf)


def discount_pair(gamma: Fraction) -> tuple[float, float]:
    """An exact rational as a pair of doubles, off by at most ``u^2`` of it; NaN where that could underflow."""
    high = float(gamma)
    return (high, float(gamma - Fraction(high))) if high == 0 or high >= 2.0**-400 else (np.nan, np.nan)
