"""A run on disk that survives being killed at any moment and goes on to the same bytes.

| file | content |
|---|---|
| ``log.csv`` | one record a line |
| ``checkpoint.npz`` | the complete state: arrays, generator, settings |
| others | what a run appends besides |

A checkpoint replaces the one before as a whole, and says how long the other files were and what they held then; what
was appended later is cut off when the run is taken up again, and made again.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

import numpy as np

from bomrl_theory.errors import InvalidFile
from bomrl_theory.numbers import Array
from bomrl_theory.tasks.files import check_directory, read_npz, replacing
from bomrl_theory.tasks.lock import LOCK, FolderLock

LOG, CHECKPOINT = "log.csv", "checkpoint.npz"


@runtime_checkable
class Resumed(Protocol):
    """A state between two iterations: its number, and "running" or how the run ended."""

    @property
    def iteration(self) -> int: ...

    @property
    def status(self) -> str: ...


S = TypeVar("S", bound=Resumed)
R = TypeVar("R")


class ResumableRun(ABC, Generic[S, R]):
    """A run in its directory.

    Args:
        path: of the directory.
        begin: the state before the first iteration; with it ``rng`` must be as the run begins.
        rng: that the run draws from.
        settings: what the run depends on, as JSON; another run's directory is refused.
        resume: take up what the directory holds; otherwise it must not exist or be empty.

    Attributes:
        format: of the checkpoint.
        record: class of the records; a column each field.
        every: iterations between checkpoints.
        others: names of appended files besides the log.
        hashed: settings that are told only as "another ...".
        state: the last one that was saved.

    Raises:
        InvalidFile: the directory is not empty, is in use by another run, or what it holds is damaged or belongs to
            another run; the message says what differs.
    """

    format: str
    record: type[R]
    every: int = 10
    others: tuple[str, ...] = ()
    hashed: tuple[str, ...] = ()

    def __init__(self, path: Path, begin: S, rng: np.random.Generator, settings: dict[str, Any], *, resume: bool):
        self.path, self.rng, self.settings = path, rng, settings
        held = held_names(path)
        if held and not resume:
            raise InvalidFile(f"{path} is not empty; go on with --resume if it is this run, or name another directory")
        if held and CHECKPOINT not in held and not self._barely_begun(held):
            raise InvalidFile(f"{path} holds no {CHECKPOINT} to resume from; name another directory")
        check_directory(path)
        path.mkdir(parents=True, exist_ok=True)
        self._lock = FolderLock(path)
        if held_names(path) != held:
            raise InvalidFile(f"{path} was written by another run just now; name another directory")
        for leftover in path.glob(f".{CHECKPOINT}.*"):  # of a write that a kill interrupted
            leftover.unlink(missing_ok=True)
        if CHECKPOINT in held:
            self.state = self._load(begin)
        else:
            self.state = begin
            self._files = {name: Appended(path / name) for name in self._names}
            self._files[LOG].append(csv_line(self.columns))
            self._save(self._mark(begin))

    @property
    def columns(self) -> tuple[str, ...]:
        """Of the log."""
        return tuple(field.name for field in fields(self.record))  # pyright: ignore[reportArgumentType]

    @property
    def _names(self) -> tuple[str, ...]:
        return (LOG, *self.others)

    @abstractmethod
    def arrays(self, state: S) -> dict[str, Array]:
        """All arrays of a state; their names, shapes and kinds do not change during the run."""

    @abstractmethod
    def restored(self, iteration: int, status: str, arrays: dict[str, Array]) -> S:
        """The inverse of :meth:`arrays`."""

    @abstractmethod
    def iterations(self, state: S) -> Iterator[tuple[R, S]]:
        """Every record from ``state`` on, with the state after it."""

    def also(self, record: R, before: S) -> dict[str, bytes]:
        """What the record's iteration appends to the other files."""
        return {}

    def _barely_begun(self, held: set[str]) -> bool:
        """Whether the directory is one of ours that was killed before its first checkpoint."""
        content = {name: (self.path / name).read_bytes() for name in self._names if name in held}
        log = content.pop(LOG, b"")
        return held <= set(self._names) and log in (b"", csv_line(self.columns)) and not any(content.values())

    def go_on(self, on_record: Callable[[R], None] = lambda record: None) -> S:
        """Go on to the end; an exception such as a keyboard interrupt leaves a state to take up again."""
        if not self._lock.held:
            self._lock.acquire()
        mark = self._mark(self.state)
        try:
            for done, (record, following) in enumerate(self.iterations(self.state)):
                for name, content in self.also(record, mark.state).items():
                    self._files[name].append(content)
                self._files[LOG].append(csv_line(told(record)))
                mark = self._mark(following)
                on_record(record)
                if (done + 1) % self.every == 0:
                    self._save(mark)
        finally:
            try:
                self._save(mark)
                self.state = mark.state
            finally:
                self._lock.release()
        return self.state

    def log(self) -> list[R]:
        """What was recorded so far."""
        return read_log(self.path, self.record)

    def _mark(self, state: S) -> _Mark[S]:
        return _Mark(state, self.rng.bit_generator.state, {name: file.mark for name, file in self._files.items()})

    def _save(self, mark: _Mark[S]) -> None:
        """Replace the checkpoint, after what it speaks of is on disk."""
        for file in self._files.values():
            file.sync()
        header = {
            "format": self.format,
            "settings": self.settings,
            "iteration": mark.state.iteration,
            "status": mark.state.status,
            "generator": mark.generator,
            "files": mark.files,
        }
        arrays: dict[str, Any] = self.arrays(mark.state)
        with replacing(self.path / CHECKPOINT) as temporary, temporary.open("wb") as file:
            np.savez(file, header=np.array(json.dumps(header)), **arrays)
            file.flush()
            os.fsync(file.fileno())

    def _load(self, begin: S) -> S:
        """The state of the checkpoint, with the generator and the other files as they were then.

        Raises:
            InvalidFile: it is damaged, no checkpoint at all, or of another run.
        """
        path = self.path / CHECKPOINT
        saved = Checkpoint.read(self.path, self.format)
        self._same_run(path, saved.settings)
        expected = self.arrays(begin)
        try:
            files = {name: [int(saved.files[name][0]), str(saved.files[name][1])] for name in self._names}
            arrays = {name: saved.arrays[name] for name in expected}
        except (KeyError, IndexError, ValueError, TypeError, AttributeError) as error:
            raise _foreign(path, error) from None
        if any((arrays[name].shape, arrays[name].dtype) != (a.shape, a.dtype) for name, a in expected.items()):
            raise InvalidFile(f"{path} holds arrays of the wrong shape; it is damaged, name another directory")
        if bad := [name for name in arrays if arrays[name].dtype.kind == "f" and not np.isfinite(arrays[name]).all()]:
            raise InvalidFile(
                f"{path} holds numbers that are not finite in {bad[0]}; it is damaged, name another directory"
            )
        try:
            self.rng.bit_generator.state = saved.generator
        except (KeyError, ValueError, TypeError, OverflowError):
            raise InvalidFile(f"{path} holds no valid generator state; it is damaged, name another directory") from None
        self._files = {name: Appended(self.path / name, files[name]) for name in self._names}
        return self.restored(saved.iteration, saved.status, arrays)

    def _same_run(self, path: Path, settings: dict[str, Any]) -> None:
        different = [name for name, value in self.settings.items() if settings.get(name, ...) != value]
        if different:
            told = ", ".join(
                f"another {name}"
                if name in self.hashed
                else f"{name} {settings.get(name)} instead of {self.settings[name]}"
                for name in different
            )
            raise InvalidFile(f"{path} belongs to another run ({told}); repeat its settings, or name another directory")


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """What a checkpoint holds.

    Attributes:
        settings: of the run.
        iteration: the next one.
        status: "running", or how the run ended.
        generator: its state.
        files: mark of each appended file.
        arrays: by name.
    """

    settings: dict[str, Any]
    iteration: int
    status: str
    generator: Any
    files: dict[str, Any]
    arrays: dict[str, Array] = field(repr=False)

    @classmethod
    def read(cls, directory: Path, format: str) -> Checkpoint:
        """The checkpoint in a run's directory.

        Raises:
            InvalidFile: there is none, it is damaged, or of another format.
        """
        path = directory / CHECKPOINT
        content = read_npz(path)
        try:
            header = json.loads(str(content.pop("header")))
            if header["format"] != format:
                raise KeyError(header["format"])
            settings, files = dict(header["settings"]), dict(header["files"])
            return cls(settings, int(header["iteration"]), str(header["status"]), header["generator"], files, content)
        except (KeyError, ValueError, TypeError, AttributeError) as error:
            raise _foreign(path, error) from None


