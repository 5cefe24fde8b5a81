"""Exact rationals where possible, balls at the working precision where not; scalars and lists only."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeAlias

from flint import arb, arb_mat, fmpq, fmpq_mat
from flint.utils.flint_exceptions import DomainError

Number: TypeAlias = Any
"""An fmpq, or a finite arb that certainly contains the number meant."""

ZERO, ONE = fmpq(0), fmpq(1)


class Undefined(ArithmeticError):
    """A number that does not exist, or that balls of this precision cannot enclose."""


def _finite(x: arb, what: str) -> arb:
    if not x.is_finite():
        raise Undefined(f"{what} could not be enclosed")
    return x


def add(x: Number, y: Number) -> Number:
    return x + y


def times(x: Number, y: Number) -> Number:
    """The product; exactly zero where a factor is."""
    return ZERO if _is_zero(x) or _is_zero(y) else x * y


def divide(x: Number, y: Number) -> Number:
    if _is_zero(y):
        raise Undefined("a division by zero")
    if _is_zero(x):
        return ZERO
    quotient = x / y
    return quotient if isinstance(quotient, fmpq) else _finite(quotient, "a quotient")


def power(x: Number, n: int) -> Number:
    """``x^n`` for a whole n, by repeated multiplication."""
    result = ONE
    for _ in range(abs(n)):
        result = times(result, x)
    return result if n >= 0 else divide(ONE, result)


def total(terms: Iterable[Number]) -> Number:
    result: Number = ZERO
    for term in terms:
        result = result + term
    return result


def inner(x: Iterable[Number], y: Iterable[Number]) -> Number:
    """``sum_i x_i y_i``."""
    return total(times(one, other) for one, other in zip(x, y, strict=True))


def log(x: Number) -> Number:
    return ZERO if isinstance(x, fmpq) and x == ONE else _finite(arb(x).log(), "a logarithm")


def exp(x: Number) -> Number:
    return ONE if _is_zero(x) else _finite(arb(x).exp(), "an exponential")


def sqrt(x: Number) -> Number:
    if isinstance(x, fmpq):
        try:
            return x.sqrt()
        except DomainError:  # not the square of a rational
            pass
    return _finite(arb(x).sqrt(), "a square root")


def larger(x: Number, y: Number) -> Number:
    if x >= y:
        return x
    if y >= x:
        return y
    return arb(x).max(arb(y))


def largest(values: Iterable[Number]) -> Number:
    first, *rest = values
    for value in rest:
        first = larger(first, value)
    return first


def absolute(x: Number) -> Number:
    return larger(x, -x)


def _is_zero(x: Number) -> bool:
    return isinstance(x, fmpq) and x == ZERO


def solve(matrix: list[list[Number]], right: list[Number], *, exact: bool) -> list[Number]:
    """x with ``matrix x = right``: rationals, or balls that certainly contain it; with ``exact`` all rational.

    Raises:
        Undefined: singular, or not certainly regular at this precision.
    """
    n = len(right)
    entries = [entry for row in matrix for entry in row]
    try:
        if exact:
            return fmpq_mat(n, n, entries).solve(fmpq_mat(n, 1, right)).entries()
        left = arb_mat(n, n, [arb(entry) for entry in entries])
        solution = left.solve(arb_mat(n, 1, [arb(entry) for entry in right])).entries()
    except ZeroDivisionError:
        raise Undefined("a linear system that could not be solved with a guarantee") from None
    return [_finite(x, "a linear system's solution") for x in solution]


def ball(x: Number) -> tuple[fmpq, fmpq]:
    """Mid-point and radius, both exact."""
    if isinstance(x, fmpq):
        return x, ZERO
    return dyadic(*x.mid().man_exp()), dyadic(*x.rad().man_exp())


def dyadic(mantissa: Any, exponent: Any) -> fmpq:
    """``mantissa 2^exponent``."""
    return fmpq(mantissa) * fmpq(2) ** int(exponent)
