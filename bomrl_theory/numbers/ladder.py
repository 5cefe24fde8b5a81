"""The ladder of number systems that verdicts climb, and the device that its first rung computes on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache

from bomrl_theory.numbers.device_enclosures import DeviceEnclosures
from bomrl_theory.numbers.enclosures import ENCLOSURES, Enclosures
from bomrl_theory.numbers.flint import Balls, Rationals
from bomrl_theory.numbers.system import Numbers

_first: ContextVar[Enclosures] = ContextVar("first", default=ENCLOSURES)
_on = cache(DeviceEnclosures)


def first_enclosures() -> Enclosures:
    """The enclosures that come first now: on the host, or where :func:`computing_on` says."""
    return _first.get()


@contextmanager
def computing_on(device: str | None) -> Iterator[None]:
    """Inside, in this thread, optima and verdicts of dense families begin in enclosures on a device.

    Args:
        device: its name in torch; None is the host, without torch.

    Raises:
        MissingExtra, InvalidTask, ArithmeticError: as :func:`device_named`.
    """
    token = _first.set(ENCLOSURES if device is None else _on(device))
    try:
        yield
    finally:
        _first.reset(token)


def device_in_use() -> DeviceEnclosures | None:
    """What :func:`computing_on` says now; None on the host."""
    numbers = first_enclosures()
    return numbers if isinstance(numbers, DeviceEnclosures) else None


def certified_systems() -> tuple[Numbers, ...]:
    """Number systems that prove something, in the order they are tried."""
    return (first_enclosures(), Balls(128), Rationals(256), Balls(1024), Rationals(4096))


def of_kind(kind: type) -> tuple[Numbers, ...]:
    """Those of one kind, such as :class:`Rationals`, in the same order."""
    return tuple(numbers for numbers in certified_systems() if isinstance(numbers, kind))
