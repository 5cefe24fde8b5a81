"""A task: a finite discounted Markov decision process with exact data.

The doubles a user gives are read as the exact rationals they are, and every distribution is
normalised exactly, once: the process is defined by non-negative weights, and a probability is its
weight divided by the exact sum of its row. So ``[1, 2]`` is exactly ``(1/3, 2/3)``, and a row of
doubles that sums to ``1 - 1e-16`` is a proper distribution in every number system.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from jaxtyping import Float64

from bomrl_theory.errors import InvalidTask
from bomrl_theory.numbers import Array

MAXIMUM_ENTRIES = 400_000_000
"""Largest dense transition array accepted (about 3 GiB)."""
ROW_SUM_TOLERANCE = 1e-9
"""A row of probabilities may miss 1 by this much; it is then normalised exactly."""


def as_doubles(name: str, values: Any, axes: tuple[str, ...]) -> Array:
    """``values`` as a read-only float64 array with one dimension for each name in ``axes``.

    A fresh copy, unless ``values`` is a read-only float64 array that owns its memory: large ones are then shared.

    Raises:
        InvalidTask: not numeric, wrong number of dimensions, empty, or an entry is NaN or infinite.
    """
    try:
        given = np.asarray(values)
        if given.dtype.kind not in "biufO":
            raise TypeError(f"its entries are {given.dtype}, not real numbers")
        shared = isinstance(values, np.ndarray) and values.flags.owndata and not values.flags.writeable
        array = np.array(given, dtype=np.float64, copy=None if shared else True)
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidTask(f"{name} is not a rectangular array of numbers: {error}") from None
    if array.ndim != len(axes):
        raise InvalidTask(f"{name} has shape {list(array.shape)}; expected [{', '.join(axes)}]")
    if array.size == 0:
        raise InvalidTask(f"{name} is empty (shape {list(array.shape)}); every axis needs at least one entry")
    bad = np.argwhere(~np.isfinite(array))
    if len(bad):
        place = tuple(int(i) for i in bad[0])
        raise InvalidTask(f"{at(name, place, axes)} is {array[place]}; replace it by a finite number")
    if given.dtype.kind in "iuO":  # whole numbers and fractions are exact; refuse to round them silently
        doubtful = np.abs(array) >= 2.0**53 if given.dtype.kind in "iu" else np.ones(array.shape, dtype=bool)
        same = np.frompyfunc(lambda x, y: Fraction(x) == Fraction(y), 2, 1)(given[doubtful], array[doubtful])
        rounded = np.argwhere(doubtful)[~np.asarray(same, dtype=bool)]
        if len(rounded):
            place = tuple(int(i) for i in rounded[0])
            where = at(name, place, axes)
            raise InvalidTask(f"{where} = {given[place]} is not a double; give weights, or scale to whole numbers")
    array.setflags(write=False)
    return array


def dimensions(values: Any) -> int:
    """Of an array, or of nested sequences; 0 where these are ragged, which :func:`as_doubles` tells."""
    try:
        return np.ndim(values)
    except ValueError:
        return 0


def at(name: str, place: tuple[int, ...], axes: tuple[str, ...]) -> str:
    """``P[s=3, a=1]`` for an error message."""
    return f"{name}[{', '.join(f'{axis}={i}' for axis, i in zip(axes, place, strict=False))}]"


def check_distributions(name: str, array: Array, axes: tuple[str, ...], *, weights: bool = False) -> None:
    """Require the last axis to hold probabilities, or with ``weights`` any weights with a positive sum.

    Raises:
        InvalidTask: a negative entry, a zero row, or (probabilities) a sum off 1 by more than 1e-9.
    """
    bad = np.argwhere(array < 0)
    if len(bad):
        place = tuple(int(i) for i in bad[0])
        raise InvalidTask(f"{at(name, place, axes)} = {array[place]:.6g} is negative; probabilities are >= 0")
    with np.errstate(over="ignore"):
        sums = array.sum(axis=-1)
    wrong = ~((sums > 0) & np.isfinite(sums)) if weights else ~(np.abs(sums - 1) <= ROW_SUM_TOLERANCE)
    if np.any(wrong):
        place = tuple(int(i) for i in np.argwhere(wrong)[0])
        where = at(name, place, axes) if place else name
        demand = "a positive finite sum" if weights else f"1 (within {ROW_SUM_TOLERANCE:g})"
        raise InvalidTask(
            f"{where} sums to {float(sums[place]):.12g}, not {demand}; divide the row by its sum, or correct it"
        )


def check_task_weights(weights: Float64[Array, " T"]) -> None:
    """Require positive weights of tasks.

    Raises:
        InvalidTask: a weight is negative or zero.
    """
    check_distributions("weights", weights, ("tau",), weights=True)
    if np.any(weights == 0):
        place = tuple(int(i) for i in np.argwhere(weights == 0)[0])
        raise InvalidTask(f"{at('weights', place, ('tau',))} is 0; leave out tasks that never occur")


def exact_discount(gamma: Any) -> Fraction:
    """gamma as the exact rational it is: ``Fraction(4, 5)`` and ``"4/5"`` are 4/5, ``0.8`` is a double.

    Raises:
        InvalidTask: not a number in [0, 1).
    """
    value = exact_number("gamma", gamma)
    if not 0 <= value < 1:
        raise InvalidTask(f"gamma = {gamma} is outside [0, 1); the discounted value needs gamma < 1")
    if float(value) == 1.0:
        raise InvalidTask(f"gamma = {gamma} rounds to 1 in double precision; lower it to 1 - 2^-53 or less")
    return value


def exact_number(name: str, value: Any) -> Fraction:
    """A Python number, NumPy scalar or string (``"1/3"``, ``"0.1"``) as an exact rational.

    Raises:
        InvalidTask: not a finite number.
    """
    try:
        return Fraction(value if isinstance(value, str | int | Fraction) else float(value))
    except (TypeError, ValueError, OverflowError, ZeroDivisionError):
        raise InvalidTask(f"{name} = {value!r} is not a finite number; give a number or a fraction") from None


def check_sizes(transitions: int, **sizes: int) -> None:
    """Require sizes that make sense and fit in memory, before anything is allocated.

    Args:
        transitions: entries of the dense transition array [T, S, A, S].
        sizes: what the user chose, by name.

    Raises:
        InvalidTask: a size below 1, or a dense transition array of more than 400 million entries.
    """
    for name, value in sizes.items():
        if value < 1:
            raise InvalidTask(f"{name} = {value}; it must be at least 1")
    if transitions > MAXIMUM_ENTRIES:
        chosen = ", ".join(f"{name} = {value}" for name, value in sizes.items())
        raise InvalidTask(
            f"{chosen} need {transitions:.3g} transition probabilities; the limit is {MAXIMUM_ENTRIES:.3g}, "
            "lower a size"
        )


@dataclass(frozen=True, eq=False)
class MDP:
    """One task tau (THEORY section 0). Build it with :meth:`new`; the arrays are read-only.

    Attributes:
        P: transition weights [S, A, S]; the probability is the weight over the exact row sum.
        r: rewards [S, A], reward per step, exact doubles.
        gamma: discount, an exact rational in [0, 1).
        rho: start weights [S]; normalised exactly like the rows of P.
    """

    P: Float64[Array, "S A S"]
    r: Float64[Array, "S A"]
    gamma: Fraction
    rho: Float64[Array, " S"]

    @classmethod
    def new(cls, P: Any, r: Any, gamma: Any, rho: Any, *, weights: bool = False) -> MDP:
        """Validate and build.

        Args:
            P: probabilities [S, A, S], or with ``weights=True`` any non-negative weights.
            r: rewards [S, A].
            gamma: in [0, 1); a Fraction or a string is exact, a float is the double it is.
            rho: start distribution [S] (weights likewise).

        Raises:
            InvalidTask: names the value, its place and the remedy.
        """
        P = as_doubles("P", P, ("s", "a", "s'"))
        r = as_doubles("r", r, ("s", "a"))
        rho = as_doubles("rho", rho, ("s",))
        states, actions, successors = P.shape
        if successors != states:
            raise InvalidTask(f"P has shape {list(P.shape)}; its first and last axis must both be the states")
        if r.shape != (states, actions):
            raise InvalidTask(f"r has shape {list(r.shape)}; P [S, A, S] asks for {[states, actions]}")
        if rho.shape != (states,):
            raise InvalidTask(f"rho has shape {list(rho.shape)}; P [S, A, S] asks for {[states]}")
        check_distributions("P", P, ("s", "a", "s'"), weights=weights)
        check_distributions("rho", rho, ("s",), weights=weights)
        return cls(P, r, exact_discount(gamma), rho)

    @property
    def states(self) -> int:
        return self.P.shape[0]

    @property
    def actions(self) -> int:
        return self.P.shape[1]