def _foreign(path: Path, error: Exception) -> InvalidFile:
    return InvalidFile(f"{path} is no checkpoint of bomrl train ({error}); name another directory")


@dataclass(frozen=True, eq=False)
class _Mark(Generic[S]):
    """A point to resume from: a state with the generator and the growing files as they were then."""

    state: S
    generator: Any
    files: dict[str, list[Any]]


class Appended:
    """A file that only grows, known up to a mark: its length and the SHA-256 of what it holds.

    Args:
        path: of the file.
        known: the mark up to which it is kept; None for a new file.

    Raises:
        InvalidFile: the file is shorter than the mark says, was changed before it, or cannot be written.
    """

    def __init__(self, path: Path, known: list[Any] | None = None):
        self.path = path
        with self._named_errors():
            content = b"" if known is None else path.read_bytes()[: int(known[0])]
            self._digest, self._size = hashlib.sha256(content), len(content)
            if known is not None and self.mark != known:
                raise InvalidFile(f"{path} is not what the checkpoint says, it was changed; name another directory")
            with path.open("ab") as file:
                file.truncate(self._size)

    @property
    def mark(self) -> list[Any]:
        return [self._size, self._digest.hexdigest()]

    def append(self, content: bytes) -> None:
        with self._named_errors(), self.path.open("ab") as file:
            file.write(content)
        self._digest.update(content)
        self._size += len(content)

    def sync(self) -> None:
        """Wait until the disk has it."""
        with self._named_errors(), self.path.open("ab") as file:
            os.fsync(file.fileno())

    @contextmanager
    def _named_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise InvalidFile(f"cannot use {self.path}: {error.strerror}; name another directory") from None


