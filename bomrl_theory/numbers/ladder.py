"""The ladder of number systems that verdicts climb."""

from __future__ import annotations

from bomrl_theory.numbers.enclosures import ENCLOSURES
from bomrl_theory.numbers.flint import Balls, Rationals
from bomrl_theory.numbers.system import Numbers


def certified_systems() -> tuple[Numbers, ...]:
    """Number systems that prove something, in the order they are tried."""
    return (ENCLOSURES, Balls(128), Rationals(256), Balls(1024), Rationals(4096))


def of_kind(kind: type) -> tuple[Numbers, ...]:
    """Those of one kind, such as :class:`Rationals`, in the same order."""
    return tuple(numbers for numbers in certified_systems() if isinstance(numbers, kind))
