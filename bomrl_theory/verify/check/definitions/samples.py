"""Samples of tasks, all of them."""

from __future__ import annotations

import math
from collections.abc import Iterator

from flint import arb, fmpq

from bomrl_theory.verify.check.arithmetic import (
    ONE,
    ZERO,
    Number,
    Undefined,
    divide,
    inner,
    largest,
    log,
    power,
    sqrt,
    times,
    total,
)
from bomrl_theory.verify.check.facts import Facts, defines

DELTA = fmpq(1, 2)


@defines("delta", "case", "failure probability that is allowed")
def _delta(x: Facts) -> Number:
    return DELTA


def _draws(tasks: int) -> int:
    """The largest number up to 64 of which there are at most 1000 different samples, and at least 2."""
    n = 2
    while n < 64 and math.comb(n + tasks, n + 1) <= 1000:
        n += 1
    return n


def _samples(n: int, places: int) -> Iterator[list[int]]:
    if places == 1:
        yield [n]
        return
    for first in range(n + 1):
        for rest in _samples(n - first, places - 1):
            yield [first, *rest]


@defines(
    "F",
    "case",
    "probability that n draws put mean + sqrt(2 var log(2/delta)/n) + 7 H log(2/delta)/(3(n-1)) below E gap; "
    "n is the largest number up to 64 with at most 1000 different samples, and at least 2",
)
def _failure(x: Facts) -> Number:
    """Sample by sample, with the variance from its definition."""
    tasks, weights = range(len(x.case.tasks)), x.case.weights
    n, surprise = _draws(len(tasks)), log(2 / DELTA)
    highest = largest(x.value("largest gap", tau, None) for tau in tasks)
    confidence = divide(7 * times(highest, surprise), fmpq(3 * (n - 1)))
    if confidence >= highest:
        return ZERO
    exact = [x.value("gap", tau, None) for tau in tasks]
    # The square root is a ball in any case, and rationals with hundreds of digits would be slow in every sample.
    gaps = [arb(gap) for gap in exact]
    expected = inner(weights, gaps)
    result: Number = ZERO
    for counts in _samples(n, len(tasks)):
        mean = total(times(fmpq(c), z) for c, z in zip(counts, gaps, strict=True)) / n
        squares = total(times(fmpq(c), power(z - mean, 2)) for c, z in zip(counts, gaps, strict=True) if c)
        seen = [z for c, z in zip(counts, exact, strict=True) if c]
        if all(z == seen[0] for z in seen):
            squares = ZERO  # a ball around zero has no square root
        bound = mean + sqrt(divide(2 * times(squares, surprise), fmpq(n * (n - 1)))) + confidence
        if expected > bound:
            ways = math.factorial(n)
            probability = ONE
            for c, weight in zip(counts, weights, strict=True):
                ways //= math.factorial(c)
                probability = times(probability, power(weight, c))
            result = result + probability * ways
        elif not expected <= bound:
            raise Undefined("a sample that could not be told from a failure")
    return result
