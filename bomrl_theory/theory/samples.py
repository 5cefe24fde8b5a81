"""Statements about samples of tasks, made certain by enumerating every sample (THEORY section 9)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction
from functools import cache
from typing import Any

import numpy as np
from jaxtyping import Int64

from bomrl_theory.numbers import Array, Numbers, Numeric, SingularSystem
from bomrl_theory.theory.constants import scalar
from bomrl_theory.theory.measured import Measured

LARGEST_SAMPLE, LARGEST_COUNT = 64, 1000
DELTA = Fraction(1, 2)
"""Failure probability that is allowed: at the usual small ones so few draws never fail at all."""


def sample_size(tasks: int) -> int:
    """The largest n up to 64 with at most 1,000 different samples, and at least 2."""
    sizes = range(LARGEST_SAMPLE, 2, -1)
    return next((n for n in sizes if math.comb(n + tasks - 1, tasks - 1) <= LARGEST_COUNT), 2)


@cache
def samples(n: int, tasks: int) -> Int64[Array, "N T"]:
    """How often each task occurs, for every possible sample of n draws."""

    def counts(left: int, places: int) -> Iterator[tuple[int, ...]]:
        if places == 1:
            yield (left,)
            return
        for first in range(left + 1):
            for rest in counts(left - first, places - 1):
                yield (first, *rest)

    return np.array(list(counts(n, tasks)))


def _probability(counts: Int64[Array, "N T"], w: Numeric, numbers: Numbers) -> Any:
    """The probability of all these samples together."""
    total = numbers.constant(0)
    if not len(counts):
        return total
    ways = [math.factorial(int(row.sum())) // math.prod(math.factorial(int(c)) for c in row) for row in counts]
    # Whole numbers up to 3^64 as two exact doubles.
    high, low = (
        numbers.load(np.array(part, dtype=float)) for part in zip(*(divmod(x, 2**53) for x in ways), strict=True)
    )
    probability = high * numbers.constant(2**53) + low
    one = numbers.constant(1)
    for k in range(1, int(counts.max()) + 1):
        for task in range(counts.shape[1]):
            probability = probability * np.where(counts[:, task] >= k, w[task], one)
    return probability.sum()


def failure_probability(m: Measured) -> Any:
    """The probability that n draws make the empirical Bernstein bound fall short of the expected gap.

    Raises:
        SingularSystem: a sample where this cannot be told at this precision.
    """
    numbers, w = m.numbers, m.model.w
    gaps, tasks = m.star.J - m.plus.J, m.case.family.tasks
    n = sample_size(tasks)
    if 7 * math.log(2 / DELTA) > 3 * (n - 1) * (1 + 1e-9):
        return numbers.constant(0)  # the bound exceeds H, and nothing exceeds that
    counts = samples(n, tasks)
    often = numbers.load(counts.astype(float))
    logarithm = numbers.log(numbers.full((1,), numbers.constant(2 / DELTA)))
    largest = numbers.largest(m.largest_gap, 0, keepdims=True)
    missing = (w * gaps).sum() - numbers.dot(often, gaps[None]) / n - 7 * largest * logarithm / (3 * (n - 1))
    variance = numbers.full((len(counts),), m.model.zero)
    for one in range(tasks):
        for other in range(one):
            difference = gaps[one] - gaps[other]
            variance = variance + often[:, one] * often[:, other] * (difference * difference)
    spread = 2 * logarithm * variance / (n * n * (n - 1))
    square = missing * missing
    holds = np.asarray(missing <= 0, dtype=bool) | np.asarray(square <= spread, dtype=bool)
    fails = np.asarray(missing > 0, dtype=bool) & np.asarray(square > spread, dtype=bool)
    if numbers.certified and not np.all(holds | fails):
        raise SingularSystem("a sample is too close to call")
    return _probability(counts[fails], w, numbers)


delta = scalar(
    "delta", "failure probability that is allowed", "1", lambda m: m.numbers.constant(DELTA), shared=True, positive=True
)
failure = scalar(
    "F",
    "probability that n draws put mean + sqrt(2 var log(2/delta)/n) + 7 H log(2/delta)/(3(n-1)) below E gap; "
    "n is the largest number up to 64 with at most 1000 different samples, and at least 2",
    "1",
    failure_probability,
    nonnegative=True,
)
