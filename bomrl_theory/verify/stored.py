"""Verdicts as JSON values that read back as the same verdicts, to the last bit of either side."""

from __future__ import annotations

from typing import Any

import numpy as np
from flint import arb, fmpq

from bomrl_theory.numbers import Enclosure, exact_ball, exact_parts
from bomrl_theory.verify.verdict import Grade, Outcome, Verdict

Stored = list[Any]
"""``[task, outcome, grade, numbers, certified, reason, sides, chosen]``, as :class:`Verdict` has them."""


def stored(verdict: Verdict) -> Stored:
    """The verdict without its theorem.

    Raises:
        TypeError: a side is a number of no known system.
    """
    return [
        verdict.task,
        verdict.outcome,
        verdict.grade,
        verdict.numbers,
        verdict.certified,
        verdict.reason,
        None if verdict.sides is None else [stored_number(side) for side in verdict.sides],
        verdict.chosen,
    ]


def restored(theorem: str, value: Stored) -> Verdict:
    """The inverse of :func:`stored`."""
    task, outcome, grade, numbers, certified, reason, sides, chosen = value
    return Verdict(
        theorem=theorem,
        outcome=Outcome(outcome),
        task=task,
        sides=None if sides is None else (restored_number(sides[0]), restored_number(sides[1])),
        grade=None if grade is None else Grade(grade),
        numbers=numbers,
        certified=certified,
        reason=reason,
        chosen=chosen,
    )


def stored_number(x: Any) -> Any:
    """A double as itself, an enclosure as ``[mid, rad]``; a rational as text and a ball as pairs ``m 2^e``.

    Whole numbers are hexadecimal: Python writes and reads no more than 4,300 decimal digits.

    Raises:
        TypeError: a number of no known system.
    """
    if isinstance(x, Enclosure):
        return [float(x.mid), float(x.rad)]
    if isinstance(x, fmpq):
        return f"{int(x.p):x}/{int(x.q):x}"
    if isinstance(x, arb):
        parts = exact_parts(x)
        return {"mid": float(x.mid())} if parts is None else {"ball": [(f"{m:x}", e) for m, e in parts]}
    if isinstance(x, float):
        return float(x)
    raise TypeError(f"{type(x).__name__} is no number that a verdict is decided in")


def restored_number(value: Any) -> Any:
    """The inverse of :func:`stored_number`."""
    match value:
        case [mid, rad]:
            return Enclosure(np.float64(mid), np.float64(rad))
        case str():
            p, q = value.split("/")
            return fmpq(int(p, 16), int(q, 16))
        case {"ball": [(mid, exponent), (rad, rad_exponent)]}:
            return exact_ball((int(mid, 16), exponent), (int(rad, 16), rad_exponent))
        case {"mid": mid}:
            return arb(mid, float("inf"))
    return np.float64(value)
