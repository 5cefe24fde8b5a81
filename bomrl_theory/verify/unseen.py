"""What a sample of tasks says about unseen ones: a statistical verdict, with its level (THEORY section 9).

The gap of each drawn task is known up to an enclosure. That the expected gap of the whole distribution is below the
bound is true with probability at least ``1 - delta`` over the draw, and with no more: such a verdict is STATISTICAL.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from flint import arb, ctx, fmpq
from jaxtyping import Float64

from bomrl_theory.errors import InvalidTask
from bomrl_theory.exact.solved import Solved
from bomrl_theory.exact.sparse_solved import solved_family
from bomrl_theory.meta.barycentre import barycentre_of
from bomrl_theory.numbers import Array, Enclosure
from bomrl_theory.tasks.sampler import Sampler
from bomrl_theory.theory.case import Case
from bomrl_theory.theory.measured import Measured

PRECISION = 128
STATUS = "STATISTICAL"


def empirical_bernstein(gaps: Sequence[arb], largest: Fraction, delta: Fraction) -> arb:
    """``mean + sqrt(2 var log(2/delta)/n) + 7 H log(2/delta)/(3(n-1))``, an enclosure.

    Args:
        gaps: of n independent tasks, each in [0, H], in the unit of return.
        largest: H, fixed before the draw.
        delta: the probability of failure that is allowed.

    Source: Maurer and Pontil 2009, theorem 4; constants from memory.

    Raises:
        InvalidTask: fewer than two gaps, or delta outside (0, 1).
    """
    n = len(gaps)
    if n < 2:
        raise InvalidTask(f"{n} task(s) have no sample variance; draw at least 2")
    if not 0 < delta < 1:
        raise InvalidTask(f"delta = {delta} is no probability of failure; take a number between 0 and 1")
    with ctx.workprec(PRECISION):
        mean = sum(gaps, arb(0)) / n
        # As products: FLINT's power of a ball that reaches below 0 is undefined.
        variance = sum(((gap - mean) * (gap - mean) for gap in gaps), arb(0)) / (n - 1)
        logarithm = (2 / _ball(delta)).log()
        return mean + _root(2 * variance * logarithm / n) + 7 * _ball(largest) * logarithm / (3 * (n - 1))


def _root(x: arb) -> arb:
    """The root of what is not negative, though its ball may reach below 0: the variance of equal gaps."""
    return x.sqrt() if x >= 0 else arb(0).union(x.abs_upper().sqrt())


def _ball(x: Fraction) -> arb:
    return arb(fmpq(x.numerator, x.denominator))


def upper_end(x: arb) -> float:
    """The smallest double that is certainly no less."""
    mantissa, exponent = x.upper().man_exp()
    exact = int(mantissa) * Fraction(2) ** int(exponent)
    nearest = float(exact)
    return nearest if Fraction(nearest) >= exact else math.nextafter(nearest, math.inf)


@dataclass(frozen=True, eq=False)
class UnseenReport:
    """A statement about the expected gap of a task distribution.

    Attributes:
        sampler: the distribution.
        case: the drawn tasks, the meta-policy and how it adapts.
        delta: the probability of failure that is allowed.
        gaps: upper ends of the drawn tasks' optimality gaps [n], in the unit of return.
        mean: of the gaps, an upper end.
        deviation: their standard deviation, nearest double.
        largest: H, the largest gap that any task of the distribution can have.
        bound: with probability at least 1 - delta the expected gap is no larger.
        enclosed: False where a task was too large, and its gap is only a float.
    """

    sampler: Sampler
    case: Case
    delta: Fraction
    gaps: Float64[Array, " n"]
    mean: float
    deviation: float
    largest: float
    bound: float
    enclosed: bool

    @property
    def level(self) -> Fraction:
        """The probability, over the draw of the tasks, with which the statement is true."""
        return 1 - self.delta

    @property
    def vacuous(self) -> bool:
        """Whether the bound says no more than what is true of every policy."""
        return self.bound >= self.largest

    def as_json(self) -> dict[str, Any]:
        """The stable JSON contract of ``bomrl unseen --json``."""
        return {
            "status": STATUS,
            "level": float(self.level),
            "delta": str(self.delta),
            "sampler": self.sampler.name,
            "tasks": len(self.gaps),
            "algorithm": self.case.algorithm.name,
            "lambda": float(self.case.lam),
            "steps": self.case.steps,
            "mean": self.mean,
            "deviation": self.deviation,
            "largest": self.largest,
            "bound": self.bound,
            "vacuous": self.vacuous,
            "gaps_enclosed": self.enclosed,
            "gaps": self.gaps.tolist(),
        }


def unseen(
    sampler: Sampler,
    tasks: int,
    delta: Fraction,
    algorithm: str,
    lam: Fraction,
    *,
    rng: np.random.Generator,
    phi: Float64[Array, "S A"] | None = None,
    train: int = 10,
    steps: int = 1,
) -> UnseenReport:
    """Draw tasks, adapt to each, and bound the expected gap of the distribution.

    Args:
        tasks: n, how many test tasks are drawn.
        rng: of the training tasks and then of the test tasks.
        phi: meta-policy weights [S, A]; by default the barycentre of ``train`` other tasks, 10 % uniform mixed in. It
            must not depend on the tasks that are drawn here.

    Raises:
        InvalidTask: fewer than two tasks, a level outside (0, 1), no training task, or an algorithm whose adapted
            policy depends on the other tasks, so that the gaps are not independent.
    """
    for name, number, least in (("tasks", tasks, 2), ("train", train, 1)):
        if number < least:
            raise InvalidTask(f"--{name} {number}: draw at least {least}")
    if phi is None:
        phi = barycentre_of(solved_family(sampler.draw(train, rng)))
    return bound_on_sample(sampler, solved_family(sampler.draw(tasks, rng)), delta, algorithm, lam, phi, steps=steps)


def bound_on_sample(
    sampler: Sampler,
    drawn: Solved,
    delta: Fraction,
    algorithm: str,
    lam: Fraction,
    phi: Float64[Array, "S A"],
    *,
    steps: int = 1,
) -> UnseenReport:
    """As :func:`unseen`, on tasks that were drawn already: one sample serves to compare meta-policies.

    Each statement has its level by itself; that all of many hold at once has a smaller one.

    Raises:
        InvalidTask: as :func:`unseen`.
    """
    case = Case.new(drawn, phi, algorithm, lam, steps=steps)
    if case.algorithm.mixes_tasks:
        raise InvalidTask(
            f"'{algorithm}' adapts to a task with the help of others, so gaps are not independent; take another"
        )
    largest = sampler.largest_gap(case.family.gamma)
    gaps, enclosed = enclosed_gaps(case)
    with ctx.workprec(PRECISION):
        bound = empirical_bernstein(gaps, largest, delta)
        mean = sum(gaps, arb(0)) / len(gaps)
    tops = np.array([upper_end(gap) for gap in gaps])
    return UnseenReport(
        sampler,
        case,
        delta,
        tops,
        upper_end(mean),
        float(tops.std(ddof=1)),
        upper_end(_ball(largest)),
        upper_end(bound),
        enclosed,
    )


def enclosed_gaps(case: Case) -> tuple[list[arb], bool]:
    """``J* - J(pi+)`` of every task as a ball, and whether it is one: False where only floats can be afforded."""
    found: list[arb] = []
    for numbers in case.number_systems("<="):
        with numbers.activated():
            m = Measured(case, numbers)
            gaps = m.star.J - m.plus.J
            if isinstance(gaps, Enclosure):
                pairs = zip(gaps.mid.tolist(), gaps.rad.tolist(), strict=True)
                found = [arb(mid, rad) for mid, rad in pairs]
            else:
                found = [arb(gap) for gap in gaps.tolist()]
        if all(gap.is_finite() for gap in found):
            return found, numbers.certified
    raise InvalidTask("the gap of a drawn task could not be enclosed; scale its rewards")
