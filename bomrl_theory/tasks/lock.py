"""A folder that one run at a time writes into.

The lock is the operating system's, on a file ``.lock`` in the folder, so that it ends with the process, however that
ends. Whoever holds it removes the file at the end, and whoever then holds a removed one tries again.
"""

from __future__ import annotations

import os
import sys
import weakref
from contextlib import suppress
from pathlib import Path

from bomrl_theory.errors import InvalidFile

LOCK = ".lock"
if sys.platform == "win32":
    import msvcrt

    def _take(handle: int) -> None:
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)

    HELD: tuple[type[OSError], ...] = (PermissionError,)
else:
    import fcntl

    def _take(handle: int) -> None:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)

    HELD: tuple[type[OSError], ...] = (BlockingIOError,)


def _is(handle: int, path: Path) -> bool:
    """Whether the open file is still the one at the path."""
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False


def _give_back(handle: int, path: Path) -> None:
    if sys.platform != "win32":  # where an open file cannot be removed, it stays
        with suppress(OSError):
            path.unlink()
    os.close(handle)


class FolderLock:
    """The right to write into a folder, from now until :meth:`release` or the end of the process.

    On a file system without locks nothing is refused.

    Args:
        folder: which exists.

    Raises:
        InvalidFile: another run has it, or the folder cannot be written.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.acquire()

    def acquire(self) -> None:
        """Take the lock again after a :meth:`release`.

        Raises:
            InvalidFile: as for the class.
        """
        path = self.folder / LOCK
        while True:
            try:
                handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
            except OSError as error:
                raise InvalidFile(
                    f"cannot write {self.folder}: {error.strerror}; choose a writable directory"
                ) from None
            try:
                _take(handle)
            except HELD:
                os.close(handle)
                raise InvalidFile(
                    f"{self.folder} is in use by another run; wait until that has ended, or name another directory"
                ) from None
            except OSError:  # a file system without locks
                pass
            if _is(handle, path):
                break
            os.close(handle)
        self._closed = weakref.finalize(self, _give_back, handle, path)

    @property
    def held(self) -> bool:
        return self._closed.alive

    def release(self) -> None:
        """Let others write; what is released already stays so."""
        self._closed()
