"""A file that a long run appends lines to, so that a kill at any moment costs at most the line being written."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator
from pathlib import Path

from bomrl_theory.errors import InvalidFile

try:
    import fcntl
except ImportError:  # not on Windows, where two runs must keep off each other's files by themselves
    fcntl = None

SECONDS_BETWEEN_SYNCS = 1.0
"""What is written survives a kill at once; a power cut may cost as much as this."""


class Journal:
    """Lines on disk, only ever appended to, by one process at a time.

    Args:
        path: of the file.
        new: it must not exist yet; otherwise it is made or taken up.

    Attributes:
        tail: after :meth:`lines` what a kill left of a line; empty where nothing was cut.

    Raises:
        InvalidFile: the file exists though it should be new, is no plain file, is in use by another process, or
            cannot be written.
    """

    def __init__(self, path: Path, *, new: bool = False):
        self.path = path
        self.tail = b""
        self._whole = 0
        self._synced = time.monotonic()
        if not new and path.exists() and not path.is_file():  # opening a pipe would wait for ever
            raise InvalidFile(f"{path} is no plain file; name another one")
        try:
            self._file = path.open("xb" if new else "ab", buffering=0)
        except FileExistsError:
            raise InvalidFile(f"{path} exists already; move it away, or give another name") from None
        except OSError as error:
            raise self._unwritable(error) from None
        try:
            if fcntl is not None:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.close()
            raise InvalidFile(
                f"{path} is in use by another run; wait until that has ended, or name another file"
            ) from None
        except OSError:  # a file system without locks
            pass

    def lines(self) -> Iterator[bytes]:
        """Every line that was written whole, with its end; one that a kill cut counts as not written."""
        self._whole = 0
        try:
            with self.path.open("rb") as file:
                for line in file:
                    if not line.endswith(b"\n"):
                        self.tail = line
                        return
                    self._whole += len(line)
                    yield line
        except OSError as error:
            raise InvalidFile(f"cannot read {self.path}: {error.strerror}") from None

    def cut(self) -> None:
        """Drop the tail, so that the next line stands on its own."""
        if self.tail:
            self.tail = b""
            try:
                self._file.truncate(self._whole)
            except OSError as error:
                raise self._unwritable(error) from None

    def append(self, text: bytes) -> None:
        """Append whole lines.

        Raises:
            InvalidFile: the disk is full, or the file has become unwritable.
        """
        try:
            if self._file.write(text) != len(text):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            if time.monotonic() - self._synced >= SECONDS_BETWEEN_SYNCS:
                os.fsync(self._file.fileno())
                self._synced = time.monotonic()
        except OSError as error:
            raise self._unwritable(error) from None

    def close(self) -> None:
        """Wait until the disk has everything, and let others use the file."""
        if not self._file.closed:
            try:
                os.fsync(self._file.fileno())
            except OSError as error:
                raise self._unwritable(error) from None
            finally:
                self._file.close()

    def _unwritable(self, error: OSError) -> InvalidFile:
        return InvalidFile(f"cannot write {self.path}: {error.strerror}; choose a writable place")