def held_names(path: Path) -> set[str]:
    """Names in a run's directory, but for the lock and temporary files of an interrupted write.

    Raises:
        InvalidFile: it is no directory, or cannot be read.
    """
    if not path.exists():
        return set()
    try:
        return {entry.name for entry in path.iterdir() if not entry.name.startswith((f".{CHECKPOINT}.", LOCK))}
    except OSError as error:
        raise InvalidFile(f"cannot use {path} as a directory: {error.strerror}; name another one") from None


def told(record: Any) -> tuple[str, ...]:
    """A record's values as text: shortest digits that give the double back, empty for None."""
    values = (getattr(record, field.name) for field in fields(record))
    return tuple("" if value is None else repr(value) if isinstance(value, float) else str(value) for value in values)


def csv_line(cells: Sequence[str]) -> bytes:
    """One line, as bytes."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue().encode()


def read_log(directory: Path, record: type[R]) -> list[R]:
    """The records of a run's log, exactly as they were made; fields of text and whole numbers by their annotation."""
    kinds: dict[str, Callable[[str], Any]] = {"int": int, "str": str}
    columns = {
        field.name: kinds.get(str(field.type).removesuffix(" | None"), float)
        for field in fields(record)  # pyright: ignore[reportArgumentType]
    }
    with (directory / LOG).open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return [
        record(**{name: None if row[name] == "" else kind(row[name]) for name, kind in columns.items()}) for row in rows
    ]
