"""How tight a verdict is: left/bound, whatever the signs, and never rounded up.

For a positive bound it is left/bound. A bound that is zero or negative and violated has the ratio infinity: no factor
repairs it. Where both sides are negative and the claim holds, it is bound/left, which lies in [0, 1] as well and is 1
at equality. Two zeros say nothing.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
from flint import arb, ctx, fmpq
from jaxtyping import Float64

from bomrl_theory.numbers import Array
from bomrl_theory.verify.verdict import Outcome, Verdict

PRECISION = 192


def certified_ratio(verdict: Verdict) -> float | None:
    """The largest double that is certainly at most the ratio; None where nothing certified is known."""
    decided = verdict.outcome in (Outcome.HOLDS, Outcome.VIOLATED)
    if not (decided and verdict.certified and verdict.sides):
        return None
    with ctx.workprec(PRECISION):
        left, bound = (as_number(side) for side in verdict.sides)
        if bound > 0:
            return _rounded_down(left / bound)
        if verdict.outcome is Outcome.VIOLATED:
            return math.inf
        if left < 0:
            return max(0.0, _rounded_down(bound / left)) if bound < 0 else 0.0
        return None


def as_number(side: Any) -> Any:
    """One side of a verdict: a rational as it is, anything else as a ball."""
    if hasattr(side, "rad") and not isinstance(side, arb):  # an enclosure
        return arb(float(side.mid), float(side.rad))
    return side if isinstance(side, fmpq | arb) else arb(side)


def _rounded_down(x: Any) -> float:
    lower = x if isinstance(x, fmpq) else x.lower()
    if not isinstance(lower, fmpq):
        if not lower.is_finite():
            return -math.inf
        mantissa, exponent = lower.man_exp()
        exact = int(mantissa) * Fraction(2) ** int(exponent)
    else:
        exact = Fraction(int(lower.p), int(lower.q))
    try:
        nearest = float(exact)
    except OverflowError:
        return math.copysign(np.finfo(np.float64).max, exact)
    return nearest if Fraction(nearest) <= exact else math.nextafter(nearest, -math.inf)


def float_ratio(
    left: Float64[Array, "*n"], bound: Float64[Array, "*n"], noise: Float64[Array, "*n"]
) -> Float64[Array, "*n"]:
    """The same in floats, for the search: two sides that both drown in ``noise`` have a ratio near 0."""
    with np.errstate(all="ignore"):
        positive = left / (np.maximum(bound, 0) + noise)
        broken = 1 + (left - bound) / (np.abs(bound) + noise)
        negative = -bound / (np.abs(left) + noise)
        ratio = np.where(bound > noise, positive, np.where(left > bound + noise, broken, negative))
    return np.where(np.isnan(ratio), -np.inf, ratio)
