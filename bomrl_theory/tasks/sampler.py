"""Task distributions: independent draws from a named family's distribution, or from a finite family by its weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from bomrl_theory.errors import InvalidTask
from bomrl_theory.tasks.catalogue import CATALOGUE, SPARSE, family_named
from bomrl_theory.tasks.family import TaskFamily
from bomrl_theory.tasks.sparse_family import SparseFamily

ROUNDING = Fraction(1, 2**40)
"""Rewards that are averages over transitions may leave their range by rounding: the range is widened by this share."""


@dataclass(frozen=True)
class Sampler:
    """A distribution over tasks that share S and A.

    Attributes:
        name: as it was asked for.
        draw: from n and a generator to n independent tasks, equally weighted.
        rewards: the least and the greatest reward that any task of the distribution can have.
    """

    name: str
    draw: Callable[[int, np.random.Generator], TaskFamily | SparseFamily]
    rewards: tuple[Fraction, Fraction]

    def largest_gap(self, gamma: Fraction) -> Fraction:
        """No policy of any task is short of the optimum by more: the range of rewards over 1 - gamma."""
        low, high = self.rewards
        return (high - low) / (1 - gamma)


def sampler_named(spec: str) -> Sampler:
    """The distribution that ``spec`` describes: a named family, or a file or Gymnasium family drawn by its weights.

    Raises:
        InvalidTask: the number of tasks is fixed in ``spec``, or rewards of the distribution have no bound.
        UnknownName, InvalidFile, MissingExtra: as :func:`family_named`.
    """
    name, colon, rest = spec.partition(":")
    known = CATALOGUE | SPARSE
    if name not in known:
        return _finite(spec)
    if any(item.partition("=")[0] == "tasks" for item in rest.split(",")):
        raise InvalidTask(f"'{spec}' fixes the number of tasks; leave tasks= out, --tasks says how many are drawn")
    rewards = known[name].rewards
    if rewards is None:
        raise InvalidTask(
            f"rewards of {name} have no bound, and the inequality needs one; take another sampler or a family file"
        )
    low, high = map(Fraction, rewards)
    slack = ROUNDING * (high - low)
    low, high = low - slack, high + slack

    def draw(tasks: int, rng: np.random.Generator) -> TaskFamily | SparseFamily:
        return _inside(family_named(f"{spec}{',' if colon and rest else ':'}tasks={tasks}", rng), low, high)

    return Sampler(spec, draw, (low, high))


def _finite(spec: str) -> Sampler:
    """Draws with replacement."""
    family = family_named(spec, np.random.default_rng(0))  # nothing is drawn: a file or a table
    shares = family.weights / family.weights.sum()

    def draw(tasks: int, rng: np.random.Generator) -> TaskFamily | SparseFamily:
        chosen = rng.choice(family.tasks, size=tasks, p=shares)
        return replace(family.only(chosen.tolist()), weights=np.ones(tasks))

    return Sampler(spec, draw, (Fraction(float(family.r.min())), Fraction(float(family.r.max()))))


def _inside(family: TaskFamily | SparseFamily, low: Fraction, high: Fraction) -> TaskFamily | SparseFamily:
    """The family, whose rewards must be within the declared range: the statement rests on it."""
    least, greatest = (Fraction(float(x)) for x in (family.r.min(), family.r.max()))
    if not low <= least <= greatest <= high:
        raise InvalidTask(
            f"rewards of {family.name} reach from {float(least):g} to {float(greatest):g}, outside the declared "
            f"{float(low):g} .. {float(high):g}; correct its entry in the catalogue"
        )
    return family
