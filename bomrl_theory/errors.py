"""Errors a user can cause. Each message names the value, the place and the remedy."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any


class BomrlError(Exception):
    """Base of every error caused by input; the command line prints it on one line and exits with 2."""

    def __reduce__(self) -> tuple[Any, ...]:
        # By default an exception crosses processes by calling its class with its message; not all take one.
        return _restored, (type(self), str(self))


def _restored(kind: type[BomrlError], message: str) -> BomrlError:
    return kind.__new__(kind, message)


class InvalidTask(BomrlError):
    """A task, a task family or a policy that is not what the theory assumes."""


class TooLarge(BomrlError):
    """What was asked needs an array with an entry for every pair of states, which a sparse family never makes."""

    def __init__(self, what: str, states: int):
        super().__init__(
            f"{what} takes an array of {states:,} x {states:,} states, which is not made for a sparse family; "
            "ask for it on a dense family, or leave it out"
        )


class InvalidFile(BomrlError):
    """A file that cannot be read or written, or does not follow its documented schema."""


class UnknownName(BomrlError):
    """A name that is not registered. The message offers the closest registered ones."""

    def __init__(self, kind: str, name: str, known: Iterable[str]):
        known = sorted(known)
        close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(close)}?" if close else f"known: {', '.join(known)}"
        super().__init__(f"unknown {kind} '{name}'; {hint}")


class InvalidTheorem(BomrlError):
    """A theorem file whose declaration is inconsistent."""


class BrokenPlugin(UserWarning):
    """A theorem announced by another package could not be used; the message names the package."""


class MissingExtra(BomrlError):
    """An optional dependency is not installed. The message holds the exact pip line."""

    def __init__(self, package: str, extra: str):
        super().__init__(
            f"this needs the package '{package}', which is not installed; "
            f"run: python -m pip install 'bomrl-theory[{extra}]'"
        )


class MissingLibrary(BomrlError):
    """A library of the system that pip does not install is not there. The message tells how to get it."""


class LostWorker(BomrlError):
    """A process that shared the work is gone; what it judged is not known."""

    def __init__(self) -> None:
        super().__init__("a process that shared the work ended without a word (out of memory?); try --workers 1")
